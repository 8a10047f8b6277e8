//! eˣ for a vector: range reduction by powers of two and a polynomial of degree 6 on ±ln 2 / 2; relative error below 4e-7.
//! Source of the coefficients: the Taylor series.

use super::lanes::Lanes;

/// Below this eˣ is too small for a normal number; it becomes about 1e-38.
const LOWEST: f32 = -87.0;
/// ln 2 in two parts, so that subtracting multiples of it stays exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Of numbers that are not positive.
#[inline(always)]
pub(super) fn exp<L: Lanes>(l: L, x: L::F) -> L::F {
    let x = l.max(x, l.splat(LOWEST));
    let power = l.round(l.mul(x, l.splat(std::f32::consts::LOG2_E)));
    let r = l.mul_add(power, l.splat(-LN2_HIGH), x);
    let r = l.mul_add(power, l.splat(-LN2_LOW), r);
    let mut sum = l.splat(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = l.mul_add(sum, r, l.splat(coefficient));
    }
    l.mul(sum, l.power_of_two(power))
}
