//! Inner loops over plain slices. Each is written once, over vectors of sixteen values ([`lanes`]), and compiled for every instruction set
//! ([`level`]); the best one that the processor has is taken at run time, so one build serves all machines.

mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dot;
mod exp;
mod gelu;
mod int8;
mod lanes;
mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod norm;
mod panels;
mod product;
mod recall;
mod softmax;

pub(crate) use aligned::Aligned;
pub(crate) use gelu::gelu;
pub(crate) use int8::{MAX_COLS, QuantizedRows, quantize_row};
pub(crate) use lanes::LANES;
pub(crate) use norm::layer_norm;
pub(crate) use panels::{Element, IntPanels, Panels, fill_int_panel, fill_panel, padded, quantize_into};
pub(crate) use product::{Finish, Rows, Target, int_product, product};
pub(crate) use recall::{History, recall};
pub(crate) use softmax::{softmax, sum_of_exp};
