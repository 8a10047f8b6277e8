//! AVX-512 with VNNI: a vector is one register of 512 bits.

use std::arch::{asm, x86_64::*};
use std::mem::transmute;

use half::f16;

use super::lanes::{LANES, Lanes};

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has these.
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// VPDPWSSD. The compiler would take the intrinsic apart, into a product and a sum.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products(mut sums: __m512i, w: __m512i, x: __m512i) -> __m512i {
    // SAFETY: it changes nothing but its output.
    unsafe {
        asm!(
            "vpdpwssd {sums}, {w}, {x}",
            sums = inout(zmm_reg) sums, w = in(zmm_reg) w, x = in(zmm_reg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

impl Lanes for Avx512 {
    type F = __m512;
    type D = [__m512d; 2];
    type I = __m512i;
    type Pairs = __m512i;
    type Pair = __m512i;
    type Quads = __m512i;
    type Quad = __m512i;
    const PANELS: usize = 2;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        // SAFETY: `self` proves the instructions; the array is a register long.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_half(self, from: &[f16; LANES]) -> Self::F {
        // SAFETY: `self` proves the instructions; the array, of two bytes a number, is 256 bits long.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) };
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_or_ps(magnitude, _mm512_and_ps(sign, _mm512_set1_ps(-0.0))) }
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_reduce_add_ps(a) }
    }

    #[inline(always)]
    fn peak(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_reduce_max_ps(a) }
    }

    #[inline(always)]
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]) {
        // SAFETY: `self` proves the instructions; the array is 256 bits long.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(a))) };
    }

    #[inline(always)]
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]) {
        // SAFETY: `self` proves the instructions; the array is 128 bits long.
        unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a))) };
    }

    #[inline(always)]
    fn zero_wide(self) -> Self::D {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm512_setzero_pd(); 2] }
    }

    #[inline(always)]
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D {
        // SAFETY: `self` proves the instructions.
        unsafe {
            [
                _mm512_add_pd(sums[0], _mm512_cvtps_pd(_mm512_castps512_ps256(a))),
                _mm512_add_pd(sums[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(a))),
            ]
        }
    }

    #[inline(always)]
    fn sum_wide(self, sums: Self::D) -> f64 {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_reduce_add_pd(_mm512_add_pd(sums[0], sums[1])) }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load_int(self, from: &[i32; LANES]) -> Self::I {
        // SAFETY: `self` proves the instructions; the array is a register long.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]) {
        // SAFETY: as in `load_int`.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) };
    }

    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_sub_epi32(a, b) }
    }

    #[inline(always)]
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_mullo_epi32(a, b) }
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_cvtepi32_ps(a) }
    }

    #[inline(always)]
    fn load_pairs(self, from: &[[i8; 2]; LANES]) -> Self::Pairs {
        // SAFETY: `self` proves the instructions; the array is 256 bits long.
        unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn splat_pair(self, value: [i16; 2]) -> Self::Pair {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe { _mm512_set1_epi32(transmute::<[i16; 2], i32>(value)) }
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I {
        // SAFETY: `self` proves the instruction.
        unsafe { add_products(sums, w, x) }
    }

    #[inline(always)]
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::Quads {
        // SAFETY: `self` proves the instructions; the array is a register long.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn splat_quad(self, value: [i8; 4]) -> Self::Quad {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe { _mm512_set1_epi32(transmute::<[i8; 4], i32>(value)) }
    }

    #[inline(always)]
    fn add_quads(self, sums: Self::I, w: Self::Quads, x: Self::Quad) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { _mm512_dpbusd_epi32(sums, w, x) }
    }

    #[inline(always)]
    fn prefetch<T>(self, place: *const T) {
        // SAFETY: a hint; every processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }

    #[inline(always)]
    fn prefetch_second_level<T>(self, place: *const T) {
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(place.cast()) };
    }
}
