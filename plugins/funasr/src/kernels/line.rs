//! How weights lie in memory.

use syrinx_plugin_common::kernels::LANES;

/// Sixteen values in a place that vectors are read from fastest.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line<T>(pub(super) [T; LANES]);
