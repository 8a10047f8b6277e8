//! Vectors of sixteen values, whatever registers they take: one of 512 bits, or two of 256.

use std::ops::{Deref, DerefMut};

use syrinx_plugin_common::kernels::Isa;

/// Values of a vector.
pub const LANES: usize = 16;

/// Sixteen values in a place that vectors are read from fastest.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line<T>(pub(super) [T; LANES]);

/// The same of numbers, for what is laid out anew with each request. Memory is taken as it comes and the first place of a cache line is
/// looked up in it: glibc can't use again all of what it has aligned itself (its bug 14581, up to 2.37), and a server would grow with every
/// request.
#[derive(Debug)]
pub(super) struct FloatLines {
    values: Vec<f32>,
    start: usize,
}

impl FloatLines {
    pub(super) fn zeros(count: usize) -> Self {
        let values = vec![0.0; (count + 1) * LANES];
        let start = values.as_ptr().align_offset(align_of::<Line<f32>>()).min(LANES);
        Self { values, start }
    }
}

impl Deref for FloatLines {
    type Target = [[f32; LANES]];

    fn deref(&self) -> &Self::Target {
        self.values[self.start..self.values.len() - LANES + self.start].as_chunks().0
    }
}

impl DerefMut for FloatLines {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let end = self.values.len() - LANES + self.start;
        self.values[self.start..end].as_chunks_mut().0
    }
}

/// The vectors of one instruction set. A value of the type is the proof that the processor has it, so that arithmetic is safe.
pub(super) trait Lanes: Copy {
    /// Sixteen numbers in single precision.
    type F: Copy;
    /// Sixteen 32-bit integers.
    type I: Copy;
    /// Sixteen times four bytes without sign.
    type W: Copy;
    /// Four signed bytes, for each of sixteen.
    type X: Copy;
    /// Panels of a tile whose sums fit into registers: of twelve rows where there are two, else of six.
    const PANELS: usize;

    /// Has the second-level cache fetch what is at an address; any address will do.
    fn fetch(self, at: *const u8);

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
    /// To the nearest whole number, ties to even.
    fn round(self, a: Self::F) -> Self::F;
    /// 2ᵃ for whole numbers −126 … 127.
    fn power_of_two(self, a: Self::F) -> Self::F;
    /// Whole numbers −128 … 127 as bytes.
    fn store_i8(self, a: Self::F, to: &mut [i8; LANES]);

    fn splat_int(self, value: i32) -> Self::I;
    fn load_int(self, from: &[i32; LANES]) -> Self::I;
    fn store_int(self, value: Self::I, to: &mut [i32; LANES]);
    fn sub_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn add_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn mul_int(self, a: Self::I, b: Self::I) -> Self::I;
    fn to_float(self, a: Self::I) -> Self::F;
    fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::W;
    fn splat_quad(self, value: [i8; 4]) -> Self::X;
    /// Adds to each lane the inner product of its four bytes with the four signed bytes `x`.
    fn add_quads(self, sums: Self::I, w: Self::W, x: Self::X) -> Self::I;
}

/// Something to compute on some instruction set.
pub(super) trait Kernel {
    /// Computes it. To be `#[inline(always)]` and free of closures, or it isn't compiled for the instructions.
    fn run<L: Lanes>(self, lanes: L);
}

