//! `y = scale · x Wᵀ (+ bias) (+ y)`: what the network spends its time on. Sums of some rows by some panels are kept in registers while
//! the columns pass by; blocks of rows stay in the second-level cache while the panels pass by.
#![expect(
    clippy::needless_range_loop,
    reason = "loops over the rows and panels of a tile are counted by constants, and unrolled"
)]

use std::ops::Range;

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};

use super::int8::QuantizedRows;
use super::panels::{Element, IntPanels, Panels, padded};

/// Bytes of rows that stay in the second-level cache beside a few panels.
const CACHED_ROWS: usize = 160 * 1024;

/// Rows of activations: row `r` begins at `r · stride`, and rows may overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// Where a product goes: the first row's first output, and how far rows are apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) start: *mut f32,
    pub(crate) stride: usize,
}

/// What is done with sums before they are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish<'a> {
    /// Factor of the sums.
    pub(crate) scale: f32,
    /// One per output.
    pub(crate) bias: Option<&'a [f32]>,
    /// Whether they are added to what is there.
    pub(crate) add: bool,
}

impl Finish<'_> {
    /// Stored as they are.
    pub(crate) const PLAIN: Self = Self { scale: 1.0, bias: None, add: false };
}

/// The outputs of some panels, for all rows.
///
/// # Safety
/// `out` has the outputs of `panels` for as many rows, and nobody else uses them meanwhile.
pub(crate) unsafe fn product<E: Element>(
    x: Rows<'_>,
    w: &Panels<E>,
    panels: Range<usize>,
    out: Target,
    finish: Finish<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe { product_on(Isa::best(), x, w, panels, out, finish) }
}

/// # Safety
/// As [`product`].
unsafe fn product_on<E: Element>(
    isa: Isa,
    x: Rows<'_>,
    w: &Panels<E>,
    panels: Range<usize>,
    out: Target,
    finish: Finish<'_>,
) {
    assert!(x.count == 0 || (x.count - 1) * x.stride + w.cols() <= x.values.len(), "rows as long as the matrix's");
    assert!(panels.end <= w.count() && finish.bias.is_none_or(|bias| bias.len() == w.rows()), "outputs of the matrix");
    let ends = Ends { outs: w.rows(), out, finish };
    isa.run(Sweep { tiles: FloatTiles { x, w, ends }, rows: x.count, row_bytes: w.cols() * size_of::<f32>(), panels });
}

/// The same over quantised numbers; the scale of `finish` is taken for 1.
///
/// # Safety
/// As [`product`].
pub(crate) unsafe fn int_product(
    x: &QuantizedRows,
    rows: Range<usize>,
    w: &IntPanels,
    panels: Range<usize>,
    out: Target,
    finish: Finish<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe { int_product_on(Isa::best(), x, rows, w, panels, out, finish) }
}

/// # Safety
/// As [`product`].
unsafe fn int_product_on(
    isa: Isa,
    x: &QuantizedRows,
    rows: Range<usize>,
    w: &IntPanels,
    panels: Range<usize>,
    out: Target,
    finish: Finish<'_>,
) {
    let cols = padded(w.cols());
    assert!(rows.end * cols <= x.values.len() && rows.end <= x.steps.len(), "rows as long as the matrix's");
    assert!(panels.end <= w.count() && finish.bias.is_none_or(|bias| bias.len() == w.rows()), "outputs of the matrix");
    let ends = Ends { outs: w.rows(), out, finish };
    let tiles = IntTiles { x: &x.values[rows.start * cols..], steps: &x.steps[rows.clone()], w, ends };
    isa.run(Sweep { tiles, rows: rows.len(), row_bytes: cols * size_of::<i16>(), panels });
}

/// Something that can be computed tile by tile. Tiles that aren't the tallest are bound by memory: they ask for the panels of the next
/// tile in time. Sums stay in registers only if nothing but unrolled loops uses them; that is why they
/// take the way over an array when they are done.
trait Tiles: Copy {
    /// `R` rows from `row` on by `P` panels from `panel` on.
    ///
    /// # Safety
    /// They exist.
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize);
}

/// All tiles of some panels.
struct Sweep<T> {
    tiles: T,
    rows: usize,
    row_bytes: usize,
    panels: Range<usize>,
}

