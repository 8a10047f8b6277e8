//! Softmax over one row, and its norm.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, exp};

/// Replaces `row` by its softmax.
pub(crate) fn softmax(row: &mut [f32]) {
    Isa::best().run(Softmax(row));
}

pub(super) struct Softmax<'a>(pub(super) &'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (blocks, rest) = self.0.as_chunks_mut::<LANES>();
        // What is missing to a whole vector is as unlikely as can be.
        let mut last = [f32::NEG_INFINITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let mut peaks = l.load(&last);
        for block in blocks.iter() {
            peaks = l.max(peaks, l.load(block));
        }
        let peak = l.splat(l.peak(peaks));
        let mut sums = l.splat(0.0);
        for block in blocks.iter_mut() {
            let value = exp(l, l.sub(l.load(block), peak));
            sums = l.add(sums, value);
            l.store(value, block);
        }
        let value = exp(l, l.sub(l.load(&last), peak));
        l.store(value, &mut last);
        last[rest.len()..].fill(0.0);
        sums = l.add(sums, l.load(&last));
        let scale = l.splat(1.0 / l.sum(sums));
        for block in blocks {
            l.store(l.mul(l.load(block), scale), block);
        }
        let value = l.mul(l.load(&last), scale);
        l.store(value, &mut last);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

/// `Σ exp(value - peak)`, where `peak` is the largest value. Summed in double precision, or tens of thousands of small terms would vanish one
/// by one against the large ones.
pub(crate) fn sum_of_exp(values: &[f32], peak: f32) -> f64 {
    Isa::best().run(SumOfExp { values, peak })
}

struct SumOfExp<'a> {
    values: &'a [f32],
    peak: f32,
}

impl Kernel for SumOfExp<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f64 {
        let (blocks, rest) = self.values.as_chunks::<LANES>();
        let peak = l.splat(self.peak);
        let mut sums = l.zero_wide();
        for block in blocks {
            sums = l.add_wide(sums, exp(l, l.sub(l.load(block), peak)));
        }
        let mut last = [self.peak; LANES];
        last[..rest.len()].copy_from_slice(rest);
        let value = exp(l, l.sub(l.load(&last), peak));
        l.store(value, &mut last);
        let mut sum = l.sum_wide(sums);
        for &value in &last[..rest.len()] {
            sum += f64::from(value);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(length: usize) -> Vec<f32> {
        (0..length).map(|i| ((i * 31 % 97) as f32 - 40.0) * 0.3).collect()
    }

    #[test]
    fn sums_are_right() {
        for isa in Isa::available() {
            for length in [1, 8, 61, 51_865] {
                let mut values = row(length);
                values[0] = 17.0;
                if length > 8 {
                    values[3] = f32::NEG_INFINITY;
                }
                let want: f64 = values.iter().map(|&value| f64::from(value - 17.0).exp()).sum();
                let got = isa.run(SumOfExp { values: &values, peak: 17.0 });
                assert!((got / want - 1.0).abs() < 1e-6, "{isa:?}: {got} {want}");
            }
        }
    }

    #[test]
    fn rows_become_probabilities() {
        for isa in Isa::available() {
            for length in [1, 7, 16, 61, 1500] {
                let values = row(length);
                let peak = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = values.iter().map(|&value| f64::from(value - peak).exp()).sum();
                let mut got = values.clone();
                isa.run(Softmax(&mut got));
                for (got, value) in got.iter().zip(&values) {
                    let want = f64::from(value - peak).exp() / sum;
                    assert!((f64::from(*got) - want).abs() < 1e-6, "{isa:?}: {got} {want}");
                }
            }
        }
    }
}
