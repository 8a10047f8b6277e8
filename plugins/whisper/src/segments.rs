//! Cutting a window's tokens into segments at its timestamps, and where the next window starts.
//!
//! Source: openai/whisper `whisper/transcribe.py: transcribe` (faster-whisper `_split_segments_by_timestamps` is the same rule).

use crate::filters::TIMESTAMP_STEP;

/// Mel frames (10 ms) per timestamp token (20 ms).
const FRAMES_PER_TIMESTAMP: usize = 2;

/// A stretch of a window in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// First frame, 10 ms each.
    pub seek: usize,
    /// Number of frames, at most 3000.
    pub frames: usize,
}

/// Seconds per mel frame.
pub const FRAME_SECONDS: f64 = 0.01;

impl Window {
    /// Start in the file, seconds.
    #[must_use]
    pub fn start(self) -> f64 {
        frames_to_seconds(self.seek)
    }

    /// Duration, seconds.
    #[must_use]
    pub fn duration(self) -> f64 {
        frames_to_seconds(self.frames)
    }
}

/// Seconds of a number of 10 ms frames.
#[must_use]
pub fn frames_to_seconds(frames: usize) -> f64 {
    frames as f64 / 100.0
}

/// Frame at a time, rounded half to even; 0 for negative times.
#[must_use]
pub fn seconds_to_frames(seconds: f64) -> usize {
    (seconds * 100.0).round_ties_even() as usize
}

/// A part of a window's tokens with its time in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Seconds from the start of the file.
    pub start: f64,
    /// Seconds from the start of the file.
    pub end: f64,
    /// Text and timestamps.
    pub tokens: Vec<u32>,
}

/// A window cut into segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The segments.
    pub pieces: Vec<Piece>,
    /// First frame of the next window.
    pub seek: usize,
    /// The output ends with text and one timestamp: nothing is said after it.
    pub single_timestamp_ending: bool,
}

/// Cuts as [`split`] does, but into all that there is: what follows the last pair is a piece that ends with the window. For windows that
/// have no next one.
#[must_use]
pub fn split_all(tokens: &[u32], timestamp_begin: u32, window: Window) -> Vec<Piece> {
    let mut pieces = split(tokens, timestamp_begin, window).pieces;
    let covered: usize = pieces.iter().map(|piece| piece.tokens.len()).sum();
    let rest = &tokens[covered..];
    if rest.iter().any(|token| *token < timestamp_begin) {
        let start = match rest.first() {
            Some(first) if *first >= timestamp_begin => {
                window.start() + f64::from(first - timestamp_begin) * TIMESTAMP_STEP
            }
            _ => pieces.last().map_or(window.start(), |piece| piece.end),
        };
        let end = window.start() + window.duration();
        pieces.push(Piece { start: start.min(end), end, tokens: rest.to_vec() });
    }
    pieces
}

/// Cuts after each pair of timestamps. What follows the last pair is unfinished: it is left out and the next window starts there,
/// unless the output ends with a single timestamp. An output without any pair is one segment.
#[must_use]
pub fn split(tokens: &[u32], timestamp_begin: u32, window: Window) -> Split {
    let is_timestamp = |token: u32| token >= timestamp_begin;
    let steps = |token: u32| token.saturating_sub(timestamp_begin);
    let offset = window.start();
    let time = |token: u32| offset + f64::from(steps(token)) * TIMESTAMP_STEP;
    let single_timestamp_ending = matches!(tokens, [.., before, last] if !is_timestamp(*before) && is_timestamp(*last));
    let whole_window = window.seek + window.frames;

    let mut cuts: Vec<usize> =
        (1..tokens.len()).filter(|i| is_timestamp(tokens[i - 1]) && is_timestamp(tokens[*i])).collect();
    if cuts.is_empty() {
        let last = tokens.iter().rev().find(|token| is_timestamp(**token));
        let duration = match last {
            Some(last) if *last != timestamp_begin => f64::from(steps(*last)) * TIMESTAMP_STEP,
            _ => window.duration(),
        };
        let piece = Piece { start: offset, end: offset + duration, tokens: tokens.to_vec() };
        return Split { pieces: vec![piece], seek: whole_window, single_timestamp_ending };
    }

    if single_timestamp_ending {
        cuts.push(tokens.len());
    }
    let mut pieces = Vec::with_capacity(cuts.len());
    let mut from = 0;
    for to in cuts {
        let piece = &tokens[from..to]; // never empty: cuts are ascending and start at 1
        pieces.push(Piece { start: time(piece[0]), end: time(piece[piece.len() - 1]), tokens: piece.to_vec() });
        from = to;
    }
    let seek = if single_timestamp_ending {
        whole_window
    } else {
        window.seek + steps(tokens[from - 1]) as usize * FRAMES_PER_TIMESTAMP
    };
    Split { pieces, seek, single_timestamp_ending }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_where_no_window_follows() {
        let window = Window { seek: 0, frames: 1000 };
        let tokens = [100, 1, 150, 150, 2, 200, 200, 3]; // <0.00> 1 <1.00> <1.00> 2 <2.00> <2.00> 3
        let (cut, all) = (split(&tokens, 100, window), split_all(&tokens, 100, window));
        assert_eq!(cut.pieces.len(), 2);
        assert_eq!(all[..2], cut.pieces);
        assert_eq!(all[2], Piece { start: 2.0, end: 10.0, tokens: vec![200, 3] });
        assert_eq!(split_all(&tokens[..6], 100, window).len(), 2);
        assert_eq!(split_all(&[1, 2], 100, window).len(), 1);
        assert_eq!(split_all(&[], 100, window).len(), 1);
    }
}
