//! Inner loops of the network over plain slices, compiled for every instruction set ([`Isa`]).

mod conv_f32;
mod conv_u8;
pub mod lstm;
mod snake;
mod tile;

pub use conv_f32::FloatConv;
pub use conv_u8::{ConvShape, QuantizedConv};
pub use snake::{Modulation, Snake, adaptive_norm};
pub use syrinx_plugin_common::kernels::{Isa, Parallel, one_after_the_other};
