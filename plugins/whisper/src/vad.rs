//! Voice activity: from the probability of speech of each frame to stretches of speech, and from times in the joined stretches back to
//! times in the file.
//!
//! The probabilities come from Silero VAD, 512 samples a frame. Source: SYSTRAN/faster-whisper `faster_whisper/vad.py:
//! get_speech_timestamps, collect_chunks, SpeechTimestampsMap`.

use std::ops::Range;

/// Samples per probability.
pub const FRAME_SAMPLES: usize = 512;
/// Samples per second.
const SAMPLE_RATE: f64 = 16_000.0;
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

/// Stretches of speech that are joined to one piece of audio.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Joined {
    /// The stretches, samples of the file.
    pub stretches: Vec<Range<usize>>,
    /// Where the piece starts in the audio of all pieces, seconds.
    pub offset: f64,
    /// Length of the piece, seconds.
    pub duration: f64,
}

/// Joins stretches to pieces of at most `max_duration` seconds (a longer stretch is a piece of its own). Always at least one piece.
#[must_use]
pub fn join(stretches: &[Range<usize>], max_duration: f64) -> Vec<Joined> {
    let mut pieces: Vec<Vec<Range<usize>>> = vec![Vec::new()];
    let mut length = 0; // samples of the last piece
    for stretch in stretches {
        if (length + stretch.len()) as f64 > max_duration * SAMPLE_RATE {
            pieces.push(Vec::new());
            length = 0;
        }
        length += stretch.len();
        if let Some(piece) = pieces.last_mut() {
            piece.push(stretch.clone());
        }
    }
    let mut before = 0; // samples of the pieces before
    let joined = pieces.into_iter().map(|stretches| {
        let length: usize = stretches.iter().map(Range::len).sum();
        let piece = Joined { stretches, offset: before as f64 / SAMPLE_RATE, duration: length as f64 / SAMPLE_RATE };
        before += length;
        piece
    });
    joined.collect()
}

/// From times in the joined stretches to times in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeMap {
    /// For each stretch: its end in the joined audio (samples), and the silence left out before it (seconds).
    stretches: Vec<(usize, f64)>,
}

impl TimeMap {
    /// A map for these stretches.
    #[must_use]
    pub fn new(stretches: &[Range<usize>]) -> Self {
        let mut silence = 0;
        let mut previous_end = 0;
        let stretches = stretches.iter().map(|stretch| {
            silence += stretch.start.saturating_sub(previous_end);
            previous_end = stretch.end;
            (stretch.end.saturating_sub(silence), silence as f64 / SAMPLE_RATE)
        });
        Self { stretches: stretches.collect() }
    }

    /// The time in the file, rounded to hundredths. A time on a border belongs to the stretch after it, unless something ends there.
    #[must_use]
    pub fn original(&self, seconds: f64, is_end: bool) -> f64 {
        let sample = (seconds * SAMPLE_RATE) as usize;
        let ends_here = |(end, _): &&(usize, f64)| *end > sample || (is_end && *end == sample);
        let stretch = self.stretches.iter().find(ends_here).or(self.stretches.last());
        crate::timing::round_to_hundredths(stretch.map_or(0.0, |(_, silence)| *silence) + seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_speech_is_one_empty_piece() {
        assert!(speech(&[0.1; 40], 40 * 512, &VadOptions::default()).is_empty());
        assert_eq!(join(&[], 30.0), [Joined::default()]);
        assert_eq!(TimeMap::new(&[]).original(1.5, false), 1.5);
    }

    #[test]
    fn times_move_by_the_silence_that_was_left_out() {
        let map = TimeMap::new(&[16_000..32_000, 64_000..80_000]);
        assert_eq!(map.original(0.5, false), 1.5);
        assert_eq!(map.original(1.0, true), 2.0);
        assert_eq!(map.original(1.0, false), 4.0);
        assert_eq!(map.original(9.0, false), 12.0);
    }
}
