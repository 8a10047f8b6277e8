//! Inner loops over plain slices, written over the vectors that all plugins share ([`syrinx_plugin_common::kernels`]).

mod aligned;
mod dot;
mod gelu;
mod int8;
mod norm;
mod panels;
mod product;
mod recall;
mod softmax;

pub(crate) use aligned::Aligned;
pub(crate) use gelu::gelu;
pub(crate) use int8::{MAX_COLS, QuantizedRows, quantize_row};
pub(crate) use norm::layer_norm;
pub(crate) use panels::{Element, IntPanels, Panels, fill_int_panel, fill_panel, padded, quantize_into};
pub(crate) use product::{Finish, Rows, Target, int_product, product};
pub(crate) use recall::{History, recall};
pub(crate) use softmax::{softmax, sum_of_exp};
pub(crate) use syrinx_plugin_common::kernels::LANES;
