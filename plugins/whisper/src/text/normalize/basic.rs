//! The normal form for any language: lower case, no notes in brackets, no punctuation.
//!
//! Source: openai/whisper `whisper/normalizers/basic.py`.

use unicode_normalization::UnicodeNormalization;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

/// Choices of the basic normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Basic {
    /// Whether "é" becomes "e".
    pub remove_diacritics: bool,
    /// Whether letters are separated, for scoring by character.
    pub split_letters: bool,
}

/// Brings a text into the basic normal form.
#[must_use]
pub fn basic(text: &str, options: Basic) -> String {
    let text = without_notes(&text.to_lowercase());
    let clean = if options.remove_diacritics { without_diacritics(&text, "") } else { without_symbols(&text) };
    let clean = clean.to_lowercase();
    let spread = if options.split_letters { clean.graphemes(true).collect::<Vec<_>>().join(" ") } else { clean };
    single_spaces(&spread)
}

/// Leaves out what stands in `<>`, `[]` (in any pairing) and, where it is not empty, in `()`.
pub(super) fn without_notes(text: &str) -> String {
    let text = without_enclosed(text, &['<', '['], &['>', ']'], 0);
    without_enclosed(&text, &['('], &[')'], 1)
}

/// Leaves out text from an opening character to the next closing one, if at least `shortest` characters are between.
fn without_enclosed(text: &str, opening: &[char], closing: &[char], shortest: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(opening) {
        let inner = start + rest[start..].chars().next().map_or(1, char::len_utf8);
        let end = rest[inner..].find(closing).map(|end| inner + end);
        out.push_str(&rest[..start]);
        match end {
            Some(end) if rest[inner..end].chars().count() >= shortest => {
                rest = &rest[end + rest[end..].chars().next().map_or(1, char::len_utf8)..];
            }
            _ => {
                out.push_str(&rest[start..inner]);
                rest = &rest[inner..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Letters that no decomposition separates from their diacritics.
fn plain_letters(c: char) -> Option<&'static str> {
    Some(match c {
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'æ' => "ae",
        'Æ' => "AE",
        'ß' => "ss",
        'ẞ' => "SS",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' | 'Þ' => "th",
        'ł' => "l",
        'Ł' => "L",
        _ => return None,
    })
}

/// Whether a character is a mark, a symbol or punctuation.
fn is_symbol(c: char) -> bool {
    use GeneralCategoryGroup::{Mark, Punctuation, Symbol};
    matches!(c.general_category_group(), Mark | Punctuation | Symbol)
}

/// Symbols become spaces and diacritics vanish, except for the characters of `keep`.
pub(super) fn without_diacritics(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd() {
        if keep.contains(c) {
            out.push(c);
        } else if let Some(plain) = plain_letters(c) {
            out.push_str(plain);
        } else if c.general_category() == GeneralCategory::NonspacingMark {
        } else {
            out.push(if is_symbol(c) { ' ' } else { c });
        }
    }
    out
}

/// Symbols become spaces; diacritics stay.
fn without_symbols(text: &str) -> String {
    text.nfkc().map(|c| if is_symbol(c) { ' ' } else { c }).collect()
}

/// Each run of white space becomes one space.
pub(super) fn single_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if !c.is_whitespace() {
            out.push(c);
        } else if !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}
