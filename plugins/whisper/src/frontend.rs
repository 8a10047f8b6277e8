//! Log-mel features, sample by sample as openai-whisper computes them.
//!
//! Source: `whisper/audio.py:log_mel_spectrogram`.

use syrinx_plugin_common::dsp::{MelFilters, PowerStft, periodic_hann, slaney_filters};
use thiserror::Error;

use crate::sound::Sound;

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

/// Features of sounds up to this length are kept: ten minutes, 19 MB at 80 bins.
const KEPT_FRAMES: usize = 60_000;

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
        let features = self.listen(Sound::whole(audio), padding)?;
        let (n_mels, frames) = (self.filters.n_mels(), features.frames());
        let mut values = vec![0.0; n_mels * frames];
        features.write(0, frames, frames, &mut values);
        Ok(LogMel { n_mels, frames, values })
    }

    /// Listens to all of `sound`, followed by `padding` samples of silence, so that windows can be cut from its features. Memory does
    /// not grow with the sound: features of long files are computed again for each window.
    ///
    /// # Errors
    /// There are 200 samples or fewer.
    pub fn listen<'a>(&'a self, sound: Sound<'a>, padding: usize) -> Result<Features<'a>, FrontendError> {
        let samples = sound.len() + padding;
        if samples <= N_FFT / 2 {
            return Err(FrontendError::TooShort { samples });
        }
        let mut features = Features { extractor: self, samples, loudest: f32::NEG_INFINITY, kept: Vec::new(), sound };
        let n_mels = self.filters.n_mels();
        let heard = features.heard_frames();
        let keeps = heard <= KEPT_FRAMES;
        let mut scratch = Scratch::new(self);
        let mut row = vec![0.0; n_mels];
        features.kept.reserve_exact(if keeps { heard * n_mels } else { 0 });
        let mut loudest = if heard < features.frames() { POWER_FLOOR.log10() } else { f32::NEG_INFINITY };
        for index in 0..heard {
            features.frame(index, &mut scratch, &mut row);
            loudest = row.iter().copied().fold(loudest, f32::max);
            if keeps {
                features.kept.extend_from_slice(&row);
            }
        }
        features.loudest = loudest;
        Ok(features)
    }
}

/// Work space of a frame.
struct Scratch {
    stft: PowerStft,
    frame: Vec<f32>,
    power: Vec<f32>,
}

impl Scratch {
    fn new(extractor: &MelExtractor) -> Self {
        let stft = extractor.stft.clone();
        Self { frame: vec![0.0; N_FFT], power: vec![0.0; stft.bins()], stft }
    }
}

/// The features of a sound, of which windows can be had.
#[derive(Debug)]
pub struct Features<'a> {
    extractor: &'a MelExtractor,
    sound: Sound<'a>,
    /// Samples, appended silence included.
    samples: usize,
    /// Largest logarithm of a power.
    loudest: f32,
    /// Logarithms of the powers of all frames that are not appended silence, `[frames, n_mels]`; empty for long sounds.
    kept: Vec<f32>,
}