impl<T: Tiles> Kernel for Sweep<T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let many_registers = L::PANELS == 2;
        let block = (CACHED_ROWS / self.row_bytes.max(1)).max(L::TALLEST) / L::TALLEST * L::TALLEST;
        // Few rows leave registers for more panels, which hide the latency of sums.
        let across = match self.rows {
            1 => 4,
            2 if many_registers => 4,
            2 | 3 => 2,
            _ if many_registers => 2,
            _ => 1,
        };
        let mut first = 0;
        while first < self.rows {
            let end = self.rows.min(first + block);
            let mut panel = self.panels.start;
            while panel < self.panels.end {
                let wide = if self.panels.end - panel >= across { across } else { 1 };
                let mut row = first;
                while row < end {
                    let tiles = self.tiles;
                    // SAFETY: rows and panels are within those given.
                    row += unsafe {
                        match (end - row, wide) {
                            (12.., 2) if many_registers => tile::<L, T, 12, 2>(l, tiles, row, panel),
                            (8.., 2) if many_registers => tile::<L, T, 8, 2>(l, tiles, row, panel),
                            (6.., 2) if many_registers => tile::<L, T, 6, 2>(l, tiles, row, panel),
                            (5.., 2) if many_registers => tile::<L, T, 5, 2>(l, tiles, row, panel),
                            (4.., 2) if many_registers => tile::<L, T, 4, 2>(l, tiles, row, panel),
                            (3.., 2) => tile::<L, T, 3, 2>(l, tiles, row, panel),
                            (2, 2) => tile::<L, T, 2, 2>(l, tiles, row, panel),
                            (1, 2) => tile::<L, T, 1, 2>(l, tiles, row, panel),
                            (2.., 4) if many_registers => tile::<L, T, 2, 4>(l, tiles, row, panel),
                            (_, 4) => tile::<L, T, 1, 4>(l, tiles, row, panel),
                            (6.., _) => tile::<L, T, 6, 1>(l, tiles, row, panel),
                            (5, _) => tile::<L, T, 5, 1>(l, tiles, row, panel),
                            (4, _) => tile::<L, T, 4, 1>(l, tiles, row, panel),
                            (3, _) => tile::<L, T, 3, 1>(l, tiles, row, panel),
                            (2, _) => tile::<L, T, 2, 1>(l, tiles, row, panel),
                            _ => tile::<L, T, 1, 1>(l, tiles, row, panel),
                        }
                    };
                }
                panel += wide;
            }
            first = end;
        }
    }
}

/// Computes a tile and says how many rows it has.
///
/// # Safety
/// As [`Tiles::tile`].
#[inline(always)]
unsafe fn tile<L: Lanes, T: Tiles, const R: usize, const P: usize>(l: L, tiles: T, row: usize, panel: usize) -> usize {
    // SAFETY: the caller's promise.
    unsafe { tiles.tile::<L, R, P>(l, row, panel) };
    R
}

#[derive(Clone, Copy)]
struct FloatTiles<'a, E> {
    x: Rows<'a>,
    w: &'a Panels<E>,
    ends: Ends<'a>,
}

