//! How weights lie in memory.

use std::ops::{Deref, DerefMut};

use syrinx_plugin_common::kernels::LANES;

/// Sixteen values in a place that vectors are read from fastest.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line<T>(pub(super) [T; LANES]);

/// The same of numbers, for what is laid out anew with each request. Memory is taken as it comes and the first place of a cache line is
/// looked up in it: glibc can't use again all of what it has aligned itself (its bug 14581, up to 2.37), and a server would grow with every
/// request.
#[derive(Debug)]
pub(super) struct FloatLines {
    values: Vec<f32>,
    start: usize,
}

impl FloatLines {
    pub(super) fn zeros(count: usize) -> Self {
        let values = vec![0.0; (count + 1) * LANES];
        let start = values.as_ptr().align_offset(align_of::<Line<f32>>()).min(LANES);
        Self { values, start }
    }
}

impl Deref for FloatLines {
    type Target = [[f32; LANES]];

    fn deref(&self) -> &Self::Target {
        self.values[self.start..self.values.len() - LANES + self.start].as_chunks().0
    }
}

impl DerefMut for FloatLines {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let end = self.values.len() - LANES + self.start;
        self.values[self.start..end].as_chunks_mut().0
    }
}