impl Features<'_> {
    /// Frames of 10 ms, appended silence included.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples / HOP_LENGTH
    }

    /// Frames of the sound itself.
    #[must_use]
    pub fn content_frames(&self) -> usize {
        self.sound.len() / HOP_LENGTH
    }

    /// A window of 30 s for the encoder, `[n_mels, 3000]`: `frames` frames from `start`, then zeros. Frames that don't exist are zeros.
    ///
    /// (`pad_or_trim` of the reference; a padded waveform gives other values there, see [`MelExtractor::extract`].)
    #[must_use]
    pub fn window(&self, start: usize, frames: usize) -> Vec<f32> {
        let mut window = vec![0.0; self.extractor.filters.n_mels() * WINDOW_FRAMES];
        let start = start.min(self.frames());
        self.write(start, frames.min(WINDOW_FRAMES).min(self.frames() - start), WINDOW_FRAMES, &mut window);
        window
    }

    /// Frames before the first one that sees nothing but appended silence.
    fn heard_frames(&self) -> usize {
        // Frame i sees samples from 160 i - 200 to 160 i + 200; the very last ones see some of the appended silence mirrored.
        let has_silence = self.samples - self.sound.len() >= 2 * N_FFT;
        let first_silent = (self.sound.len() + N_FFT / 2).div_ceil(HOP_LENGTH);
        if has_silence { first_silent.min(self.frames()) } else { self.frames() }
    }

    /// Writes `count` frames from `start` on as columns of `out`, rows of which are `width` long.
    fn write(&self, start: usize, count: usize, width: usize, out: &mut [f32]) {
        let n_mels = self.extractor.filters.n_mels();
        let floor = self.loudest - DYNAMIC_RANGE;
        let scaled = |value: f32| (value.max(floor) + 4.0) / 4.0;
        let (heard, silence) = (self.heard_frames(), POWER_FLOOR.log10());
        let mut scratch = Scratch::new(self.extractor);
        let mut computed = vec![silence; n_mels];
        for column in 0..count {
            let index = start + column;
            let row = match self.kept.get(index * n_mels..(index + 1) * n_mels) {
                Some(kept) => kept,
                None if index < heard => {
                    self.frame(index, &mut scratch, &mut computed);
                    &computed
                }
                None => {
                    computed.fill(silence);
                    &computed
                }
            };
            row.iter().enumerate().for_each(|(bin, value)| out[bin * width + column] = scaled(*value));
        }
    }

    /// Logarithms of the powers of one frame.
    fn frame(&self, index: usize, scratch: &mut Scratch, row: &mut [f32]) {
        let centre = index * HOP_LENGTH;
        let inside = centre.checked_sub(N_FFT / 2).and_then(|start| self.sound.slice(start, N_FFT));
        let samples = match inside {
            Some(inside) => inside,
            None => {
                self.cut_frame(centre, &mut scratch.frame);
                &scratch.frame
            }
        };
        scratch.stft.power(samples, &mut scratch.power);
        self.extractor.filters.apply(&scratch.power, row);
        row.iter_mut().for_each(|value| *value = value.max(POWER_FLOOR).log10());
    }

    /// The samples around `centre`; beyond either end of all samples they are mirrored (without repeating the last one).
    fn cut_frame(&self, centre: usize, frame: &mut [f32]) {
        let half = frame.len() / 2;
        if centre >= half && centre + half <= self.samples {
            return self.sound.read(centre - half, frame);
        }
        for (i, value) in frame.iter_mut().enumerate() {
            let mirrored = (centre + i).abs_diff(half);
            let at = if mirrored < self.samples { mirrored } else { 2 * (self.samples - 1) - mirrored };
            self.sound.read(at, std::slice::from_mut(value));
        }
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
    fn long_sounds_give_the_same_windows() {
        let extractor = MelExtractor::new(80);
        let samples: Vec<f32> = (0..(KEPT_FRAMES + 500) * HOP_LENGTH).map(|i| (i as f32 * 0.01).sin() * 0.1).collect();
        let short = &samples[..KEPT_FRAMES * HOP_LENGTH - 277];
        let (long, kept) = (
            extractor.listen(Sound::whole(&samples), WINDOW_SAMPLES).unwrap(),
            extractor.listen(Sound::whole(short), WINDOW_SAMPLES).unwrap(),
        );
        assert!(long.kept.is_empty() && !kept.kept.is_empty());
        assert_eq!(long.window(2000, 3000), kept.window(2000, 3000));
        assert_eq!(long.content_frames(), KEPT_FRAMES + 500);
        // The parts of a sound are heard as one.
        let joined = Sound::parts(&samples, &[0..123_456, 123_456..short.len()]);
        let joined = extractor.listen(joined, WINDOW_SAMPLES).unwrap();
        assert_eq!(joined.window(500, 3000), kept.window(500, 3000));
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
        let extractor = MelExtractor::new(2);
        let samples = [0.1; 480];
        let features = extractor.listen(Sound::whole(&samples), 0).unwrap();
        let all = extractor.extract(&samples, 0).unwrap();
        let window = features.window(1, 3000);
        assert_eq!(window.len(), 2 * WINDOW_FRAMES);
        assert_eq!(&window[..3], [all.values()[1], all.values()[2], 0.0]);
        assert_eq!(&window[WINDOW_FRAMES..][..3], [all.values()[4], all.values()[5], 0.0]);
        assert!(features.window(9, 10).iter().all(|&v| v == 0.0));
    }
}
