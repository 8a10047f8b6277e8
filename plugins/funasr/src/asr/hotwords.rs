//! Hot words: from what a request says to ids, and from ids to embeddings.

use std::collections::HashMap;
use std::path::Path;

use syrinx_plugin_common::onnx::{Input, Session};

use crate::error::FunasrError;
use crate::text::tokens::Tokens;

/// Ends the list: "no hot word" (`<s>`).
const NONE: u32 = 1;
/// Pads words.
const PADDING: i32 = 0;
/// Ids of a word in the official graph; longer words are cut.
const OFFICIAL_IDS: usize = 10;
/// More words than this are no list of hot words but a mistake.
const MOST_WORDS: usize = 10_000;
/// Longest hot word, characters.
const LONGEST_WORD: usize = 100;

/// How words are spelt: `seg_dict`, from words to their pieces.
#[derive(Clone, Debug, Default)]
pub struct Spelling(HashMap<String, Vec<String>>);

impl Spelling {
    /// Reads a `seg_dict`: a word and its pieces a line.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(path: &Path) -> Result<Self, FunasrError> {
        let text = std::fs::read_to_string(path).map_err(|error| FunasrError::file(path, error))?;
        let entry = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_owned);
            Some((words.next()?, words.collect()))
        };
        Ok(Self(text.lines().filter_map(entry).collect()))
    }

    /// Pieces of words, as ids.
    fn ids(&self, words: &[&str], tokens: &Tokens) -> Vec<u32> {
        let unknown = tokens.id("<unk>");
        let mut ids = Vec::new();
        let mut spell = |word: &str| match self.0.get(word) {
            Some(pieces) => ids.extend(pieces.iter().map(|piece| tokens.id(piece))),
            None => ids.push(unknown),
        };
        for word in words {
            let word = word.to_lowercase();
            if !self.0.contains_key(&word) && word.chars().all(is_spelt) {
                for character in word.chars() {
                    spell(character.encode_utf8(&mut [0; 4]));
                }
            } else {
                spell(&word);
            }
        }
        ids
    }
}

/// Chinese characters and digits are spelt one by one.
fn is_spelt(character: char) -> bool {
    matches!(character, '\u{4e00}'..='\u{9fa5}' | '0'..='9')
}

/// Ids of the words in `text`, which are separated by white space; the last entry is "no hot word". Each word counts as one, unless
/// `lines` says that every line is one entry of several words (files).
///
/// Source: FunASR `models/seaco_paraformer/model.py: generate_hotwords_list`.
///
/// # Errors
/// Control characters, words that are too long, or too many.
pub fn tokenize(
    text: &str,
    lines: bool,
    spelling: Option<&Spelling>,
    tokens: &Tokens,
) -> Result<Vec<Vec<u32>>, FunasrError> {
    let entries: Vec<Vec<&str>> = if lines {
        text.lines().map(|line| line.split_whitespace().collect()).filter(|words: &Vec<_>| !words.is_empty()).collect()
    } else {
        text.split_whitespace().map(|word| vec![word]).collect()
    };
    if entries.len() > MOST_WORDS {
        let message = format!("{} words are more than the {MOST_WORDS} that are taken", entries.len());
        return Err(FunasrError::Hotword(message));
    }
    for word in entries.iter().flatten() {
        if let Some(control) = word.chars().find(|character| character.is_control()) {
            let message = format!("{word:?} holds the control character {control:?}; words are separated by spaces");
            return Err(FunasrError::Hotword(message));
        }
        if word.chars().count() > LONGEST_WORD {
            let start: String = word.chars().take(10).collect();
            let message = format!(
                "the word that begins with {start:?} is longer than {LONGEST_WORD} characters; words are separated by spaces"
            );
            return Err(FunasrError::Hotword(message));
        }
    }
    let ids = |words: &Vec<&str>| match spelling {
        Some(spelling) => spelling.ids(words, tokens),
        None => words.iter().map(|word| tokens.id(word)).collect(),
    };
    let mut list: Vec<Vec<u32>> = entries.iter().map(ids).filter(|ids| !ids.is_empty()).collect();
    list.push(vec![NONE]);
    Ok(list)
}

/// Embeddings of hot words: `[words, width]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BiasEmbeddings {
    /// Row-major values.
    pub data: Vec<f32>,
    /// Rows.
    pub words: usize,
    /// Values of a row.
    pub width: usize,
}

impl BiasEmbeddings {
    /// The same words for every utterance of a batch: `[utterances, words, width]`.
    #[must_use]
    pub fn repeated(&self, utterances: usize) -> Vec<f32> {
        self.data.repeat(utterances)
    }

    /// Some of the words.
    #[must_use]
    pub fn select(&self, words: &[usize]) -> Self {
        let row = |&word: &usize| &self.data[word * self.width..(word + 1) * self.width];
        Self { data: words.iter().flat_map(row).copied().collect(), words: words.len(), width: self.width }
    }
}

/// The graph that embeds hot words.
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    /// Ids of a word, where the graph fixes them.
    fixed: Option<usize>,
}

impl Embedder {
    /// An official `model_eb.onnx` (`is_official`), or the one that was made of a checkpoint.
    #[must_use]
    pub fn new(session: Session, is_official: bool) -> Self {
        Self { session, fixed: is_official.then_some(OFFICIAL_IDS) }
    }

    /// Embeds words: each by what the network has read at its last id.
    ///
    /// # Errors
    /// The run fails.
    pub fn embed(&self, words: &[Vec<u32>]) -> Result<BiasEmbeddings, FunasrError> {
        let width = self.fixed.unwrap_or_else(|| words.iter().map(Vec::len).max().unwrap_or(1));
        let lengths: Vec<usize> = words.iter().map(|ids| ids.len().clamp(1, width)).collect();
        let mut ids = vec![PADDING; words.len() * width];
        for (row, word) in ids.chunks_exact_mut(width).zip(words) {
            for (to, &id) in row.iter_mut().zip(word) {
                *to = id as i32;
            }
        }
        self.embed_padded(&ids, &lengths, width)
    }

    /// The same of ids `[words, width]` that are padded already.
    ///
    /// # Errors
    /// The run fails.
    pub fn embed_padded(&self, ids: &[i32], lengths: &[usize], width: usize) -> Result<BiasEmbeddings, FunasrError> {
        let words = lengths.len();
        let ports = self.session.inputs();
        let shape = [words, width];
        let lasts: Vec<i32> = lengths.iter().map(|&length| length as i32 - 1).collect();
        let mut inputs = vec![(ports[0].name.as_str(), Input::I32 { shape: &shape, data: ids })];
        let count = [words];
        if let Some(port) = ports.get(1) {
            inputs.push((port.name.as_str(), Input::I32 { shape: &count, data: &lasts }));
        }
        let name = self.session.outputs()[0].name.clone();
        let outputs = self.session.run(&inputs, &[&name])?;
        let all = outputs.f32(&name)?; // [ids, words, width]
        let dim = all.len() / (words * width).max(1);
        let mut data = Vec::with_capacity(words * dim);
        for (word, &length) in lengths.iter().enumerate() {
            let at = ((length.max(1) - 1) * words + word) * dim;
            data.extend_from_slice(&all[at..at + dim]);
        }
        Ok(BiasEmbeddings { data, words, width: dim })
    }
}
