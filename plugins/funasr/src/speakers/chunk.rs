//! Chunks of speech that are short enough to hold one voice.
//!
//! Source: FunASR `models/campplus/utils.py: sv_chunk`.

use std::ops::Range;

/// Samples of a chunk: 1.5 s at 16 kHz.
pub const CHUNK: usize = 24_000;
/// Samples from one chunk to the next.
const STEP: usize = 12_000;
/// Samples per second.
const RATE: f64 = 16_000.0;

/// A chunk of a stretch of speech.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Start and end in the recording, s.
    pub span: [f64; 2],
    /// Its samples in the stretch; where they are less than [`CHUNK`], zeros follow.
    pub samples: Range<usize>,
}

/// Cuts a stretch of `samples` samples that begins at `start` s. The last chunk ends with it.
#[must_use]
pub fn cut(start: f64, samples: usize) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut last_end = 0;
    for begin in (0..samples).step_by(STEP) {
        let end = (begin + CHUNK).min(samples);
        if end <= last_end {
            break;
        }
        last_end = end;
        let begin = end.saturating_sub(CHUNK);
        let seconds = |sample: usize| sample as f64 / RATE + start;
        chunks.push(Chunk { span: [seconds(begin), seconds(end)], samples: begin..end });
    }
    chunks
}
