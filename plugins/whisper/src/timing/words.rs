//! From aligned words to the words of segments: over-long words are shortened, punctuation is merged, and segments get the times
//! of their words.
//!
//! Source: openai/whisper `whisper/timing.py: add_word_timestamps, merge_punctuations`.

use super::{Word, round_to_hundredths};
use crate::longform::Segment;
use crate::text::strip;

/// Typical words are not longer than this, seconds. Source: openai/whisper, `median_duration`.
const LONGEST_TYPICAL_WORD: f64 = 0.7;
/// A word at the edge of a segment may exceed the segment's own times by this, seconds. Source: openai/whisper.
const EDGE_TOLERANCE: f64 = 0.5;
/// A sentence ends with one of these. Source: openai/whisper, `sentence_end_marks`.
const SENTENCE_ENDS: &str = ".。!！?？";

/// A word and when it was said.
#[derive(Debug, Clone, PartialEq)]
pub struct WordTiming {
    /// The text, with the space before it.
    pub word: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Seconds from the start of the window.
    pub start: f64,
    /// Seconds from the start of the window.
    pub end: f64,
    /// Mean probability of its tokens.
    pub probability: f64,
}

/// Marks that belong to the word after or before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Punctuation {
    /// Merged with the next word.
    pub prepend: String,
    /// Merged with the word before.
    pub append: String,
}

impl Default for Punctuation {
    /// Source: openai/whisper `whisper/timing.py: add_word_timestamps`.
    fn default() -> Self {
        Self { prepend: "\"'“¿([{-".to_owned(), append: "\"'.。,，!！?？:：”)]}、".to_owned() }
    }
}

impl Punctuation {
    /// Whether a word is only marks (a part of either list, and so also an empty word).
    pub(super) fn contains(&self, word: &str) -> bool {
        format!("{}{}", self.prepend, self.append).contains(word)
    }
}

/// Moves punctuation to the words that it belongs to; emptied words stay, without text and tokens.
pub fn merge_punctuations(words: &mut [WordTiming], punctuation: &Punctuation) {
    // From the right: opening marks go to the word after them.
    let mut following = words.len().saturating_sub(1);
    for previous in (0..words.len().saturating_sub(1)).rev() {
        let word = &words[previous].word;
        if word.starts_with(' ') && punctuation.prepend.contains(strip(word)) {
            merge(words, previous, following, following);
        } else {
            following = previous;
        }
    }
    // From the left: closing marks go to the word before them.
    let mut previous = 0;
    for following in 1..words.len() {
        if !words[previous].word.ends_with(' ') && punctuation.append.contains(&words[following].word) {
            merge(words, previous, following, previous);
        } else {
            previous = following;
        }
    }
}

/// Joins two words at the place `target`, which is one of them; the other is emptied.
fn merge(words: &mut [WordTiming], first: usize, second: usize, target: usize) {
    let mut text = std::mem::take(&mut words[first].word);
    let mut tokens = std::mem::take(&mut words[first].tokens);
    text.push_str(&std::mem::take(&mut words[second].word));
    tokens.append(&mut words[second].tokens);
    words[target].word = text;
    words[target].tokens = tokens;
}

/// Typical and largest duration of the words of a window.
#[derive(Clone, Copy)]
struct Durations {
    median: f64,
    max: f64,
}

impl Durations {
    fn of(words: &[WordTiming]) -> Option<Self> {
        let mut durations: Vec<f64> = words.iter().map(|word| word.end - word.start).filter(|d| *d != 0.0).collect();
        durations.sort_unstable_by(f64::total_cmp);
        let middle = durations.len() / 2;
        let median = match durations.len() {
            0 => return None,
            n if n % 2 == 1 => durations[middle],
            _ => (durations[middle - 1] + durations[middle]) / 2.0,
        };
        let median = median.min(LONGEST_TYPICAL_WORD);
        Some(Self { median, max: 2.0 * median })
    }
}

/// Gives the segments of one window their words. `alignment` holds the words of all of them, `offset` is the window's start and
/// `last_speech_end` the end of the last word before it, both in seconds from the start of the file.
pub fn add_word_times(
    segments: &mut [Segment],
    mut alignment: Vec<WordTiming>,
    eot: u32,
    offset: f64,
    mut last_speech_end: f64,
    punctuation: &Punctuation,
) {
    let durations = Durations::of(&alignment);
    if let Some(durations) = durations {
        shorten_at_sentence_ends(&mut alignment, durations.max);
    }
    let durations = durations.unwrap_or(Durations { median: 0.0, max: 0.0 });
    merge_punctuations(&mut alignment, punctuation);

    let mut timings = alignment.into_iter().peekable();
    for segment in segments {
        let text_tokens = segment.tokens.iter().filter(|token| **token < eot).count();
        let mut taken = 0;
        let mut words = Vec::new();
        while taken < text_tokens
            && let Some(timing) = timings.next()
        {
            taken += timing.tokens.len();
            if !timing.word.is_empty() {
                words.push(Word {
                    word: timing.word,
                    start: round_to_hundredths(offset + timing.start),
                    end: round_to_hundredths(offset + timing.end),
                    probability: timing.probability,
                });
            }
        }
        if !words.is_empty() {
            shorten_after_pause(&mut words, last_speech_end, durations);
            settle_edges(segment, &mut words, durations.median);
            last_speech_end = segment.end;
        }
        segment.words = Some(words);
    }
}

/// A sentence end, or the word after one, that is too long has swallowed a pause.
fn shorten_at_sentence_ends(words: &mut [WordTiming], max: f64) {
    for i in 1..words.len() {
        if words[i].end - words[i].start > max {
            if SENTENCE_ENDS.contains(&words[i].word) {
                words[i].end = words[i].start + max;
            } else if SENTENCE_ENDS.contains(&words[i - 1].word) {
                words[i].start = words[i].end - max;
            }
        }
    }
}

/// The first two words after a pause have often swallowed it.
fn shorten_after_pause(words: &mut [Word], last_speech_end: f64, durations: Durations) {
    let Durations { median, max } = durations;
    let first_is_long = words[0].end - words[0].start > max;
    let two_are_long = words.get(1).is_some_and(|second| second.end - words[0].start > 2.0 * max);
    if words[0].end - last_speech_end <= 4.0 * median || !(first_is_long || two_are_long) {
        return;
    }
    if let [first, second, ..] = words
        && second.end - second.start > max
    {
        let boundary = (second.end / 2.0).max(second.end - max);
        first.end = boundary;
        second.start = boundary;
    }
    words[0].start = (words[0].end - max).max(0.0);
}

/// Segments take the times of their outer words, except where such a word sticks out too far: then it takes the segment's.
fn settle_edges(segment: &mut Segment, words: &mut [Word], median: f64) {
    let first = &mut words[0];
    if segment.start < first.end && segment.start - EDGE_TOLERANCE > first.start {
        first.start = (first.end - median).min(segment.start).max(0.0);
    } else {
        segment.start = first.start;
    }
    if let Some(last) = words.last_mut() {
        if segment.end > last.start && segment.end + EDGE_TOLERANCE < last.end {
            last.end = (last.start + median).max(segment.end);
        } else {
            segment.end = last.end;
        }
    }
}
