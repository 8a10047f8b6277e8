//! Inner loops of the network over plain slices, each for the vector units that it runs best on, chosen at run time.

mod conv_f32;
mod conv_u8;
pub mod lstm;
mod snake;

pub use conv_f32::FloatConv;
pub use conv_u8::{ConvShape, QuantizedConv};
pub use snake::{Modulation, Snake, adaptive_norm};
use syrinx_plugin_common::kernels::Shared;
pub use syrinx_plugin_common::kernels::{Isa, Parallel, one_after_the_other};
