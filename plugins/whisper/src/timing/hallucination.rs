//! Text that was invented in silence, recognised by unlikely words.
//!
//! Source: openai/whisper `whisper/transcribe.py: word_anomaly_score, is_segment_anomaly` and the code around their use.

use super::{Punctuation, Word};
use crate::longform::Segment;
use crate::segments::{Window, seconds_to_frames};

/// Words below this probability are suspicious.
const UNLIKELY: f64 = 0.15;
/// Shorter words are suspicious, seconds.
const SHORT: f64 = 0.133;
/// Weight of each second that a word is too short by.
const SHORT_WEIGHT: f64 = 15.0;
/// Longer words are suspicious, seconds.
const LONG: f64 = 2.0;
/// So many words of a segment are looked at.
const WORDS_LOOKED_AT: usize = 8;
/// A segment with this sum of suspicion is an invention.
const ANOMALY: f64 = 3.0;
/// So near to its edges a window's text is taken to be surrounded by silence, seconds.
const EDGE: f64 = 2.0;
/// An invention costs at least so much of the window, seconds.
const SMALLEST_STEP: f64 = 1.0;

/// How suspicious a word is.
fn suspicion(word: &Word) -> f64 {
    let duration = word.end - word.start;
    let mut score = 0.0;
    if word.probability < UNLIKELY {
        score += 1.0;
    }
    if duration < SHORT {
        score += (SHORT - duration) * SHORT_WEIGHT;
    }
    if duration > LONG {
        score += duration - LONG;
    }
    score
}

/// What to do with a window's segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Keep all, and the next window where it was planned.
    Keep,
    /// Drop the whole window and decode again from this frame.
    Restart { seek: usize },
    /// Keep so many segments and go on at this frame.
    KeepFirst { segments: usize, seek: usize },
}

/// The circumstances of a window.
pub(crate) struct Hallucinations<'a> {
    /// Silences longer than this may hold inventions, seconds.
    pub(crate) threshold: f64,
    pub(crate) punctuation: &'a Punctuation,
    pub(crate) window: Window,
    /// End of a full window that starts where this one does, seconds.
    pub(crate) window_end: f64,
    /// Frames of the whole file.
    pub(crate) content_frames: usize,
    /// End of the last word before this window, seconds.
    pub(crate) last_speech_end: f64,
}

impl Hallucinations<'_> {
    /// Whether a segment looks like an invention.
    fn is_anomaly(&self, segment: &Segment) -> bool {
        let words = segment.words.as_deref().unwrap_or_default();
        if words.is_empty() {
            return false;
        }
        let looked_at: Vec<&Word> =
            words.iter().filter(|word| !self.punctuation.contains(&word.word)).take(WORDS_LOOKED_AT).collect();
        let score: f64 = looked_at.iter().map(|word| suspicion(word)).sum();
        score >= ANOMALY || score + 0.01 >= looked_at.len() as f64
    }

    /// Judges a window's segments, which have words.
    pub(crate) fn judge(&self, segments: &[Segment]) -> Verdict {
        let start = self.window.start();
        let threshold = self.threshold;
        let with_words = |from: usize| segments[from..].iter().find(|segment| segment.has_words());

        // An invention at the very start: go to it and decode again from there.
        if let Some(first) = with_words(0).filter(|first| self.is_anomaly(first)) {
            let gap = first.start - start;
            if gap > threshold {
                return Verdict::Restart { seek: self.window.seek + seconds_to_frames(gap) };
            }
        }

        // Inventions that are surrounded by silence or by more inventions.
        let mut last_end = self.last_speech_end;
        for (i, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.has_words()) {
            if self.is_anomaly(segment) {
                let next = with_words(i + 1);
                let next_start = next
                    .and_then(|next| next.words.as_deref().unwrap_or_default().first())
                    .map_or(start + self.window.duration(), |word| word.start);
                let silence_before =
                    segment.start - last_end > threshold || segment.start < threshold || segment.start - start < EDGE;
                let silence_after = next_start - segment.end > threshold
                    || next.is_some_and(|next| self.is_anomaly(next))
                    || self.window_end - segment.end < EDGE;
                if silence_before && silence_after {
                    let content_end = crate::segments::frames_to_seconds(self.content_frames);
                    let seek = if content_end - segment.end < threshold {
                        self.content_frames
                    } else {
                        seconds_to_frames((start + SMALLEST_STEP).max(segment.start))
                    };
                    return Verdict::KeepFirst { segments: i, seek };
                }
            }
            last_end = segment.end;
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_long_and_unlikely_words_are_suspicious() {
        let word = |start, end, probability| Word { word: " a".to_owned(), start, end, probability };
        assert_eq!(suspicion(&word(0.0, 0.5, 0.9)), 0.0);
        assert_eq!(suspicion(&word(0.0, 0.5, 0.1)), 1.0);
        assert!((suspicion(&word(0.0, 0.033, 0.9)) - 1.5).abs() < 1e-9);
        assert_eq!(suspicion(&word(0.0, 5.0, 0.1)), 4.0);
    }
}
