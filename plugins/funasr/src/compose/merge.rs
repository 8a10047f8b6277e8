//! Stretches of speech joined to longer ones.

use std::ops::Range;

use crate::vad::{Event, SAMPLES_PER_MS};

/// Joins stretches, and the silence between them, while they stay shorter than `longest` ms. The first one begins with the recording.
///
/// Source: FunASR `utils/vad_utils.py: merge_vad`.
#[must_use]
pub fn merge(stretches: &[Event], longest: i64) -> Vec<Event> {
    if stretches.len() <= 1 {
        return stretches.to_vec();
    }
    let mut merging = Merging::new(longest);
    let mut merged: Vec<Event> = stretches.iter().flat_map(|stretch| merging.push(*stretch)).collect();
    merged.extend(merging.finish());
    merged
}

/// The same for stretches that arrive one after the other. A stretch that stays the only one keeps its boundaries.
#[derive(Clone, Debug)]
pub struct Merging {
    longest: i64,
    cursor: i64,
    /// Boundaries that are not decided yet: at most the last one, and before the second stretch the only stretch.
    last: Option<i64>,
    only: Option<Event>,
}

impl Merging {
    /// Before any stretch.
    #[must_use]
    pub fn new(longest: i64) -> Self {
        Self { longest, cursor: 0, last: None, only: None }
    }

    /// Takes the next stretch; those that are decided come back.
    pub fn push(&mut self, stretch: Event) -> Vec<Event> {
        if self.last.is_none() && self.only.is_none() {
            self.only = Some(stretch);
            return Vec::new();
        }
        let mut merged = Vec::new();
        let first = self.only.take();
        for boundary in first.into_iter().chain([stretch]).flatten() {
            let Some(last) = self.last else {
                self.last = Some(boundary);
                continue;
            };
            if boundary == last {
                continue;
            }
            if boundary - self.cursor >= self.longest {
                if last > self.cursor {
                    merged.push([self.cursor, last]);
                }
                self.cursor = last;
            }
            self.last = Some(boundary);
        }
        merged
    }

    /// What is decided although no stretch follows yet, because the pause since the last one is long enough for one of its own; nothing
    /// said before `now` ms can come any more. (A stretch that would stay the only one is handed out as it is.)
    pub fn rest(&mut self, now: i64) -> Option<Event> {
        if let Some(only) = self.only.take_if(|only| now - only[1] >= self.longest) {
            self.cursor = only[1];
            self.last = Some(only[1]);
            return Some(only);
        }
        let last = self.last.filter(|&last| now - last >= self.longest && last > self.cursor)?;
        Some([std::mem::replace(&mut self.cursor, last), last])
    }

    /// Start of the earliest sound that a stretch may still hold, ms, if speech doesn't begin before `now`.
    #[must_use]
    pub fn needs(&self, now: i64) -> i64 {
        let rests = match self.last {
            Some(last) => last == self.cursor && now - last >= self.longest,
            None => self.only.is_none() && now >= self.longest,
        };
        if rests { now } else { self.cursor }
    }

    /// Ends the recording.
    #[must_use]
    pub fn finish(self) -> Option<Event> {
        self.only.or_else(|| self.last.map(|last| [self.cursor, last]))
    }
}

/// Samples of a stretch in a recording of `samples` samples.
#[must_use]
pub fn samples([start, end]: Event, samples: usize) -> Range<usize> {
    let at = |ms: i64| usize::try_from(ms).unwrap_or(0).saturating_mul(SAMPLES_PER_MS).min(samples);
    at(start)..at(end).max(at(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_pause_lets_go_of_what_was_said() {
        let mut merging = Merging::new(15_000);
        assert_eq!((merging.needs(10_000), merging.needs(20_000)), (0, 20_000));
        assert!(merging.push([1000, 3000]).is_empty());
        assert_eq!((merging.rest(17_000), merging.needs(17_000)), (None, 0));
        assert_eq!(merging.rest(18_000), Some([1000, 3000]));
        assert_eq!(merging.needs(18_000), 18_000);
        assert!(merging.push([60_000, 62_000]).iter().all(|[start, end]| (*start, *end) == (3000, 60_000)));
        assert_eq!(merging.finish(), Some([60_000, 62_000]));
    }
}
