//! Inner products with int8 weights. Activations are quantised to 12 bits per row, not to 8: sixteen-bit multiply-adds are as fast as
//! eight-bit ones where the processor has no VNNI, can't saturate, and leave next to no error of their own.

/// Largest magnitude of a quantised activation: sums of up to [`MAX_COLS`] products with int8 weights stay within 32 bits.
const LARGEST: f32 = 2047.0;
/// Longest rows: 8192 · 127 · 2047 < 2³¹.
pub(crate) const MAX_COLS: usize = 8192;
/// Activation rows that [`int_dots`] takes at once.
pub(crate) const MAX_INT_ROWS: usize = 6;
/// Values of a 256-bit register.
#[cfg(target_arch = "x86_64")]
const LANES: usize = 16;

/// Quantised rows: `x ≈ values · step`.
#[derive(Debug, Default)]
pub(crate) struct QuantizedRows {
    pub(crate) values: Vec<i16>,
    /// One per row.
    pub(crate) steps: Vec<f32>,
}

impl QuantizedRows {
    /// Replaces the content by the rows of `x`, `cols` values each.
    pub(crate) fn quantize(&mut self, x: &[f32], cols: usize) {
        self.values.resize(x.len(), 0);
        self.steps.resize(x.len() / cols, 0.0);
        for ((x, values), step) in x.chunks_exact(cols).zip(self.values.chunks_exact_mut(cols)).zip(&mut self.steps) {
            *step = quantize_row(x, values);
        }
    }
}

/// Quantises one row; returns its step.
pub(crate) fn quantize_row(x: &[f32], values: &mut [i16]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { quantize_row_avx2(x, values) };
    }
    quantize_row_portable(x, values)
}

fn steps_of(peak: f32) -> (f32, f32) {
    if peak > 0.0 && peak.is_finite() { (LARGEST / peak, peak / LARGEST) } else { (0.0, 0.0) }
}

fn quantize_row_portable(x: &[f32], values: &mut [i16]) -> f32 {
    let peak = x.iter().fold(0.0_f32, |peak, v| peak.max(v.abs()));
    let (scale, step) = steps_of(peak);
    values.iter_mut().zip(x).for_each(|(value, x)| *value = (x * scale).round_ties_even() as i16);
    step
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn quantize_row_avx2(x: &[f32], values: &mut [i16]) -> f32 {
    use std::arch::x86_64::*;
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (out, out_rest) = values.as_chunks_mut::<LANES>();
    let peak = peak_avx2(blocks, rest);
    let (scale, step) = steps_of(peak);
    let scales = _mm256_set1_ps(scale);
    for (block, out) in blocks.iter().zip(out) {
        // SAFETY: a block is sixteen floats long, its output sixteen 16-bit integers.
        unsafe {
            let low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(block.as_ptr()), scales));
            let high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(block.as_ptr().add(8)), scales));
            // Packing works within halves; the permutation puts the quarters in order.
            let packed = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), packed);
        }
    }
    out_rest.iter_mut().zip(rest).for_each(|(value, x)| *value = (x * scale).round_ties_even() as i16);
    step
}

/// `sums[r] = w · x[r]` for the rows of `x` (`[sums.len(), w.len()]`), at most [`MAX_INT_ROWS`].
pub(crate) fn int_dots(w: &[i8], x: &[i16], sums: &mut [i32]) {
    assert_eq!(x.len(), w.len() * sums.len(), "rows as long as the weights");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there, lengths were checked.
        unsafe {
            match sums.len() {
                1 => int_dots_avx2::<1, 4>(w, x, sums),
                2 => int_dots_avx2::<2, 2>(w, x, sums),
                3 => int_dots_avx2::<3, 2>(w, x, sums),
                4 => int_dots_avx2::<4, 2>(w, x, sums),
                5 => int_dots_avx2::<5, 2>(w, x, sums),
                6 => int_dots_avx2::<6, 2>(w, x, sums),
                _ => int_dots_portable(w, x, sums),
            }
        }
        return;
    }
    int_dots_portable(w, x, sums);
}

fn int_dots_portable(w: &[i8], x: &[i16], sums: &mut [i32]) {
    for (sum, x) in sums.iter_mut().zip(x.chunks_exact(w.len().max(1))) {
        *sum = w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
    }
}

