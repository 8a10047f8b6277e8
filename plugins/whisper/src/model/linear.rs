//! `y = x Wᵀ + b` over weights in the form they are kept in.

use std::ops::Range;

use half::f16;

use super::team::{Shared, Team};
use crate::kernels::{self, Element, MAX_COLS, MAX_INT_ROWS, MAX_ROWS, PANEL, QuantizedRows};
use crate::weights::{Linear, Matrix, Values};

/// From so many activation rows on, a matrix product over widened weights is faster than inner products over stored ones.
const PRODUCT_FROM_ROWS: usize = 24;
/// Weight rows that one thread takes at least; below, starting a thread costs more than it saves.
const GRAIN: usize = 32;
/// Quantised activations that stay in the second-level cache while weights pass by.
const CACHED_ACTIVATIONS: usize = 96 * 1024;
/// Weight panels of one task of an integer product.
const TASK_PANELS: usize = 16;

/// What becomes of the output's previous content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Into {
    /// Overwritten.
    Replace,
    /// Added to: the residual stream.
    Add,
}

/// Work space of linear layers, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    widened: Vec<f32>,
    quantized: QuantizedRows,
}

/// Applies `layer` to the rows of `x` (`[rows, in]`); `y` is `[rows, out]`.
pub(super) fn linear(team: &Team, layer: &Linear, x: &[f32], y: &mut [f32], into: Into, work: &mut Workspace) {
    project(team, &layer.weight, Some(&layer.bias), x, y, into, work);
}

/// `y = x Wᵀ (+ bias)` for a matrix `[out, in]`.
pub(super) fn project(
    team: &Team,
    weight: &Matrix,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
    into: Into,
    work: &mut Workspace,
) {
    let cols = weight.cols();
    let rows = x.len() / cols;
    match weight.values() {
        Values::Int8 { q, scale } if cols <= MAX_COLS => {
            let layer = IntLayer { q, scale, bias, cols, into };
            if rows >= PRODUCT_FROM_ROWS {
                quantize(team, x, cols, &mut work.quantized);
                layer.product(team, &work.quantized, y);
            } else {
                work.quantized.quantize(x, cols);
                layer.inner_products(team, &work.quantized, y);
            }
        }
        Values::F32(values) if rows < PRODUCT_FROM_ROWS => inner_products(team, values, weight, bias, x, y, into),
        Values::F16(values) if rows < PRODUCT_FROM_ROWS => inner_products(team, values, weight, bias, x, y, into),
        _ => product(team, weight, bias, x, cols, y, into, work),
    }
}

fn inner_products<E: Element>(
    team: &Team,
    values: &[E],
    weight: &Matrix,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
    into: Into,
) {
    let (outs, cols) = (weight.rows(), weight.cols());
    let rows = x.len() / cols;
    let y = Shared::new(y);
    team.ranges(outs, GRAIN, &|range| {
        for out in range {
            let w = &values[out * cols..(out + 1) * cols];
            let bias = bias.map_or(0.0, |bias| bias[out]);
            for first in (0..rows).step_by(MAX_ROWS) {
                let count = MAX_ROWS.min(rows - first);
                let mut sums = [0.0; MAX_ROWS];
                kernels::dots(w, &x[first * cols..(first + count) * cols], &mut sums[..count]);
                for (r, sum) in sums[..count].iter().enumerate() {
                    let at = (first + r) * outs + out;
                    // SAFETY: column `out` belongs to this thread alone.
                    let y = unsafe { y.part(at..at + 1) };
                    y[0] = sum + bias + if into == Into::Add { y[0] } else { 0.0 };
                }
            }
        }
    });
}

/// The same as a matrix product. Rows of `x` may overlap: row `r` begins at `r · stride`.
#[expect(clippy::too_many_arguments, reason = "a matrix product has that many")]
pub(super) fn product(
    team: &Team,
    weight: &Matrix,
    bias: Option<&[f32]>,
    x: &[f32],
    stride: usize,
    y: &mut [f32],
    into: Into,
    work: &mut Workspace,
) {
    let (n, k) = (weight.rows(), weight.cols());
    let m = y.len() / n;
    if m == 0 {
        return;
    }
    assert!((m - 1) * stride + k <= x.len() && y.len() == m * n, "rows of the product");
    if let Some(bias) = bias {
        y.chunks_exact_mut(n).for_each(|y| match into {
            Into::Replace => y.copy_from_slice(bias),
            Into::Add => y.iter_mut().zip(bias).for_each(|(y, b)| *y += b),
        });
    }
    let read_y = bias.is_some() || into == Into::Add;
    let w = match weight.values() {
        Values::F32(values) => values.as_slice(),
        Values::F16(values) => widen(team, values, &mut work.widened),
        Values::Int8 { q, scale } => {
            work.widened.resize(n * k, 0.0);
            for ((out, q), scale) in work.widened.chunks_exact_mut(k).zip(q.chunks_exact(k)).zip(scale) {
                out.iter_mut().zip(q).for_each(|(out, &q)| *out = f32::from(q) / scale);
            }
            &work.widened
        }
    };
    // SAFETY: y is [m, n]; x has m rows of k at the stride; w is [n, k], read as its transpose. y is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            y.as_mut_ptr(),
            1,
            n as isize,
            read_y,
            x.as_ptr(),
            1,
            stride as isize,
            w.as_ptr(),
            k as isize,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            team.parallelism(),
        );
    }
}

