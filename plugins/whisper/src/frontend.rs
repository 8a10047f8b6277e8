//! Log-mel features, sample by sample as openai-whisper computes them.
//!
//! Source: `whisper/audio.py:log_mel_spectrogram`.

use syrinx_plugin_common::dsp::{MelFilters, PowerStft, periodic_hann, slaney_filters};
use thiserror::Error;

/// Hz; Whisper hears nothing else.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples of a frame of the Fourier transform.
pub const N_FFT: usize = 400;
/// Samples between frames: 10 ms.
pub const HOP_LENGTH: usize = 160;
/// Frames of a window: 30 s. The encoder sees nothing longer or shorter.
pub const WINDOW_FRAMES: usize = 3000;
/// Samples of a window.
pub const WINDOW_SAMPLES: usize = WINDOW_FRAMES * HOP_LENGTH;

/// Powers below this count as this, before the logarithm.
const POWER_FLOOR: f32 = 1e-10;
/// Orders of magnitude below the loudest value that are kept.
const DYNAMIC_RANGE: f32 = 8.0;

/// Why there are no features.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrontendError {
    /// The first and last frame mirror 200 samples, so there have to be more than that.
    #[error("{samples} samples are too few for a spectrum; at least {} are needed, zeros appended included", N_FFT / 2 + 1)]
    TooShort {
        /// Samples including the zeros appended.
        samples: usize,
    },
}

/// The features of a stretch of audio.
#[derive(Clone, Debug, PartialEq)]
pub struct LogMel {
    n_mels: usize,
    frames: usize,
    /// `[n_mels, frames]`
    values: Vec<f32>,
}

impl LogMel {
    /// Features of no audio at all.
    pub fn empty(n_mels: usize) -> Self {
        Self { n_mels, frames: 0, values: Vec::new() }
    }

    /// Mel bins.
    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    /// Frames of 10 ms.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// `[n_mels, frames]`
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// A window of 30 s for the encoder, `[n_mels, 3000]`: `frames` frames from `start`, then zeros. Frames that don't exist are zeros.
    ///
    /// (`pad_or_trim` of the reference; a padded waveform gives other values there, see [`MelExtractor::extract`].)
    pub fn window(&self, start: usize, frames: usize) -> Vec<f32> {
        let mut window = vec![0.0; self.n_mels * WINDOW_FRAMES];
        let start = start.min(self.frames);
        let count = frames.min(WINDOW_FRAMES).min(self.frames - start);
        for bin in 0..self.n_mels {
            let from = bin * self.frames + start;
            window[bin * WINDOW_FRAMES..][..count].copy_from_slice(&self.values[from..from + count]);
        }
        window
    }
}

/// Computes [`LogMel`] features; made once per model.
#[derive(Clone, Debug)]
pub struct MelExtractor {
    filters: MelFilters,
    stft: PowerStft,
}

impl MelExtractor {
    /// For models with so many mel bins (80, or 128 since large-v3).
    pub fn new(n_mels: usize) -> Self {
        let dense = slaney_filters(SAMPLE_RATE, N_FFT, n_mels);
        Self { filters: MelFilters::new(&dense, N_FFT / 2 + 1), stft: PowerStft::new(periodic_hann(N_FFT)) }
    }

    /// Features of 16 kHz mono `audio` in −1 … 1 followed by `padding` samples of silence: one frame per full 160 samples.
    ///
    /// The loudest value of the whole stretch sets the floor, so windows are to be cut from the features of a whole file.
    ///
    /// # Errors
    /// There are 200 samples or fewer.
    pub fn extract(&self, audio: &[f32], padding: usize) -> Result<LogMel, FrontendError> {
        let samples = audio.len() + padding;
        if samples <= N_FFT / 2 {
            return Err(FrontendError::TooShort { samples });
        }
        let frames = samples / HOP_LENGTH;
        let n_mels = self.filters.n_mels();
        let mut stft = self.stft.clone();
        let mut frame = vec![0.0; N_FFT];
        let mut power = vec![0.0; stft.bins()];
        let mut mels = vec![0.0; n_mels];
        let mut values = vec![0.0; n_mels * frames];
        let silence = POWER_FLOOR.log10();
        let mut loudest = f32::NEG_INFINITY;
        for index in 0..frames {
            let centre = index * HOP_LENGTH;
            if centre >= audio.len() + N_FFT / 2 && centre + N_FFT / 2 <= samples {
                // Nothing but appended silence.
                loudest = loudest.max(silence);
                (0..n_mels).for_each(|bin| values[bin * frames + index] = silence);
                continue;
            }
            cut_frame(audio, samples, centre, &mut frame);
            stft.power(&frame, &mut power);
            self.filters.apply(&power, &mut mels);
            for (bin, &mel) in mels.iter().enumerate() {
                let value = mel.max(POWER_FLOOR).log10();
                loudest = loudest.max(value);
                values[bin * frames + index] = value;
            }
        }
        let floor = loudest - DYNAMIC_RANGE;
        values.iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
        Ok(LogMel { n_mels, frames, values })
    }
}

/// The samples around `centre`; beyond either end of the `samples` samples they are mirrored (without repeating the last one).
fn cut_frame(audio: &[f32], samples: usize, centre: usize, frame: &mut [f32]) {
    let half = frame.len() / 2;
    if let Some(start) = centre.checked_sub(half)
        && let Some(inside) = audio.get(start..start + frame.len())
    {
        return frame.copy_from_slice(inside);
    }
    for (i, value) in frame.iter_mut().enumerate() {
        let mirrored = (centre + i).abs_diff(half);
        let at = if mirrored < samples { mirrored } else { 2 * (samples - 1) - mirrored };
        *value = audio.get(at).copied().unwrap_or(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_silence_is_what_zeros_are() {
        let audio: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
        let mut padded = audio.clone();
        padded.resize(5000 + 16_000, 0.0);
        let extractor = MelExtractor::new(80);
        assert_eq!(extractor.extract(&audio, 16_000), extractor.extract(&padded, 0));
    }

    #[test]
    fn too_little_audio_is_an_error() {
        let extractor = MelExtractor::new(80);
        assert_eq!(extractor.extract(&[0.0; 200], 0), Err(FrontendError::TooShort { samples: 200 }));
        assert_eq!(extractor.extract(&[0.0; 201], 0).map(|mel| mel.frames()), Ok(1));
        assert_eq!(extractor.extract(&[], 480_000).map(|mel| mel.frames()), Ok(3000));
    }

    #[test]
    fn windows_end_in_zeros() {
        let mel = LogMel { n_mels: 2, frames: 3, values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        let window = mel.window(1, 3000);
        assert_eq!(window.len(), 2 * WINDOW_FRAMES);
        assert_eq!(&window[..3], [2.0, 3.0, 0.0]);
        assert_eq!(&window[WINDOW_FRAMES..][..3], [5.0, 6.0, 0.0]);
        assert!(mel.window(9, 10).iter().all(|&v| v == 0.0));
    }
}
