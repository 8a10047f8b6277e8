//! eˣ for a vector.
//!
//! Range reduction by powers of two and a polynomial of degree 6 on ±ln 2 / 2; relative error below 2e-7.
//! Source of the coefficients: the Taylor series, whose remainder there is smaller than single precision.

use super::lanes::Lanes;

/// Below this eˣ is too small for a normal number; it becomes about 1e-38.
const LOWEST: f32 = -87.0;
/// ln 2 in two parts, so that subtracting multiples of it stays exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Of numbers up to 88, above which eˣ is infinite: softmax and the like have none above 0.
#[inline(always)]
pub fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.max(x, l.splat(LOWEST));
    let power = l.round(l.mul(x, l.splat(std::f32::consts::LOG2_E)));
    let r = l.neg_mul_add(power, l.splat(LN2_HIGH), x);
    let r = l.neg_mul_add(power, l.splat(LN2_LOW), r);
    let mut sum = l.splat(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = l.mul_add(sum, r, l.splat(coefficient));
    }
    l.mul(sum, l.power_of_two(power))
}

#[cfg(test)]
mod tests {
    use super::super::{Isa, Kernel, LANES};
    use super::*;

    struct Exp(f32);

    impl Kernel for Exp {
        type Output = [f32; LANES];

        #[inline(always)]
        fn run<L: Lanes>(self, l: L) -> Self::Output {
            let mut out = [0.0; LANES];
            l.store(exp(l, l.splat(self.0)), &mut out);
            out
        }
    }

    #[test]
    fn it_is_the_exponential() {
        for isa in Isa::available() {
            for i in -870..=870 {
                let x = i as f32 * 0.1;
                let want = f64::from(x).exp();
                for got in isa.run(Exp(x)) {
                    assert!((f64::from(got) / want - 1.0).abs() < 4e-7, "{isa:?}: e^{x} is {got}, not {want}");
                }
            }
            for x in [-88.0, -1e4, f32::NEG_INFINITY] {
                assert!(isa.run(Exp(x)).iter().all(|got| (0.0..2e-38).contains(got)), "{isa:?}: {x}");
            }
        }
    }
}
