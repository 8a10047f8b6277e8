//! Division of a token list into words.
//!
//! Source: openai/whisper `whisper/tokenizer.py: split_to_word_tokens`.

use super::Tokenizer;
use crate::languages;
use crate::text::strip;

/// What stands for bytes that are no UTF-8.
const REPLACEMENT: char = '\u{FFFD}';

/// A word and the tokens that spell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The text, with the space before it.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

impl Tokenizer {
    /// The words of a token list. Without a language, words are separated by spaces.
    #[must_use]
    pub fn words(&self, ids: &[u32], language: Option<&str>) -> Vec<Word> {
        let pieces = self.whole_characters(ids);
        if language.is_some_and(|code| !languages::uses_spaces(code)) { pieces } else { self.join_pieces(pieces) }
    }

    /// Shortest runs of tokens that spell whole characters.
    fn whole_characters(&self, ids: &[u32]) -> Vec<Word> {
        let full: Vec<char> = self.decode_with_timestamps(ids).chars().collect();
        let mut pieces = Vec::new();
        let mut pending = Vec::new();
        let mut offset = 0; // characters of `full` that are in `pieces`
        for id in ids {
            pending.push(*id);
            let text = self.decode_with_timestamps(&pending);
            let is_whole = match text.chars().position(|c| c == REPLACEMENT) {
                None => true,
                // A broken character that is broken in the full text too will not get better with more tokens.
                Some(broken) => full.get(offset + broken) == Some(&REPLACEMENT),
            };
            if is_whole {
                offset += text.chars().count();
                pieces.push(Word { text, tokens: std::mem::take(&mut pending) });
            }
        }
        pieces
    }

    /// Joins pieces to words: a word starts at a space, a punctuation mark or a special token.
    fn join_pieces(&self, pieces: Vec<Word>) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        for piece in pieces {
            let is_special = piece.tokens.first().is_some_and(|id| *id >= self.specials().eot);
            let starts_a_word = is_special || piece.text.starts_with(' ') || is_punctuation(strip(&piece.text));
            match words.last_mut() {
                Some(word) if !starts_a_word => {
                    word.text.push_str(&piece.text);
                    word.tokens.extend(piece.tokens);
                }
                _ => words.push(piece),
            }
        }
        words
    }
}

/// ASCII punctuation in the order of Python's `string.punctuation`; the reference asks for a part of this text, so the empty
/// text (a piece of white space) is punctuation as well.
fn is_punctuation(text: &str) -> bool {
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~".contains(text)
}
