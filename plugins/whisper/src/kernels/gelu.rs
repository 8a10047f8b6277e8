//! The activation of the perceptrons.

/// Coefficients of erf's approximation 7.1.26 in Abramowitz & Stegun, absolute error below 1.5e-7.
const P: f32 = 0.327_591_1;
const A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_8, -1.453_152_1, 1.061_405_4];

/// `x ← x · Φ(x)` with the normal distribution's Φ: the exact ("erf") form, not the one with tanh.
pub(crate) fn gelu(values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { gelu_avx2(values) };
    }
    values.iter_mut().for_each(|x| *x = gelu_portable(*x));
}

fn gelu_portable(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + P * z);
    let polynomial = A.iter().rev().fold(0.0, |sum, a| sum * t + a) * t;
    let erf = 1.0 - polynomial * (-z * z).exp();
    0.5 * x * (1.0 + erf.copysign(x))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn gelu_avx2(values: &mut [f32]) {
    use std::arch::x86_64::*;

    use super::exp::exp_avx2;

    let sign_bit = _mm256_set1_ps(-0.0);
    let one = _mm256_set1_ps(1.0);
    let (blocks, rest) = values.as_chunks_mut::<8>();
    for block in blocks {
        // SAFETY: a block is eight floats long.
        let x = unsafe { _mm256_loadu_ps(block.as_ptr()) };
        let z = _mm256_mul_ps(_mm256_andnot_ps(sign_bit, x), _mm256_set1_ps(std::f32::consts::FRAC_1_SQRT_2));
        let t = _mm256_div_ps(one, _mm256_fmadd_ps(_mm256_set1_ps(P), z, one));
        let mut polynomial = _mm256_set1_ps(A[4]);
        for a in [A[3], A[2], A[1], A[0]] {
            polynomial = _mm256_fmadd_ps(polynomial, t, _mm256_set1_ps(a));
        }
        let tail = exp_avx2(_mm256_fnmadd_ps(z, z, _mm256_setzero_ps()));
        let erf = _mm256_fnmadd_ps(_mm256_mul_ps(polynomial, t), tail, one);
        let erf = _mm256_or_ps(erf, _mm256_and_ps(sign_bit, x));
        let half_x = _mm256_mul_ps(_mm256_set1_ps(0.5), x);
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(block.as_mut_ptr(), _mm256_fmadd_ps(half_x, erf, half_x)) };
    }
    rest.iter_mut().for_each(|x| *x = gelu_portable(*x));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // torch.nn.functional.gelu(x) in double precision.
        let known = [
            (-6.0, -5.919_53e-9),
            (-3.0, -0.004_049_694),
            (-1.0, -0.158_655_25),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_7),
            (3.0, 2.995_950_3),
            (6.0, 6.0),
        ];
        for (x, want) in known {
            let mut values = [x; 9];
            gelu(&mut values);
            for got in values {
                assert!((got - want).abs() < 1e-6, "gelu({x}) is {got}, not {want}");
            }
        }
    }
}
