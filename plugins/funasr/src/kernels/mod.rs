//! Inner loops of the networks over plain slices, written over the vectors that all plugins share ([`syrinx_plugin_common::kernels`]).

mod attention;
mod bytes;
mod columns;
mod float;
mod line;
mod memory;
mod sweep;

pub use attention::{Attention, Keys};
pub use bytes::ByteMatrix;
pub use columns::Columns;
pub use float::FloatMatrix;
pub use memory::Memory;
pub use sweep::Finish;
pub use syrinx_plugin_common::kernels::{Isa, LANES, Parallel, one_after_the_other};
