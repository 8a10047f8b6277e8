//! A transcript as it grows, and as it is in the end.

use super::speakers::Speakers;
use crate::http::in_flight;
use syrinx_plugin_api::{Segment, Task, TokenLogprob, TranscriptEvent, Word};

/// Everything that a response format may want to show.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    pub(crate) task: Task,
    /// Code of the language spoken, when known.
    pub(crate) language: Option<String>,
    /// Length of the input audio in seconds.
    pub(crate) duration: f64,
    /// Without white space at either end.
    pub(crate) text: String,
    /// In order, within the audio.
    pub(crate) segments: Vec<Segment>,
    /// In order, without surrounding white space; present when asked for, or when the model gives them anyway.
    pub(crate) words: Option<Vec<Word>>,
    /// Present when asked for.
    pub(crate) logprobs: Option<Vec<TokenLogprob>>,
}

/// Takes a job's events and makes deltas and, in the end, the transcript of them.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    transcript: Transcript,
    /// White space at the end so far: it belongs to the text only when more follows.
    pending_space: String,
    speakers: Speakers,
    /// Whether every segment gets a speaker.
    all_have_speakers: bool,
}

impl Growing {
    /// Nothing yet, of `duration` seconds of audio (kept to the millisecond, as all times are).
    pub(crate) fn new(task: Task, duration: f64, words: bool, logprobs: bool) -> Self {
        let duration = (duration * 1000.0).round() / 1000.0;
        let transcript = Transcript {
            task,
            duration,
            words: words.then(Vec::new),
            logprobs: logprobs.then(Vec::new),
            ..Transcript::default()
        };
        Self { transcript, ..Self::default() }
    }

    /// Calls speakers by the names that the caller gave, `known`. With `all`, every segment gets a speaker, also those that the model does not attribute.
    #[must_use]
    pub(crate) fn diarized(mut self, known: Vec<String>, all: bool) -> Self {
        self.speakers = Speakers::new(known);
        self.all_have_speakers = all;
        self
    }

    /// Takes an event; gives the text that it adds, if any.
    pub(crate) fn push(&mut self, event: TranscriptEvent) -> Option<String> {
        match event {
            TranscriptEvent::Language { language, .. } => {
                self.transcript.language.get_or_insert(language);
                None
            }
            TranscriptEvent::Segment { segment } => Some(self.add(segment)).filter(|delta| !delta.is_empty()),
            TranscriptEvent::Logprobs { tokens } => {
                if let Some(logprobs) = &mut self.transcript.logprobs {
                    logprobs.extend(tokens);
                }
                None
            }
            _ => None,
        }
    }

    /// Takes a segment; gives the text that it adds.
    fn add(&mut self, mut segment: Segment) -> String {
        let duration = self.transcript.duration;
        let earliest = self.transcript.segments.last().map_or(0.0, |last| last.start);
        segment.id = self.transcript.segments.len();
        segment.start = within(segment.start, earliest, duration);
        segment.end = within(segment.end, segment.start, duration);
        if self.all_have_speakers || segment.speaker.is_some() {
            segment.speaker = Some(self.speakers.label(segment.speaker.as_deref()));
        }
        if let Some(words) = segment.words.take() {
            let all = self.transcript.words.get_or_insert_default();
            for word in words {
                let text = word.word.trim();
                if !text.is_empty() {
                    let earliest = all.last().map_or(0.0, |last| last.start);
                    let start = within(word.start, earliest, duration);
                    let end = within(word.end, start, duration);
                    all.push(Word { word: text.to_owned(), start, end, ..word });
                }
            }
        }
        in_flight::reached(segment.end / duration);
        let delta = self.join(&segment.text);
        self.transcript.segments.push(segment);
        delta
    }

