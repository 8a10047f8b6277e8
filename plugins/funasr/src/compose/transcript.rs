//! The transcript as it grows: what was heard in each stretch of speech becomes segments, with marks where there is a punctuation model.

use std::collections::VecDeque;

use syrinx_plugin_api::{Segment, Word};

use super::surface;
use crate::error::FunasrError;
use crate::punctuation::Punctuator;
use crate::punctuation::realtime::RealtimeState;
use crate::punctuation::restore::{Marked, Restoration};
use crate::text::sentence::Span;
use crate::vad::Event;

/// What was heard in a stretch of speech.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The stretch, ms.
    pub stretch: Event,
    /// Its text, without tags.
    pub text: String,
    /// Units of the text.
    pub units: Vec<String>,
    /// When they are said, ms from the start of the stretch.
    pub spans: Option<Vec<Span>>,
    /// Code of the language, where the model tells.
    pub language: Option<String>,
    /// Emotion, where the model tells.
    pub emotion: Option<String>,
    /// Event, where the model tells.
    pub event: Option<String>,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// What lies between two marks; needs times.
    Sentence,
    /// A stretch of speech.
    Stretch,
}

/// Builds segments.
pub struct Composer<'a> {
    grouping: Grouping,
    marking: Marking<'a>,
    /// Stretches whose units wait for their marks, with the number of the first one.
    stretches: VecDeque<Heard>,
    first: usize,
    /// Characters of units that wait for their marks.
    waiting: VecDeque<Waiting>,
    open: Option<Open>,
    joined: String,
}

enum Marking<'a> {
    /// Text as it is.
    None,
    /// By a model for whole texts.
    Whole(&'a Punctuator, Option<Restoration<'a>>),
    /// By a model for text that arrives.
    Realtime(&'a Punctuator, RealtimeState),
}

/// A unit of which `characters` are still to come.
#[derive(Clone, Debug)]
struct Waiting {
    stretch: usize,
    span: Option<Span>,
    characters: usize,
}

/// A segment in the making.
#[derive(Clone, Debug, Default)]
struct Open {
    stretch: usize,
    text: String,
    /// Times of its units so far, ms.
    span: Option<Span>,
    words: Vec<Word>,
    /// The part of the current unit that is written.
    word: String,
}

impl<'a> Composer<'a> {
    /// Before anything is heard.
    #[must_use]
    pub fn new(punctuator: Option<&'a Punctuator>, grouping: Grouping, split_size: usize) -> Self {
        let marking = match punctuator {
            None => Marking::None,
            Some(punctuator) if punctuator.is_realtime() => Marking::Realtime(punctuator, RealtimeState::default()),
            Some(punctuator) => Marking::Whole(punctuator, Some(punctuator.begin(split_size))),
        };
        Self {
            grouping,
            marking,
            stretches: VecDeque::new(),
            first: 0,
            waiting: VecDeque::new(),
            open: None,
            joined: String::new(),
        }
    }

    /// Takes what was heard next; segments that can't change any more come back.
    ///
    /// # Errors
    /// The punctuation model fails.
    pub fn push(&mut self, heard: Heard) -> Result<Vec<Segment>, FunasrError> {
        if heard.text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let text = match &mut self.marking {
            Marking::Realtime(punctuator, state) => punctuator.punctuate_next(state, &heard.text)?,
            _ => heard.text.clone(),
        };
        let added = surface::append(&mut self.joined, &text);
        self.wait_for(heard);
        match &mut self.marking {
            Marking::Whole(punctuator, Some(restoration)) => {
                let words = punctuator.words().split(&added);
                let marked = punctuator.push(restoration, words)?;
                Ok(self.write(marked))
            }
            _ => {
                // Marks of other models are characters that belong to no unit.
                let mut segments = Vec::new();
                self.characters(&added, &mut segments);
                self.waiting.clear();
                segments.extend(self.close());
                Ok(segments)
            }
        }
    }

    /// Ends the transcript.
    ///
    /// # Errors
    /// The punctuation model fails.
    pub fn finish(&mut self) -> Result<Vec<Segment>, FunasrError> {
        let mut segments = Vec::new();
        if let Marking::Whole(punctuator, restoration) = &mut self.marking
            && let Some(restoration) = restoration.take()
        {
            let marked = punctuator.finish(restoration)?;
            segments = self.write(marked);
        }
        segments.extend(self.close());
        Ok(segments)
    }

