//! Whisper's tokenizer: byte-level pairs, special tokens, timestamps, and the division of a token list into words.
//!
//! Text that looks like a special token (`<|en|>` in a prompt) is encoded as plain text, so nobody can smuggle control tokens in.

mod alphabet;
mod files;
mod split;
mod suppress;
#[cfg(test)]
mod tests;
mod vocabulary;
mod words;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::languages::LANGUAGES;
use crate::prompt::Task;
use vocabulary::Vocabulary;
pub use words::Word;

/// Timestamp tokens: 0.00, 0.02 … 30.00 seconds. Source: openai/whisper `whisper/tokenizer.py: get_encoding`.
pub const TIMESTAMPS: u32 = 1501;

/// Special tokens that are neither languages nor timestamps: end of text, start of transcript, translate, transcribe,
/// start of LM, start of previous, no speech, no timestamps.
const OTHER_SPECIALS: usize = 8;

/// Ordinary tokens of the GPT-2 vocabulary, which only the English models use. Source: openai/whisper, `*.en` models.
const ENGLISH_TOKENS: usize = 50_256;

/// Why a vocabulary can't be used.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TokenizerError {
    #[error("can't read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a vocabulary: {source}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error(
        "{} has no vocabulary: it needs tokenizer.json, or vocab.json with added_tokens.json, or vocabulary.json / vocabulary.txt, or \
         multilingual.tiktoken / gpt2.tiktoken. Checkpoints of openai/whisper (*.pt) and GGUF files come without one: put one of these \
         next to it, or give the model's catalogue entry the asset \"whisper-vocabulary\"",
        dir.display()
    )]
    NoFiles { dir: PathBuf },
    #[error("{}, line {line}, is not a token in base 64 and its number in order", path.display())]
    Line { path: PathBuf, line: usize },
    #[error(transparent)]
    Ggml(#[from] syrinx_plugin_common::checkpoint::CheckpointError),
    #[error("{} has no <|endoftext|> token, so it is not a Whisper vocabulary", path.display())]
    NoEndOfText { path: PathBuf },
    #[error("{} has no token number {id}: the vocabulary is incomplete, download it again", path.display())]
    MissingToken { path: PathBuf, id: u32 },
    #[error("the vocabulary has no token for the byte {byte:#04x}: it is incomplete, download it again")]
    MissingByte { byte: u8 },
    #[error(
        "the vocabulary has {tokens} ordinary tokens, but the model only {model} in all: they don't belong together"
    )]
    TooLarge { tokens: usize, model: usize },
}

/// Ids of the special tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Specials {
    /// `<|endoftext|>`; ids below it are text.
    pub eot: u32,
    /// `<|startoftranscript|>`
    pub sot: u32,
    /// Number of language tokens, which follow `sot`.
    pub languages: usize,
    /// `<|translate|>`
    pub translate: u32,
    /// `<|transcribe|>`
    pub transcribe: u32,
    /// `<|startoflm|>`
    pub sot_lm: u32,
    /// `<|startofprev|>`
    pub sot_prev: u32,
    /// `<|nospeech|>`, called `<|nocaptions|>` in older files.
    pub no_speech: u32,
    /// `<|notimestamps|>`
    pub no_timestamps: u32,
    /// `<|0.00|>`; timestamps are the ids from here.
    pub timestamp_begin: u32,
}

impl Specials {
    /// Looks the tokens up by name; those that a file does not name have their place by arithmetic.
    fn new(tokens: usize, named: &HashMap<String, u32>, model_vocabulary: usize) -> Self {
        let by_name = |names: &[&str]| names.iter().find_map(|name| named.get(*name).copied());
        let eot = tokens as u32;
        let sot = by_name(&["<|startoftranscript|>"]).unwrap_or(eot + 1);
        let counted = model_vocabulary.saturating_sub(tokens + OTHER_SPECIALS + TIMESTAMPS as usize);
        let translate = by_name(&["<|translate|>"]).unwrap_or(sot + 1 + counted.min(LANGUAGES.len()) as u32);
        let transcribe = by_name(&["<|transcribe|>"]).unwrap_or(translate + 1);
        let sot_lm = by_name(&["<|startoflm|>"]).unwrap_or(transcribe + 1);
        let sot_prev = by_name(&["<|startofprev|>"]).unwrap_or(sot_lm + 1);
        let no_speech = by_name(&["<|nospeech|>", "<|nocaptions|>"]).unwrap_or(sot_prev + 1);
        let no_timestamps = by_name(&["<|notimestamps|>"]).unwrap_or(no_speech + 1);
        let timestamp_begin = by_name(&["<|0.00|>"]).unwrap_or(no_timestamps + 1);
        let languages = (translate.saturating_sub(sot + 1) as usize).min(LANGUAGES.len());
        Self { eot, sot, languages, translate, transcribe, sot_lm, sot_prev, no_speech, no_timestamps, timestamp_begin }
    }
}

/// A vocabulary with its special tokens.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    specials: Specials,
    names: HashMap<u32, String>,
    multilingual: bool,
}

