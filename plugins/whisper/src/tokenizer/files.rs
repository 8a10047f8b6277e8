//! The official files that hold a vocabulary, in order of preference: `tokenizer.json`; `vocab.json` with
//! `added_tokens.json`; `vocabulary.json` or `vocabulary.txt` of CTranslate2; openai's `multilingual.tiktoken` and `gpt2.tiktoken`;
//! whisper.cpp's model file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use syrinx_plugin_common::checkpoint::ggml;

use super::TokenizerError;
use super::alphabet::Alphabet;
use crate::checkpoint::ggml_file;

/// Name of the token that ends a text; ordinary tokens are the ids below it.
const END_OF_TEXT: &str = "<|endoftext|>";

/// openai's vocabulary files, and the size of the vocabulary from which on a model has the second.
/// Source: openai/whisper `whisper/model.py: Whisper.is_multilingual`, `whisper/tokenizer.py: get_encoding`.
const ENGLISH_RANKS: &str = "gpt2.tiktoken";
const MULTILINGUAL_RANKS: &str = "multilingual.tiktoken";
const MULTILINGUAL_VOCABULARY: usize = 51_865;

/// What the files say: ordinary tokens by id, and the ids of the special ones by name.
pub(super) struct Listing {
    pub(super) tokens: Vec<Box<[u8]>>,
    pub(super) specials: HashMap<String, u32>,
}

/// Reads the vocabulary of a model directory. `model_vocabulary` tells openai's two apart.
pub(super) fn read(dir: &Path, model_vocabulary: usize) -> Result<Listing, TokenizerError> {
    let tokenizer = dir.join("tokenizer.json");
    if tokenizer.is_file() {
        return read_tokenizer_json(&tokenizer);
    }
    let vocab = dir.join("vocab.json");
    if vocab.is_file() {
        return read_vocab_json(&vocab, &dir.join("added_tokens.json"));
    }
    let vocabulary = dir.join("vocabulary.json");
    if vocabulary.is_file() {
        let text = read_text(&vocabulary)?;
        let names: Vec<Cow<'_, str>> = parse(&vocabulary, &text)?;
        return listing(&vocabulary, (0..).zip(names));
    }
    let lines = dir.join("vocabulary.txt");
    if lines.is_file() {
        let text = read_text(&lines)?;
        return listing(&lines, (0..).zip(text.lines().map(Cow::Borrowed)));
    }
    let ranks = dir.join(if model_vocabulary < MULTILINGUAL_VOCABULARY { ENGLISH_RANKS } else { MULTILINGUAL_RANKS });
    if ranks.is_file() {
        return read_tiktoken(&ranks);
    }
    if let Some(model) = ggml_file(dir) {
        return read_ggml(&model);
    }
    Err(TokenizerError::NoFiles { dir: dir.to_owned() })
}

/// The parts of `tokenizer.json` that matter.
#[derive(Deserialize)]
struct TokenizerJson<'a> {
    #[serde(borrow)]
    model: TokenizerModel<'a>,
    #[serde(borrow, default)]
    added_tokens: Vec<AddedToken<'a>>,
}

#[derive(Deserialize)]
struct TokenizerModel<'a> {
    #[serde(borrow)]
    vocab: Entries<'a>,
    #[serde(default)]
    #[expect(dead_code, reason = "skips the largest part of the file without building it")]
    merges: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct AddedToken<'a> {
    id: u32,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

/// A JSON object from token to id, kept as a list.
struct Entries<'a>(Vec<(Cow<'a, str>, u32)>);

/// A borrowed string where the file has no escapes (serde borrows only when told so).
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;
        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object from token to id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(51_000);
                while let Some((Name(name), id)) = map.next_entry::<Name<'de>, u32>()? {
                    entries.push((name, id));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor)
    }
}

