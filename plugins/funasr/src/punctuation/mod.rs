//! Punctuation of recognised text: words ([`words`]), their classes by a network, and the text with marks ([`restore`], [`realtime`]).

pub mod network;
pub mod realtime;
pub mod restore;
pub mod words;

use syrinx_plugin_common::onnx::Runtime;

use crate::accelerate::NetworkOptions;
use crate::config::{ModelFiles, PunctuationConfig};
use crate::error::FunasrError;
use crate::text::tokens::Tokens;
use network::PunctuationNetwork;
use restore::{Marked, Marks, Restoration};
use words::Words;

/// Words that are classified with what is carried. Source: FunASR `models/ct_transformer/model.py: inference` (`split_size`).
pub const SPLIT_SIZE: usize = 20;

/// A loaded punctuation model; shared by all texts.
#[derive(Debug)]
pub struct Punctuator {
    network: PunctuationNetwork,
    tokens: Tokens,
    words: Words,
    marks: Marks,
}

/// A text with marks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Punctuated {
    /// The text.
    pub text: String,
    /// Class of the mark after each unit: a word, or a character of a Chinese word.
    pub classes: Vec<usize>,
}

impl Punctuator {
    /// Loads a release.
    ///
    /// # Errors
    /// Files are missing or something else.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let config = files.config::<PunctuationConfig>()?;
        let words = match files.find("jieba_usr_dict", &["jieba_usr_dict"]) {
            Some(path) => Words::jieba(&path)?,
            None => Words::Characters,
        };
        Ok(Self {
            network: PunctuationNetwork::load(runtime, files, quantized, options)?,
            tokens: Tokens::new(files.tokens()?),
            words,
            marks: Marks::new(&config.model_conf),
        })
    }

    /// Whether it is made for text that arrives piece by piece.
    #[must_use]
    pub fn is_realtime(&self) -> bool {
        self.network.is_realtime()
    }

    /// How it cuts words.
    #[must_use]
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Its marks.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Begins a text.
    #[must_use]
    pub fn begin(&self, split_size: usize) -> Restoration<'_> {
        Restoration::new(&self.marks, split_size)
    }

    /// Takes the next words of a text; what can't change any more comes back.
    ///
    /// # Errors
    /// The network fails.
    pub fn push(&self, text: &mut Restoration<'_>, words: Vec<String>) -> Result<Vec<Marked>, FunasrError> {
        text.push(words, |words| self.classify(words))
    }

    /// Ends a text.
    ///
    /// # Errors
    /// The network fails.
    pub fn finish(&self, text: Restoration<'_>) -> Result<Vec<Marked>, FunasrError> {
        text.finish(|words| self.classify(words))
    }

    /// Punctuates a whole text.
    ///
    /// # Errors
    /// The network fails.
    pub fn punctuate(&self, text: &str, split_size: usize) -> Result<Punctuated, FunasrError> {
        let mut restoration = self.begin(split_size);
        let mut marked = self.push(&mut restoration, self.words.split(text))?;
        marked.extend(self.finish(restoration)?);
        Ok(Punctuated {
            text: marked.iter().map(Marked::text).collect(),
            classes: marked.iter().flat_map(|marked| marked.unit_classes(&self.words)).collect(),
        })
    }

    fn classify(&self, words: &[String]) -> Result<Vec<usize>, FunasrError> {
        let ids: Vec<i32> = words.iter().map(|word| self.tokens.id(word) as i32).collect();
        self.network.classify(&ids, 0)
    }

    fn classify_after(&self, words: &[String], carried: usize) -> Result<Vec<usize>, FunasrError> {
        let ids: Vec<i32> = words.iter().map(|word| self.tokens.id(word) as i32).collect();
        self.network.classify(&ids, carried)
    }
}
