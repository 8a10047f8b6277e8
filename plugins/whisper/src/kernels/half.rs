//! Half precision to single precision.

use half::f16;

/// `out = values`, widened.
pub(crate) fn widen(values: &[f16], out: &mut [f32]) {
    assert_eq!(values.len(), out.len(), "one output per value");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { widen_avx2(values, out) };
    }
    widen_rest(values, out);
}

fn widen_rest(values: &[f16], out: &mut [f32]) {
    out.iter_mut().zip(values).for_each(|(out, value)| *out = value.to_f32());
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn widen_avx2(values: &[f16], out: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (blocks, rest) = values.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    for (block, out) in blocks.iter().zip(out_blocks) {
        // SAFETY: both are eight elements long; f16 is two bytes.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_cvtph_ps(_mm_loadu_si128(block.as_ptr().cast()))) };
    }
    widen_rest(rest, out_rest);
}
