//! AVX2 with FMA and F16C: a vector is two registers of 256 bits.

use std::arch::x86_64::*;
use std::mem::transmute;

use half::f16;

use super::lanes::{LANES, Lanes};

/// Proof that the processor has AVX2, FMA and F16C, and AVX-VNNI where `VNNI` says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx<const VNNI: bool>(());

impl<const VNNI: bool> Avx<VNNI> {
    /// # Safety
    /// The processor has these.
    pub(super) unsafe fn new() -> Self {
        Self(())
    }
}

/// Applies an instruction to both registers. It needs the instructions that the `self` around it proves.
macro_rules! both {
    ($f:path, $($a:expr),+) => {
        // SAFETY: `self` proves the instructions.
        unsafe { [$f($($a[0]),+), $f($($a[1]),+)] }
    };
}

impl<const VNNI: bool> Avx<VNNI> {
    /// Rounds to 32-bit integers and packs them to 16 bits.
    #[inline(always)]
    fn to_words(self, a: [__m256; 2]) -> __m256i {
        let [low, high] = both!(_mm256_cvtps_epi32, a);
        // SAFETY: `self` proves the instructions. Packing works within halves; the permutation puts the quarters in order.
        unsafe { _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high)) }
    }
}

impl<const VNNI: bool> Lanes for Avx<VNNI> {
    type F = [__m256; 2];
    type D = [__m256d; 2];
    type I = [__m256i; 2];
    type Pairs = [__m256i; 2];
    type Pair = __m256i;
    /// As they are where `VNNI`, which takes the first only; else widened to 16 bits, the even bytes apart from the odd, so that sums of
    /// two products can't saturate.
    type Quads = [[__m256i; 2]; 2];
    type Quad = [__m256i; 2];
    const PANELS: usize = 1;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; LANES]) -> Self::F {
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(LANES / 2))] }
    }

    #[inline(always)]
    fn load_half(self, from: &[f16; LANES]) -> Self::F {
        let from: *const __m128i = from.as_ptr().cast();
        // SAFETY: `self` proves the instructions; the array, of two bytes a number, is two registers of 128 bits long.
        unsafe { [_mm256_cvtph_ps(_mm_loadu_si128(from)), _mm256_cvtph_ps(_mm_loadu_si128(from.add(1)))] }
    }

    #[inline(always)]
    fn store(self, value: Self::F, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(LANES / 2), value[1]);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_add_ps, a, b)
    }

    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_sub_ps, a, b)
    }

    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_mul_ps, a, b)
    }

    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_div_ps, a, b)
    }

    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_max_ps, a, b)
    }

    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        both!(_mm256_min_ps, a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fmadd_ps, a, b, c)
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        both!(_mm256_fnmadd_ps, a, b, c)
    }

    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        let sign = self.splat(-0.0);
        both!(_mm256_andnot_ps, sign, a)
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Self::F, sign: Self::F) -> Self::F {
        let bit = self.splat(-0.0);
        let sign = both!(_mm256_and_ps, sign, bit);
        both!(_mm256_or_ps, magnitude, sign)
    }

    #[inline(always)]
    fn round(self, a: Self::F) -> Self::F {
        both!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>, a)
    }

    #[inline(always)]
    fn power_of_two(self, a: Self::F) -> Self::F {
        let whole = both!(_mm256_cvtps_epi32, a);
        // SAFETY: `self` proves the instructions.
        let bias = unsafe { [_mm256_set1_epi32(127); 2] };
        let exponent = both!(_mm256_add_epi32, whole, bias);
        let bits = both!(_mm256_slli_epi32::<23>, exponent);
        both!(_mm256_castsi256_ps, bits)
    }

    #[inline(always)]
    fn sum(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let eight = _mm256_add_ps(a[0], a[1]);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn peak(self, a: Self::F) -> f32 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let eight = _mm256_max_ps(a[0], a[1]);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn store_i16(self, a: Self::F, to: &mut [i16; LANES]) {
        // SAFETY: `self` proves the instructions; the array is 256 bits long.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), self.to_words(a)) };
    }

    #[inline(always)]
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]) {
        let words = self.to_words(a);
        // SAFETY: `self` proves the instructions; the array is 128 bits long.
        unsafe {
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }

    #[inline(always)]
    fn zero_wide(self) -> Self::D {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm256_setzero_pd(); 2] }
    }

    #[inline(always)]
    fn add_wide(self, sums: Self::D, a: Self::F) -> Self::D {
        let low = both!(_mm256_castps256_ps128, a);
        let high = both!(_mm256_extractf128_ps::<1>, a);
        let (low, high) = (both!(_mm256_cvtps_pd, low), both!(_mm256_cvtps_pd, high));
        let pairs = both!(_mm256_add_pd, low, high);
        both!(_mm256_add_pd, sums, pairs)
    }

    #[inline(always)]
    fn sum_wide(self, sums: Self::D) -> f64 {
        // SAFETY: `self` proves the instructions.
        unsafe {
            let four = _mm256_add_pd(sums[0], sums[1]);
            let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
            _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
        }
    }

    #[inline(always)]
    fn splat_int(self, value: i32) -> Self::I {
        // SAFETY: `self` proves the instructions.
        unsafe { [_mm256_set1_epi32(value); 2] }
    }

    #[inline(always)]
    fn load_int(self, from: &[i32; LANES]) -> Self::I {
        let from: *const __m256i = from.as_ptr().cast();
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }

    #[inline(always)]
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]) {
        let to: *mut __m256i = to.as_mut_ptr().cast();
        // SAFETY: `self` proves the instructions; the array is two registers long.
        unsafe {
            _mm256_storeu_si256(to, value[0]);
            _mm256_storeu_si256(to.add(1), value[1]);
        }
    }

    #[inline(always)]
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
        both!(_mm256_add_epi32, a, b)
    }

    #[inline(always)]
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
        both!(_mm256_sub_epi32, a, b)
    }

    #[inline(always)]
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
        both!(_mm256_mullo_epi32, a, b)
    }

    #[inline(always)]
    fn to_float(self, a: Self::I) -> Self::F {
        both!(_mm256_cvtepi32_ps, a)
    }

    #[inline(always)]
    fn load_pairs(self, from: &[[i8; 2]; LANES]) -> Self::Pairs {
        let from: *const __m128i = from.as_ptr().cast();
        // SAFETY: `self` proves the instructions; the array is two registers of 128 bits long.
        unsafe { [_mm256_cvtepi8_epi16(_mm_loadu_si128(from)), _mm256_cvtepi8_epi16(_mm_loadu_si128(from.add(1)))] }
    }

    #[inline(always)]
    fn splat_pair(self, value: [i16; 2]) -> Self::Pair {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe { _mm256_set1_epi32(transmute::<[i16; 2], i32>(value)) }
    }

    #[inline(always)]
    fn add_pairs(self, sums: Self::I, w: Self::Pairs, x: Self::Pair) -> Self::I {
        if VNNI {
            both!(_mm256_dpwssd_avx_epi32, sums, w, [x; 2])
        } else {
            let products = both!(_mm256_madd_epi16, w, [x; 2]);
            both!(_mm256_add_epi32, sums, products)
        }
    }

    #[inline(always)]
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::Quads {
        let from: *const __m256i = from.as_ptr().cast();
        // SAFETY: `self` proves the instructions; the array is two registers long.
        let w = unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] };
        if VNNI {
            return [w; 2];
        }
        // SAFETY: `self` proves the instructions.
        let even = unsafe { [_mm256_set1_epi16(0xff); 2] };
        [both!(_mm256_and_si256, w, even), both!(_mm256_srli_epi16::<8>, w)]
    }

    #[inline(always)]
    fn splat_quad(self, value: [i8; 4]) -> Self::Quad {
        // SAFETY: `self` proves the instructions; both are four bytes.
        unsafe {
            let x = _mm256_set1_epi32(transmute::<[i8; 4], i32>(value));
            if VNNI {
                return [x; 2];
            }
            [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x)]
        }
    }

    #[inline(always)]
    fn add_quads(self, sums: Self::I, w: Self::Quads, x: Self::Quad) -> Self::I {
        if VNNI {
            both!(_mm256_dpbusd_avx_epi32, sums, w[0], [x[0]; 2])
        } else {
            let of_even = both!(_mm256_madd_epi16, w[0], [x[0]; 2]);
            let of_odd = both!(_mm256_madd_epi16, w[1], [x[1]; 2]);
            let products = both!(_mm256_add_epi32, of_even, of_odd);
            both!(_mm256_add_epi32, sums, products)
        }
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
