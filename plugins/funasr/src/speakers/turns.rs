//! From labelled chunks to turns, and from turns to the speakers of sentences.
//!
//! Source: FunASR `models/campplus/utils.py` (`postprocess`, `merge_seque`, `smooth`, `distribute_spk`).

use super::cluster::renumbered;

/// Shorter turns belong to a neighbour, s.
const SHORTEST: f64 = 0.7;
/// Overlaps up to this are rounding, s.
const OVERLAP: f64 = 1e-4;

/// Who speaks from when to when, s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    /// Start.
    pub start: f64,
    /// End.
    pub end: f64,
    /// Number of the speaker.
    pub speaker: usize,
}

/// Joins chunks of one speaker, splits overlaps in the middle, and gives short turns to the nearer neighbour.
#[must_use]
pub fn turns(chunks: &[[f64; 2]], labels: &[usize]) -> Vec<Turn> {
    let turn = |(&[start, end], speaker): (&[f64; 2], usize)| Turn { start, end, speaker };
    let mut turns = joined(chunks.iter().zip(renumbered(labels)).map(turn));
    for i in 1..turns.len() {
        if turns[i - 1].end > turns[i].start + OVERLAP {
            let middle = f64::midpoint(turns[i].start, turns[i - 1].end);
            turns[i].start = middle;
            turns[i - 1].end = middle;
        }
    }
    if turns.len() < 2 {
        return turns;
    }
    for i in 0..turns.len() {
        turns[i].start = rounded(turns[i].start);
        turns[i].end = rounded(turns[i].end);
        if turns[i].end - turns[i].start >= SHORTEST {
            continue;
        }
        let neighbour = if i == 0 {
            1
        } else if i + 1 == turns.len() || turns[i].start - turns[i - 1].end <= turns[i + 1].start - turns[i].end {
            i - 1
        } else {
            i + 1
        };
        turns[i].speaker = turns[neighbour].speaker;
    }
    joined(turns.into_iter())
}

/// Joins neighbours of one speaker that touch.
fn joined(turns: impl Iterator<Item = Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::new();
    for turn in turns {
        match joined.last_mut().filter(|last| last.speaker == turn.speaker && turn.start <= last.end) {
            Some(last) => last.end = turn.end,
            None => joined.push(turn),
        }
    }
    joined
}

/// To hundredths, exactly as Python rounds.
fn rounded(seconds: f64) -> f64 {
    format!("{seconds:.2}").parse().unwrap_or(seconds)
}

/// The speaker of a sentence from `start` to `end` ms: the one whose turns overlap it most; 0 if none does. As in the reference, further turns
/// of the leading speaker raise the bar by more than what they overlap.
#[must_use]
pub fn speaker_of(start: i64, end: i64, turns: &[Turn]) -> usize {
    let (mut speaker, mut most) = (0, 0.0);
    for turn in turns {
        let overlap = ((end as f64).min(turn.end * 1000.0) - (start as f64).max(turn.start * 1000.0)).max(0.0);
        if overlap > most {
            most = overlap;
            speaker = turn.speaker;
        }
        if overlap > 0.0 && speaker == turn.speaker {
            most += overlap;
        }
    }
    speaker
}