/// Computes `kernel` with the instructions of `isa`, which the processor has.
#[inline]
pub(super) fn run(isa: Isa, kernel: impl Kernel) {
    match isa {
        // SAFETY: an `Isa` comes from `Isa::detect` or `Isa::available`, which have asked the processor.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => unsafe { x86::on_avx512(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { x86::on_avx2(kernel) },
        // Processors without either have no `Isa`.
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx512Vnni | Isa::Avx2 => drop(kernel),
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, LANES, Lanes};

    /// # Safety
    /// The processor has the features.
    #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn on_avx512<K: Kernel>(kernel: K) {
        kernel.run(Avx512(()));
    }

    /// # Safety
    /// The processor has the features.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn on_avx2<K: Kernel>(kernel: K) {
        kernel.run(Avx2(()));
    }

    /// Proof that the processor has AVX-512 with VNNI.
    #[derive(Clone, Copy)]
    struct Avx512(());

    // SAFETY of all intrinsics: `self` proves the instructions, and arrays are as long as what is read or written.
    impl Lanes for Avx512 {
        type F = __m512;
        type I = __m512i;
        type W = __m512i;
        type X = __m512i;
        const PANELS: usize = 2;

        #[inline(always)]
        fn fetch(self, at: *const u8) {
            // SAFETY: fetching ahead reads nothing that a program could notice, and never fails.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }

        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_set1_ps(value) }
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn store(self, value: __m512, to: &mut [f32; LANES]) {
            // SAFETY: see the impl.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_mul_ps(a, b) }
        }

        #[inline(always)]
        fn div(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_div_ps(a, b) }
        }

        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_max_ps(a, b) }
        }

        #[inline(always)]
        fn min(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_min_ps(a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }

        #[inline(always)]
        fn round(self, a: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
        }

        #[inline(always)]
        fn power_of_two(self, a: __m512) -> __m512 {
            // SAFETY: see the impl.
            unsafe {
                let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127));
                _mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent))
            }
        }

        #[inline(always)]
        fn store_i8(self, a: __m512, to: &mut [i8; LANES]) {
            // SAFETY: see the impl.
            unsafe { _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a))) }
        }

        #[inline(always)]
        fn splat_int(self, value: i32) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_set1_epi32(value) }
        }

        #[inline(always)]
        fn load_int(self, from: &[i32; LANES]) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
        }

        #[inline(always)]
        fn store_int(self, value: __m512i, to: &mut [i32; LANES]) {
            // SAFETY: see the impl.
            unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), value) }
        }

        #[inline(always)]
        fn sub_int(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_sub_epi32(a, b) }
        }

        #[inline(always)]
        fn add_int(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_add_epi32(a, b) }
        }

        #[inline(always)]
        fn mul_int(self, a: __m512i, b: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_mullo_epi32(a, b) }
        }

        #[inline(always)]
        fn to_float(self, a: __m512i) -> __m512 {
            // SAFETY: see the impl.
            unsafe { _mm512_cvtepi32_ps(a) }
        }

        #[inline(always)]
        fn load_quads(self, from: &[[u8; 4]; LANES]) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
        }

        #[inline(always)]
        fn splat_quad(self, value: [i8; 4]) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_set1_epi32(i32::from_le_bytes(value.map(|byte| byte as u8))) }
        }

        #[inline(always)]
        fn add_quads(self, sums: __m512i, w: __m512i, x: __m512i) -> __m512i {
            // SAFETY: see the impl.
            unsafe { _mm512_dpbusd_epi32(sums, w, x) }
        }
    }

    /// Proof that the processor has AVX2 with FMA.
    #[derive(Clone, Copy)]
    struct Avx2(());

    /// Does the same to both halves.
    macro_rules! halves {
        ($operation:ident, $a:expr) => {
            [$operation($a[0]), $operation($a[1])]
        };
        ($operation:ident, $a:expr, $b:expr) => {
            [$operation($a[0], $b[0]), $operation($a[1], $b[1])]
        };
    }

    // SAFETY of all intrinsics: as for `Avx512`.
    impl Lanes for Avx2 {
        type F = [__m256; 2];
        type I = [__m256i; 2];
        /// Widened to 16 bits, the even bytes apart from the odd: products of pairs can't saturate then.
        type W = [[__m256i; 2]; 2];
        type X = [__m256i; 2];
        const PANELS: usize = 1;

        #[inline(always)]
        fn fetch(self, at: *const u8) {
            // SAFETY: as for `Avx512`.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
        }

        #[inline(always)]
        fn splat(self, value: f32) -> Self::F {
            // SAFETY: see the impl.
            unsafe { [_mm256_set1_ps(value); 2] }
        }

        #[inline(always)]
        fn load(self, from: &[f32; LANES]) -> Self::F {
            // SAFETY: see the impl.
            unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
        }

        #[inline(always)]
        fn store(self, value: Self::F, to: &mut [f32; LANES]) {
            // SAFETY: see the impl.
            unsafe {
                _mm256_storeu_ps(to.as_mut_ptr(), value[0]);
                _mm256_storeu_ps(to.as_mut_ptr().add(8), value[1]);
            }
        }

        #[inline(always)]
        fn add(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_add_ps, a, b) }
        }

        #[inline(always)]
        fn sub(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_sub_ps, a, b) }
        }

        #[inline(always)]
        fn mul(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_mul_ps, a, b) }
        }

        #[inline(always)]
        fn div(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_div_ps, a, b) }
        }

        #[inline(always)]
        fn max(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_max_ps, a, b) }
        }

        #[inline(always)]
        fn min(self, a: Self::F, b: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_min_ps, a, b) }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
        }

        #[inline(always)]
        fn round(self, a: Self::F) -> Self::F {
            const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
            // SAFETY: see the impl.
            unsafe { [_mm256_round_ps::<NEAREST>(a[0]), _mm256_round_ps::<NEAREST>(a[1])] }
        }

        #[inline(always)]
        fn power_of_two(self, a: Self::F) -> Self::F {
            // SAFETY: see the impl.
            unsafe {
                let exponents = halves!(_mm256_cvtps_epi32, a);
                let biased = halves!(_mm256_add_epi32, exponents, [_mm256_set1_epi32(127); 2]);
                [
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased[0])),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased[1])),
                ]
            }
        }

        #[inline(always)]
        fn store_i8(self, a: Self::F, to: &mut [i8; LANES]) {
            // SAFETY: see the impl.
            unsafe {
                let [low, high] = halves!(_mm256_cvtps_epi32, a);
                let low = _mm_packs_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256::<1>(low));
                let high = _mm_packs_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256::<1>(high));
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm_packs_epi16(low, high));
            }
        }

        #[inline(always)]
        fn splat_int(self, value: i32) -> Self::I {
            // SAFETY: see the impl.
            unsafe { [_mm256_set1_epi32(value); 2] }
        }

        #[inline(always)]
        fn load_int(self, from: &[i32; LANES]) -> Self::I {
            // SAFETY: see the impl.
            unsafe { [_mm256_loadu_si256(from.as_ptr().cast()), _mm256_loadu_si256(from.as_ptr().add(8).cast())] }
        }

        #[inline(always)]
        fn store_int(self, value: Self::I, to: &mut [i32; LANES]) {
            // SAFETY: see the impl.
            unsafe {
                _mm256_storeu_si256(to.as_mut_ptr().cast(), value[0]);
                _mm256_storeu_si256(to.as_mut_ptr().add(8).cast(), value[1]);
            }
        }

        #[inline(always)]
        fn sub_int(self, a: Self::I, b: Self::I) -> Self::I {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_sub_epi32, a, b) }
        }

        #[inline(always)]
        fn add_int(self, a: Self::I, b: Self::I) -> Self::I {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_add_epi32, a, b) }
        }

        #[inline(always)]
        fn mul_int(self, a: Self::I, b: Self::I) -> Self::I {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_mullo_epi32, a, b) }
        }

        #[inline(always)]
        fn to_float(self, a: Self::I) -> Self::F {
            // SAFETY: see the impl.
            unsafe { halves!(_mm256_cvtepi32_ps, a) }
        }

        #[inline(always)]
        fn load_quads(self, from: &[[u8; 4]; LANES]) -> Self::W {
            // SAFETY: see the impl.
            unsafe {
                let w = [from.as_ptr(), from.as_ptr().add(8)].map(|from| _mm256_loadu_si256(from.cast()));
                let low_bytes = _mm256_set1_epi16(0xff);
                let even = halves!(_mm256_and_si256, w, [low_bytes; 2]);
                [even, [_mm256_srli_epi16::<8>(w[0]), _mm256_srli_epi16::<8>(w[1])]]
            }
        }

        #[inline(always)]
        fn splat_quad(self, value: [i8; 4]) -> Self::X {
            // SAFETY: see the impl.
            unsafe {
                let x = _mm256_set1_epi32(i32::from_le_bytes(value.map(|byte| byte as u8)));
                [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x)]
            }
        }

        #[inline(always)]
        fn add_quads(self, sums: Self::I, w: Self::W, x: Self::X) -> Self::I {
            // SAFETY: see the impl.
            unsafe {
                let of_even = halves!(_mm256_madd_epi16, w[0], [x[0]; 2]);
                let of_odd = halves!(_mm256_madd_epi16, w[1], [x[1]; 2]);
                let products = halves!(_mm256_add_epi32, of_even, of_odd);
                halves!(_mm256_add_epi32, sums, products)
            }
        }
    }
}
