//! Inner loops of the networks over plain slices. Each is written once, over vectors of sixteen values ([`lanes`]), and compiled for every
//! instruction set that they are written for; the best one that the processor has is taken at run time.

mod attention;
mod bytes;
mod columns;
mod exp;
mod float;
mod lanes;
mod memory;
mod sweep;

pub use attention::{Attention, Keys};
pub use bytes::ByteMatrix;
pub use columns::Columns;
pub use float::FloatMatrix;
pub use lanes::LANES;
pub use memory::Memory;
pub use sweep::Finish;
pub use syrinx_plugin_common::kernels::{Isa, Parallel, one_after_the_other};
