//! GPT-2's division of a text into pieces, before byte pairs are merged inside each piece.
//!
//! Source: openai/gpt-2 `src/encoder.py`, the pattern
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
//! Written by hand because a regular expression engine with look-ahead takes longer to start than a whole prompt to encode.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Endings that are pieces of their own, in the order of the pattern.
const CONTRACTIONS: [&str; 7] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

/// What the pattern tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// `\p{L}`
    Letter,
    /// `\p{N}`
    Number,
    /// `\s`
    Space,
    /// Anything else.
    Other,
}

impl Class {
    fn of(c: char) -> Self {
        if c.is_ascii_alphabetic() {
            return Self::Letter;
        }
        if c.is_whitespace() {
            return Self::Space;
        }
        match c.general_category_group() {
            GeneralCategoryGroup::Letter => Self::Letter,
            GeneralCategoryGroup::Number => Self::Number,
            _ => Self::Other,
        }
    }
}

/// The pieces of `text`, in order; together they are the text.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(first_piece(rest));
        rest = after;
        Some(piece)
    })
}

/// Length in bytes of the first piece of a text that is not empty.
fn first_piece(text: &str) -> usize {
    if let Some(ending) = CONTRACTIONS.iter().find(|ending| text.starts_with(**ending)) {
        return ending.len();
    }
    let after_space = text.strip_prefix(' ');
    let body = after_space.unwrap_or(text);
    if let Some(class) = body.chars().next().map(Class::of).filter(|class| *class != Class::Space) {
        return text.len() - body.len() + run(body, class);
    }
    // White space: the last space before a word belongs to the word, the others stay together.
    let spaces = run(text, Class::Space);
    let last = text[..spaces].chars().next_back().map_or(0, char::len_utf8);
    if spaces < text.len() && spaces > last { spaces - last } else { spaces }
}

/// Length in bytes of the leading characters of one class.
fn run(text: &str, class: Class) -> usize {
    text.find(|c| Class::of(c) != class).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        pieces(text).collect()
    }

    #[test]
    fn words_numbers_and_signs_take_one_space_with_them() {
        assert_eq!(split("Hello, 12 worlds!"), ["Hello", ",", " 12", " worlds", "!"]);
        assert_eq!(split("naïve №5"), ["naïve", " №", "5"]);
    }

    #[test]
    fn contractions_are_pieces_only_in_lower_case() {
        assert_eq!(split("I'm they'LL he'd"), ["I", "'m", " they", "'", "LL", " he", "'d"]);
        assert_eq!(split(" 'tis"), [" '", "tis"]);
    }

    #[test]
    fn white_space_keeps_its_last_character_for_the_next_word() {
        assert_eq!(split("  two \n\nx  "), [" ", " two", " \n", "\n", "x", "  "]);
        assert_eq!(split("\tand"), ["\t", "and"]);
        assert_eq!(split("a\u{3000}\u{3000}b"), ["a", "\u{3000}", "\u{3000}", "b"]);
        assert!(split("").is_empty());
    }
}
