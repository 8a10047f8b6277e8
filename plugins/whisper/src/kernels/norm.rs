//! Layer normalisation.

/// Added to the variance. Source: `torch.nn.LayerNorm`'s default.
const EPSILON: f32 = 1e-5;

/// `out = (x − mean) / √(variance + ε) · weight + bias`, for each row of `weight.len()` values.
pub(crate) fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { layer_norm_avx2(x, weight, bias, out) };
    }
    layer_norm_lanes(x, weight, bias, out);
}

/// The portable form, recompiled for the wider registers: its loops are written in lanes of eight.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn layer_norm_avx2(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    layer_norm_lanes(x, weight, bias, out);
}

#[inline(always)]
fn layer_norm_lanes(x: &[f32], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let d = weight.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mean = lane_sum(x, |v| v) / d as f32;
        let variance = lane_sum(x, |v| (v - mean) * (v - mean)) / d as f32;
        let scale = 1.0 / (variance + EPSILON).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

#[inline(always)]
fn lane_sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (blocks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += f(value);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&value| f(value)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised() {
        let x: Vec<f32> = (0..33).map(|i| (i % 11) as f32).collect();
        let (weight, bias) = (vec![2.0; 11], vec![0.5; 11]);
        let mut out = vec![0.0; 33];
        layer_norm(&x, &weight, &bias, &mut out);
        for row in out.chunks_exact(11) {
            let mean = row.iter().sum::<f32>() / 11.0;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 11.0;
            assert!((mean - 0.5).abs() < 1e-6 && (variance - 4.0).abs() < 1e-4);
        }
    }
}
