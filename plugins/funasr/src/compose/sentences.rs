//! Sentences: units of recognised text up to each mark, and when they are said.
//!
//! Source: FunASR `utils/timestamp_tools.py` (`timestamp_sentence`, `timestamp_sentence_en`), `auto/auto_model.py: _vad_segment_sentences`.

use crate::text::sentence::Span;

/// A sentence, or a part of one that ends with a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The text with its mark.
    pub text: String,
    /// Start, ms; none of units that have no times.
    pub start: Option<i64>,
    /// End, ms.
    pub end: i64,
    /// Times of its units, as far as they have any.
    pub spans: Vec<Option<Span>>,
    /// The units without marks.
    pub raw: String,
}

/// Which marks sentences are written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Full-width ones.
    Chinese,
    /// Half-width ones; English sentences don't begin with a space.
    English,
}

/// Marks of the classes from 2 on.
const CHINESE_MARKS: [&str; 4] = ["，", "。", "？", "、"];
const ENGLISH_MARKS: [&str; 4] = [",", ".", "?", ","];
/// The class of no mark.
const NO_MARK: usize = 1;

/// Cuts units after every one whose class has a mark. Units after the last mark are left out, as in the reference.
#[must_use]
pub fn by_marks(classes: &[usize], spans: &[Span], text: &str, style: Style) -> Vec<Sentence> {
    let units: Vec<&str> = text.split_whitespace().collect();
    let mut sentences = Vec::new();
    let Some(first) = spans.first().filter(|_| !units.is_empty()) else { return sentences };
    if classes.is_empty() {
        return sentences;
    }
    let mut open = Sentence { start: Some(first[0]), end: first[1], ..Sentence::default() };
    let mut is_new = style == Style::English;
    for i in 0..classes.len().max(spans.len()).max(units.len()) {
        let span = spans.get(i).copied();
        if open.start.is_none() {
            open.start = span.map(|span| span[0]);
        }
        if let Some(unit) = units.get(i) {
            let is_latin = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphabetic());
            if is_latin(unit.chars().next()) || is_latin(open.text.chars().next_back()) {
                open.text.push(' ');
            }
            open.text.push_str(unit);
            if !open.raw.is_empty() && !open.raw.ends_with(' ') && style == Style::English {
                open.raw.push(' ');
            }
            open.raw.push_str(unit);
        }
        open.spans.push(span);
        if let Some(span) = span {
            open.end = span[1];
        }
        if style == Style::English {
            if let Some(trimmed) = open.text.strip_prefix(' ') {
                open.text = trimmed.to_owned();
            }
            if is_new {
                open.start = span.map(|span| span[0]).or(open.start);
                is_new = false;
            }
        }
        let class = classes.get(i).copied().unwrap_or(NO_MARK);
        if class > NO_MARK {
            let marks = if style == Style::English { ENGLISH_MARKS } else { CHINESE_MARKS };
            open.text.push_str(marks.get(class - 2).copied().unwrap_or_default());
            // English sentences without times begin with the one before.
            let start = open.start.filter(|_| style == Style::English);
            let next = Sentence { start, end: open.end, ..Sentence::default() };
            sentences.push(std::mem::replace(&mut open, next));
            is_new = style == Style::English;
        }
    }
    sentences
}
