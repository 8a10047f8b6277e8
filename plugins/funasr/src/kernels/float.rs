//! `y = x Wᵀ + b` in single precision.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, Parallel};

use super::line::FloatLines;
use super::sweep::{Ahead, Finish, Place, Stored, Tasks, Tiles, sweep};

/// A matrix `[outputs, inputs]`, laid out for the inner loop: sixteen outputs to a panel, and in it column after column.
#[derive(Debug)]
pub struct FloatMatrix {
    isa: Isa,
    outputs: usize,
    inputs: usize,
    /// `[panels, inputs]`; outputs behind the last are zeros.
    lines: FloatLines,
}

impl FloatMatrix {
    /// Lays out `columns`, `[inputs, outputs]` as ONNX has weights.
    #[must_use]
    pub fn of_columns(isa: Isa, columns: &[f32], outputs: usize) -> Self {
        Self::of_strided_columns(isa, columns, outputs, outputs, columns.len() / outputs.max(1))
    }

    /// The same of values that lie in a file, in little-endian order at any address.
    #[must_use]
    pub fn of_column_bytes(isa: Isa, columns: &[u8], outputs: usize) -> Self {
        let (values, _) = columns.as_chunks();
        Self::of_lines(isa, outputs, outputs, values.len() / outputs.max(1), |at, line| {
            line.iter_mut().zip(&values[at..]).for_each(|(value, bytes)| *value = f32::from_le_bytes(*bytes));
        })
    }

    /// Lays out columns of `outputs` values that are `stride` apart: `inputs` of them.
    pub(super) fn of_strided_columns(isa: Isa, columns: &[f32], stride: usize, outputs: usize, inputs: usize) -> Self {
        Self::of_lines(isa, stride, outputs, inputs, |at, line| line.copy_from_slice(&columns[at..][..line.len()]))
    }

    /// The same; `read` fills what is there of a line with the values from a place on.
    fn of_lines(isa: Isa, stride: usize, outputs: usize, inputs: usize, read: impl Fn(usize, &mut [f32])) -> Self {
        let mut matrix = Self::zeros(isa, outputs, inputs);
        for (panel, lines) in matrix.lines.chunks_exact_mut(inputs.max(1)).enumerate() {
            let first = panel * LANES;
            let count = LANES.min(outputs - first);
            for (input, line) in lines.iter_mut().enumerate() {
                read(input * stride + first, &mut line[..count]);
            }
        }
        matrix
    }

    /// Lays out rows of `inputs` values that are `stride` apart: `outputs` of them.
    pub(super) fn of_rows(isa: Isa, rows: &[f32], stride: usize, outputs: usize, inputs: usize) -> Self {
        let mut matrix = Self::zeros(isa, outputs, inputs);
        for (panel, lines) in matrix.lines.chunks_exact_mut(inputs.max(1)).enumerate() {
            let first = panel * LANES;
            let count = LANES.min(outputs - first);
            // Line by line, so that each is written once.
            let rows: [&[f32]; LANES] =
                std::array::from_fn(|lane| &rows[(first + lane.min(count - 1)) * stride..][..inputs]);
            for (column, line) in lines.iter_mut().enumerate() {
                let values: [f32; LANES] = std::array::from_fn(|lane| rows[lane][column]);
                line[..count].copy_from_slice(&values[..count]);
            }
        }
        matrix
    }

    /// Zeros.
    fn zeros(isa: Isa, outputs: usize, inputs: usize) -> Self {
        Self { isa, outputs, inputs, lines: FloatLines::zeros(outputs.div_ceil(LANES) * inputs) }
    }

    /// The same matrix with outputs that are 0 up to a whole panel.
    pub(super) fn filled_up(mut self) -> Self {
        self.outputs = self.outputs.next_multiple_of(LANES);
        self
    }

    /// Values of a row of the product.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Values of a row of what is multiplied.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// `y`, `[rows, outputs]`, of `x`, `[rows, inputs]`.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub fn product(&self, x: &[f32], y: &mut [f32], finish: Finish<'_>, parallel: &Parallel<'_>) -> Result<(), String> {
        let rows = finish.rows(x, self.inputs, y, self.outputs)?;
        let place = Place { start: y.as_mut_ptr(), stride: self.outputs, outputs: self.outputs, finish };
        let tiles = FloatTiles { x, stride: self.inputs, matrix: self, place };
        let tasks = Tasks::new(rows, self.inputs * size_of::<f32>(), self.outputs.div_ceil(LANES));
        parallel(tasks.count(), &|task| {
            let (rows, panels) = tasks.part(task);
            self.isa.run(Sweep { tiles, rows, panels });
        });
        Ok(())
    }

    /// The same on the caller's thread, for rows that are `x_stride` apart and outputs that are `y_stride` apart.
    pub(super) fn product_here(&self, x: &[f32], x_stride: usize, rows: usize, y: &mut [f32], y_stride: usize) {
        assert!(rows == 0 || x.len() >= (rows - 1) * x_stride + self.inputs, "rows of the input");
        assert!(rows == 0 || y.len() >= (rows - 1) * y_stride + self.outputs, "rows of the output");
        let place = Place { start: y.as_mut_ptr(), stride: y_stride, outputs: self.outputs, finish: Finish::default() };
        let tiles = FloatTiles { x, stride: x_stride, matrix: self, place };
        self.isa.run(Sweep { tiles, rows: 0..rows, panels: 0..self.outputs.div_ceil(LANES) });
    }
}

