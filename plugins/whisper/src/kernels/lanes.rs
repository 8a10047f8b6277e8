//! Vectors of sixteen values, whatever registers they take: one of 512 bits, two of 256, four of 128, or an array.

use half::f16;

/// Values of a vector.
pub(crate) const LANES: usize = 16;

/// The vectors of one instruction set. A value of the type is the proof that the processor has it, so that arithmetic is safe.
pub(crate) trait Lanes: Copy {
    /// Sixteen numbers in single precision.
    type F: Copy;
    /// Sixteen sums in double precision.
    type D: Copy;
    /// Sixteen 32-bit integers.
    type I: Copy;
    /// Sixteen pairs of 16-bit integers.
    type Pairs: Copy;
    /// The same pair of 16-bit integers sixteen times.
    type Pair: Copy;
    /// How many sums the registers hold: those of twelve rows by two panels, or of six rows by one.
    const TALLEST: usize;

    fn splat(self, value: f32) -> Self::F;
    fn load(self, from: &[f32; LANES]) -> Self::F;
    fn store(self, value: Self::F, to: &mut [f32; LANES]);
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b + c`
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c − a · b`
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    fn abs(self, a: Self::F) -> Self::F;
    /// `magnitude`, which is not negative, with the sign of `sign`.
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F;
    /// To the nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// 2ᵃ for whole numbers −126 … 127.
    fn power_of_two(self, a: Self::F) -> Self::F;
    fn sum(self, a: Self::F) -> f32;
    /// The largest.
    fn peak(self, a: Self::F) -> f32;

    fn zero_wide(self) -> Self::D;
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D;
    fn sum_wide(self, sums: Self::D) -> f64;

    /// Rounded to the nearest, ties to even; all within the range of the type.
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]);
    /// Rounded to the nearest, ties to even; all within the range of the type.
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]);

    fn zero_int(self) -> Self::I;
    /// Adds to each lane the inner product of its pair with `x`.
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I;
    fn int_to_float(self, a: Self::I) -> Self::F;

    /// # Safety
    /// Sixteen numbers can be read.
    unsafe fn load_from(self, from: *const f32) -> Self::F;
    /// # Safety
    /// Sixteen numbers can be read.
    unsafe fn load_half(self, from: *const f16) -> Self::F;
    /// # Safety
    /// Sixteen numbers can be written.
    unsafe fn store_to(self, value: Self::F, to: *mut f32);
    /// Widens sixteen pairs of bytes.
    ///
    /// # Safety
    /// Thirty-two bytes can be read.
    unsafe fn load_pairs(self, from: *const i8) -> Self::Pairs;
    /// # Safety
    /// Two integers can be read.
    unsafe fn load_pair(self, from: *const i16) -> Self::Pair;

    /// Asks for the cache line at `place`, which need not exist.
    fn prefetch<T>(self, place: *const T);
}

/// Arrays; says what the instruction sets compute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

macro_rules! lane_by_lane {
    ($($i:ident: $value:expr),*) => {{
        let mut out = [Default::default(); LANES];
        $(for $i in 0..LANES { out[$i] = $value; })*
        out
    }};
}

impl Lanes for Portable {
    type F = [f32; LANES];
    type D = [f64; LANES];
    type I = [i32; LANES];
    type Pairs = [[i16; 2]; LANES];
    type Pair = [i16; 2];
    const TALLEST: usize = 6;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        *from
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
    fn zero_int(self) -> Self::I {
        [0; LANES]
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I {
        lane_by_lane!(i: sums[i] + i32::from(w[i][0]) * i32::from(x[0]) + i32::from(w[i][1]) * i32::from(x[1]))
    }

    #[inline(always)]
    fn int_to_float(self, a: Self::I) -> Self::F {
        lane_by_lane!(i: a[i] as f32)
    }

    #[inline(always)]
    unsafe fn load_from(self, from: *const f32) -> Self::F {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[f32; LANES]>().read() }
    }

    #[inline(always)]
    unsafe fn load_half(self, from: *const f16) -> Self::F {
        // SAFETY: the caller's promise.
        let half = unsafe { from.cast::<[f16; LANES]>().read() };
        lane_by_lane!(i: half[i].to_f32())
    }

    #[inline(always)]
    unsafe fn store_to(self, value: Self::F, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; LANES]>().write(value) };
    }

    #[inline(always)]
    unsafe fn load_pairs(self, from: *const i8) -> Self::Pairs {
        // SAFETY: the caller's promise.
        let bytes = unsafe { from.cast::<[[i8; 2]; LANES]>().read() };
        lane_by_lane!(i: [i16::from(bytes[i][0]), i16::from(bytes[i][1])])
    }

    #[inline(always)]
    unsafe fn load_pair(self, from: *const i16) -> Self::Pair {
        // SAFETY: the caller's promise.
        unsafe { from.cast::<[i16; 2]>().read_unaligned() }
    }

    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
}