    /// Appends to the text. White space at its beginning goes, that at the end waits.
    fn join(&mut self, text: &str) -> String {
        let kept = text.trim_end();
        let mut delta = String::new();
        if kept.is_empty() {
            self.pending_space.push_str(text);
        } else {
            if self.transcript.text.is_empty() {
                delta.push_str(kept.trim_start());
            } else {
                delta.push_str(&self.pending_space);
                delta.push_str(kept);
            }
            text[kept.len()..].clone_into(&mut self.pending_space);
        }
        self.transcript.text.push_str(&delta);
        delta
    }

    /// What there is so far.
    pub(crate) fn so_far(&self) -> &Transcript {
        &self.transcript
    }

    /// The end.
    pub(crate) fn finish(self) -> Transcript {
        self.transcript
    }
}

/// A time in seconds, to the millisecond, within bounds.
fn within(time: f64, earliest: f64, latest: f64) -> f64 {
    let time = if time.is_finite() { (time * 1000.0).round() / 1000.0 } else { earliest };
    time.clamp(earliest, latest.max(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str, start: f64, end: f64) -> TranscriptEvent {
        TranscriptEvent::Segment { segment: Segment { text: text.to_owned(), start, end, ..Segment::default() } }
    }

    #[test]
    fn deltas_concatenate_to_the_text() {
        let mut growing = Growing::new(Task::Transcribe, 10.0, false, false);
        let texts = [" Hello", " world. ", "", "  ", " And on.\n", " "];
        let deltas: Vec<String> = texts.iter().filter_map(|text| growing.push(segment(text, 0.0, 1.0))).collect();
        assert_eq!(deltas.concat(), "Hello world.    And on.");
        assert_eq!(growing.finish().text, deltas.concat());
    }

    #[test]
    fn times_are_in_order_and_within_the_audio() {
        let mut growing = Growing::new(Task::Transcribe, 3.5, false, false);
        for (start, end) in [(-1.0, 1.00049), (0.5, 0.2), (f64::NAN, 2.0), (3.0, 30.0), (9.0, 10.0)] {
            growing.push(segment(" x", start, end));
        }
        let times: Vec<_> = growing.finish().segments.iter().map(|s| (s.id, s.start, s.end)).collect();
        assert_eq!(times, [(0, 0.0, 1.0), (1, 0.5, 0.5), (2, 0.5, 2.0), (3, 3.0, 3.5), (4, 3.5, 3.5)]);
    }

    #[test]
    fn speakers_are_named_when_the_model_tells_them_apart() {
        let speaking = |speaker: Option<&str>| TranscriptEvent::Segment {
            segment: Segment { text: " x".into(), speaker: speaker.map(str::to_owned), ..Segment::default() },
        };
        let of = |mut growing: Growing| -> Vec<Option<String>> {
            for speaker in [None, Some("spk1"), Some("Ann")] {
                growing.push(speaking(speaker));
            }
            growing.finish().segments.into_iter().map(|segment| segment.speaker).collect()
        };
        let plain = of(Growing::new(Task::Transcribe, 1.0, false, false));
        assert_eq!(plain, [None, Some("A".to_owned()), Some("B".to_owned())]);
        let diarized =
            |all: bool| of(Growing::new(Task::Transcribe, 1.0, false, false).diarized(vec!["Ann".into()], all));
        assert_eq!(diarized(true), ["A", "B", "Ann"].map(|label| Some(label.to_owned())));
        assert_eq!(diarized(false), [None, Some("A"), Some("Ann")].map(|label| label.map(str::to_owned)));
    }

    #[test]
    fn words_are_collected() {
        let mut growing = Growing::new(Task::Transcribe, 3.0, true, false);
        let words = vec![
            Word { word: " Hi".into(), start: 0.0, end: 0.4, probability: None },
            Word { word: " ".into(), start: 0.4, end: 0.5, probability: None },
        ];
        growing.push(TranscriptEvent::Segment { segment: Segment { words: Some(words), ..Segment::default() } });
        let words = growing.finish().words.unwrap();
        assert_eq!((words.len(), words[0].word.as_str()), (1, "Hi"));
    }
}