impl Tokenizer {
    /// Loads the vocabulary of a model directory.
    ///
    /// `model_vocabulary` is the number of rows of the token embedding. `multilingual` is what the model's configuration says;
    /// without a word from it, every vocabulary but GPT-2's is multilingual.
    ///
    /// # Errors
    /// No vocabulary file, a broken one, or one that does not fit the model.
    pub fn load(dir: &Path, model_vocabulary: usize, multilingual: Option<bool>) -> Result<Self, TokenizerError> {
        let listing = files::read(dir, model_vocabulary)?;
        let tokens = listing.tokens.len();
        if tokens + 1 > model_vocabulary {
            return Err(TokenizerError::TooLarge { tokens, model: model_vocabulary });
        }
        let specials = Specials::new(tokens, &listing.specials, model_vocabulary);
        let mut names: HashMap<u32, String> = listing.specials.into_iter().map(|(name, id)| (id, name)).collect();
        name_the_unnamed(&mut names, &specials);
        Ok(Self {
            vocabulary: Vocabulary::new(listing.tokens)?,
            specials,
            names,
            multilingual: multilingual.unwrap_or(tokens != ENGLISH_TOKENS),
        })
    }

    /// Ids of the special tokens.
    #[must_use]
    pub fn specials(&self) -> &Specials {
        &self.specials
    }

    /// Whether prompts name a language and a task.
    #[must_use]
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// Number of tokens, timestamps included.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.specials.timestamp_begin + TIMESTAMPS) as usize
    }

    /// Never true: a vocabulary has at least the bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Codes of the languages that have a token, in token order.
    pub fn languages(&self) -> impl Iterator<Item = &'static str> {
        LANGUAGES[..self.specials.languages].iter().map(|(code, _)| *code)
    }

    /// Token of a language.
    #[must_use]
    pub fn language_token(&self, code: &str) -> Option<u32> {
        let position = self.languages().position(|known| known == code)?;
        Some(self.specials.sot + 1 + position as u32)
    }

    /// Token of a task.
    #[must_use]
    pub fn task_token(&self, task: Task) -> u32 {
        match task {
            Task::Transcribe => self.specials.transcribe,
            Task::Translate => self.specials.translate,
        }
    }

    /// Bytes of an ordinary token.
    #[must_use]
    pub fn bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocabulary.bytes(id)
    }

    /// The tokens of a text. Nothing in it is taken for a special token.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        for piece in split::pieces(text) {
            self.vocabulary.encode_piece(piece.as_bytes(), &mut ids);
        }
        ids
    }

    /// The text of tokens, without timestamps; other special tokens are written by name. Broken UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        let begin = self.specials.timestamp_begin;
        self.decode_all(ids.iter().copied().filter(|id| *id < begin))
    }

    /// The text of tokens, with timestamps as `<|1.08|>`.
    #[must_use]
    pub fn decode_with_timestamps(&self, ids: &[u32]) -> String {
        self.decode_all(ids.iter().copied())
    }

    /// The text of the ordinary tokens alone: what a listener reads.
    #[must_use]
    pub fn decode_text(&self, ids: &[u32]) -> String {
        let eot = self.specials.eot;
        self.decode_all(ids.iter().copied().filter(|id| *id < eot))
    }

    fn decode_all(&self, ids: impl Iterator<Item = u32>) -> String {
        let mut bytes = Vec::new();
        for id in ids {
            match (self.vocabulary.bytes(id), self.names.get(&id)) {
                (Some(token), _) => bytes.extend_from_slice(token),
                (None, Some(name)) => bytes.extend_from_slice(name.as_bytes()),
                (None, None) => {
                    let steps = id.saturating_sub(self.specials.timestamp_begin);
                    bytes.extend_from_slice(format!("<|{}.{:02}|>", steps / 50, steps % 50 * 2).as_bytes());
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Gives the special tokens that the file does not list the names they have everywhere.
fn name_the_unnamed(names: &mut HashMap<u32, String>, specials: &Specials) {
    let languages = LANGUAGES[..specials.languages].iter().enumerate();
    let languages = languages.map(|(i, (code, _))| (specials.sot + 1 + i as u32, *code));
    let others = [
        (specials.eot, "endoftext"),
        (specials.sot, "startoftranscript"),
        (specials.translate, "translate"),
        (specials.transcribe, "transcribe"),
        (specials.sot_lm, "startoflm"),
        (specials.sot_prev, "startofprev"),
        (specials.no_speech, "nospeech"),
        (specials.no_timestamps, "notimestamps"),
    ];
    for (id, name) in others.into_iter().chain(languages) {
        names.entry(id).or_insert_with(|| format!("<|{name}|>"));
    }
}

/// A tokenizer of the bytes alone with 99 languages, for tests.
#[cfg(test)]
#[expect(clippy::expect_used, reason = "all bytes are there")]
pub(crate) fn of_bytes() -> Tokenizer {
    let bytes = (0..=u8::MAX).map(|byte| vec![byte].into_boxed_slice()).collect();
    let specials = Specials::new(256, &HashMap::new(), 256 + OTHER_SPECIALS + 99 + TIMESTAMPS as usize);
    let mut names = HashMap::new();
    name_the_unnamed(&mut names, &specials);
    Tokenizer { vocabulary: Vocabulary::new(bytes).expect("all bytes"), specials, names, multilingual: true }
}
