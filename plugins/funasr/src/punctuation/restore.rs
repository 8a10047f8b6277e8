//! Marks put between words. Words are classified in windows; a window's unfinished sentence is carried into the next one.
//!
//! Source: FunASR `models/ct_transformer/model.py: CTTransformer.inference`.

use std::collections::VecDeque;

use super::words::Words;
use crate::config::PunctuationConfig;
use crate::error::FunasrError;

/// No mark.
const NOTHING: &str = "_";
/// More words than this are not carried if there is a comma to end them at.
const MOST_CARRIED: usize = 200;

/// The marks of a model.
#[derive(Clone, Debug)]
pub struct Marks {
    list: Vec<String>,
    end: usize,
}

impl Marks {
    /// Takes them from a model's settings.
    #[must_use]
    pub fn new(config: &PunctuationConfig) -> Self {
        let full_width = |mark: &String| match mark.as_str() {
            "," => "，".to_owned(),
            "?" => "？".to_owned(),
            _ => mark.clone(),
        };
        Self { list: config.punc_list.iter().map(full_width).collect(), end: config.sentence_end_id }
    }

    /// The mark of a class; empty if it is none.
    #[must_use]
    pub fn text(&self, class: usize) -> &str {
        match self.list.get(class).map(String::as_str) {
            Some(NOTHING) | None => "",
            Some(mark) => mark,
        }
    }

    /// Whether a class ends a sentence.
    #[must_use]
    pub fn ends(&self, class: usize) -> bool {
        matches!(self.text(class), "。" | "？")
    }

    /// The class that ends a sentence.
    pub(super) fn end_class(&self) -> usize {
        self.end
    }

    /// Whether a character is one of the marks.
    pub(super) fn contains(&self, mark: &str) -> bool {
        self.list.iter().any(|known| known == mark)
    }
}

/// A word with what comes before and after it in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The word as it was recognised.
    pub word: String,
    /// The word as it is written, with the space before it.
    pub written: String,
    /// The mark after it, in the width that suits the word.
    pub mark: String,
    /// The mark's class.
    pub class: usize,
}

impl Marked {
    /// What the word adds to the text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.written, self.mark)
    }

    /// Classes of the word's units: of all but the last "no mark".
    #[must_use]
    pub fn unit_classes(&self, words: &Words) -> Vec<usize> {
        let mut classes = vec![1; words.units(&self.word)];
        if let Some(last) = classes.last_mut() {
            *last = self.class;
        }
        classes
    }
}

/// A text whose words arrive one after the other.
#[derive(Clone, Debug)]
pub struct Restoration<'a> {
    marks: &'a Marks,
    split_size: usize,
    /// Words of sentences that have no end yet.
    carried: Vec<String>,
    /// Words that have not been classified.
    waiting: VecDeque<String>,
}

impl<'a> Restoration<'a> {
    /// Before any words.
    #[must_use]
    pub fn new(marks: &'a Marks, split_size: usize) -> Self {
        Self { marks, split_size: split_size.max(2), carried: Vec::new(), waiting: VecDeque::new() }
    }

    /// Takes the next words; `classify` gives the classes of a window.
    ///
    /// # Errors
    /// Those of `classify`.
    pub fn push(
        &mut self,
        words: Vec<String>,
        mut classify: impl FnMut(&[String]) -> Result<Vec<usize>, FunasrError>,
    ) -> Result<Vec<Marked>, FunasrError> {
        self.waiting.extend(words);
        let mut done = Vec::new();
        // The last window of a text is treated differently, so one is classified when words after it are known.
        while self.waiting.len() > self.split_size {
            self.carried.extend(self.waiting.drain(..self.split_size));
            let mut classes = classify(&self.carried)?;
            let end = self.sentence_end(&mut classes);
            let rest = self.carried.split_off(end);
            let words = std::mem::replace(&mut self.carried, rest);
            done.extend(self.write(&words, &classes[..end]));
        }
        Ok(done)
    }

    /// Ends the text: it ends with the end of a sentence.
    ///
    /// # Errors
    /// Those of `classify`.
    pub fn finish(
        mut self,
        mut classify: impl FnMut(&[String]) -> Result<Vec<usize>, FunasrError>,
    ) -> Result<Vec<Marked>, FunasrError> {
        self.carried.extend(self.waiting.drain(..));
        if self.carried.is_empty() {
            return Ok(Vec::new());
        }
        let classes = classify(&self.carried)?;
        let mut done = self.write(&self.carried, &classes);
        if let Some(last) = done.last_mut() {
            let tail = if last.mark.is_empty() { &mut last.written } else { &mut last.mark };
            let end = tail.chars().next_back();
            let full = match end {
                Some('。' | '？' | '.' | '?') => None,
                Some('，' | '、' | ',') => {
                    tail.pop();
                    Some(end != Some(','))
                }
                _ => Some(!end.is_some_and(|character| character.is_ascii())),
            };
            if let Some(full) = full {
                last.mark.push_str(if full { "。" } else { "." });
                last.class = self.marks.end;
            }
        }
        Ok(done)
    }

    /// How many of the words are in finished sentences: up to the last end among all but the outermost words.
    fn sentence_end(&self, classes: &mut [usize]) -> usize {
        let inner = (2..classes.len().saturating_sub(1)).rev();
        if let Some(end) = inner.clone().find(|&i| self.marks.ends(classes[i])) {
            return end + 1;
        }
        let comma = inner.clone().find(|&i| self.marks.text(classes[i]) == "，");
        match comma.filter(|_| classes.len() > MOST_CARRIED) {
            Some(comma) => {
                classes[comma] = self.marks.end;
                comma + 1
            }
            None => 0,
        }
    }

    /// Words of finished sentences as they are written.
    fn write(&self, words: &[String], classes: &[usize]) -> Vec<Marked> {
        let mut written = Vec::with_capacity(words.len());
        for (i, word) in words.iter().enumerate() {
            let starts_ascii = |word: &str| word.chars().next().is_some_and(|first| first.is_ascii());
            let is_ascii = starts_ascii(word);
            let mut text = word.clone();
            if is_ascii && (i == 0 || self.marks.ends(classes[i - 1])) {
                text = capitalized(word);
            }
            if is_ascii && (i == 0 || starts_ascii(&words[i - 1])) {
                text.insert(0, ' ');
            }
            let mark = match self.marks.text(classes[i]) {
                "，" if is_ascii => ",",
                "。" if is_ascii => ".",
                "？" if is_ascii => "?",
                mark => mark,
            };
            written.push(Marked { word: word.clone(), written: text, mark: mark.to_owned(), class: classes[i] });
        }
        written
    }
}

/// Python's `str.capitalize`: the first letter in upper case, the others in lower case.
fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters.flat_map(char::to_lowercase)).collect(),
        None => String::new(),
    }
}
