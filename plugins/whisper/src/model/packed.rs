//! Weight matrices as the kernels want them.

use half::f16;

use super::team::{Shared, Team};
use crate::kernels::{self, Element, IntPanels, LANES, MAX_COLS, Panels};
use crate::weights::{Matrix, Values};

/// A matrix `[rows, cols]` in panels.
#[derive(Debug)]
pub(crate) enum Packed {
    /// Single precision.
    F32(Panels<f32>),
    /// Half precision; computed with in single precision.
    F16(Panels<f16>),
    /// Quantised, one unit per row.
    Int8(IntPanels),
}

impl Packed {
    /// Keeps the precision of the checkpoint; int8 weights are widened.
    pub(super) fn float(team: &Team, matrix: Matrix) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        match matrix.into_values() {
            Values::F32(values) => Self::F32(pack(team, &values, cols)),
            Values::F16(values) => Self::F16(pack(team, &values, cols)),
            Values::Int8 { q, scale } => {
                let mut panels = Panels::zeros(rows, cols);
                each_panel(team, panels.values_mut(), rows, cols, &|rows, panel| {
                    for (lane, row) in rows.enumerate() {
                        let values = q[row * cols..(row + 1) * cols].iter().map(|&q| f32::from(q) / scale[row]);
                        panel
                            .iter_mut()
                            .skip(lane)
                            .step_by(LANES)
                            .zip(values)
                            .for_each(|(place, value)| *place = value);
                    }
                });
                Self::F32(panels)
            }
        }
    }

    /// Quantises to int8, except matrices with so many columns that sums could overflow.
    pub(super) fn int8(team: &Team, matrix: Matrix) -> Self {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        if cols > MAX_COLS {
            return Self::float(team, matrix);
        }
        let mut panels = IntPanels::zeros(rows, cols);
        let (values, units) = panels.parts_mut();
        let units = Shared::new(units);
        each_panel(team, values, rows, kernels::padded(cols), &|rows, panel| {
            // SAFETY: each panel comes up once.
            let units = unsafe { units.part(rows.clone()) };
            match matrix.values() {
                Values::Int8 { q, scale } => {
                    kernels::fill_int_panel(&q[rows.start * cols..rows.end * cols], cols, panel);
                    units.iter_mut().zip(&scale[rows]).for_each(|(unit, scale)| *unit = scale.recip());
                }
                Values::F32(_) | Values::F16(_) => {
                    let (mut row, mut q) = (vec![0.0; cols], vec![0; rows.len() * cols]);
                    for ((index, q), unit) in rows.zip(q.chunks_exact_mut(cols)).zip(units) {
                        matrix.row(index, &mut row);
                        kernels::quantize_into(&row, q, unit);
                    }
                    kernels::fill_int_panel(&q, cols, panel);
                }
            }
        });
        Self::Int8(panels)
    }

    pub(super) fn rows(&self) -> usize {
        match self {
            Self::F32(panels) => panels.rows(),
            Self::F16(panels) => panels.rows(),
            Self::Int8(panels) => panels.rows(),
        }
    }

    pub(super) fn cols(&self) -> usize {
        match self {
            Self::F32(panels) => panels.cols(),
            Self::F16(panels) => panels.cols(),
            Self::Int8(panels) => panels.cols(),
        }
    }

    /// One row.
    pub(super) fn row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::F32(panels) => panels.row(row, out),
            Self::F16(panels) => panels.row(row, out),
            Self::Int8(panels) => panels.row(row, out),
        }
    }
}

/// Returns what a checkpoint's matrices took to the system. The allocator would keep it for numbers of their size, and none come.
pub(super) fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn pack<E: Element>(team: &Team, values: &[E], cols: usize) -> Panels<E> {
    let rows = values.len() / cols;
    let mut panels = Panels::zeros(rows, cols);
    each_panel(team, panels.values_mut(), rows, cols, &|rows, panel| {
        kernels::fill_panel(&values[rows.start * cols..rows.end * cols], cols, cols, panel);
    });
    panels
}

/// Shows `fill` every panel, `[cols, 16]`, and the rows it is for.
fn each_panel<T: Send>(
    team: &Team,
    values: &mut [T],
    rows: usize,
    cols: usize,
    fill: &(impl Fn(std::ops::Range<usize>, &mut [T]) + Sync),
) {
    let size = LANES * cols;
    let values = Shared::new(values);
    team.ranges(rows.div_ceil(LANES), 1, &|panels| {
        for panel in panels {
            // SAFETY: each panel comes up once.
            let part = unsafe { values.part(panel * size..(panel + 1) * size) };
            fill(panel * LANES..rows.min((panel + 1) * LANES), part);
        }
    });
}