fn widen<'a>(team: &Team, values: &[f16], widened: &'a mut Vec<f32>) -> &'a [f32] {
    widened.resize(values.len(), 0.0);
    let out = Shared::new(widened);
    team.ranges(values.len(), 4096, &|range| {
        // SAFETY: the ranges are disjoint.
        kernels::widen(&values[range.clone()], unsafe { out.part(range) });
    });
    widened
}

fn quantize(team: &Team, x: &[f32], cols: usize, quantized: &mut QuantizedRows) {
    quantized.values.resize(x.len(), 0);
    quantized.steps.resize(x.len() / cols, 0.0);
    let (values, steps) = (Shared::new(&mut quantized.values), Shared::new(&mut quantized.steps));
    team.ranges(x.len() / cols, 16, &|rows| {
        for row in rows {
            let range = row * cols..(row + 1) * cols;
            // SAFETY: the ranges are disjoint.
            let (values, step) = unsafe { (values.part(range.clone()), steps.part(row..row + 1)) };
            step[0] = kernels::quantize_row(&x[range], values);
        }
    });
}

/// A layer with int8 weights, over quantised activations.
struct IntLayer<'a> {
    q: &'a [i8],
    scale: &'a [f32],
    bias: Option<&'a [f32]>,
    cols: usize,
    into: Into,
}

impl IntLayer<'_> {
    /// Few rows: bound by reading the weights.
    fn inner_products(&self, team: &Team, x: &QuantizedRows, y: &mut [f32]) {
        let (outs, cols, rows) = (self.scale.len(), self.cols, x.steps.len());
        let y = Shared::new(y);
        team.ranges(outs, GRAIN, &|range| {
            for out in range {
                let w = &self.q[out * cols..(out + 1) * cols];
                let unit = self.scale[out].recip();
                let bias = self.bias.map_or(0.0, |bias| bias[out]);
                for first in (0..rows).step_by(MAX_INT_ROWS) {
                    let group = first..rows.min(first + MAX_INT_ROWS);
                    let mut sums = [0; MAX_INT_ROWS];
                    let sums = &mut sums[..group.len()];
                    kernels::int_dots(w, &x.values[group.start * cols..group.end * cols], sums);
                    for (row, &sum) in group.zip(sums.iter()) {
                        let at = row * outs + out;
                        // SAFETY: column `out` belongs to this thread alone.
                        let y = unsafe { y.part(at..at + 1) };
                        let value = sum as f32 * (unit * x.steps[row]) + bias;
                        y[0] = if self.into == Into::Add { y[0] + value } else { value };
                    }
                }
            }
        });
    }

    /// Many rows: bound by arithmetic. Blocks of activations stay in the cache while panels of weights pass by.
    fn product(&self, team: &Team, x: &QuantizedRows, y: &mut [f32]) {
        let (outs, rows) = (self.scale.len(), x.steps.len());
        let block_rows = (CACHED_ACTIVATIONS / self.cols).clamp(16, rows.max(16)) & !1;
        let (blocks, groups) = (rows.div_ceil(block_rows), outs.div_ceil(TASK_PANELS * PANEL));
        let y = Shared::new(y);
        team.each(blocks * groups, &|task| {
            let (block, group) = (task / groups, task % groups);
            let rows = block * block_rows..rows.min((block + 1) * block_rows);
            let end = outs.min((group + 1) * TASK_PANELS * PANEL);
            for first in (group * TASK_PANELS * PANEL..end).step_by(PANEL) {
                self.panel(x, rows.clone(), first..end.min(first + PANEL), outs, &y);
            }
        });
    }

    fn panel(&self, x: &QuantizedRows, rows: Range<usize>, outs: Range<usize>, stride: usize, y: &Shared<'_, f32>) {
        thread_local! {
            static SCRATCH: std::cell::RefCell<(Vec<i16>, Vec<[i32; PANEL]>)> = const { std::cell::RefCell::new((Vec::new(), Vec::new())) };
        }
        let cols = self.cols;
        SCRATCH.with_borrow_mut(|(panel, sums)| {
            panel.resize(PANEL * cols, 0);
            sums.resize(rows.len(), [0; PANEL]);
            kernels::widen_panel(&self.q[outs.start * cols..outs.end * cols], panel);
            kernels::int_panel(panel, &x.values[rows.start * cols..rows.end * cols], sums);
            let (mut units, mut biases) = ([0.0; PANEL], [0.0; PANEL]);
            for (p, out) in outs.clone().enumerate() {
                units[p] = self.scale[out].recip();
                biases[p] = self.bias.map_or(0.0, |bias| bias[out]);
            }
            for (row, sums) in rows.zip(sums.iter()) {
                // SAFETY: these columns of these rows belong to this task.
                let y = unsafe { y.part(row * stride + outs.start..row * stride + outs.end) };
                let step = x.steps[row];
                let add = self.into == Into::Add;
                let value = |p: usize, before: f32| {
                    sums[p] as f32 * (units[p] * step) + biases[p] + if add { before } else { 0.0 }
                };
                match <&mut [f32; PANEL]>::try_from(&mut *y) {
                    // A whole panel: one vector.
                    Ok(y) => *y = std::array::from_fn(|p| value(p, y[p])),
                    Err(_) => y.iter_mut().enumerate().for_each(|(p, y)| *y = value(p, *y)),
                }
            }
        });
    }
}
