//! Mel filter banks.

/// Slope of the linear part of Slaney's scale, Hz per mel. Source: Slaney's Auditory Toolbox, `librosa.hz_to_mel`.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Where the scale becomes logarithmic, Hz.
const LOG_FROM_HZ: f64 = 1000.0;
/// The same point in mel.
const LOG_FROM_MEL: f64 = LOG_FROM_HZ / HZ_PER_MEL;

/// Step of the logarithmic part: 27 mel per factor 6.4.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < LOG_FROM_HZ { hz / HZ_PER_MEL } else { LOG_FROM_MEL + (hz / LOG_FROM_HZ).ln() / log_step() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < LOG_FROM_MEL { mel * HZ_PER_MEL } else { LOG_FROM_HZ * ((mel - LOG_FROM_MEL) * log_step()).exp() }
}

/// Triangular filters on Slaney's mel scale, normalised to equal area, from 0 Hz to half of `sample_rate`: `[n_mels, n_fft / 2 + 1]`.
///
/// Source: `librosa.filters.mel` with its defaults, which OpenAI Whisper stores as `mel_filters.npz`.
pub fn slaney_filters(sample_rate: u32, n_fft: usize, n_mels: usize) -> Vec<f32> {
    let nyquist = f64::from(sample_rate) / 2.0;
    let bins = n_fft / 2 + 1;
    let top = hz_to_mel(nyquist);
    let edges: Vec<f64> = (0..n_mels + 2).map(|i| mel_to_hz(top * i as f64 / (n_mels + 1) as f64)).collect();
    let mut filters = Vec::with_capacity(n_mels * bins);
    for band in edges.windows(3) {
        let (low, centre, high) = (band[0], band[1], band[2]);
        let area = 2.0 / (high - low);
        filters.extend((0..bins).map(|bin| {
            let hz = bin as f64 * f64::from(sample_rate) / n_fft as f64;
            let rising = (hz - low) / (centre - low);
            let falling = (high - hz) / (high - centre);
            (rising.min(falling).max(0.0) * area) as f32
        }));
    }
    filters
}

/// A filter bank that skips the zeros: each filter covers a few neighbouring bins only.
#[derive(Clone, Debug)]
pub struct MelFilters {
    bins: usize,
    /// Per filter: first bin, and where its weights lie in `weights`.
    bands: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<f32>,
}

impl MelFilters {
    /// Takes a dense bank `[n_mels, bins]`. Values behind the last full row are ignored.
    pub fn new(dense: &[f32], bins: usize) -> Self {
        let mut filters = Self { bins, bands: Vec::new(), weights: Vec::new() };
        for row in dense.chunks_exact(bins.max(1)) {
            let first = row.iter().position(|&w| w != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|&w| w != 0.0).map_or(first, |last| last + 1);
            let start = filters.weights.len();
            filters.weights.extend_from_slice(&row[first..end]);
            filters.bands.push((first, start..filters.weights.len()));
        }
        filters
    }

    /// Number of filters.
    pub fn n_mels(&self) -> usize {
        self.bands.len()
    }

    /// Applies all filters to one spectrum of `bins` values; `out` gets one value per filter.
    ///
    /// # Panics
    /// `spectrum` or `out` are of another length.
    pub fn apply(&self, spectrum: &[f32], out: &mut [f32]) {
        assert_eq!(spectrum.len(), self.bins, "bins of the spectrum");
        assert_eq!(out.len(), self.bands.len(), "one value per filter");
        for (out, (first, range)) in out.iter_mut().zip(&self.bands) {
            let weights = &self.weights[range.clone()];
            *out = weights.iter().zip(&spectrum[*first..]).map(|(w, s)| w * s).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_its_own_inverse() {
        for hz in [0.0, 440.0, 999.0, 1000.0, 4321.0, 8000.0] {
            assert!((mel_to_hz(hz_to_mel(hz)) - hz).abs() < 1e-9);
        }
        assert!((hz_to_mel(1000.0) - 15.0).abs() < 1e-12);
    }

    #[test]
    fn sparse_filters_do_what_dense_ones_do() {
        let dense = slaney_filters(16_000, 400, 80);
        let spectrum: Vec<f32> = (0..201).map(|i| ((i * 37) % 101) as f32).collect();
        let mut sparse = vec![0.0; 80];
        MelFilters::new(&dense, 201).apply(&spectrum, &mut sparse);
        for (row, got) in dense.chunks_exact(201).zip(sparse) {
            let want: f32 = row.iter().zip(&spectrum).map(|(w, s)| w * s).sum();
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0));
        }
    }
}
