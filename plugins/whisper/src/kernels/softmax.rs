//! Softmax over one row.

/// Replaces `row` by its softmax.
pub(crate) fn softmax(row: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { softmax_avx2(row) };
    }
    softmax_portable(row);
}

fn softmax_portable(row: &mut [f32]) {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in row.iter_mut() {
        *value = (*value - peak).exp();
        sum += *value;
    }
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn softmax_avx2(row: &mut [f32]) {
    use std::arch::x86_64::*;

    use super::dot::sum_avx2;
    use super::exp::exp_avx2;

    let (blocks, rest) = row.as_chunks_mut::<8>();
    let mut peaks = _mm256_set1_ps(f32::NEG_INFINITY);
    for block in blocks.iter() {
        // SAFETY: a block is eight floats long.
        peaks = _mm256_max_ps(peaks, unsafe { _mm256_loadu_ps(block.as_ptr()) });
    }
    let mut lanes = [0.0; 8];
    // SAFETY: as above.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), peaks) };
    let peak = lanes.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
    let shift = _mm256_set1_ps(peak);
    let mut sums = _mm256_setzero_ps();
    for block in blocks.iter_mut() {
        // SAFETY: as above.
        let value = exp_avx2(_mm256_sub_ps(unsafe { _mm256_loadu_ps(block.as_ptr()) }, shift));
        sums = _mm256_add_ps(sums, value);
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(block.as_mut_ptr(), value) };
    }
    let mut sum = sum_avx2(sums);
    for value in rest.iter_mut() {
        *value = (*value - peak).exp();
        sum += *value;
    }
    let scale = 1.0 / sum;
    row.iter_mut().for_each(|value| *value *= scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_agree() {
        for length in [1, 7, 8, 61, 1500] {
            let row: Vec<f32> = (0..length).map(|i| ((i * 31 % 97) as f32 - 40.0) * 0.3).collect();
            let (mut fast, mut plain) = (row.clone(), row);
            softmax(&mut fast);
            softmax_portable(&mut plain);
            assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6));
            assert!((fast.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}
