//! From the probability of speech of each frame to stretches of speech.
//!
//! Source: SYSTRAN/faster-whisper `faster_whisper/vad.py: get_speech_timestamps`.

use std::ops::Range;

use super::{FRAME_SAMPLES, SAMPLE_RATE};

/// A silence of this length is a good place to cut speech that is too long, seconds.
const CUT_SILENCE: f64 = 0.098;
/// How far below the threshold of speech that of silence is.
const HYSTERESIS: f64 = 0.15;
/// The threshold of silence is never lower.
const LOWEST_THRESHOLD: f64 = 0.01;

/// When speech starts and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadOptions {
    /// Frames from this probability on are speech.
    pub threshold: f64,
    /// Frames below it are silence; `None`: 0.15 below the threshold. What is between continues what was.
    pub neg_threshold: Option<f64>,
    /// Shorter speech is left out, milliseconds.
    pub min_speech_duration_ms: f64,
    /// Longer speech is cut at its last short silence, or else anywhere, seconds.
    pub max_speech_duration_s: f64,
    /// Speech ends with a silence of this length, milliseconds.
    pub min_silence_duration_ms: f64,
    /// Added to both ends of speech, milliseconds.
    pub speech_pad_ms: f64,
}

impl Default for VadOptions {
    /// The defaults of faster-whisper.
    fn default() -> Self {
        Self {
            threshold: 0.5,
            neg_threshold: None,
            min_speech_duration_ms: 0.0,
            max_speech_duration_s: f64::INFINITY,
            min_silence_duration_ms: 2000.0,
            speech_pad_ms: 400.0,
        }
    }
}

/// The state while frames are read. Places are samples; 0 stands for none, as nothing can end before the first frame.
#[derive(Default)]
struct Detector {
    found: Vec<Range<usize>>,
    /// Start of the current speech.
    start: Option<usize>,
    /// Where the current speech ends if the silence goes on.
    silence_start: usize,
    /// The last silence that is long enough for a cut, and where speech went on after it.
    cut: usize,
    after_cut: usize,
}

/// The limits in samples.
struct Limits {
    threshold: f64,
    neg_threshold: f64,
    min_speech: f64,
    max_speech: f64,
    min_silence: f64,
    cut_silence: f64,
}

impl Detector {
    fn forget_silences(&mut self) {
        self.silence_start = 0;
        self.cut = 0;
        self.after_cut = 0;
    }

    fn frame(&mut self, at: usize, probability: f64, limits: &Limits) {
        let is_speech = probability >= limits.threshold;
        if is_speech && self.silence_start > 0 {
            self.silence_start = 0;
            if self.after_cut < self.cut {
                self.after_cut = at;
            }
        }
        let Some(start) = self.start else {
            if is_speech {
                self.start = Some(at);
            }
            return;
        };
        if (at - start) as f64 > limits.max_speech {
            if self.cut == 0 {
                self.found.push(start..at);
                self.start = None;
                self.forget_silences();
                return;
            }
            self.found.push(start..self.cut);
            // Either speech went on after the cut, or it is still silent.
            self.start = (self.after_cut >= self.cut).then_some(self.after_cut);
            self.forget_silences();
        }
        let Some(start) = self.start.filter(|_| probability < limits.neg_threshold) else { return };
        if self.silence_start == 0 {
            self.silence_start = at;
        }
        let silence = (at - self.silence_start) as f64;
        if silence > limits.cut_silence {
            self.cut = self.silence_start;
        }
        if silence >= limits.min_silence {
            if (self.silence_start - start) as f64 > limits.min_speech {
                self.found.push(start..self.silence_start);
            }
            self.start = None;
            self.forget_silences();
        }
    }
}

/// The stretches of speech in `samples` samples, from the probabilities of their frames.
#[must_use]
pub fn speech(probabilities: &[f32], samples: usize, options: &VadOptions) -> Vec<Range<usize>> {
    let in_samples = |milliseconds: f64| SAMPLE_RATE * milliseconds / 1000.0;
    let pad = in_samples(options.speech_pad_ms);
    let limits = Limits {
        threshold: options.threshold,
        neg_threshold: options.neg_threshold.unwrap_or((options.threshold - HYSTERESIS).max(LOWEST_THRESHOLD)),
        min_speech: in_samples(options.min_speech_duration_ms),
        max_speech: SAMPLE_RATE * options.max_speech_duration_s - FRAME_SAMPLES as f64 - 2.0 * pad,
        min_silence: in_samples(options.min_silence_duration_ms),
        cut_silence: SAMPLE_RATE * CUT_SILENCE,
    };
    let mut detector = Detector::default();
    for (frame, probability) in probabilities.iter().enumerate() {
        detector.frame(frame * FRAME_SAMPLES, f64::from(*probability), &limits);
    }
    let mut found = detector.found;
    if let Some(start) = detector.start
        && samples.saturating_sub(start) as f64 > limits.min_speech
    {
        found.push(start..samples);
    }
    add_padding(&mut found, samples, pad as usize);
    found
}

/// Adds `pad` samples to both ends of each stretch; neighbours share the silence between them where it is too short.
fn add_padding(stretches: &mut [Range<usize>], samples: usize, pad: usize) {
    if let Some(first) = stretches.first_mut() {
        first.start = first.start.saturating_sub(pad);
    }
    for i in 1..stretches.len() {
        let silence = stretches[i].start.saturating_sub(stretches[i - 1].end);
        let (after, before) = if silence < 2 * pad { (silence / 2, silence / 2) } else { (pad, pad) };
        stretches[i - 1].end = (stretches[i - 1].end + after).min(samples);
        stretches[i].start = stretches[i].start.saturating_sub(before);
    }
    if let Some(last) = stretches.last_mut() {
        last.end = (last.end + pad).min(samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_frames_are_no_speech() {
        assert!(speech(&[0.1; 40], 40 * 512, &VadOptions::default()).is_empty());
    }
}