    fn wait_for(&mut self, heard: Heard) {
        let stretch = self.first + self.stretches.len();
        let offset = heard.stretch[0];
        let spans = heard.spans.as_deref().unwrap_or_default();
        if heard.units.is_empty() {
            let characters = heard.text.chars().filter(|character| !character.is_whitespace()).count();
            self.waiting.push_back(Waiting { stretch, span: None, characters });
        }
        for (i, unit) in heard.units.iter().enumerate() {
            let span = spans.get(i).map(|[start, end]| [start + offset, end + offset]);
            self.waiting.push_back(Waiting { stretch, span, characters: unit.chars().count() });
        }
        self.stretches.push_back(heard);
    }

    fn write(&mut self, marked: Vec<Marked>) -> Vec<Segment> {
        let mut segments = Vec::new();
        for marked in marked {
            self.characters(&marked.written, &mut segments);
            if marked.mark.is_empty() {
                continue;
            }
            if let Some(open) = &mut self.open {
                open.text.push_str(&marked.mark);
            }
            if self.grouping == Grouping::Sentence {
                segments.extend(self.close());
            }
        }
        segments
    }

    /// Writes characters, each of which belongs to the next unit that waits; spaces belong to the word after them.
    fn characters(&mut self, text: &str, segments: &mut Vec<Segment>) {
        for character in text.chars() {
            let stretch = self.waiting.front().map(|unit| unit.stretch);
            let leaves = self.open.as_ref().zip(stretch).is_some_and(|(open, stretch)| open.stretch != stretch);
            if leaves && self.grouping == Grouping::Stretch {
                segments.extend(self.close());
            }
            let last = self.first + self.stretches.len().saturating_sub(1);
            let open = self.open.get_or_insert_with(|| Open { stretch: stretch.unwrap_or(last), ..Open::default() });
            open.text.push(character);
            open.word.push(character);
            if character.is_whitespace() {
                continue;
            }
            let Some(unit) = self.waiting.front_mut() else { continue };
            unit.characters = unit.characters.saturating_sub(1);
            if unit.characters > 0 {
                continue;
            }
            let word = std::mem::take(&mut open.word);
            if let Some([start, end]) = unit.span {
                let from = open.span.map_or(start, |span| span[0]);
                open.span = Some([from, end]);
                open.words.push(Word { word, start: seconds(start), end: seconds(end), probability: None });
            }
            self.waiting.pop_front();
        }
    }

    fn close(&mut self) -> Option<Segment> {
        let open = self.open.take()?;
        while self.first < open.stretch && self.stretches.len() > 1 {
            self.stretches.pop_front();
            self.first += 1;
        }
        let heard = self.stretches.front()?;
        let [start, end] = open.span.unwrap_or(heard.stretch);
        Some(Segment {
            start: seconds(start),
            end: seconds(end.max(start)),
            text: open.text,
            words: (!open.words.is_empty()).then_some(open.words),
            language: heard.language.clone(),
            emotion: heard.emotion.clone(),
            event: heard.event.clone(),
            ..Segment::default()
        })
    }
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(start: i64, text: &str, timed: bool) -> Heard {
        let units: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let spans = (0..units.len() as i64).map(|i| [i * 100, i * 100 + 90]).collect();
        Heard {
            stretch: [start, start + 1000],
            text: text.to_owned(),
            units: if timed { units } else { Vec::new() },
            spans: timed.then_some(spans),
            ..Heard::default()
        }
    }

    #[test]
    fn stretches_join_with_spaces_where_they_belong() {
        let mut composer = Composer::new(None, Grouping::Stretch, 20);
        let mut segments = Vec::new();
        for (start, text) in [(0, "你 好"), (2000, "世 界"), (4000, "hello world"), (6000, "  ")] {
            segments.extend(composer.push(heard(start, text, true)).unwrap());
        }
        segments.extend(composer.finish().unwrap());
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        assert_eq!(texts, ["你 好", "世 界", " hello world"]);
        let words = segments[2].words.as_ref().unwrap();
        assert_eq!((words[1].word.as_str(), words[1].start, words[1].end), (" world", 4.1, 4.19));
        assert_eq!((segments[1].start, segments[1].end), (2.0, 2.19));
    }

    #[test]
    fn stretches_without_times_last_as_long_as_they_are() {
        let mut composer = Composer::new(None, Grouping::Stretch, 20);
        let segments = composer.push(heard(3000, "hello world", false)).unwrap();
        assert_eq!((segments[0].start, segments[0].end, &segments[0].words), (3.0, 4.0, &None));
    }
}
