//! NEON: a vector is four registers of 128 bits.

use std::arch::{aarch64::*, asm};
use std::mem::transmute;

use half::f16;

use super::lanes::{LANES, Lanes};

/// Proof that the processor has NEON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor has it.
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// One number of each lane's pair or quad, widened to 16 bits.
type Places = [int16x8_t; 2];

/// Applies an instruction to all four registers. It needs the instructions that the `self` around it proves.
macro_rules! all {
    ($f:path, $($a:expr),+) => {
        // SAFETY: `self` proves the instructions.
        unsafe { [$f($($a[0]),+), $f($($a[1]),+), $f($($a[2]),+), $f($($a[3]),+)] }
    };
}

/// Folds four registers into one.
macro_rules! fold {
    ($f:path, $a:expr) => {
        $f($f($a[0], $a[1]), $f($a[2], $a[3]))
    };
}

impl Neon {
    /// Rounds and narrows to 16 bits.
    #[inline(always)]
    fn to_words(self, a: [float32x4_t; 4]) -> [int16x8_t; 2] {
        let whole = all!(vcvtnq_s32_f32, a);
        // SAFETY: `self` proves the instructions.
        unsafe {
            [
                vcombine_s16(vqmovn_s32(whole[0]), vqmovn_s32(whole[1])),
                vcombine_s16(vqmovn_s32(whole[2]), vqmovn_s32(whole[3])),
            ]
        }
    }

    /// Bytes without sign.
    #[inline(always)]
    fn widen(self, bytes: uint8x16_t) -> Places {
        // SAFETY: `self` proves the instructions.
        unsafe { [vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes))), vreinterpretq_s16_u16(vmovl_high_u8(bytes))] }
    }

    /// Adds to each lane the product of its `w` and number `PLACE` of `x`.
    #[inline(always)]
    fn add_products<const PLACE: i32>(self, sums: [int32x4_t; 4], w: Places, x: int16x4_t) -> [int32x4_t; 4] {
        // SAFETY: `self` proves the instructions.
        unsafe {
            [
                vmlal_lane_s16::<PLACE>(sums[0], vget_low_s16(w[0]), x),
                vmlal_high_lane_s16::<PLACE>(sums[1], w[0], x),
                vmlal_lane_s16::<PLACE>(sums[2], vget_low_s16(w[1]), x),
                vmlal_high_lane_s16::<PLACE>(sums[3], w[1], x),
            ]
        }
    }
}

