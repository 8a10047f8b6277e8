//! eˣ for eight values at a time.
//!
//! Range reduction by powers of two and a polynomial of degree 6 on ±ln 2 / 2; relative error below 2e-7.
//! Source of the coefficients: the Taylor series, whose remainder there is smaller than single precision.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Below this eˣ is too small for a normal number; it becomes about 1e-38.
#[cfg(target_arch = "x86_64")]
const LOWEST: f32 = -87.0;
/// Above this eˣ is infinite.
#[cfg(target_arch = "x86_64")]
const HIGHEST: f32 = 88.0;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn exp_avx2(x: __m256) -> __m256 {
    // ln 2 in two parts, so that subtracting multiples of it stays exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(LOWEST)), _mm256_set1_ps(HIGHEST));
    let power = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm256_mul_ps(
        x,
        _mm256_set1_ps(std::f32::consts::LOG2_E),
    ));
    let r = _mm256_fnmadd_ps(power, _mm256_set1_ps(LN2_HIGH), x);
    let r = _mm256_fnmadd_ps(power, _mm256_set1_ps(LN2_LOW), r);
    let mut sum = _mm256_set1_ps(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(coefficient));
    }
    // 2^power, put together from its exponent bits.
    let exponent = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127)));
    _mm256_mul_ps(sum, _mm256_castsi256_ps(exponent))
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        if !super::super::has_avx2() {
            return;
        }
        for i in -860..=870 {
            let x = i as f32 * 0.1;
            // SAFETY: the features are there; a vector and eight floats have the same size.
            let got: [f32; 8] = unsafe { std::mem::transmute(exp_avx2(_mm256_set1_ps(x))) };
            let want = f64::from(x).exp();
            assert!((f64::from(got[0]) / want - 1.0).abs() < 4e-7, "e^{x} is {}, not {want}", got[0]);
        }
    }
}
