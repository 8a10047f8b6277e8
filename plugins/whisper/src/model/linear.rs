//! `y = x Wᵀ + b` over weights in the form they are kept in.

use std::ops::Range;

use super::packed::Packed;
use super::team::{Shared, Team};
use crate::kernels::{self, Element, Finish, LANES, Panels, QuantizedRows, Rows, Target};
use crate::weights::Linear;

/// From so many activation rows on, work is divided by rows, too.
const MANY_ROWS: usize = 24;
/// Rows of one task: ten tiles of the tallest kind.
const TASK_ROWS: usize = 120;
/// Panels of one task; they stay in the second-level cache.
const TASK_PANELS: usize = 16;
/// Panels that one thread takes at least; below, starting a thread costs more than it saves.
const GRAIN: usize = 4;

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
    quantized: QuantizedRows,
}

/// Applies `layer` to the rows of `x` (`[rows, in]`); `y` is `[rows, out]`.
pub(super) fn linear(team: &Team, layer: &Linear<Packed>, x: &[f32], y: &mut [f32], into: Into, work: &mut Workspace) {
    project(team, &layer.weight, Some(&layer.bias), x, y, into, work);
}

/// `y = x Wᵀ (+ bias)` for a matrix `[out, in]`.
pub(super) fn project(
    team: &Team,
    weight: &Packed,
    bias: Option<&[f32]>,
    x: &[f32],
    y: &mut [f32],
    into: Into,
    work: &mut Workspace,
) {
    let cols = weight.cols();
    let x = Rows { values: x, stride: cols, count: x.len() / cols };
    let finish = Finish { bias, add: into == Into::Add, ..Finish::PLAIN };
    match weight {
        Packed::F32(w) => product(team, w, x, y, finish),
        Packed::F16(w) => product(team, w, x, y, finish),
        Packed::Int8(w) => {
            quantize(team, x, cols, &mut work.quantized);
            assert_eq!(y.len(), x.count * w.rows(), "rows of the product");
            let y = Shared::new(y);
            tasks(team, x.count, w.count(), &|rows, panels| {
                let out = Target { start: y.at(rows.start * w.rows()), stride: w.rows() };
                // SAFETY: each output comes up in one task.
                unsafe { kernels::int_product(&work.quantized, rows, w, panels, out, finish) };
            });
        }
    }
}

/// A convolution over frames that lie one behind the other: row `r` of `x` begins at `r · stride`, and rows overlap.
pub(super) fn convolve(team: &Team, weight: &Packed, bias: &[f32], x: &[f32], stride: usize, y: &mut [f32]) {
    let x = Rows { values: x, stride, count: y.len() / weight.rows() };
    let finish = Finish { bias: Some(bias), ..Finish::PLAIN };
    match weight {
        Packed::F32(w) => product(team, w, x, y, finish),
        Packed::F16(w) => product(team, w, x, y, finish),
        Packed::Int8(_) => unreachable!("convolutions are not quantised"),
    }
}

fn product<E: Element>(team: &Team, w: &Panels<E>, x: Rows<'_>, y: &mut [f32], finish: Finish<'_>) {
    let outs = w.rows();
    assert_eq!(y.len(), x.count * outs, "rows of the product");
    let y = Shared::new(y);
    tasks(team, x.count, w.count(), &|rows, panels| {
        let out = Target { start: y.at(rows.start * outs), stride: outs };
        let x = Rows { values: &x.values[rows.start * x.stride..], count: rows.len(), ..x };
        // SAFETY: each output comes up in one task.
        unsafe { kernels::product(x, w, panels, out, finish) };
    });
}

/// Divides the outputs of a product among the threads: each of `rows` × `panels` comes up once.
fn tasks(team: &Team, rows: usize, panels: usize, work: &(impl Fn(Range<usize>, Range<usize>) + Sync + Send)) {
    if rows == 0 {
        return;
    }
    if rows < MANY_ROWS {
        return team.ranges(panels, GRAIN, &|panels| work(0..rows, panels));
    }
    let (blocks, groups) = (rows.div_ceil(TASK_ROWS), panels.div_ceil(TASK_PANELS));
    team.each(blocks * groups, &|task| {
        let (row, panel) = (task / groups * TASK_ROWS, task % groups * TASK_PANELS);
        work(row..rows.min(row + TASK_ROWS), panel..panels.min(panel + TASK_PANELS));
    });
}

fn quantize(team: &Team, x: Rows<'_>, cols: usize, quantized: &mut QuantizedRows) {
    let size = kernels::padded(cols);
    let (values, steps) = quantized.room(x.count, cols);
    let (values, steps) = (Shared::new(values), Shared::new(steps));
    team.ranges(x.count, LANES, &|rows| {
        for row in rows {
            // SAFETY: each row comes up once.
            let (values, step) = unsafe { (values.part(row * size..(row + 1) * size), steps.part(row..row + 1)) };
            step[0] = kernels::quantize_row(&x.values[row * x.stride..][..cols], values);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_output_comes_up_once() {
        for (rows, panels) in [(0, 3), (1, 1), (5, 33), (24, 1), (121, 17), (1500, 32)] {
            for threads in [1, 2, 3] {
                let team = Team::new(threads);
                let counts: Vec<AtomicUsize> = (0..rows * panels).map(|_| AtomicUsize::default()).collect();
                team.run(|| {
                    tasks(&team, rows, panels, &|rows, range| {
                        for at in rows.flat_map(|row| range.clone().map(move |panel| row * panels + panel)) {
                            counts[at].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn no_rows_are_no_work() {
        let team = Team::new(1);
        let weight = Packed::F32(Panels::new(&[1.0; 6], 2));
        project(&team, &weight, None, &[], &mut [], Into::Replace, &mut Workspace::default());
    }
}
