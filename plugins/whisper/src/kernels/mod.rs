//! Inner loops over plain slices. Each has a portable form, which says what it computes, and an AVX2/FMA form that is taken when the
//! processor has it (checked at run time, so one build serves all machines).

mod attend;
mod dot;
mod exp;
mod gelu;
mod half;
mod int8;
mod norm;
mod softmax;

pub(crate) use attend::{KEY_BLOCK, mix, padded_head, score_block};
pub(crate) use dot::{Element, MAX_ROWS, dot, dots};
pub(crate) use gelu::gelu;
pub(crate) use half::widen;
pub(crate) use int8::{
    MAX_COLS, MAX_INT_ROWS, PANEL, QuantizedRows, int_dots, int_panel, quantize_row, quantize_weights, widen_panel,
};
pub(crate) use norm::layer_norm;
pub(crate) use softmax::{softmax, sum_of_exp};

/// Whether the AVX2 forms can be used (with FMA and conversions from half precision, as every such processor has).
#[cfg(target_arch = "x86_64")]
#[inline]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}