fn read_tokenizer_json(path: &Path) -> Result<Listing, TokenizerError> {
    let text = read_text(path)?;
    let file: TokenizerJson<'_> = parse(path, &text)?;
    let added = file.added_tokens.into_iter().map(|token| (token.id, token.content));
    listing(path, file.model.vocab.0.into_iter().map(|(name, id)| (id, name)).chain(added))
}

fn read_vocab_json(path: &Path, added_path: &Path) -> Result<Listing, TokenizerError> {
    let text = read_text(path)?;
    let vocab: Entries<'_> = parse(path, &text)?;
    let added_text = if added_path.is_file() { read_text(added_path)? } else { "{}".to_owned() };
    let added: Entries<'_> = parse(added_path, &added_text)?;
    listing(path, vocab.0.into_iter().chain(added.0).map(|(name, id)| (id, name)))
}

/// The vocabulary in a model file of whisper.cpp: ordinary tokens only (older English files end with that of the end of text).
fn read_ggml(path: &Path) -> Result<Listing, TokenizerError> {
    let mut tokens = ggml::vocabulary(path)?;
    if tokens.last().is_some_and(|last| last == END_OF_TEXT.as_bytes()) {
        tokens.pop();
    }
    Ok(Listing { tokens: tokens.into_iter().map(Vec::into_boxed_slice).collect(), specials: HashMap::new() })
}

/// openai's vocabulary: a line for each ordinary token, its bytes in base 64 and its id.
fn read_tiktoken(path: &Path) -> Result<Listing, TokenizerError> {
    let text = read_text(path)?;
    let malformed = |line: usize| TokenizerError::Line { path: path.to_owned(), line: line + 1 };
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (token, id) = line.split_once(' ').ok_or_else(|| malformed(number))?;
        if id.parse() != Ok(number) {
            return Err(malformed(number));
        }
        // The last multilingual token has no bytes, which is written as a lone padding character.
        let bytes = BASE64.decode(token.trim_end_matches('=')).map_err(|_| malformed(number))?;
        tokens.push(bytes.into_boxed_slice());
    }
    Ok(Listing { tokens, specials: HashMap::new() })
}

fn read_text(path: &Path) -> Result<String, TokenizerError> {
    fs::read_to_string(path).map_err(|source| TokenizerError::Read { path: path.to_owned(), source })
}

fn parse<'a, T: Deserialize<'a>>(path: &Path, text: &'a str) -> Result<T, TokenizerError> {
    serde_json::from_str(text).map_err(|source| TokenizerError::Parse { path: path.to_owned(), source })
}

/// Sorts the entries of a file into ordinary tokens (ids below the end of text) and special ones.
fn listing<'a>(path: &Path, entries: impl Iterator<Item = (u32, Cow<'a, str>)>) -> Result<Listing, TokenizerError> {
    let entries: Vec<(u32, Cow<'a, str>)> = entries.collect();
    let end = entries
        .iter()
        .find(|(_, name)| name == END_OF_TEXT)
        .map(|(id, _)| *id)
        .ok_or_else(|| TokenizerError::NoEndOfText { path: path.to_owned() })?;
    if end as usize > entries.len() {
        return Err(TokenizerError::MissingToken { path: path.to_owned(), id: entries.len() as u32 });
    }
    let alphabet = Alphabet::new();
    let mut tokens: Vec<Option<Box<[u8]>>> = vec![None; end as usize];
    let mut specials = HashMap::new();
    for (id, name) in entries {
        match tokens.get_mut(id as usize) {
            // A token outside of the byte alphabet was added by hand: its text is its bytes.
            Some(slot) => *slot = Some(alphabet.bytes(&name).unwrap_or_else(|| name.as_bytes().to_vec()).into()),
            None => {
                specials.insert(name.into_owned(), id);
            }
        }
    }
    let first_missing = tokens.iter().position(Option::is_none);
    match first_missing {
        Some(id) => Err(TokenizerError::MissingToken { path: path.to_owned(), id: id as u32 }),
        None => Ok(Listing { tokens: tokens.into_iter().flatten().collect(), specials }),
    }
}
