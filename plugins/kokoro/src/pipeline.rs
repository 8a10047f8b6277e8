//! The way from a request to sound: text → lines → tokens and phonemes → pieces → network → joints → sink.

use std::collections::BTreeSet;

use regex::Regex;
use syrinx_plugin_api::{Error, Flow, PcmSink, SpeechEvent, SpeechRequest, SpeechSettings};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::chunk::{
    PIECE_LIMIT, Plan, Token, balanced_split, phonemes_of, raw_phonemes_fit, split_at_sentences, tokens_of_phonemes,
};
use crate::joint::{Boundary, JointState};
use crate::language::Language;
use crate::markup::{self, Part};
use crate::model::Kokoro;
use crate::options::{Phonemes, RequestParameters};
use crate::session::SAMPLE_RATE;
use crate::timestamps::join_timestamps;
use crate::vocab::MAX_PHONEMES;
use crate::voices::{Voice, style_row};

/// Characters that the front end gets at a time: a paragraph in one, so that its tagger sees whole sentences, but a book
/// chapter bit by bit.
const FRONT_END_CHARACTERS: usize = 1000;

/// Most samples of one push: a second.
const PUSH_SAMPLES: usize = SAMPLE_RATE as usize;

/// Whether to go on; `Break` after the sink said stop.
type Step = std::ops::ControlFlow<()>;

