//! Arrays and plain loops: they say what the instruction sets compute, and serve processors that have none of them.

use half::f16;

use super::lanes::{LANES, Lanes};

/// Needs no proof.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

macro_rules! lane_by_lane {
    ($i:ident: $value:expr) => {{
        let mut out = [Default::default(); LANES];
        for $i in 0..LANES {
            out[$i] = $value;
        }
        out
    }};
}

/// Of small integers; it can't overflow.
#[inline(always)]
fn inner_product<const N: usize>(w: [i16; N], x: [i16; N]) -> i32 {
    let mut sum = 0;
    for k in 0..N {
        sum += i32::from(w[k]) * i32::from(x[k]);
    }
    sum
}

impl Lanes for Portable {
    type F = [f32; LANES];
    type D = [f64; LANES];
    type I = [i32; LANES];
    // Widened when they are loaded, not each time that they are multiplied.
    type Pairs = [[i16; 2]; LANES];
    type Pair = [i16; 2];
    type Quads = [[i16; 4]; LANES];
    type Quad = [i16; 4];
    const PANELS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
    }

    #[inline(always)]
    fn load_half(self, from: &[f16; LANES]) -> Self::F {
        lane_by_lane!(i: from[i].to_f32())
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: a[i] / b[i])
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        lane_by_lane!(i: if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lane_by_lane!(i: a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        lane_by_lane!(i: c[i] - a[i] * b[i])
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        lane_by_lane!(i: a[i].abs())
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F {
        lane_by_lane!(i: magnitude[i].copysign(sign[i]))
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        // Adding and taking away 1.5 · 2²³ leaves no room for a fraction; numbers without one in any case stay.
        const SHIFT: f32 = 12_582_912.0;
        lane_by_lane!(i: if a[i].abs() < 4_194_304.0 { (a[i] + SHIFT) - SHIFT } else { a[i] })
    }

    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        lane_by_lane!(i: f32::from_bits(((a[i] as i32 + 127) << 23) as u32))
    }

    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        a.iter().sum()
    }

    #[inline(always)]
    fn peak(self, a: Self::F) -> f32 {
        let mut peak = a[0];
        for value in a {
            peak = peak.max(value);
        }
        peak
    }

    #[inline(always)]
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]) {
        let a = self.round(a);
        *to = lane_by_lane!(i: a[i] as i16);
    }

    #[inline(always)]
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]) {
        let a = self.round(a);
        *to = lane_by_lane!(i: a[i] as i8);
    }

    #[inline(always)]
    fn zero_wide(self) -> Self::D {
        [0.0; LANES]
    }

    #[inline(always)]
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D {
        lane_by_lane!(i: sums[i] + f64::from(a[i]))
    }

    #[inline(always)]
    fn sum_wide(self, sums: Self::D) -> f64 {
        sums.iter().sum()
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        [value; LANES]
    }

    #[inline(always)]
    fn load_int(self, from: &[i32; LANES]) -> Self::I {
        *from
    }

    #[inline(always)]
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]) {
        *to = value;
    }

    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        lane_by_lane!(i: a[i].wrapping_add(b[i]))
    }

    #[inline(always)]
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
        lane_by_lane!(i: a[i].wrapping_sub(b[i]))
    }

    #[inline(always)]
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
        lane_by_lane!(i: a[i].wrapping_mul(b[i]))
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        lane_by_lane!(i: a[i] as f32)
    }

    #[inline(always)]
    fn load_pairs(self, from: &[[i8; 2]; LANES]) -> Self::Pairs {
        lane_by_lane!(i: from[i].map(i16::from))
    }

    #[inline(always)]
    fn splat_pair(self, value: [i16; 2]) -> Self::Pair {
        value
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I {
        lane_by_lane!(i: sums[i].wrapping_add(inner_product(w[i], x)))
    }

    #[inline(always)]
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::Quads {
        lane_by_lane!(i: from[i].map(i16::from))
    }

    #[inline(always)]
    fn splat_quad(self, value: [i8; 4]) -> Self::Quad {
        value.map(i16::from)
    }

    #[inline(always)]
    fn add_quads(self, sums: Self::I, w: Self::Quads, x: Self::Quad) -> Self::I {
        lane_by_lane!(i: sums[i].wrapping_add(inner_product(w[i], x)))
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}

    #[inline(always)]
    fn prefetch_second_level<T>(self, _: *const T) {}
}
