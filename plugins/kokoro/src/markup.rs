//! Marks in the text: `[pause:0.5s]` in every language, and `[word](/phonemes/)` in those whose front end doesn't read it itself.

use std::sync::LazyLock;

use regex::Regex;

/// Longest pause that a mark can ask for, seconds.
pub const MAX_PAUSE: f32 = 60.0;

/// A stretch of text, or a pause.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'t> {
    /// Text without pause marks; not blank.
    Text(&'t str),
    /// Seconds of silence, at most [`MAX_PAUSE`].
    Pause(f32),
}

// The pattern is a constant, checked by the tests.
static PAUSE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\[pause:\s*(\d+(?:\.\d+)?|\.\d+)\s*s?\s*\]").ok());

/// Cuts a line at its pause marks.
#[must_use]
pub fn parts(line: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut start = 0;
    if let Some(pattern) = PAUSE.as_ref() {
        for captures in pattern.captures_iter(line) {
            let Some(whole) = captures.get(0) else { continue };
            let seconds = captures.get(1).and_then(|number| number.as_str().parse::<f32>().ok()).unwrap_or(0.0);
            parts.extend(text(&line[start..whole.start()]).map(Part::Text));
            parts.push(Part::Pause(seconds.min(MAX_PAUSE)));
            start = whole.end();
        }
    }
    parts.extend(text(&line[start..]).map(Part::Text));
    parts
}

/// Text, or the pronunciation that stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span<'t> {
    /// Text for the front end; not blank.
    Text(&'t str),
    /// Phonemes for the model.
    Phonemes(&'t str),
}

// The pattern is a constant, checked by the tests.
static LINK: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\[([^\[\]]+)\]\(([^()]*)\)").ok());

/// Cuts a text at `[word](/phonemes/)`. Of other marks like it, `[word](anything)`, the word is left (`misaki/en.py: G2P.preprocess`).
#[must_use]
pub fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let mut start = 0;
    if let Some(pattern) = LINK.as_ref() {
        for captures in pattern.captures_iter(text) {
            let (Some(whole), Some(word), Some(given)) = (captures.get(0), captures.get(1), captures.get(2)) else {
                continue;
            };
            spans.extend(self::text(&text[start..whole.start()]).map(Span::Text));
            let phonemes = given.as_str().strip_prefix('/').and_then(|given| given.strip_suffix('/'));
            spans.push(phonemes.map_or(Span::Text(word.as_str()), Span::Phonemes));
            start = whole.end();
        }
    }
    spans.extend(self::text(&text[start..]).map(Span::Text));
    spans
}

/// A stretch of text, unless it is blank.
fn text(stretch: &str) -> Option<&str> {
    Some(stretch.trim()).filter(|stretch| !stretch.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_found() {
        assert_eq!(
            parts("One. [pause:0.5s] Two [PAUSE: 2] three"),
            [Part::Text("One."), Part::Pause(0.5), Part::Text("Two"), Part::Pause(2.0), Part::Text("three")]
        );
        assert_eq!(parts("[pause:9999s]"), [Part::Pause(MAX_PAUSE)]);
        assert_eq!(parts("[pause:x] [a](/b/)"), [Part::Text("[pause:x] [a](/b/)")]);
        assert!(parts("  ").is_empty());
    }

    #[test]
    fn pronunciations_are_found() {
        assert_eq!(spans("说[你好](/ni↓xau↓/)吧"), [Span::Text("说"), Span::Phonemes("ni↓xau↓"), Span::Text("吧")]);
        assert_eq!(spans("[a](2) [b]"), [Span::Text("a"), Span::Text("[b]")]);
        assert!(spans(" ").is_empty());
    }
}
