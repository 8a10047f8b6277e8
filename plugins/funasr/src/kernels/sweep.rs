//! The way through a product `x Wᵀ`: tiles of some rows by some panels of sixteen outputs, whose sums stay in registers while the columns
//! pass by; blocks of rows stay in the second-level cache while the panels pass by. Weights come from memory, so while the rows pass by
//! two panels, the caches are told to fetch the next two: with a second of speech, waiting for them would take as long as computing.

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

/// Bytes that caches fetch at a time.
const CACHE_LINE: usize = 64;
/// Rows of a tile of one panel, and of two, whose sums fit into registers.
const TALLEST: [usize; 2] = [6, 12];

/// Where the weights of a matrix are.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// The first panel.
    pub(super) start: *const u8,
    /// Bytes of a panel.
    pub(super) panel: usize,
    pub(super) panels: usize,
    /// Columns, or groups of columns that pass by at once.
    pub(super) steps: usize,
}

/// A part of the weights that come next, to be fetched while a tile is computed.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    start: *const u8,
    /// Bytes that are fetched with each step of the tile.
    stride: usize,
}

impl Ahead {
    /// The first of `tiles` parts of what comes after the `wide` panels from `panel` on. Behind the last panel there is nothing more.
    fn new(stored: Stored, panel: usize, wide: usize, tiles: usize) -> Self {
        let next = panel + wide;
        let bytes = stored.panel * wide.min(stored.panels.saturating_sub(next));
        let stride = bytes.div_ceil((stored.steps * tiles).max(1));
        Self { start: stored.start.wrapping_add(next * stored.panel), stride }
    }

    /// The part after this one.
    fn next(self, steps: usize) -> Self {
        Self { start: self.start.wrapping_add(self.stride * steps), ..self }
    }

    /// Has the caches fetch what belongs to a step.
    #[inline(always)]
    pub(super) fn fetch<L: Lanes>(self, l: L, step: usize) {
        let at = self.start.wrapping_add(step * self.stride);
        l.prefetch_second_level(at);
        if self.stride > CACHE_LINE {
            l.prefetch_second_level(at.wrapping_add(CACHE_LINE));
        }
    }
}

/// Tiles of one kind of numbers.
pub(super) trait Tiles: Copy {
    /// Where the weights are.
    fn stored(self) -> Stored;

    /// Computes and stores the outputs of `R` rows from `row` on and `P` panels from `panel` on, and fetches what comes next.
    ///
    /// # Safety
    /// They exist, and nobody else uses those outputs meanwhile.
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize, ahead: Ahead);
}

/// Computes a block of outputs, in tiles of about the same height: low ones have too few sums to keep the arithmetic units busy.
///
/// # Safety
/// As [`Tiles::tile`], of all rows and panels.
#[inline(always)]
pub(super) unsafe fn sweep<L: Lanes, T: Tiles>(l: L, tiles: T, rows: Range<usize>, panels: Range<usize>) {
    let stored = tiles.stored();
    let mut panel = panels.start;
    while panel < panels.end {
        let wide = if L::PANELS == 2 && panels.end - panel >= 2 { 2 } else { 1 };
        let count = rows.len().div_ceil(TALLEST[wide - 1]);
        let mut ahead = Ahead::new(stored, panel, wide, count);
        let mut row = rows.start;
        for left in (1..=count).rev() {
            let height = (rows.end - row).div_ceil(left);
            // SAFETY: rows and panels are within those given.
            unsafe {
                if wide == 2 {
                    tall::<L, T>(l, tiles, [row, panel], height, ahead);
                } else {
                    low::<L, T, 1>(l, tiles, [row, panel], height, ahead);
                }
            }
            row += height;
            ahead = ahead.next(stored.steps);
        }
        panel += wide;
    }
}

/// A tile of two panels.
///
/// # Safety
/// As [`Tiles::tile`].
#[inline(always)]
unsafe fn tall<L: Lanes, T: Tiles>(l: L, tiles: T, at: [usize; 2], height: usize, ahead: Ahead) {
    // SAFETY: the caller's promise.
    unsafe {
        match height {
            12 => tiles.tile::<L, 12, 2>(l, at[0], at[1], ahead),
            11 => tiles.tile::<L, 11, 2>(l, at[0], at[1], ahead),
            10 => tiles.tile::<L, 10, 2>(l, at[0], at[1], ahead),
            9 => tiles.tile::<L, 9, 2>(l, at[0], at[1], ahead),
            8 => tiles.tile::<L, 8, 2>(l, at[0], at[1], ahead),
            7 => tiles.tile::<L, 7, 2>(l, at[0], at[1], ahead),
            _ => low::<L, T, 2>(l, tiles, at, height, ahead),
        }
    }
}

/// A tile of at most six rows.
///
/// # Safety
/// As [`Tiles::tile`].
#[inline(always)]
unsafe fn low<L: Lanes, T: Tiles, const P: usize>(l: L, tiles: T, at: [usize; 2], height: usize, ahead: Ahead) {
    // SAFETY: the caller's promise.
    unsafe {
        match height {
            6 => tiles.tile::<L, 6, P>(l, at[0], at[1], ahead),
            5 => tiles.tile::<L, 5, P>(l, at[0], at[1], ahead),
            4 => tiles.tile::<L, 4, P>(l, at[0], at[1], ahead),
            3 => tiles.tile::<L, 3, P>(l, at[0], at[1], ahead),
            2 => tiles.tile::<L, 2, P>(l, at[0], at[1], ahead),
            _ => tiles.tile::<L, 1, P>(l, at[0], at[1], ahead),
        }
    }
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