#[derive(Clone, Copy)]
struct FloatTiles<'a> {
    x: &'a [f32],
    stride: usize,
    matrix: &'a FloatMatrix,
    place: Place<'a>,
}

impl Tiles for FloatTiles<'_> {
    #[inline(always)]
    fn stored(self) -> Stored {
        let (lines, steps) = (&self.matrix.lines, self.matrix.inputs);
        let panels = self.matrix.outputs.div_ceil(LANES);
        Stored { start: lines.as_ptr().cast(), panel: steps * size_of::<[f32; LANES]>(), panels, steps }
    }

    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize, ahead: Ahead) {
        let inputs = self.matrix.inputs;
        let mut sums = [[l.splat(0.0); P]; R];
        // SAFETY: `R` rows of `inputs` numbers and `P` panels of as many lines exist, as the caller promises.
        unsafe {
            let x = self.x.as_ptr().add(row * self.stride);
            let w = self.matrix.lines.as_ptr().add(panel * inputs);
            for k in 0..inputs {
                ahead.fetch(l, k);
                let mut weights = [l.splat(0.0); P];
                for (p, weights) in weights.iter_mut().enumerate() {
                    *weights = l.load(&*w.add(p * inputs + k));
                }
                for (r, sums) in sums.iter_mut().enumerate() {
                    let x = l.splat(*x.add(r * self.stride + k));
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = l.mul_add(weights, x, *sum);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                for (p, sum) in sums.iter().enumerate() {
                    self.place.put(l, *sum, row + r, panel + p);
                }
            }
        }
    }
}

/// Some tiles, on some instruction set.
pub(super) struct Sweep<T> {
    pub(super) tiles: T,
    pub(super) rows: std::ops::Range<usize>,
    pub(super) panels: std::ops::Range<usize>,
}

impl<T: Tiles> Kernel for Sweep<T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        // SAFETY: whoever makes a sweep has checked that rows and panels exist, and gives each output to one sweep.
        unsafe { sweep(l, self.tiles, self.rows, self.panels) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::one_after_the_other;

    #[test]
    fn products_are_those_of_the_definition() {
        for isa in Isa::available() {
            for (rows, inputs, outputs) in [(1, 5, 3), (12, 16, 32), (25, 33, 50), (100, 7, 16), (40, 2048, 17)] {
                let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 40.0;
                let x: Vec<f32> = (0..rows * inputs).map(value).collect();
                let w: Vec<f32> = (0..inputs * outputs).map(|i| value(i * 3 + 1)).collect();
                let bias: Vec<f32> = (0..outputs).map(|o| value(o * 7)).collect();
                let matrix = FloatMatrix::of_columns(isa, &w, outputs);
                let bytes: Vec<u8> = std::iter::once(0).chain(w.iter().flat_map(|value| value.to_le_bytes())).collect();
                let of_bytes = FloatMatrix::of_column_bytes(isa, &bytes[1..], outputs);
                assert_eq!(*matrix.lines, *of_bytes.lines);
                for relu in [false, true] {
                    let mut y = vec![f32::NAN; rows * outputs];
                    let finish = Finish { bias: Some(&bias), relu };
                    matrix.product(&x, &mut y, finish, &one_after_the_other).unwrap();
                    for (at, got) in y.iter().enumerate() {
                        let (r, o) = (at / outputs, at % outputs);
                        let terms = (0..inputs).map(|k| f64::from(x[r * inputs + k]) * f64::from(w[k * outputs + o]));
                        let want = terms.sum::<f64>() + f64::from(bias[o]);
                        let want = if relu { want.max(0.0) } else { want };
                        let error = (f64::from(*got) - want).abs();
                        assert!(error < 1e-5 * (1.0 + want.abs()), "{isa:?} {rows} {inputs} {outputs}: {got} {want}");
                    }
                }
                assert!(
                    matrix
                        .product(&x[1..], &mut vec![0.0; rows * outputs], Finish::default(), &one_after_the_other)
                        .is_err()
                );
            }
        }
    }
}
