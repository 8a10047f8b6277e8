//! Inner loops of our own. Each is written once, over vectors of sixteen values ([`Lanes`]), and compiled for every instruction set
//! ([`Isa`]); the best one that the processor has is taken at run time, so one build serves all machines.
//!
//! ```
//! use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};
//!
//! /// Doubles all values.
//! struct Double<'a>(&'a mut [[f32; LANES]]);
//!
//! impl Kernel for Double<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<L: Lanes>(self, l: L) {
//!         for block in self.0 {
//!             let values = l.load(block);
//!             l.store(l.add(values, values), block);
//!         }
//!     }
//! }
//!
//! let mut values = [[1.5; LANES]; 3];
//! Isa::best().run(Double(&mut values));
//! assert_eq!(values, [[3.0; LANES]; 3]);
//! ```
//!
//! - [`Isa`]: which instruction sets there are, and which the processor has; [`Kernel`]: something to compute on any of them.
//! - [`Lanes`]: what a kernel is written with. `portable.rs` says what each operation does; `avx2.rs`, `avx512.rs` and `neon.rs` do the
//!   same in registers.
//! - [`exp`]: eˣ, made of these.
//! - [`Parallel`], [`on_threads`], [`Shared`]: work for several threads.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod exp;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod parallel;
mod portable;

pub use exp::exp;
pub use isa::{Isa, Kernel};
pub use lanes::{LANES, Lanes};
pub use parallel::{Parallel, Shared, on_threads, one_after_the_other};
