//! Softmax over one row, and its norm.

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

/// `Σ exp(value - peak)`, where `peak` is the largest value. Summed in double precision, or tens of thousands of small terms would vanish one
/// by one against the large ones.
pub(crate) fn sum_of_exp(values: &[f32], peak: f32) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { sum_of_exp_avx2(values, peak) };
    }
    sum_of_exp_portable(values, peak)
}

fn sum_of_exp_portable(values: &[f32], peak: f32) -> f64 {
    values.iter().map(|value| f64::from((value - peak).exp())).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_of_exp_avx2(values: &[f32], peak: f32) -> f64 {
    use std::arch::x86_64::*;

    use super::exp::exp_avx2;

    let (blocks, rest) = values.as_chunks::<8>();
    let shift = _mm256_set1_ps(peak);
    let (mut low, mut high) = (_mm256_setzero_pd(), _mm256_setzero_pd());
    for block in blocks {
        // SAFETY: a block is eight floats long.
        let value = exp_avx2(_mm256_sub_ps(unsafe { _mm256_loadu_ps(block.as_ptr()) }, shift));
        low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(value)));
        high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(value)));
    }
    let mut lanes = [0.0; 4];
    // SAFETY: four doubles.
    unsafe { _mm256_storeu_pd(lanes.as_mut_ptr(), _mm256_add_pd(low, high)) };
    lanes.iter().sum::<f64>() + sum_of_exp_portable(rest, peak)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree() {
        for length in [1, 8, 61, 51_865] {
            let mut row: Vec<f32> = (0..length).map(|i| ((i * 31 % 97) as f32 - 96.0) * 0.3).collect();
            row[0] = 0.0;
            if length > 8 {
                row[3] = f32::NEG_INFINITY;
            }
            let (fast, plain) = (sum_of_exp(&row, 0.0), sum_of_exp_portable(&row, 0.0));
            assert!((fast / plain - 1.0).abs() < 1e-6, "{fast} {plain}");
        }
    }

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
