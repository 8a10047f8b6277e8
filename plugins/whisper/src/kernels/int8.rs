//! Quantisation: weights to int8, one scale per row; activations to 12 bits per row, not to 8: the instructions for pairs of 16-bit
//! integers can't saturate, give the same sums on all instruction sets, and leave next to no error of their own.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};

use super::aligned::Aligned;
use super::panels::padded;

/// Largest magnitude of a quantised activation: sums of up to [`MAX_COLS`] products with int8 weights stay within 32 bits.
const LARGEST: f32 = 2047.0;
/// Longest rows: 8192 · 127 · 2047 < 2³¹.
pub(crate) const MAX_COLS: usize = 8192;

/// Quantised rows: `x ≈ values · step`.
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    /// `[rows, padded cols]`
    pub(super) values: Aligned<i16>,
    /// One per row.
    pub(super) steps: Aligned<f32>,
}

impl QuantizedRows {
    /// Room for `rows` rows of `cols` values: what they are, `[rows, padded cols]`, and their steps.
    pub(crate) fn room(&mut self, rows: usize, cols: usize) -> (&mut [i16], &mut [f32]) {
        (self.values.room(rows * padded(cols)), self.steps.room(rows))
    }
}

/// Quantises one row, fills `values` up with zeros and returns the step.
pub(crate) fn quantize_row(x: &[f32], values: &mut [i16]) -> f32 {
    Isa::best().run(QuantizeRow { x, values })
}

struct QuantizeRow<'a> {
    x: &'a [f32],
    values: &'a mut [i16],
}

impl Kernel for QuantizeRow<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let peak = largest(l, self.x);
        let (scale, step) = if peak > 0.0 && peak.is_finite() { (LARGEST / peak, peak / LARGEST) } else { (0.0, 0.0) };
        let (x, rest) = self.x.as_chunks::<LANES>();
        let (values, padding) = self.values.split_at_mut(self.x.len());
        let (out, out_rest) = values.as_chunks_mut::<LANES>();
        for (x, out) in x.iter().zip(out) {
            l.store_i16(l.mul(l.load(x), l.splat(scale)), out);
        }
        for (out, x) in out_rest.iter_mut().zip(rest) {
            *out = (x * scale).round_ties_even() as i16;
        }
        padding.fill(0);
        step
    }
}

/// Quantises a row of weights: `scale = 127 / max|row|` (1 for a row of zeros), `q = round(row · scale)`; returns the scale.
///
/// The rule of [`ctranslate2::quantize_int8`](syrinx_plugin_common::checkpoint::ctranslate2::quantize_int8), fast enough to be applied
/// while loading.
pub(super) fn quantize_weights(row: &[f32], q: &mut [i8]) -> f32 {
    Isa::best().run(QuantizeWeights { row, q })
}

struct QuantizeWeights<'a> {
    row: &'a [f32],
    q: &'a mut [i8],
}

impl Kernel for QuantizeWeights<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let peak = largest(l, self.row);
        let scale = if peak == 0.0 { 1.0 } else { 127.0 / peak };
        let (row, rest) = self.row.as_chunks::<LANES>();
        let (out, out_rest) = self.q.as_chunks_mut::<LANES>();
        for (row, out) in row.iter().zip(out) {
            l.store_i8(l.mul(l.load(row), l.splat(scale)), out);
        }
        for (out, w) in out_rest.iter_mut().zip(rest) {
            *out = (w * scale).round_ties_even() as i8;
        }
        scale
    }
}

/// Largest magnitude.
#[inline(always)]
fn largest<L: Lanes>(l: L, values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut peaks = l.splat(0.0);
    for block in blocks {
        peaks = l.max(peaks, l.abs(l.load(block)));
    }
    let mut peak = l.peak(peaks);
    for value in rest {
        peak = peak.max(value.abs());
    }
    peak
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_quantised_by_the_rule() {
        let w: Vec<f32> = (0..83).map(|i| ((i * 29 % 61) as f32 - 30.0) * 0.013).collect();
        for isa in Isa::available() {
            let mut q = vec![0; 83];
            let scale = isa.run(QuantizeWeights { row: &w, q: &mut q });
            let rule = syrinx_plugin_common::checkpoint::ctranslate2::quantize_int8(&w, 83);
            assert_eq!(rule, (q.clone(), vec![scale]), "{isa:?}");
            assert_eq!(isa.run(QuantizeWeights { row: &[0.0; 83], q: &mut q }), 1.0, "{isa:?}");
        }
    }

    #[test]
    fn rows_are_quantised_to_twelve_bits() {
        let x: Vec<f32> = (0..71).map(|i| (i as f32 - 30.5) * 0.37).collect();
        for isa in Isa::available() {
            let mut values = vec![1; 72];
            let step = isa.run(QuantizeRow { x: &x, values: &mut values });
            assert_eq!(values.iter().map(|v| v.abs()).max(), Some(2047), "{isa:?}");
            assert_eq!(values[71], 0, "{isa:?}");
            for (x, value) in x.iter().zip(&values) {
                assert!((x - f32::from(*value) * step).abs() <= 0.501 * step, "{isa:?}: {x} {value}");
            }
            assert_eq!(isa.run(QuantizeRow { x: &[0.0; 20], values: &mut values[..20] }), 0.0, "{isa:?}");
        }
    }
}