impl<E: Element> Tiles for FloatTiles<'_, E> {
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize) {
        let cols = self.w.cols();
        let mut sums = [[l.splat(0.0); P]; R];
        // SAFETY: `R` rows of `cols` numbers, and `P` panels of as many vectors, as the caller promises.
        unsafe {
            let x = self.x.values.as_ptr().add(row * self.x.stride);
            let w = self.w.values().as_ptr().cast::<[E; LANES]>().add(panel * cols);
            for k in 0..cols {
                let mut weights = [l.splat(0.0); P];
                for p in 0..P {
                    let at = w.add(p * cols + k);
                    weights[p] = E::load(l, &*at);
                    if R < L::TALLEST {
                        l.prefetch(at.wrapping_add(P * cols));
                    }
                }
                for r in 0..R {
                    let x = l.splat(*x.add(r * self.x.stride + k));
                    for p in 0..P {
                        sums[r][p] = l.mul_add(weights[p], x, sums[r][p]);
                    }
                }
            }
            let mut done = [[[0.0; LANES]; P]; R];
            for r in 0..R {
                for p in 0..P {
                    l.store(sums[r][p], &mut done[r][p]);
                }
            }
            let scale = l.splat(self.ends.finish.scale);
            for r in 0..R {
                for p in 0..P {
                    self.ends.store(l, l.mul(l.load(&done[r][p]), scale), row + r, panel + p);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct IntTiles<'a> {
    /// `[rows, padded cols]`
    x: &'a [i16],
    steps: &'a [f32],
    w: &'a IntPanels,
    ends: Ends<'a>,
}

impl Tiles for IntTiles<'_> {
    #[inline(always)]
    unsafe fn tile<L: Lanes, const R: usize, const P: usize>(self, l: L, row: usize, panel: usize) {
        let pairs = padded(self.w.cols()) / 2;
        let mut sums = [[l.splat_int(0); P]; R];
        // SAFETY: `R` rows of so many pairs, and `P` panels of as many vectors of them, as the caller promises.
        unsafe {
            let x = self.x.as_ptr().cast::<[i16; 2]>().add(row * pairs);
            let w = self.w.values().as_ptr().cast::<[[i8; 2]; LANES]>().add(panel * pairs);
            for k in 0..pairs {
                let mut weights = [l.load_pairs(&*w.add(k)); P];
                for p in 0..P {
                    let at = w.add(p * pairs + k);
                    if p > 0 {
                        weights[p] = l.load_pairs(&*at);
                    }
                    if R < L::TALLEST {
                        l.prefetch(at.wrapping_add(P * pairs));
                    }
                }
                for r in 0..R {
                    let x = l.splat_pair(*x.add(r * pairs + k));
                    for p in 0..P {
                        sums[r][p] = l.add_pairs(sums[r][p], weights[p], x);
                    }
                }
            }
            let mut done = [[[0.0; LANES]; P]; R];
            for r in 0..R {
                for p in 0..P {
                    l.store(l.to_float(sums[r][p]), &mut done[r][p]);
                }
            }
            for p in 0..P {
                let units = l.load(&*self.w.units().as_ptr().cast::<[f32; LANES]>().add(panel + p));
                for r in 0..R {
                    let unit = l.mul(units, l.splat(*self.steps.get_unchecked(row + r)));
                    self.ends.store(l, l.mul(l.load(&done[r][p]), unit), row + r, panel + p);
                }
            }
        }
    }
}

/// The way of sums to their places.
#[derive(Clone, Copy)]
struct Ends<'a> {
    outs: usize,
    out: Target,
    finish: Finish<'a>,
}

impl Ends<'_> {
    /// # Safety
    /// The row and the panel exist.
    #[inline(always)]
    unsafe fn store<L: Lanes>(self, l: L, sums: L::F, row: usize, panel: usize) {
        let first = panel * LANES;
        // SAFETY: outputs from `first` on that exist; a whole vector only where all sixteen do.
        unsafe {
            let to = self.out.start.add(row * self.out.stride + first);
            if first + LANES <= self.outs {
                let to = &mut *to.cast::<[f32; LANES]>();
                let mut sums = sums;
                if let Some(bias) = self.finish.bias {
                    sums = l.add(sums, l.load(&*bias.as_ptr().add(first).cast()));
                }
                if self.finish.add {
                    sums = l.add(sums, l.load(to));
                }
                l.store(sums, to);
            } else {
                let mut values = [0.0; LANES];
                l.store(sums, &mut values);
                for lane in 0..self.outs - first {
                    let bias = match self.finish.bias {
                        Some(bias) => *bias.get_unchecked(first + lane),
                        None => 0.0,
                    };
                    let before = if self.finish.add { *to.add(lane) } else { 0.0 };
                    *to.add(lane) = values[lane] + bias + before;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::super::int8::quantize_row;
    use super::super::panels::{fill_int_panel, quantize_into};
    use super::*;

    /// Rows × columns × outputs: all shapes of tiles, with and without something left over.
    const SHAPES: [(usize, usize, usize); 8] =
        [(1, 384, 100), (2, 33, 64), (3, 64, 65), (5, 100, 48), (6, 7, 15), (11, 512, 40), (25, 31, 33), (47, 1, 1)];

    fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * step % 61) as f32 - 30.0) / 16.0).collect()
    }

    /// In double precision: `out · add + scale · x wᵀ + bias`.
    fn plain(x: &[f32], w: &[f32], cols: usize, bias: Option<&[f32]>, scale: f64, before: Option<&[f32]>) -> Vec<f64> {
        let outs = w.len() / cols;
        let mut y = Vec::new();
        for (r, x) in x.chunks_exact(cols).enumerate() {
            for (o, w) in w.chunks_exact(cols).enumerate() {
                let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                let before = before.map_or(0.0, |before| f64::from(before[r * outs + o]));
                y.push(scale * sum + bias.map_or(0.0, |bias| f64::from(bias[o])) + before);
            }
        }
        y
    }

    fn check<E: Element>(round: impl Fn(f32) -> E) {
        for isa in Isa::available() {
            for (rows, cols, outs) in SHAPES {
                let (x, bias, before) = (numbers(rows * cols, 7), numbers(outs, 5), numbers(rows * outs, 3));
                let stored: Vec<E> = numbers(outs * cols, 11).into_iter().map(&round).collect();
                let w: Vec<f32> = stored.iter().map(|v| v.value()).collect();
                let panels = Panels::new(&stored, cols);
                for (bias, add) in [(None, false), (Some(bias.as_slice()), true)] {
                    let mut y = before.clone();
                    let target = Target { start: y.as_mut_ptr(), stride: outs };
                    let rows = Rows { values: &x, stride: cols, count: rows };
                    let finish = Finish { scale: 0.5, bias, add };
                    // SAFETY: `y` has all outputs of all rows.
                    unsafe { product_on(isa, rows, &panels, 0..panels.count(), target, finish) };
                    let want = plain(&x, &w, cols, bias, 0.5, add.then_some(&before));
                    for (got, want) in y.iter().zip(want) {
                        assert!((f64::from(*got) - want).abs() < 1e-3, "{isa:?} {rows:?} {cols} {outs}: {got} {want}");
                    }
                }
                let mut row = vec![0.0; cols];
                panels.row(outs - 1, &mut row);
                assert_eq!(row, w[(outs - 1) * cols..]);
            }
        }
    }

    #[test]
    fn products_are_right() {
        check(|value| value);
        check(f16::from_f32);
    }

    #[test]
    fn rows_may_overlap() {
        let (x, w) = (numbers(40, 7), numbers(16 * 12, 11));
        let windows: Vec<f32> = (0..8).flat_map(|r| x[r * 4..r * 4 + 12].to_vec()).collect();
        let mut y = vec![0.0; 8 * 16];
        let target = Target { start: y.as_mut_ptr(), stride: 16 };
        // SAFETY: `y` has all outputs of all rows.
        unsafe { product(Rows { values: &x, stride: 4, count: 8 }, &Panels::new(&w, 12), 0..1, target, Finish::PLAIN) };
        let want = plain(&windows, &w, 12, None, 1.0, None);
        assert!(y.iter().zip(want).all(|(got, want)| (f64::from(*got) - want).abs() < 1e-4));
    }

    #[test]
    fn all_instruction_sets_have_the_same_integer_sums() {
        for (count, cols, outs) in SHAPES {
            let (x, w, bias) = (numbers(count * cols, 7), numbers(outs * cols, 11), numbers(outs, 5));
            let mut rows = QuantizedRows::default();
            let (values, steps) = rows.room(count, cols);
            for ((x, values), step) in x.chunks_exact(cols).zip(values.chunks_exact_mut(padded(cols))).zip(steps) {
                *step = quantize_row(x, values);
            }
            let mut panels = IntPanels::zeros(outs, cols);
            let mut q = vec![0; outs * cols];
            for (index, (row, q)) in w.chunks_exact(cols).zip(q.chunks_exact_mut(cols)).enumerate() {
                quantize_into(row, q, &mut panels.parts_mut().1[index]);
            }
            let values = panels.parts_mut().0.chunks_exact_mut(LANES * padded(cols));
            q.chunks(LANES * cols).zip(values).for_each(|(rows, panel)| fill_int_panel(rows, cols, panel));

            // What the numbers stand for, in double precision.
            let dequantized: Vec<f32> = (0..count)
                .flat_map(|r| rows.values[r * padded(cols)..][..cols].iter().map(|&v| f32::from(v)).collect::<Vec<_>>())
                .collect();
            let mut row = vec![0.0; cols];
            let weights: Vec<f32> = (0..outs)
                .flat_map(|o| {
                    panels.row(o, &mut row);
                    row.clone()
                })
                .collect();
            let mut want = plain(&dequantized, &weights, cols, None, 1.0, None);
            for (r, want) in want.chunks_exact_mut(outs).enumerate() {
                want.iter_mut().zip(&bias).for_each(|(y, b)| *y = *y * f64::from(rows.steps[r]) + f64::from(*b));
            }

            let mut first: Option<Vec<f32>> = None;
            for isa in Isa::available() {
                let mut y = vec![0.0; count * outs];
                let target = Target { start: y.as_mut_ptr(), stride: outs };
                let finish = Finish { bias: Some(&bias), ..Finish::PLAIN };
                // SAFETY: `y` has all outputs of all rows.
                unsafe { int_product_on(isa, &rows, 0..count, &panels, 0..panels.count(), target, finish) };
                for (got, want) in y.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() < 1e-3, "{isa:?} {count} {cols} {outs}: {got} {want}");
                }
                assert_eq!(first.get_or_insert_with(|| y.clone()), &y, "{isa:?}");
            }
        }
    }

    #[test]
    fn the_longest_rows_do_not_overflow() {
        use super::super::int8::MAX_COLS;
        let mut panels = IntPanels::zeros(1, MAX_COLS);
        fill_int_panel(&vec![127; MAX_COLS], MAX_COLS, panels.parts_mut().0);
        panels.parts_mut().1[0] = 1.0;
        let mut rows = QuantizedRows::default();
        let (values, steps) = rows.room(1, MAX_COLS);
        values.fill(2047);
        steps.fill(1.0);
        for isa in Isa::available() {
            let mut y = [0.0];
            let target = Target { start: y.as_mut_ptr(), stride: 1 };
            // SAFETY: `y` has the only output of the only row.
            unsafe { int_product_on(isa, &rows, 0..1, &panels, 0..1, target, Finish::PLAIN) };
            assert_eq!(y[0], 127.0 * 2047.0 * MAX_COLS as f32, "{isa:?}");
        }
    }
}
