//! Punctuation of text that arrives piece by piece: what is said later may add a mark in front of it, but changes nothing before.
//!
//! Source: FunASR `models/ct_transformer_streaming/model.py: CTTransformerStreaming.inference`.

use super::words::Words;
use super::{Punctuator, SPLIT_SIZE};
use crate::error::FunasrError;

/// More words than this are not carried if there is a comma to end them at.
const MOST_CARRIED: usize = 200;

/// State between pieces of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RealtimeState {
    /// Words since the end of the last sentence, with the spaces between English ones.
    pub carried: Vec<String>,
}

impl Punctuator {
    /// Takes the next piece of a text and gives it with marks, without the one at its very end.
    ///
    /// # Errors
    /// The network fails.
    pub fn punctuate_next(&self, state: &mut RealtimeState, text: &str) -> Result<String, FunasrError> {
        let known = state.carried.len();
        let all = Words::Characters.split(&format!("{} {text}", state.carried.concat()));
        let windows: Vec<&[String]> = all.chunks(SPLIT_SIZE).collect();
        let mut carried: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut classes: Vec<usize> = Vec::new();
        for (number, window) in windows.iter().enumerate() {
            carried.extend_from_slice(window);
            let mut found = self.classify_after(&carried, known)?;
            let mut end = carried.len();
            if number + 1 < windows.len() {
                let inner = (2..found.len().saturating_sub(1)).rev();
                let sentence = inner.clone().find(|&i| self.marks.ends(found[i]));
                let comma = inner.clone().find(|&i| self.marks.text(found[i]) == "，");
                end = match (sentence, comma.filter(|_| found.len() > MOST_CARRIED)) {
                    (Some(sentence), _) => sentence + 1,
                    (None, Some(comma)) => {
                        found[comma] = self.marks.end_class();
                        comma + 1
                    }
                    (None, None) => 0,
                };
            }
            let rest = carried.split_off(end);
            words.extend(std::mem::replace(&mut carried, rest));
            classes.extend_from_slice(&found[..end]);
        }
        for i in (1..words.len()).rev() {
            let joins = words[i].starts_with(|c: char| c.is_ascii()) && words[i - 1].ends_with(|c: char| c.is_ascii());
            if joins {
                words[i].insert(0, ' ');
            }
        }
        let mut out = String::new();
        for (i, (word, &class)) in words.iter().zip(&classes).enumerate() {
            if i >= known {
                out.push_str(word);
            }
            if i + 1 >= known {
                out.push_str(self.marks.text(class));
            }
        }
        let end = (2..classes.len().saturating_sub(1)).rev().find(|&i| self.marks.ends(classes[i]));
        state.carried = words.split_off(end.map_or(0, |end| end + 1));
        if let Some(last) = out.chars().next_back().filter(|last| self.marks.contains(last.encode_utf8(&mut [0; 4]))) {
            out.truncate(out.len() - last.len_utf8());
        }
        Ok(out)
    }
}