impl Lanes for Neon {
    type F = [float32x4_t; 4];
    type D = [float64x2_t; 4];
    type I = [int32x4_t; 4];
    /// Taken apart: the first numbers, then the second ones.
    type Pairs = [Places; 2];
    type Pair = int16x4_t;
    /// Likewise.
    type Quads = [Places; 4];
    type Quad = int16x4_t;
    const PANELS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        let from = from.as_ptr();
        // SAFETY: `self` proves the instructions; the array is four registers long.
        unsafe { [vld1q_f32(from), vld1q_f32(from.add(4)), vld1q_f32(from.add(8)), vld1q_f32(from.add(12))] }
    }

    #[inline(always)]
    fn load_half(self, from: &[f16; LANES]) -> Self::F {
        let (a, b, c, d): (float32x4_t, float32x4_t, float32x4_t, float32x4_t);
        // SAFETY: FCVTL is part of NEON; the array, of two bytes a number, is two registers long. The intrinsics for it aren't stable.
        unsafe {
            asm!(
                "ldp {c:q}, {d:q}, [{from}]",
                "fcvtl {a:v}.4s, {c:v}.4h",
                "fcvtl2 {b:v}.4s, {c:v}.8h",
                "fcvtl {c:v}.4s, {d:v}.4h",
                "fcvtl2 {d:v}.4s, {d:v}.8h",
                from = in(reg) from.as_ptr(),
                a = out(vreg) a, b = out(vreg) b, c = out(vreg) c, d = out(vreg) d,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        [a, b, c, d]
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves the instructions; the array is four registers long.
        unsafe {
            vst1q_f32(to, value[0]);
            vst1q_f32(to.add(4), value[1]);
            vst1q_f32(to.add(8), value[2]);
            vst1q_f32(to.add(12), value[3]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vaddq_f32, a, b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vsubq_f32, a, b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vmulq_f32, a, b)
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vdivq_f32, a, b)
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vmaxq_f32, a, b)
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        all!(vminq_f32, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        all!(vfmaq_f32, c, a, b)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        all!(vfmsq_f32, c, a, b)
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        all!(vabsq_f32, a)
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        let bit = unsafe { [vdupq_n_u32(1 << 31); 4] };
        all!(vbslq_f32, bit, sign, magnitude)
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        all!(vrndnq_f32, a)
    }

    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        let whole = all!(vcvtnq_s32_f32, a);
        // SAFETY: `self` proves the instructions.
        let bias = unsafe { [vdupq_n_s32(127); 4] };
        let exponent = all!(vaddq_s32, whole, bias);
        let bits = all!(vshlq_n_s32::<23>, exponent);
        all!(vreinterpretq_f32_s32, bits)
    }

    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe { vaddvq_f32(fold!(vaddq_f32, a)) }
    }

    #[inline(always)]
    fn peak(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe { vmaxvq_f32(fold!(vmaxq_f32, a)) }
    }

    #[inline(always)]
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]) {
        let words = self.to_words(a);
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe {
            vst1q_s16(to.as_mut_ptr(), words[0]);
            vst1q_s16(to.as_mut_ptr().add(LANES / 2), words[1]);
        }
    }

    #[inline(always)]
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]) {
        let words = self.to_words(a);
        // SAFETY: `self` proves the instructions; the array is a register long.
        unsafe { vst1q_s8(to.as_mut_ptr(), vcombine_s8(vqmovn_s16(words[0]), vqmovn_s16(words[1]))) };
    }

    #[inline(always)]
    fn zero_wide(self) -> Self::D {
        // SAFETY: `self` proves the instructions.
        unsafe { [vdupq_n_f64(0.0); 4] }
    }

    #[inline(always)]
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D {
        let low = all!(vget_low_f32, a);
        let (low, high) = (all!(vcvt_f64_f32, low), all!(vcvt_high_f64_f32, a));
        let pairs = all!(vaddq_f64, low, high);
        all!(vaddq_f64, sums, pairs)
    }

    #[inline(always)]
    fn sum_wide(self, sums: Self::D) -> f64 {
        // SAFETY: `self` proves the instructions.
        unsafe { vaddvq_f64(fold!(vaddq_f64, sums)) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { [vdupq_n_s32(value); 4] }
    }

    #[inline(always)]
    fn load_int(self, from: &[i32; LANES]) -> Self::I {
        let from = from.as_ptr();
        // SAFETY: `self` proves the instructions; the array is four registers long.
        unsafe { [vld1q_s32(from), vld1q_s32(from.add(4)), vld1q_s32(from.add(8)), vld1q_s32(from.add(12))] }
    }

    #[inline(always)]
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]) {
        let to = to.as_mut_ptr();
        // SAFETY: `self` proves the instructions; the array is four registers long.
        unsafe {
            vst1q_s32(to, value[0]);
            vst1q_s32(to.add(4), value[1]);
            vst1q_s32(to.add(8), value[2]);
            vst1q_s32(to.add(12), value[3]);
        }
    }

    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        all!(vaddq_s32, a, b)
    }

    #[inline(always)]
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
        all!(vsubq_s32, a, b)
    }

    #[inline(always)]
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
        all!(vmulq_s32, a, b)
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        all!(vcvtq_f32_s32, a)
    }

    #[inline(always)]
    fn load_pairs(self, from: &[[i8; 2]; LANES]) -> Self::Pairs {
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe {
            let bytes = vld2q_s8(from.as_ptr().cast());
            [
                [vmovl_s8(vget_low_s8(bytes.0)), vmovl_high_s8(bytes.0)],
                [vmovl_s8(vget_low_s8(bytes.1)), vmovl_high_s8(bytes.1)],
            ]
        }
    }

    #[inline(always)]
    fn splat_pair(self, value: [i16; 2]) -> Self::Pair {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe { vreinterpret_s16_s32(vdup_n_s32(transmute::<[i16; 2], i32>(value))) }
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I {
        let sums = self.add_products::<0>(sums, w[0], x);
        self.add_products::<1>(sums, w[1], x)
    }

    #[inline(always)]
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::Quads {
        // SAFETY: `self` proves the instructions; the array is four registers long.
        let bytes = unsafe { vld4q_u8(from.as_ptr().cast()) };
        [self.widen(bytes.0), self.widen(bytes.1), self.widen(bytes.2), self.widen(bytes.3)]
    }

    #[inline(always)]
    fn splat_quad(self, value: [i8; 4]) -> Self::Quad {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe { vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(transmute::<[i8; 4], i32>(value))))) }
    }

    #[inline(always)]
    fn add_quads(self, sums: Self::I, w: Self::Quads, x: Self::Quad) -> Self::I {
        let sums = self.add_products::<0>(sums, w[0], x);
        let sums = self.add_products::<1>(sums, w[1], x);
        let sums = self.add_products::<2>(sums, w[2], x);
        self.add_products::<3>(sums, w[3], x)
    }

    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        // SAFETY: a hint; every processor has it.
        unsafe {
            asm!("prfm pldl1keep, [{place}]", place = in(reg) place, options(readonly, nostack, preserves_flags))
        };
    }

    #[inline(always)]
    fn prefetch_second_level<T>(self, place: *const T) {
        // SAFETY: as above.
        unsafe {
            asm!("prfm pldl2keep, [{place}]", place = in(reg) place, options(readonly, nostack, preserves_flags))
        };
    }
}
