//! One query over the keys and values of the audio. Keys lie in blocks of 32 positions, dimension by dimension, so that a query's
//! scores come out in lanes without a sum across them; values lie position by position. Both are read front to back.

use super::dot::Element;

/// Positions of a block of keys.
pub(crate) const KEY_BLOCK: usize = 32;
/// Lanes of a vector; value rows are padded to a multiple of this.
const LANES: usize = 8;

/// Length of a value row for heads of `size` dimensions.
pub(crate) fn padded_head(size: usize) -> usize {
    size.next_multiple_of(LANES)
}

/// `scores[j] = scale · Σ_c query[c] · keys[c, j]` for one block: `keys` is `[query.len(), 32]`.
pub(crate) fn score_block<E: Element>(query: &[f32], keys: &[E], scale: f32, scores: &mut [f32; KEY_BLOCK]) {
    assert_eq!(keys.len(), query.len() * KEY_BLOCK, "a row of the block per dimension");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there, lengths were checked.
        return unsafe { score_block_avx2(query, keys, scale, scores) };
    }
    score_block_lanes(query, keys, scale, scores);
}

fn score_block_lanes<E: Element>(query: &[f32], keys: &[E], scale: f32, scores: &mut [f32; KEY_BLOCK]) {
    *scores = [0.0; KEY_BLOCK];
    for (&query, keys) in query.iter().zip(keys.as_chunks::<KEY_BLOCK>().0) {
        for (score, key) in scores.iter_mut().zip(keys) {
            *score += query * key.value();
        }
    }
    scores.iter_mut().for_each(|score| *score *= scale);
}

/// # Safety
/// The processor has the features; `keys` is `[query.len(), 32]`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn score_block_avx2<E: Element>(query: &[f32], keys: &[E], scale: f32, scores: &mut [f32; KEY_BLOCK]) {
    use std::arch::x86_64::*;
    let mut sums = [_mm256_setzero_ps(); KEY_BLOCK / LANES];
    for (c, &query) in query.iter().enumerate() {
        let query = _mm256_set1_ps(query);
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: within row c of the block.
            let keys = unsafe { E::load8(keys.as_ptr().add(c * KEY_BLOCK + lane * LANES)) };
            *sum = _mm256_fmadd_ps(query, keys, *sum);
        }
    }
    let scale = _mm256_set1_ps(scale);
    for (lane, &sum) in sums.iter().enumerate() {
        // SAFETY: `scores` is a whole block.
        unsafe { _mm256_storeu_ps(scores.as_mut_ptr().add(lane * LANES), _mm256_mul_ps(sum, scale)) };
    }
}

/// `out[c] += Σ_j weights[j] · values[j, c]`: `values` is `[weights.len(), out.len()]`, rows padded to eight.
pub(crate) fn mix<E: Element>(weights: &[f32], values: &[E], out: &mut [f32]) {
    assert_eq!(values.len(), weights.len() * out.len(), "a row per weight");
    assert_eq!(out.len() % LANES, 0, "padded rows");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there, lengths were checked.
        return unsafe {
            let mut from = 0;
            // Registers for 64 columns (Whisper's head size), else for eight.
            while from < out.len() {
                if out.len() - from >= 64 {
                    mix_avx2::<E, 8>(weights, values, out, from);
                    from += 64;
                } else {
                    mix_avx2::<E, 1>(weights, values, out, from);
                    from += LANES;
                }
            }
        };
    }
    mix_lanes(weights, values, out);
}

fn mix_lanes<E: Element>(weights: &[f32], values: &[E], out: &mut [f32]) {
    for (&weight, values) in weights.iter().zip(values.chunks_exact(out.len())) {
        for (out, value) in out.iter_mut().zip(values) {
            *out += weight * value.value();
        }
    }
}

/// Columns `from .. from + 8 V` of [`mix`].
///
/// # Safety
/// The processor has the features; the lengths are as in [`mix`]; the columns exist.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn mix_avx2<E: Element, const V: usize>(weights: &[f32], values: &[E], out: &mut [f32], from: usize) {
    use std::arch::x86_64::*;
    let width = out.len();
    let mut sums = [_mm256_setzero_ps(); V];
    // SAFETY: all within columns `from .. from + 8 V` of existing rows.
    unsafe {
        for (v, sum) in sums.iter_mut().enumerate() {
            *sum = _mm256_loadu_ps(out.as_ptr().add(from + v * LANES));
        }
        for (j, &weight) in weights.iter().enumerate() {
            let weight = _mm256_set1_ps(weight);
            let row = values.as_ptr().add(j * width + from);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_fmadd_ps(weight, E::load8(row.add(v * LANES)), *sum);
            }
        }
        for (v, &sum) in sums.iter().enumerate() {
            _mm256_storeu_ps(out.as_mut_ptr().add(from + v * LANES), sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, step: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * step % 37) as f32 - 18.0) / 16.0).collect()
    }

    #[test]
    fn scores_agree() {
        for size in [1, 4, 20, 64] {
            let (query, keys) = (numbers(size, 5), numbers(size * KEY_BLOCK, 11));
            let (mut fast, mut plain) = ([0.0; KEY_BLOCK], [0.0; KEY_BLOCK]);
            score_block(&query, &keys, 0.125, &mut fast);
            score_block_lanes(&query, &keys, 0.125, &mut plain);
            assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }

    #[test]
    fn mixtures_agree() {
        for width in [8, 24, 64, 80, 128] {
            let (weights, values) = (numbers(50, 3), numbers(50 * width, 7));
            let (mut fast, mut plain) = (numbers(width, 2), numbers(width, 2));
            mix(&weights, &values, &mut fast);
            mix_lanes(&weights, &values, &mut plain);
            assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }
}
