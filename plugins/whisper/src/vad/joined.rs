//! Stretches of speech joined to pieces of audio, and from times in them back to times in the file.
//!
//! Source: SYSTRAN/faster-whisper `faster_whisper/vad.py: collect_chunks, SpeechTimestampsMap`.

use std::ops::Range;

use super::SAMPLE_RATE;

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

    /// Length of the joined stretches, seconds.
    #[must_use]
    pub fn duration(&self) -> f64 {
        self.stretches.last().map_or(0.0, |(end, _)| *end as f64 / SAMPLE_RATE)
    }

    /// The time in the file, rounded to hundredths. A time on a border belongs to the stretch after it, unless something ends there.
    #[must_use]
    pub fn original(&self, seconds: f64, is_end: bool) -> f64 {
        in_file(self.silence_before(seconds, is_end), seconds)
    }

    /// Start and end of a word in the file, both by the stretch that its middle is in.
    #[must_use]
    pub fn original_word(&self, start: f64, end: f64) -> (f64, f64) {
        let silence = self.silence_before((start + end) / 2.0, false);
        (in_file(silence, start), in_file(silence, end))
    }

    /// Silence that was left out before the stretch at this time of the joined audio, seconds.
    fn silence_before(&self, seconds: f64, is_end: bool) -> f64 {
        let sample = (seconds * SAMPLE_RATE) as usize;
        let ends_here = |(end, _): &&(usize, f64)| *end > sample || (is_end && *end == sample);
        let stretch = self.stretches.iter().find(ends_here).or(self.stretches.last());
        stretch.map_or(0.0, |(_, silence)| *silence)
    }
}

fn in_file(silence: f64, seconds: f64) -> f64 {
    crate::timing::round_to_hundredths(silence + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_speech_is_one_empty_piece() {
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
        // A word belongs to the stretch of its middle, from start to end.
        assert_eq!(map.original_word(0.9, 1.05), (1.9, 2.05));
    }
}
