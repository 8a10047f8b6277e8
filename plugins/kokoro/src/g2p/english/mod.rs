//! English text to phonemes, American and British, the way the Python package `misaki` 0.9.4 does it.
//!
//! The stages, in the order that text flows: [`markup`] comes off, the [`tokenizer`] cuts tokens, the [`tagger`] finds their part of speech,
//! [`pieces`] are cut and grouped, the [`context`] pass pronounces them from right to left with the [`lexicon`] (dictionaries, [`endings`],
//! [`number`]s, [`stress`]) and, for what is in no dictionary, a [`fallback`].

mod context;
mod dictionary;
mod endings;
pub mod fallback;
mod lexicon;
pub mod markup;
mod murmur;
mod number;
mod package;
mod pattern;
mod pieces;
mod stress;
mod tagger;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::Path;

use self::{
    context::Pronouncer,
    lexicon::Lexicon,
    package::{SpacyPackage, Vocabulary},
    tagger::Tagger,
    tokenizer::{Tokenizer, Word},
};
pub use self::{fallback::Fallback, tagger::TokenFeatures};
use super::{G2pError, unicode};

/// A variety of English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// American English, Kokoro's language code `a`.
    American,
    /// British English, Kokoro's language code `b`.
    British,
}

/// One token of the text with its pronunciation. The texts of all tokens, each followed by its space if it has one, spell the text less markup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its characters.
    pub text: String,
    /// Penn Treebank tag.
    pub tag: String,
    /// Whether a space follows.
    pub space_after: bool,
    /// Its phonemes, empty for silent ones, `None` if nobody knows how to say it.
    pub phonemes: Option<String>,
}

/// Text as phonemes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Converted {
    /// Phonemes of the whole text.
    pub phonemes: String,
    /// The tokens they come from.
    pub tokens: Vec<Token>,
}

/// A token as the tagger sees it; for comparison with the reference.
#[derive(Debug, Clone)]
pub struct TaggedToken {
    /// Its characters.
    pub text: String,
    /// Whether a space follows.
    pub space_after: bool,
    /// Penn Treebank tag.
    pub tag: String,
    /// Input of the network.
    pub features: TokenFeatures,
}

/// What the tagger makes of a text; for comparison with the reference.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// The tokens.
    pub tokens: Vec<TaggedToken>,
    /// Token vectors, `[n, 96]`.
    pub vectors: Vec<f32>,
    /// Scores of the tags, `[n, 50]`.
    pub scores: Vec<f32>,
}

/// Converts English text to Kokoro's phonemes. Immutable once loaded, so threads can share it.
pub struct EnglishG2p {
    tokenizer: Tokenizer,
    vocabulary: Vocabulary,
    tagger: Tagger,
    lexicon: Lexicon,
    fallback: Option<Box<dyn Fallback>>,
    unknown: String,
}

impl std::fmt::Debug for EnglishG2p {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnglishG2p")
            .field("variant", &self.variant())
            .field("words", &self.lexicon.len())
            .field("fallback", &self.fallback.as_ref().map(|f| f.name()))
            .finish_non_exhaustive()
    }
}

impl EnglishG2p {
    /// Loads the dictionaries in `misaki_dir` (`us_gold.json`, `us_silver.json`, or `gb_…`) and the spaCy model in `spacy_dir` (the files of
    /// `en_core_web_sm` 3.8.0 as they are in its package). Words in no dictionary go to `fallback`; without one they have no phonemes.
    pub fn load(
        misaki_dir: &Path,
        spacy_dir: &Path,
        variant: Variant,
        fallback: Option<Box<dyn Fallback>>,
    ) -> Result<Self, G2pError> {
        let package = SpacyPackage::load(spacy_dir)?;
        Ok(Self {
            tokenizer: Tokenizer::new(package.tokenizer)
                .map_err(|reason| G2pError::format(&spacy_dir.join("tokenizer"), reason))?,
            vocabulary: package.vocabulary,
            tagger: Tagger::new(package.tagger),
            lexicon: Lexicon::load(misaki_dir, variant)?,
            fallback,
            unknown: String::new(),
        })
    }

    /// Sets what stands in the phonemes for a word that nobody knows; nothing by default.
    #[must_use]
    pub fn with_unknown_mark(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.unknown);
        self
    }

    /// The variety of English.
    pub fn variant(&self) -> Variant {
        self.lexicon.variant
    }

    /// Converts `text`, which may hold markup: `[word](/phonemes/)`, `[word](stress shift)`, `[number](#flags#)`.
    pub fn convert(&self, text: &str) -> Converted {
        let marked = markup::parse(text);
        let words = self.tokenizer.tokenize(&marked.text);
        let annotations = marked.token_annotations(&words);
        let scores = self.tagger.scores(&self.tagger.vectors(&self.feature_values(&words)));
        let pieces = pieces::annotated(&words, self.tagger.best(&scores), annotations, &self.unknown);
        let mut groups = pieces::grouped(&pieces);
        Pronouncer { lexicon: &self.lexicon, fallback: self.fallback.as_deref(), variant: self.variant() }
            .pronounce(&mut groups);
        let mut converted = Converted::default();
        for group in groups {
            let phonemes = match group.as_slice() {
                [piece] => piece.phonemes.clone(),
                group => Some(pieces::joined_phonemes(group, &self.unknown)),
            };
            // Kokoro's own signs for the flap and the glottal stop.
            let phonemes = phonemes.map(|p| p.replace('ɾ', "T").replace('ʔ', "t"));
            let Some(piece) = pieces::merge(&group, None) else { continue };
            converted.phonemes.push_str(phonemes.as_deref().unwrap_or(&self.unknown));
            if piece.space_after {
                converted.phonemes.push(' ');
            }
            converted.tokens.push(Token {
                text: piece.text,
                tag: piece.tag.to_owned(),
                space_after: piece.space_after,
                phonemes,
            });
        }
        converted
    }

    /// Tokens, features and tags of `text`, which is taken without markup.
    pub fn tag(&self, text: &str) -> Tagged {
        let words = self.tokenizer.tokenize(text);
        let vectors = self.tagger.vectors(&self.feature_values(&words));
        let scores = self.tagger.scores(&vectors);
        let tokens = words
            .iter()
            .zip(self.tagger.best(&scores))
            .map(|(word, tag)| TaggedToken {
                features: Tagger::features(&self.vocabulary, word),
                text: word.text.clone(),
                space_after: word.space_after,
                tag: tag.to_owned(),
            })
            .collect();
        Tagged { tokens, vectors, scores }
    }

    /// Rows of embedding number `column` that a token's feature sums; for comparison with the reference.
    pub fn embedding_rows(&self, features: &TokenFeatures, column: usize) -> [u32; 4] {
        self.tagger.rows(features.values, column)
    }

    fn feature_values(&self, words: &[Word]) -> Vec<[u64; tagger::FEATURES]> {
        words.iter().map(|word| Tagger::features(&self.vocabulary, word).values).collect()
    }
}
