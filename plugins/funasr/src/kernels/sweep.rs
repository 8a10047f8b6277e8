//! The way through a product `x Wᵀ`: tiles of some rows by some panels of sixteen outputs, whose sums stay in registers while the columns
//! pass by; blocks of rows stay in the second-level cache while the panels pass by.

use std::ops::Range;

use syrinx_plugin_common::kernels::{LANES, Lanes};

/// Bytes of rows that stay in the second-level cache beside a few panels.
const CACHED_ROWS: usize = 256 * 1024;
/// Panels of one task.
const TASK_PANELS: usize = 16;

/// What is done with sums before they are stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finish<'a> {
    /// Added, one per output.
    pub bias: Option<&'a [f32]>,
    /// Whether what is negative becomes 0.
    pub relu: bool,
}

impl Finish<'_> {
    /// Rows of a product of `x`, `[rows, inputs]`, to `y`, `[rows, outputs]`.
    ///
    /// # Errors
    /// Says which extents don't fit.
    pub(super) fn rows(&self, x: &[f32], inputs: usize, y: &[f32], outputs: usize) -> Result<usize, String> {
        let rows = y.len() / outputs.max(1);
        if x.len() != rows * inputs || y.len() != rows * outputs {
            return Err(format!("{} values don't fit to {inputs} inputs", x.len()));
        }
        if self.bias.is_some_and(|bias| bias.len() != outputs) {
            return Err(format!("the bias doesn't fit to {outputs} outputs"));
        }
        Ok(rows)
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The first row's first output.
    pub(super) start: *mut f32,
    /// From one row to the next.
    pub(super) stride: usize,
    /// Outputs of a row.
    pub(super) outputs: usize,
    pub(super) finish: Finish<'a>,
}

// SAFETY: those who write through it write different outputs.
unsafe impl Sync for Place<'_> {}
// SAFETY: as above.
unsafe impl Send for Place<'_> {}

impl Place<'_> {
    /// Finishes the sums of one row and panel, and stores them.
    ///
    /// # Safety
    /// The row is within the output, and nobody else uses it meanwhile.
    #[inline(always)]
    pub(super) unsafe fn put<L: Lanes>(&self, l: L, sums: L::F, row: usize, panel: usize) {
        let first = panel * LANES;
        let count = LANES.min(self.outputs - first);
        // SAFETY: `count` outputs from `first` on exist.
        let out = unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride + first), count) };
        let mut sums = sums;
        if let Ok(whole) = <&mut [f32; LANES]>::try_from(&mut *out) {
            if let Some(bias) = self.finish.bias
                && let Some(bias) = bias[first..].first_chunk()
            {
                sums = l.add(sums, l.load(bias));
            }
            if self.finish.relu {
                sums = l.max(sums, l.splat(0.0));
            }
            l.store(sums, whole);
            return;
        }
        let mut values = [0.0; LANES];
        l.store(sums, &mut values);
        for (lane, (out, value)) in out.iter_mut().zip(values).enumerate() {
            let value = value + self.finish.bias.map_or(0.0, |bias| bias[first + lane]);
            *out = if self.finish.relu { value.max(0.0) } else { value };
        }
    }
}

/// Tiles of one kind of numbers.
pub(super) trait Tiles: Copy {
    /// Computes and stores the outputs of `R` rows from `row` on and `P` panels from `panel` on.
    ///
    /// # Safety
    /// They exist, and nobody else uses those outputs meanwhile.
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize);
}

/// Computes a block of outputs.
///
/// # Safety
/// As [`Tiles::tile`], of all rows and panels.
#[inline(always)]
pub(super) unsafe fn sweep<L: Lanes, T: Tiles>(l: L, tiles: T, rows: Range<usize>, panels: Range<usize>) {
    let mut panel = panels.start;
    while panel < panels.end {
        let wide = if L::PANELS == 2 && panels.end - panel >= 2 { 2 } else { 1 };
        let mut row = rows.start;
        while row < rows.end {
            // SAFETY: rows and panels are within those given.
            row += unsafe {
                match (rows.end - row, wide) {
                    (12.., 2) => tile::<L, T, 12, 2>(l, tiles, row, panel),
                    (8.., 2) => tile::<L, T, 8, 2>(l, tiles, row, panel),
                    (6.., 2) => tile::<L, T, 6, 2>(l, tiles, row, panel),
                    (4.., 2) => tile::<L, T, 4, 2>(l, tiles, row, panel),
                    (2.., 2) => tile::<L, T, 2, 2>(l, tiles, row, panel),
                    (1, 2) => tile::<L, T, 1, 2>(l, tiles, row, panel),
                    (6.., _) => tile::<L, T, 6, 1>(l, tiles, row, panel),
                    (4.., _) => tile::<L, T, 4, 1>(l, tiles, row, panel),
                    (2.., _) => tile::<L, T, 2, 1>(l, tiles, row, panel),
                    _ => tile::<L, T, 1, 1>(l, tiles, row, panel),
                }
            };
        }
        panel += wide;
    }
}

/// # Safety
/// As [`Tiles::tile`].
#[inline(always)]
unsafe fn tile<L: Lanes, T: Tiles, const R: usize, const P: usize>(l: L, tiles: T, row: usize, panel: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { tiles.tile::<L, R, P>(l, row, panel) };
    R
}

/// A product divided into tasks.
#[derive(Clone, Copy)]
pub(super) struct Tasks {
    rows: usize,
    panels: usize,
    block: usize,
}

impl Tasks {
    /// Of rows of `row_bytes` bytes.
    pub(super) fn new(rows: usize, row_bytes: usize, panels: usize) -> Self {
        let block = (CACHED_ROWS / row_bytes.max(1)).max(24) / 12 * 12;
        // Blocks of about the same size, so that the last one isn't a few rows.
        let blocks = rows.div_ceil(block).max(1);
        Self { rows, panels, block: rows.div_ceil(blocks).next_multiple_of(12).max(12) }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.div_ceil(self.block) * self.panels.div_ceil(TASK_PANELS)
    }

    /// Rows and panels of a task.
    pub(super) fn part(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let groups = self.panels.div_ceil(TASK_PANELS);
        let (row, panel) = (task / groups * self.block, task % groups * TASK_PANELS);
        (row..self.rows.min(row + self.block), panel..self.panels.min(panel + TASK_PANELS))
    }
}
