//! Layer normalisation.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes};

/// Added to the variance. Source: `torch.nn.LayerNorm`'s default.
const EPSILON: f32 = 1e-5;

/// `out = (x − mean) / √(variance + ε) · weight + bias`, for each row of `weight.len()` values.
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    Isa::best().run(LayerNorm { x, weight, bias, out });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let d = self.weight.len();
        for (x, out) in self.x.chunks_exact(d).zip(self.out.chunks_exact_mut(d)) {
            let mean = sum(l, x) / d as f32;
            let variance = sum_of_squares(l, x, mean) / d as f32;
            let scale = 1.0 / (variance + EPSILON).sqrt();
            let (means, scales) = (l.splat(mean), l.splat(scale));
            let (x, x_rest) = x.as_chunks::<LANES>();
            let (out, out_rest) = out.as_chunks_mut::<LANES>();
            let (weight, weight_rest) = self.weight.as_chunks::<LANES>();
            let (bias, bias_rest) = self.bias.as_chunks::<LANES>();
            for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
                let normed = l.mul(l.sub(l.load(x), means), scales);
                l.store(l.mul_add(normed, l.load(weight), l.load(bias)), out);
            }
            for (((out, x), weight), bias) in out_rest.iter_mut().zip(x_rest).zip(weight_rest).zip(bias_rest) {
                *out = (x - mean) * scale * weight + bias;
            }
        }
    }
}

#[inline(always)]
fn sum<L: Lanes>(l: L, values: &[f32]) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut sums = l.splat(0.0);
    for block in blocks {
        sums = l.add(sums, l.load(block));
    }
    let mut sum = l.sum(sums);
    for value in rest {
        sum += value;
    }
    sum
}

#[inline(always)]
fn sum_of_squares<L: Lanes>(l: L, values: &[f32], mean: f32) -> f32 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let means = l.splat(mean);
    let mut sums = l.splat(0.0);
    for block in blocks {
        let distance = l.sub(l.load(block), means);
        sums = l.mul_add(distance, distance, sums);
    }
    let mut sum = l.sum(sums);
    for value in rest {
        sum += (value - mean) * (value - mean);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised() {
        for isa in Isa::available() {
            for d in [11, 48, 83] {
                let x: Vec<f32> = (0..3 * d).map(|i| (i * i % 13) as f32).collect();
                let (weight, bias) = (vec![2.0; d], vec![0.5; d]);
                let mut out = vec![0.0; 3 * d];
                isa.run(LayerNorm { x: &x, weight: &weight, bias: &bias, out: &mut out });
                for row in out.chunks_exact(d) {
                    let mean = row.iter().sum::<f32>() / d as f32;
                    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / d as f32;
                    assert!((mean - 0.5).abs() < 1e-5 && (variance - 4.0).abs() < 1e-3, "{isa:?}: {mean} {variance}");
                }
            }
        }
    }
}
