//! Words as the punctuation models know them.
//!
//! Source: FunASR `models/ct_transformer/utils.py: split_words`.

use std::io::BufReader;
use std::path::Path;

use jieba_rs::Jieba;

use crate::error::FunasrError;

/// How text is cut.
pub enum Words {
    /// Every character that isn't ASCII is a word.
    Characters,
    /// Chinese words by jieba's dictionary and the model's own.
    Jieba(Box<Jieba>),
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Characters => "Characters",
            Self::Jieba(_) => "Jieba",
        })
    }
}

impl Words {
    /// jieba with the words of the file `dictionary`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn jieba(dictionary: &Path) -> Result<Self, FunasrError> {
        let mut jieba = Jieba::new();
        let file = std::fs::File::open(dictionary).map_err(|error| FunasrError::file(dictionary, error))?;
        jieba.load_dict(&mut BufReader::new(file)).map_err(|error| FunasrError::file(dictionary, error))?;
        Ok(Self::Jieba(Box::new(jieba)))
    }

    /// Cuts a text.
    #[must_use]
    pub fn split(&self, text: &str) -> Vec<String> {
        match self {
            Self::Characters => characters(text),
            Self::Jieba(jieba) => {
                let mut words = Vec::new();
                let tokens: Vec<&str> = text.split_whitespace().collect();
                for run in tokens.chunk_by(|a, b| is_english(a) == is_english(b)) {
                    if is_english(run[0]) {
                        words.extend(run.iter().map(|&word| word.to_owned()));
                    } else {
                        let line = run.concat();
                        words.extend(jieba.cut(&line, false).into_iter().map(|token| token.word.to_owned()));
                    }
                }
                words
            }
        }
    }

    /// How many units of recognised text a word is: the characters of a Chinese word, else one.
    #[must_use]
    pub fn units(&self, word: &str) -> usize {
        let is_chinese = word.chars().next().is_some_and(|first| ('\u{0e00}'..='\u{9fa5}').contains(&first));
        match self {
            Self::Jieba(_) if is_chinese => word.chars().count(),
            _ => 1,
        }
    }
}

fn characters(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for stretch in text.split_whitespace() {
        let mut word = String::new();
        for character in stretch.chars() {
            if character.is_ascii() {
                word.push(character);
                continue;
            }
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            words.push(character.to_string());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

fn is_english(token: &str) -> bool {
    token.chars().all(|character| character.is_ascii_alphabetic() || character == '\'')
}
