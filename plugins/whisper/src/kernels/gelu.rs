//! The activation of the perceptrons.

use syrinx_plugin_common::kernels::{Isa, Kernel, LANES, Lanes, exp};

/// Coefficients of erf's approximation 7.1.26 in Abramowitz & Stegun, absolute error below 1.5e-7.
const P: f32 = 0.327_591_1;
const A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_8, -1.453_152_1, 1.061_405_4];

/// `x ← x · Φ(x)` with the normal distribution's Φ: the exact ("erf") form, not the one with tanh.
pub(crate) fn gelu(values: &mut [f32]) {
    Isa::best().run(Gelu(values));
}

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (blocks, rest) = self.0.as_chunks_mut::<LANES>();
        for block in blocks {
            l.store(activation(l, l.load(block)), block);
        }
        if !rest.is_empty() {
            let mut block = [0.0; LANES];
            block[..rest.len()].copy_from_slice(rest);
            l.store(activation(l, l.load(&block)), &mut block);
            rest.copy_from_slice(&block[..rest.len()]);
        }
    }
}

#[inline(always)]
fn activation<L: Lanes>(l: L, x: L::F) -> L::F {
    let one = l.splat(1.0);
    let z = l.mul(l.abs(x), l.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = l.div(one, l.mul_add(l.splat(P), z, one));
    let mut polynomial = l.splat(A[4]);
    for a in [A[3], A[2], A[1], A[0]] {
        polynomial = l.mul_add(polynomial, t, l.splat(a));
    }
    let tail = exp(l, l.neg_mul_add(z, z, l.splat(0.0)));
    let erf = l.with_sign(l.max(l.neg_mul_add(l.mul(polynomial, t), tail, one), l.splat(0.0)), x);
    let half_x = l.mul(l.splat(0.5), x);
    l.mul_add(half_x, erf, half_x)
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
        for isa in Isa::available() {
            for (x, want) in known {
                let mut values = [x; LANES + 1];
                isa.run(Gelu(&mut values));
                for got in values {
                    assert!((got - want).abs() < 1e-6, "{isa:?}: gelu({x}) is {got}, not {want}");
                }
            }
        }
    }
}
