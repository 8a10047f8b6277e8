//! Kaldi's log mel filter bank features.
//!
//! Source: kaldi `feat/feature-fbank.cc`, `feat/feature-window.cc`, `feat/mel-computations.cc`; torchaudio `compliance/kaldi.py: fbank`.

use super::{MelFilters, PowerStft};

/// Pre-emphasis coefficient. Source: `FrameExtractionOptions::preemph_coeff`.
const PREEMPHASIS: f32 = 0.97;
/// Lowest frequency of the filters, Hz. Source: `MelBanksOptions::low_freq`.
const LOW_FREQUENCY: f64 = 20.0;
/// Energies below are raised to this before the logarithm: the smallest step of float32 at 1.
const ENERGY_FLOOR: f32 = f32::EPSILON;

/// Shape of the analysis window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KaldiWindow {
    /// `0.54 − 0.46 cos`.
    Hamming,
    /// Hann's to the power of 0.85.
    Povey,
}

/// What to compute.
#[derive(Clone, Debug, PartialEq)]
pub struct FbankOptions {
    /// Samples per second.
    pub sample_rate: u32,
    /// Window.
    pub window: KaldiWindow,
    /// Number of filters.
    pub n_mels: usize,
    /// Length of a frame, ms.
    pub frame_length_ms: f64,
    /// Distance of frames, ms.
    pub frame_shift_ms: f64,
    /// Factor on samples before anything else; 32768 for models that were trained on 16-bit numbers.
    pub scale: f32,
}

impl Default for FbankOptions {
    fn default() -> Self {
        Self {
            sample_rate: 16_000,
            window: KaldiWindow::Povey,
            n_mels: 80,
            frame_length_ms: 25.0,
            frame_shift_ms: 10.0,
            scale: 1.0,
        }
    }
}

/// Log mel energies of a signal, without dither; frames that don't fit completely are left out (`snip_edges`).
#[derive(Clone, Debug)]
pub struct Fbank {
    frame_length: usize,
    frame_shift: usize,
    scale: f32,
    stft: PowerStft,
    filters: MelFilters,
}

impl Fbank {
    /// Makes window, transform and filters.
    pub fn new(options: &FbankOptions) -> Self {
        let samples = |ms: f64| (f64::from(options.sample_rate) * ms / 1000.0) as usize;
        let (frame_length, frame_shift) = (samples(options.frame_length_ms).max(2), samples(options.frame_shift_ms));
        let n_fft = frame_length.next_power_of_two();
        let mut window: Vec<f32> = (0..frame_length).map(|i| window(options.window, i, frame_length)).collect();
        window.resize(n_fft, 0.0);
        let filters = mel_filters(options.sample_rate, n_fft, options.n_mels);
        Self {
            frame_length,
            frame_shift: frame_shift.max(1),
            scale: options.scale,
            stft: PowerStft::new(window),
            filters: MelFilters::new(&filters, n_fft / 2 + 1),
        }
    }

    /// Values of a frame.
    pub fn n_mels(&self) -> usize {
        self.filters.n_mels()
    }

    /// Samples of a frame.
    pub fn frame_length(&self) -> usize {
        self.frame_length
    }

    /// Samples from one frame to the next.
    pub fn frame_shift(&self) -> usize {
        self.frame_shift
    }

    /// Number of frames that `samples` samples give.
    pub fn frames(&self, samples: usize) -> usize {
        if samples < self.frame_length { 0 } else { 1 + (samples - self.frame_length) / self.frame_shift }
    }

    /// Features of `samples`: `[frames, n_mels]`.
    pub fn compute(&self, samples: &[f32]) -> Vec<f32> {
        let frames = self.frames(samples.len());
        let mut features = vec![0.0; frames * self.n_mels()];
        let mut stft = self.stft.clone();
        let mut frame = vec![0.0_f32; stft.n_fft()];
        let mut power = vec![0.0_f32; stft.bins()];
        for (t, out) in features.chunks_exact_mut(self.n_mels()).enumerate() {
            let start = t * self.frame_shift;
            self.condition(&samples[start..start + self.frame_length], &mut frame[..self.frame_length]);
            stft.power(&frame, &mut power);
            self.filters.apply(&power, out);
            for value in out {
                *value = value.max(ENERGY_FLOOR).ln();
            }
        }
        features
    }

    /// Scales, removes the mean and pre-emphasises; the first sample is its own predecessor.
    fn condition(&self, samples: &[f32], frame: &mut [f32]) {
        let sum: f64 = samples.iter().map(|sample| f64::from(sample * self.scale)).sum();
        let mean = (sum / samples.len() as f64) as f32;
        for (value, sample) in frame.iter_mut().zip(samples) {
            *value = sample * self.scale - mean;
        }
        for i in (1..frame.len()).rev() {
            frame[i] -= PREEMPHASIS * frame[i - 1];
        }
        frame[0] -= PREEMPHASIS * frame[0];
    }
}

/// Value `i` of a symmetric window.
fn window(kind: KaldiWindow, i: usize, length: usize) -> f32 {
    let cosine = (std::f64::consts::TAU * i as f64 / (length - 1) as f64).cos();
    (match kind {
        KaldiWindow::Hamming => 0.54 - 0.46 * cosine,
        KaldiWindow::Povey => (0.5 - 0.5 * cosine).max(0.0).powf(0.85),
    }) as f32
}

/// Kaldi's mel scale.
fn mel(hz: f64) -> f64 {
    1127.0 * (1.0 + hz / 700.0).ln()
}

/// Filters that are triangles in mel, from 20 Hz to half of the rate: `[n_mels, n_fft / 2 + 1]`. The last bin has no weight.
fn mel_filters(sample_rate: u32, n_fft: usize, n_mels: usize) -> Vec<f32> {
    let bins = n_fft / 2 + 1;
    let low = mel(LOW_FREQUENCY);
    let step = (mel(f64::from(sample_rate) / 2.0) - low) / (n_mels + 1) as f64;
    let mut filters = vec![0.0; n_mels * bins];
    for (band, row) in filters.chunks_exact_mut(bins).enumerate() {
        let left = low + band as f64 * step;
        for (bin, weight) in row.iter_mut().enumerate().take(bins - 1) {
            let position = (mel(bin as f64 * f64::from(sample_rate) / n_fft as f64) - left) / step;
            *weight = position.min(2.0 - position).max(0.0) as f32;
        }
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_as_kaldi_does() {
        let fbank = Fbank::new(&FbankOptions::default());
        assert_eq!([0, 399, 400, 559, 560].map(|n| fbank.frames(n)), [0, 0, 1, 1, 2]);
        assert!(fbank.compute(&[0.0; 399]).is_empty());
    }

    #[test]
    fn a_tone_is_loudest_in_its_filter_and_silence_is_the_floor() {
        let fbank = Fbank::new(&FbankOptions { window: KaldiWindow::Hamming, scale: 32768.0, ..Default::default() });
        let silence = fbank.compute(&[0.0; 400]);
        assert!(silence.iter().all(|value| (value - ENERGY_FLOOR.ln()).abs() < 1e-6));
        let tone: Vec<f32> = (0..400).map(|i| (std::f32::consts::TAU * 1000.0 * i as f32 / 16_000.0).sin()).collect();
        let tone = fbank.compute(&tone);
        let loudest = (0..80).max_by(|&a, &b| tone[a].total_cmp(&tone[b])).unwrap();
        let centre = mel(20.0) + (loudest + 1) as f64 * (mel(8000.0) - mel(20.0)) / 81.0;
        assert!((centre - mel(1000.0)).abs() < (mel(8000.0) - mel(20.0)) / 81.0);
    }
}