/// # Safety
/// The processor has the features; `x` is `[R, w.len()]`, `sums` `[R]`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn int_dots_avx2<const R: usize, const U: usize>(w: &[i8], x: &[i16], sums: &mut [i32]) {
    use std::arch::x86_64::*;
    let n = w.len();
    let mut partial = [[_mm256_setzero_si256(); U]; R];
    let mut k = 0;
    // SAFETY: all reads are below k + U * LANES ≤ n of the weights and of each row.
    unsafe {
        while k + U * LANES <= n {
            for u in 0..U {
                let at = k + u * LANES;
                let weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.as_ptr().add(at).cast()));
                for (r, partial) in partial.iter_mut().enumerate() {
                    let row = _mm256_loadu_si256(x.as_ptr().add(r * n + at).cast());
                    partial[u] = _mm256_add_epi32(partial[u], _mm256_madd_epi16(weights, row));
                }
            }
            k += U * LANES;
        }
        while k + LANES <= n {
            let weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(w.as_ptr().add(k).cast()));
            for (r, partial) in partial.iter_mut().enumerate() {
                let row = _mm256_loadu_si256(x.as_ptr().add(r * n + k).cast());
                partial[0] = _mm256_add_epi32(partial[0], _mm256_madd_epi16(weights, row));
            }
            k += LANES;
        }
    }
    for (r, partial) in partial.iter().enumerate() {
        let mut sum = partial[0];
        for more in &partial[1..] {
            sum = _mm256_add_epi32(sum, *more);
        }
        let tail: i32 = (k..n).map(|k| i32::from(w[k]) * i32::from(x[r * n + k])).sum();
        sums[r] = sum_lanes(sum) + tail;
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_lanes(lanes: std::arch::x86_64::__m256i) -> i32 {
    use std::arch::x86_64::*;
    let four = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256::<1>(lanes));
    let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b01>(two)))
}

/// Weight rows of a panel of [`int_panel`].
pub(crate) const PANEL: usize = 4;

/// Widens [`PANEL`] rows of weights (fewer are followed by rows of zeros) for [`int_panel`].
pub(crate) fn widen_panel(w: &[i8], panel: &mut [i16]) {
    panel[w.len()..].fill(0);
    panel.iter_mut().zip(w).for_each(|(wide, &w)| *wide = i16::from(w));
}

/// `sums[r][p] = panel[p] · x[r]` for every row of `x`; `panel` is `[PANEL, cols]`, `x` `[rows, cols]`.
pub(crate) fn int_panel(panel: &[i16], x: &[i16], sums: &mut [[i32; PANEL]]) {
    let cols = panel.len() / PANEL;
    assert!(panel.len() == cols * PANEL && x.len() == cols * sums.len(), "rows as long as the panel");
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there, lengths were checked.
        unsafe {
            let mut row = 0;
            while row + 2 <= sums.len() {
                int_tile_avx2::<2>(panel, &x[row * cols..(row + 2) * cols], &mut sums[row..row + 2]);
                row += 2;
            }
            if row < sums.len() {
                int_tile_avx2::<1>(panel, &x[row * cols..], &mut sums[row..]);
            }
        }
        return;
    }
    for (sums, x) in sums.iter_mut().zip(x.chunks_exact(cols)) {
        for (sum, w) in sums.iter_mut().zip(panel.chunks_exact(cols)) {
            *sum = w.iter().zip(x).map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
        }
    }
}

/// # Safety
/// The processor has the features; `panel` is `[PANEL, cols]`, `x` `[R, cols]`, `sums` `[R]`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn int_tile_avx2<const R: usize>(panel: &[i16], x: &[i16], sums: &mut [[i32; PANEL]]) {
    use std::arch::x86_64::*;
    let n = panel.len() / PANEL;
    let mut partial = [[_mm256_setzero_si256(); PANEL]; R];
    let mut k = 0;
    // SAFETY: all reads are below k + LANES ≤ n of each row.
    unsafe {
        while k + LANES <= n {
            let mut weights = [_mm256_setzero_si256(); PANEL];
            for (p, weights) in weights.iter_mut().enumerate() {
                *weights = _mm256_loadu_si256(panel.as_ptr().add(p * n + k).cast());
            }
            for (r, partial) in partial.iter_mut().enumerate() {
                let row = _mm256_loadu_si256(x.as_ptr().add(r * n + k).cast());
                for (partial, weights) in partial.iter_mut().zip(weights) {
                    *partial = _mm256_add_epi32(*partial, _mm256_madd_epi16(weights, row));
                }
            }
            k += LANES;
        }
    }
    for (r, (partial, sums)) in partial.iter().zip(sums).enumerate() {
        // Sums across lanes, of all four weight rows at once.
        let pairs = (_mm256_hadd_epi32(partial[0], partial[1]), _mm256_hadd_epi32(partial[2], partial[3]));
        let halves = _mm256_hadd_epi32(pairs.0, pairs.1);
        let whole = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
        // SAFETY: four 32-bit integers.
        unsafe { _mm_storeu_si128(sums.as_mut_ptr().cast(), whole) };
        if k < n {
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum += (k..n).map(|k| i32::from(panel[p * n + k]) * i32::from(x[r * n + k])).sum::<i32>();
            }
        }
    }
}

