//! Memory for the kernels.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use half::f16;
use memmap2::MmapMut;

/// Numbers that begin at the start of a cache line, so that no vector crosses one.
#[derive(Debug)]
pub(crate) struct Aligned<T> {
    memory: Memory,
    len: usize,
    kind: PhantomData<T>,
}

#[derive(Debug)]
enum Memory {
    Lines(Vec<Line>),
    /// Straight from the system, and straight back to it: an allocator would keep tens of megabytes per thread for later.
    Pages(MmapMut),
}

/// From so many bytes on memory comes from the system.
const PAGES_FROM: usize = 256 * 1024;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Line {
    _bytes: [u8; LINE],
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Types of which any bytes are a value.
///
/// # Safety
/// So it is, zeros mean zero, and a line is a whole number of them.
pub(crate) unsafe trait Plain: Copy + Send + Sync + 'static {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: a number.
unsafe impl Plain for f16 {}
// SAFETY: numbers.
unsafe impl Plain for i16 {}
// SAFETY: numbers.
unsafe impl Plain for i8 {}

impl<T: Plain> Aligned<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let bytes = len * size_of::<T>();
        let pages = if bytes >= PAGES_FROM { MmapMut::map_anon(bytes).ok() } else { None };
        let lines = || Memory::Lines(vec![Line { _bytes: [0; LINE] }; bytes.div_ceil(LINE)]);
        Self { memory: pages.map_or_else(lines, Memory::Pages), len, kind: PhantomData }
    }

    /// Room for `len` numbers, whatever they are.
    pub(crate) fn room(&mut self, len: usize) -> &mut [T] {
        if self.len < len {
            *self = Self::zeros(len);
        }
        &mut self[..len]
    }
}

impl<T: Plain> Default for Aligned<T> {
    fn default() -> Self {
        Self::zeros(0)
    }
}

impl<T: Plain> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let start = match &self.memory {
            Memory::Lines(lines) => lines.as_ptr().cast(),
            Memory::Pages(pages) => pages.as_ptr().cast(),
        };
        // SAFETY: the memory holds so many, initialised, at a multiple of their size.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl<T: Plain> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let start = match &mut self.memory {
            Memory::Lines(lines) => lines.as_mut_ptr().cast(),
            Memory::Pages(pages) => pages.as_mut_ptr().cast(),
        };
        // SAFETY: as in `deref`; the memory is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_begin_at_a_cache_line() {
        for len in [1, 7, 100_000] {
            let mut numbers = Aligned::<f32>::zeros(len);
            assert!(numbers.as_ptr().addr().is_multiple_of(LINE));
            assert!(numbers.iter().all(|&n| n == 0.0) && numbers.len() == len);
            numbers[len - 1] = 1.0;
            assert_eq!(numbers.room(len)[len - 1], 1.0);
            assert_eq!(numbers.room(len + 1).len(), len + 1);
        }
    }
}
