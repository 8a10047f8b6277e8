//! Marks in the text that are not spoken: `[pause:0.5s]`.

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
            parts.extend(text(&line[start..whole.start()]));
            parts.push(Part::Pause(seconds.min(MAX_PAUSE)));
            start = whole.end();
        }
    }
    parts.extend(text(&line[start..]));
    parts
}

fn text(stretch: &str) -> Option<Part<'_>> {
    let stretch = stretch.trim();
    (!stretch.is_empty()).then_some(Part::Text(stretch))
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
}
