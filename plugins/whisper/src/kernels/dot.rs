//! Inner products of a weight row with a few activation rows: what a decode step consists of. Such a step is bound by reading the
//! weights, so each is read once for all rows, in the half precision it is stored in.

use half::f16;

/// Activation rows that [`dots`] takes at once.
pub(crate) const MAX_ROWS: usize = 6;

/// A form in which weights are stored.
pub(crate) trait Element: Copy + Sync {
    /// The value.
    fn value(self) -> f32;

    /// Eight values from memory.
    ///
    /// # Safety
    /// Eight elements can be read from `from`; the processor has AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load8(from: *const Self) -> std::arch::x86_64::__m256;
}

impl Element for f32 {
    #[inline(always)]
    fn value(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load8(from: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }
}

impl Element for f16 {
    #[inline(always)]
    fn value(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    unsafe fn load8(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: the caller's promise; f16 is two bytes.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
}

/// `a · b`
pub(crate) fn dot<E: Element>(a: &[E], b: &[f32]) -> f32 {
    let mut sums = [0.0];
    dots(a, b, &mut sums);
    sums[0]
}

/// `sums[r] = w · x[r]` for the rows of `x` (`[sums.len(), w.len()]`), at most [`MAX_ROWS`].
pub(crate) fn dots<E: Element>(w: &[E], x: &[f32], sums: &mut [f32]) {
    assert_eq!(x.len(), w.len() * sums.len(), "rows as long as the weights");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there, lengths were checked.
        unsafe {
            match sums.len() {
                1 => dots_avx2::<E, 1, 4>(w, x, sums),
                2 => dots_avx2::<E, 2, 4>(w, x, sums),
                3 => dots_avx2::<E, 3, 2>(w, x, sums),
                4 => dots_avx2::<E, 4, 2>(w, x, sums),
                5 => dots_avx2::<E, 5, 2>(w, x, sums),
                6 => dots_avx2::<E, 6, 2>(w, x, sums),
                _ => dots_portable(w, x, sums),
            }
        }
        return;
    }
    dots_portable(w, x, sums);
}

fn dots_portable<E: Element>(w: &[E], x: &[f32], sums: &mut [f32]) {
    for (sum, x) in sums.iter_mut().zip(x.chunks_exact(w.len().max(1))) {
        *sum = w.iter().zip(x).map(|(w, x)| w.value() * x).sum();
    }
}

/// `R` rows; `U` independent sums per row hide the latency of the multiply-add.
///
/// # Safety
/// The processor has the features; `x` is `[R, w.len()]`, `sums` `[R]`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn dots_avx2<E: Element, const R: usize, const U: usize>(w: &[E], x: &[f32], sums: &mut [f32]) {
    use std::arch::x86_64::*;
    const LANES: usize = 8;
    let n = w.len();
    let mut partial = [[_mm256_setzero_ps(); U]; R];
    let mut k = 0;
    // SAFETY: all reads are below k + U * LANES ≤ n of the weights and of each row.
    unsafe {
        while k + U * LANES <= n {
            for u in 0..U {
                let weights = E::load8(w.as_ptr().add(k + u * LANES));
                for (r, partial) in partial.iter_mut().enumerate() {
                    let row = _mm256_loadu_ps(x.as_ptr().add(r * n + k + u * LANES));
                    partial[u] = _mm256_fmadd_ps(weights, row, partial[u]);
                }
            }
            k += U * LANES;
        }
        while k + LANES <= n {
            let weights = E::load8(w.as_ptr().add(k));
            for (r, partial) in partial.iter_mut().enumerate() {
                partial[0] = _mm256_fmadd_ps(weights, _mm256_loadu_ps(x.as_ptr().add(r * n + k)), partial[0]);
            }
            k += LANES;
        }
    }
    for (r, partial) in partial.iter().enumerate() {
        let mut sum = partial[0];
        for more in &partial[1..] {
            sum = _mm256_add_ps(sum, *more);
        }
        let tail: f32 = (k..n).map(|k| w[k].value() * x[r * n + k]).sum();
        sums[r] = sum_avx2(sum) + tail;
    }
}

/// Sum of eight lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn sum_avx2(lanes: std::arch::x86_64::__m256) -> f32 {
    use std::arch::x86_64::*;
    let four = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps::<1>(lanes));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_agree() {
        for n in [1, 8, 31, 64, 100, 384] {
            let w: Vec<f32> = (0..n).map(|i| ((i * 7 % 13) as f32 - 6.0) / 8.0).collect();
            let halves: Vec<f16> = w.iter().map(|&v| f16::from_f32(v)).collect();
            for rows in 1..=MAX_ROWS + 1 {
                let x: Vec<f32> = (0..n * rows).map(|i| ((i * 11 % 29) as f32 - 14.0) / 16.0).collect();
                let (mut plain, mut single, mut half) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; rows]);
                dots_portable(&w, &x, &mut plain);
                dots(&w, &x, &mut single);
                dots(&halves, &x, &mut half);
                for r in 0..rows {
                    assert!((plain[r] - single[r]).abs() < 1e-4 && (plain[r] - half[r]).abs() < 1e-4);
                }
            }
        }
    }
}
