//! When Paraformer's tokens are said: a token lasts from one peak of the weights to the next.
//!
//! Source: FunASR `utils/timestamp_tools.py: ts_prediction_lfr6_standard`.

use super::cif::peaks;
use crate::text::sentence::Span;

/// A sum at which a peak counts.
pub const FIRING: f32 = 1.0 - 1e-4;
/// Frames between a peak and what is heard.
pub const PEAK_SHIFT: f64 = -1.5;
/// More frames than this before the first peak, or after the last, are silence.
const EDGE_FRAMES: f64 = 5.0;
/// Frames that a token lasts at most; silence follows.
const LONGEST_TOKEN: f64 = 12.0;
/// Length of an encoder frame: six feature frames of 10 ms, s.
const FRAME: f64 = 10.0 * 6.0 / 1000.0;
/// Ends a sentence; has no time.
const END: &str = "</s>";

/// How peaks are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Frames of weights per encoder frame.
    pub upsampling: usize,
    /// Added to peaks, frames.
    pub shift: f64,
    /// Added to times, ms.
    pub offset: f64,
}

/// A token, or silence, and its time in s.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed<'a> {
    /// The token; none is silence.
    pub token: Option<&'a str>,
    /// Start and end, s.
    pub span: [f64; 2],
}

/// Times of `tokens` and of the silences around them.
#[must_use]
pub fn align<'a>(weights: &[f32], sums: &[f32], tokens: &[&'a str], timing: Timing) -> Vec<Timed<'a>> {
    let tokens = if tokens.last() == Some(&END) { &tokens[..tokens.len() - 1] } else { tokens };
    if tokens.is_empty() {
        return Vec::new();
    }
    let unit = FRAME / timing.upsampling.max(1) as f64;
    let fire = |sums: &[f32]| -> Vec<f64> {
        let firing = sums.iter().enumerate().filter(|(_, sum)| **sum >= FIRING);
        firing.map(|(frame, _)| frame as f64 + timing.shift).collect()
    };
    let mut fires = fire(sums);
    let mut frames = sums.len();
    if fires.len() != tokens.len() + 1 {
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let factor = sum as f32 / (tokens.len() + 1) as f32;
        let scaled: Vec<f32> = weights.iter().map(|weight| weight / factor).collect();
        fires = fire(&peaks(&scaled, FIRING));
        frames = weights.len();
    }
    let (Some(&first), Some(&last)) = (fires.first(), fires.last()) else { return Vec::new() };
    let frames = frames as f64;
    let mut timed = Vec::new();
    if first > EDGE_FRAMES {
        timed.push(Timed { token: None, span: [0.0, first * unit] });
    }
    for (pair, token) in fires.windows(2).zip(tokens) {
        let (start, end) = (pair[0], pair[1]);
        if end - start <= LONGEST_TOKEN {
            timed.push(Timed { token: Some(token), span: [start * unit, end * unit] });
        } else {
            let split = start + LONGEST_TOKEN;
            timed.push(Timed { token: Some(token), span: [start * unit, split * unit] });
            timed.push(Timed { token: None, span: [split * unit, end * unit] });
        }
    }
    if frames - last > EDGE_FRAMES {
        let end = (frames + last) * 0.5;
        if let Some(timed) = timed.last_mut() {
            timed.span[1] = end * unit;
        }
        timed.push(Timed { token: None, span: [end * unit, frames * unit] });
    } else if let Some(timed) = timed.last_mut() {
        timed.span[1] = frames * unit;
    }
    if timing.offset != 0.0 {
        for timed in &mut timed {
            timed.span = timed.span.map(|seconds| seconds + timing.offset / 1000.0);
        }
    }
    timed
}

/// The tokens' times in whole ms.
#[must_use]
pub fn spans(timed: &[Timed<'_>]) -> Vec<Span> {
    let of_tokens = timed.iter().filter(|timed| timed.token.is_some());
    of_tokens.map(|timed| timed.span.map(|seconds| (seconds * 1000.0) as i64)).collect()
}
