//! Matrices laid out for the inner loops: sixteen rows to a panel, and in it column after column, so that the sums of sixteen outputs
//! come out in lanes and memory is read front to back.

use half::f16;
use syrinx_plugin_common::kernels::{LANES, Lanes};

use super::aligned::{Aligned, Plain};
use super::int8::quantize_weights;

/// A form in which numbers are kept; computed with in single precision.
pub(crate) trait Element: Plain {
    /// The value.
    fn value(self) -> f32;

    /// A vector from memory.
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F;
}

impl Element for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F {
        l.load(from)
    }
}

impl Element for f16 {
    #[inline(always)]
    fn value(self) -> f32 {
        self.to_f32()
    }

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[Self; LANES]) -> L::F {
        l.load_half(from)
    }
}

/// A matrix `[rows, cols]` of floating point numbers.
#[derive(Debug)]
pub(crate) struct Panels<E> {
    rows: usize,
    cols: usize,
    /// `[panels, cols, 16]`; rows behind the last are zeros.
    values: Aligned<E>,
}

impl<E: Element> Panels<E> {
    /// Zeros, to be filled panel by panel.
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, values: Aligned::zeros(rows.div_ceil(LANES) * cols * LANES) }
    }

    /// Lays out a row-major matrix of `cols` columns.
    pub(crate) fn new(matrix: &[E], cols: usize) -> Self {
        let mut panels = Self::zeros(matrix.len() / cols, cols);
        for (rows, panel) in matrix.chunks(LANES * cols).zip(panels.panels_mut()) {
            fill_panel(rows, cols, cols, panel);
        }
        panels
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    /// All values, `[panels, cols, 16]`.
    pub(crate) fn values(&self) -> &[E] {
        &self.values
    }

    /// The same, for filling.
    pub(crate) fn values_mut(&mut self) -> &mut [E] {
        &mut self.values
    }

    /// The panels one by one, for filling.
    pub(crate) fn panels_mut(&mut self) -> impl Iterator<Item = &mut [E]> {
        self.values.chunks_exact_mut((self.cols * LANES).max(1))
    }

    /// One row of the matrix.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let panel = &self.values[row / LANES * LANES * self.cols..][..LANES * self.cols];
        out.iter_mut().zip(panel.iter().skip(row % LANES).step_by(LANES)).for_each(|(out, value)| *out = value.value());
    }
}

/// Lays out up to sixteen rows of `cols` values, `stride` apart, as a panel `[cols, 16]`.
pub(crate) fn fill_panel<E: Copy>(rows: &[E], stride: usize, cols: usize, panel: &mut [E]) {
    // Blocks of columns, so that what is written stays in the first-level cache while row after row comes by.
    const BLOCK: usize = 64;
    for first in (0..cols).step_by(BLOCK) {
        let width = BLOCK.min(cols - first);
        let panel = &mut panel[first * LANES..(first + width) * LANES];
        for (lane, row) in rows.chunks(stride).take(LANES).enumerate() {
            let row = &row[first..first + width];
            panel.iter_mut().skip(lane).step_by(LANES).zip(row).for_each(|(place, value)| *place = *value);
        }
    }
}

/// A matrix `[rows, cols]` of int8 numbers, each row with a unit of its own.
#[derive(Debug)]
pub(crate) struct IntPanels {
    rows: usize,
    cols: usize,
    /// `[panels, pairs of columns, 16, 2]`; what is missing to whole panels and pairs is zero.
    values: Aligned<i8>,
    /// What 1 stands for, per row; zero for rows behind the last.
    units: Aligned<f32>,
}

impl IntPanels {
    /// Zeros, to be filled panel by panel.
    pub(crate) fn zeros(rows: usize, cols: usize) -> Self {
        let panels = rows.div_ceil(LANES);
        Self {
            rows,
            cols,
            values: Aligned::zeros(panels * LANES * padded(cols)),
            units: Aligned::zeros(panels * LANES),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    pub(super) fn values(&self) -> &[i8] {
        &self.values
    }

    pub(super) fn units(&self) -> &[f32] {
        &self.units
    }

    /// All values and units, for filling: `16 · padded(cols)` and 16 of each panel.
    pub(crate) fn parts_mut(&mut self) -> (&mut [i8], &mut [f32]) {
        (&mut self.values, &mut self.units)
    }

    /// One row of the matrix.
    pub(crate) fn row(&self, row: usize, out: &mut [f32]) {
        let size = LANES * padded(self.cols);
        let pairs = self.values[row / LANES * size..][..size].as_chunks::<2>().0;
        for (out, pair) in out.chunks_mut(2).zip(pairs.iter().skip(row % LANES).step_by(LANES)) {
            out.iter_mut().zip(pair).for_each(|(out, &q)| *out = f32::from(q) * self.units[row]);
        }
    }
}

/// Columns with what is missing to whole pairs.
pub(crate) fn padded(cols: usize) -> usize {
    cols.next_multiple_of(2)
}

/// Puts quantised rows (up to sixteen, `cols` long) in place as a panel `[pairs, 16, 2]`.
pub(crate) fn fill_int_panel(rows: &[i8], cols: usize, panel: &mut [i8]) {
    for (lane, row) in rows.chunks_exact(cols).enumerate() {
        let places = panel.as_chunks_mut::<2>().0.iter_mut().skip(lane).step_by(LANES);
        for (place, pair) in places.zip(row.chunks(2)) {
            place[..pair.len()].copy_from_slice(pair);
        }
    }
}

/// Quantises a row; `unit` becomes what 1 stands for.
pub(crate) fn quantize_into(row: &[f32], q: &mut [i8], unit: &mut f32) {
    *unit = quantize_weights(row, q).recip();
}