/// Quantises a row of weights to int8: `scale = 127 / max|row|` (1 for a row of zeros), `q = round(row · scale)`; returns the scale.
///
/// The rule of [`ctranslate2::quantize_int8`](syrinx_plugin_common::checkpoint::ctranslate2::quantize_int8), fast enough to be applied
/// while loading.
pub(crate) fn quantize_weights(row: &[f32], q: &mut [i8]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the features are there.
        return unsafe { quantize_weights_avx2(row, q) };
    }
    let (values, scales) = syrinx_plugin_common::checkpoint::ctranslate2::quantize_int8(row, row.len());
    q.copy_from_slice(&values);
    scales.first().copied().unwrap_or(1.0)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn quantize_weights_avx2(row: &[f32], q: &mut [i8]) -> f32 {
    use std::arch::x86_64::*;
    let (blocks, rest) = row.as_chunks::<LANES>();
    let (out, out_rest) = q.as_chunks_mut::<LANES>();
    let peak = peak_avx2(blocks, rest);
    let scale = if peak == 0.0 { 1.0 } else { 127.0 / peak };
    let scales = _mm256_set1_ps(scale);
    for (block, out) in blocks.iter().zip(out) {
        // SAFETY: a block is sixteen floats long, its output sixteen bytes.
        unsafe {
            let low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(block.as_ptr()), scales));
            let high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(block.as_ptr().add(8)), scales));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(low, high));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        }
    }
    out_rest.iter_mut().zip(rest).for_each(|(q, w)| *q = (w * scale).round_ties_even() as i8);
    scale
}

/// Largest magnitude.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
fn peak_avx2(blocks: &[[f32; LANES]], rest: &[f32]) -> f32 {
    use std::arch::x86_64::*;
    let sign = _mm256_set1_ps(-0.0);
    let mut peaks = _mm256_setzero_ps();
    for block in blocks {
        // SAFETY: a block is sixteen floats long.
        let (low, high) = unsafe { (_mm256_loadu_ps(block.as_ptr()), _mm256_loadu_ps(block.as_ptr().add(8))) };
        peaks = _mm256_max_ps(peaks, _mm256_max_ps(_mm256_andnot_ps(sign, low), _mm256_andnot_ps(sign, high)));
    }
    let mut lanes = [0.0_f32; 8];
    // SAFETY: eight floats.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), peaks) };
    lanes.into_iter().chain(rest.iter().map(|v| v.abs())).fold(0.0_f32, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_agree() {
        for n in [1, 16, 33, 64, 100, 384] {
            let w: Vec<i8> = (0..n * PANEL).map(|i| ((i * 37 % 255) as i32 - 127) as i8).collect();
            for rows in 1..=MAX_INT_ROWS + 1 {
                let x: Vec<i16> = (0..n * rows).map(|i| ((i * 613 % 4095) as i32 - 2047) as i16).collect();
                let mut panel = vec![0; n * PANEL];
                widen_panel(&w, &mut panel);
                let mut tiles = vec![[0; PANEL]; rows];
                int_panel(&panel, &x, &mut tiles);
                for p in 0..PANEL {
                    let (mut plain, mut fast) = (vec![0; rows], vec![0; rows]);
                    int_dots_portable(&w[p * n..(p + 1) * n], &x, &mut plain);
                    int_dots(&w[p * n..(p + 1) * n], &x, &mut fast);
                    assert_eq!(plain, fast);
                    assert_eq!(plain, tiles.iter().map(|t| t[p]).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn the_longest_rows_do_not_overflow() {
        let mut sums = [0];
        int_dots(&vec![127; MAX_COLS], &vec![2047; MAX_COLS], &mut sums);
        assert_eq!(i64::from(sums[0]), 127 * 2047 * MAX_COLS as i64);
    }

    #[test]
    fn weights_are_quantised_by_the_rule() {
        let w: Vec<f32> = (0..83).map(|i| ((i * 29 % 61) as f32 - 30.0) * 0.013).collect();
        let mut q = vec![0; 83];
        let scale = quantize_weights(&w, &mut q);
        assert_eq!(syrinx_plugin_common::checkpoint::ctranslate2::quantize_int8(&w, 83), (q.clone(), vec![scale]));
        assert_eq!(quantize_weights(&[0.0; 83], &mut q), 1.0);
    }

    #[test]
    fn rows_are_quantised_to_twelve_bits() {
        let x: Vec<f32> = (0..70).map(|i| (i as f32 - 30.5) * 0.37).collect();
        let (mut fast, mut plain) = (vec![0; 70], vec![0; 70]);
        assert_eq!(quantize_row(&x, &mut fast), quantize_row_portable(&x, &mut plain));
        assert_eq!(fast, plain);
        assert_eq!(fast.iter().map(|v| v.abs()).max(), Some(2047));
        assert_eq!(quantize_row(&[0.0; 20], &mut fast[..20]), 0.0);
    }
}
