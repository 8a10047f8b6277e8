//! torch's normal draws in float16 on a CPU, value for value.
//!
//! Source: torch `aten/src/ATen/native/cpu/DistributionTemplates.h: normal_fill`, `c10/core/CPUGenerator`. On CUDA torch draws from another
//! generator.

use std::f64::consts::TAU;

use half::f16;
use rand_mt::Mt;

/// Values that are made at a time: eight uniform pairs become as many normal pairs.
const BLOCK: usize = 16;
/// Low bits of a draw that fill a float16's mantissa.
const MANTISSA_BITS: u32 = 11;

/// `count` standard normal values. torch draws fewer than sixteen in another way; no model is that narrow.
pub fn draw(seed: u32, count: usize) -> Vec<f16> {
    let mut generator = Mt::new(seed);
    let mut uniform = move || {
        let bits = generator.next_u32() & ((1 << MANTISSA_BITS) - 1);
        f16::from_f32(bits as f32 / (1 << MANTISSA_BITS) as f32)
    };
    let mut values: Vec<f16> = (0..count.max(BLOCK)).map(|_| uniform()).collect();
    let (blocks, rest) = values.as_chunks_mut::<BLOCK>();
    blocks.iter_mut().for_each(box_muller);
    // The last sixteen are drawn again if they are not a block already.
    if !rest.is_empty()
        && let Some(last) = values.last_chunk_mut::<BLOCK>()
    {
        last.fill_with(&mut uniform);
        box_muller(last);
    }
    values.truncate(count);
    values
}

/// Uniform values to normal ones, each step rounded to float16.
fn box_muller(block: &mut [f16; BLOCK]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let logarithm = f16::from_f32((f16::ONE - *a).to_f32().ln());
        let radius = f16::from_f32((f16::from_f32(-2.0) * logarithm).to_f32().sqrt());
        let angle = f16::from_f32((TAU * b.to_f64()) as f32).to_f32();
        *a = radius * f16::from_f32(angle.cos());
        *b = radius * f16::from_f32(angle.sin());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_look_normal() {
        let values: Vec<f64> = draw(7, 40_000).into_iter().map(f16::to_f64).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }

    #[test]
    fn any_count() {
        for count in [0, 1, 15, 16, 17, 100, 768] {
            let values = draw(1, count);
            assert_eq!(values.len(), count);
            assert!(values.iter().all(|v| v.is_finite()));
        }
        // Whole blocks don't depend on what follows, the last sixteen do.
        assert_eq!(draw(1, 32)[..16], draw(1, 100)[..16]);
        assert_ne!(draw(1, 17)[1..17], draw(1, 32)[1..17]);
        assert_ne!(draw(1, 16), draw(2, 16));
    }
}