/// Speaks a request into `sink`. Returns early, without an error, when the sink says stop.
///
/// # Errors
///
/// A parameter or voice that can't be used, a front end whose data are missing, a text with nothing to say in it, and what
/// the network reports.
pub fn speak(model: &Kokoro, request: &SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
    let parameters: RequestParameters = request.parameters()?;
    let (voice, language) = model.voice_and_language(&request.settings, &parameters, sink)?;
    let source = Source::new(model, &request.settings, &parameters, language)?;
    let speed = request.settings.speed;
    let mut speech = Speech {
        model,
        voice,
        speed,
        seed: parameters.seed,
        sink,
        joint: JointState::new(speed),
        pushed: 0,
        spoke: false,
        unknown_symbols: BTreeSet::new(),
    };
    let mut plan = Plan::new(speed);
    let mut trailing_pause = None;

    for line in source.lines() {
        for part in markup::parts(line) {
            let text = match part {
                Part::Pause(seconds) => {
                    speech.joint.pause(seconds);
                    trailing_pause = Some(seconds);
                    continue;
                }
                Part::Text(text) => text,
            };
            for passage in split_at_sentences(text, FRONT_END_CHARACTERS) {
                let tokens = source.tokens(&passage)?;
                speech.warn_of_unknown_symbols(&tokens);
                for piece in plan.cut(&tokens) {
                    trailing_pause = None;
                    if speech.say(&tokens[piece])?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        speech.joint.pause_for(Boundary::Paragraph);
    }
    speech.finish(trailing_pause)
}

/// Where phonemes come from.
struct Source<'r> {
    text: &'r str,
    split: Option<Regex>,
    /// `None`: the text is phonemes.
    front_end: Option<(&'r Kokoro, Language)>,
}

impl<'r> Source<'r> {
    fn new(
        model: &'r Kokoro,
        settings: &'r SpeechSettings,
        parameters: &'r RequestParameters,
        language: Language,
    ) -> Result<Self, Error> {
        let split = parameters.split_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        let split = split.map(Regex::new).transpose().map_err(|error| {
            Error::invalid_input("split_pattern", format!("`split_pattern` is no pattern: {error}"))
        })?;
        let (text, raw) = match &parameters.phonemes {
            Some(Phonemes::Text(phonemes)) => (phonemes.as_str(), true),
            Some(Phonemes::Input(raw)) => (settings.text.as_str(), *raw),
            None => (settings.text.as_str(), false),
        };
        let source = Source { text: text.trim(), split, front_end: (!raw).then_some((model, language)) };
        if raw && let Some(line) = source.lines().find(|line| !raw_phonemes_fit(line)) {
            return Err(Error::invalid_input(
                "phonemes",
                format!(
                    "a line of {} phonemes is longer than the {MAX_PHONEMES} that fit into one utterance: break it up",
                    line.chars().count()
                ),
            ));
        }
        Ok(source)
    }

    fn lines(&self) -> impl Iterator<Item = &'r str> {
        let lines: Box<dyn Iterator<Item = &'r str> + '_> = match &self.split {
            Some(pattern) => Box::new(pattern.split(self.text)),
            None => Box::new(std::iter::once(self.text)),
        };
        lines.map(str::trim).filter(|line| !line.is_empty())
    }

    fn tokens(&self, text: &str) -> Result<Vec<Token>, Error> {
        match self.front_end {
            Some((model, language)) => model.front_ends().tokens(language, text),
            None => Ok(tokens_of_phonemes(text)),
        }
    }
}

/// Speech on its way to the sink.
struct Speech<'a, 's> {
    model: &'a Kokoro,
    voice: Voice,
    speed: f32,
    /// Of the next piece's noise.
    seed: u64,
    sink: &'a mut PcmSink<'s>,
    joint: JointState,
    /// Samples pushed so far.
    pushed: usize,
    /// Whether anything was said.
    spoke: bool,
    /// Symbols that the caller was told about.
    unknown_symbols: BTreeSet<char>,
}

impl Speech<'_, '_> {
    /// Tells the caller, once, of symbols that the model has no sound for; they are left out. Punctuation has none anyway.
    fn warn_of_unknown_symbols(&mut self, tokens: &[Token]) {
        let vocabulary = self.model.vocabulary();
        let mut new: Vec<char> = tokens
            .iter()
            .flat_map(|token| token.phonemes.chars())
            .filter(|symbol| !symbol.is_whitespace() && !vocabulary.knows(*symbol))
            .filter(|symbol| symbol.general_category_group() != GeneralCategoryGroup::Punctuation)
            .collect();
        new.retain(|symbol| self.unknown_symbols.insert(*symbol));
        if !new.is_empty() {
            let symbols: Vec<String> = new.iter().map(|symbol| format!("`{symbol}`")).collect();
            let message = format!("the model has no sound for {}, which is left out", symbols.join(", "));
            let _ = self.sink.note(SpeechEvent::Warning { message });
        }
    }

    /// Says one piece.
    fn say(&mut self, tokens: &[Token]) -> Result<Step, Error> {
        let phonemes = phonemes_of(tokens);
        // A piece is longer only when a single token is. It is cut up, so that the caller can stop a word without end too.
        if phonemes.chars().count() <= PIECE_LIMIT {
            return self.say_phonemes(&phonemes, tokens);
        }
        for batch in balanced_split(&phonemes, PIECE_LIMIT) {
            if self.say_phonemes(&batch.phonemes, &[])?.is_break() {
                return Ok(Step::Break(()));
            }
        }
        Ok(Step::Continue(()))
    }

    fn say_phonemes(&mut self, phonemes: &str, tokens: &[Token]) -> Result<Step, Error> {
        let ids = self.model.vocabulary().encode(phonemes);
        if ids.len() <= 2 {
            return Ok(Step::Continue(()));
        }
        if self.sink.flow() == Flow::Stop {
            return Ok(Step::Break(()));
        }
        let style = self.voice.row(style_row(phonemes.chars().count()));
        let utterance = self.model.network().speak(&ids, &style, self.speed, self.seed);
        let utterance = utterance.map_err(|error| crate::model::run_error(&error))?;
        self.seed = self.seed.wrapping_add(1);
        let Some(joined) = self.joint.join(utterance.samples, Boundary::after(phonemes)) else {
            return Ok(Step::Continue(()));
        };
        self.spoke = true;
        if let Some(durations) = utterance.durations {
            // Where the network's first sample is, had it been pushed.
            let origin = (self.pushed + joined.silence) as f64 - joined.offset as f64;
            for (token, span) in tokens.iter().zip(join_timestamps(tokens, &durations)) {
                let Some((start, end)) = span.filter(|_| !token.text.is_empty()) else { continue };
                let at = |seconds: f64| (seconds + origin / f64::from(SAMPLE_RATE)).max(0.0);
                let mark = SpeechEvent::Mark { text: token.text.clone(), start: at(start), end: at(end) };
                if self.sink.note(mark) == Flow::Stop {
                    return Ok(Step::Break(()));
                }
            }
        }
        if self.push_silence(joined.silence).is_break() {
            return Ok(Step::Break(()));
        }
        Ok(self.push(&joined.speech))
    }

    fn finish(mut self, trailing_pause: Option<f32>) -> Result<(), Error> {
        if !self.spoke {
            return Err(Error::invalid_input("input", "there is nothing in the text that can be spoken"));
        }
        let silence = std::mem::replace(&mut self.joint, JointState::new(1.0)).finish(trailing_pause);
        let _ = self.push_silence(silence);
        Ok(())
    }

    fn push_silence(&mut self, samples: usize) -> Step {
        static SILENCE: [f32; PUSH_SAMPLES] = [0.0; PUSH_SAMPLES];
        let mut left = samples;
        while left > 0 {
            let length = left.min(PUSH_SAMPLES);
            if self.push(&SILENCE[..length]).is_break() {
                return Step::Break(());
            }
            left -= length;
        }
        Step::Continue(())
    }

    fn push(&mut self, samples: &[f32]) -> Step {
        for block in samples.chunks(PUSH_SAMPLES) {
            self.pushed += block.len();
            if self.sink.push(block) == Flow::Stop {
                return Step::Break(());
            }
        }
        Step::Continue(())
    }
}
