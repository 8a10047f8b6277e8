//! Messages about catalogue files: where (file, line, column), what, and what was probably meant.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// A name further away than this share of its length is no suggestion.
const MAX_RELATIVE_DISTANCE: f64 = 0.4;

/// One thing that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or `<builtin>/…` for one that came with the program.
    pub file: String,
    /// Line, counted from 1; `None` when the file could not be read.
    pub line: Option<usize>,
    /// Column in characters, counted from 1.
    pub column: Option<usize>,
    /// What is wrong, and what to do.
    pub message: String,
    /// The line with a mark under the place.
    pub excerpt: String,
    /// What may stand there, when that is a list of names.
    pub accepted: Vec<String>,
}

impl Problem {
    /// A problem at a byte range of a file's text.
    pub(super) fn at(file: &str, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_char_boundary(text, span.start.min(text.len()));
        let end = floor_char_boundary(text, span.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[..start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        let source_line = text[line_start..line_end].trim_end();
        let marked = text[start..end.min(line_end).max(start)].chars().count().max(1);
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        let indent: String = text[line_start..start].chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let excerpt = format!("{gutter} |\n{number} | {source_line}\n{gutter} | {indent}{}", "^".repeat(marked));
        Self {
            file: file.to_owned(),
            line: Some(line),
            column: Some(column),
            message: message.into(),
            excerpt,
            accepted: Vec::new(),
        }
    }

    /// A problem with a file as a whole.
    pub(super) fn whole(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: None,
            column: None,
            message: message.into(),
            excerpt: String::new(),
            accepted: Vec::new(),
        }
    }

    /// An error of the TOML reader, with a suggestion where it names an unknown key or value.
    pub(super) fn from_toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let (message, accepted) = with_suggestion(error.message());
        let problem = match error.span() {
            Some(span) => Self::at(file, text, span, message),
            None => Self::whole(file, message),
        };
        Self { accepted, ..problem }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if !self.excerpt.is_empty() {
            write!(f, "\n{}", self.excerpt)?;
        }
        if !self.accepted.is_empty() {
            write!(f, "\n  = accepted: {}", self.accepted.join(", "))?;
        }
        Ok(())
    }
}

fn floor_char_boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// serde says "unknown field `x`, expected one of `a`, `b`" (or "unknown variant"): the message with the nearest of the
/// expected, and all of them.
fn with_suggestion(message: &str) -> (String, Vec<String>) {
    let message = message.trim();
    let is_field = message.starts_with("unknown field");
    if !is_field && !message.starts_with("unknown variant") {
        return (message.to_owned(), Vec::new());
    }
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let Some((given, expected)) = names.split_first() else { return (message.to_owned(), Vec::new()) };
    let what = if is_field { "key" } else { "value" };
    let told = match nearest(given, expected.iter().copied()) {
        Some(best) => format!("unknown {what} `{given}`; did you mean `{best}`?"),
        None => format!("unknown {what} `{given}`"),
    };
    (told, expected.iter().map(|name| (*name).to_owned()).collect())
}

/// The candidate that a person most likely meant, if any is near; upper and lower case count as equal.
pub(crate) fn nearest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = given.to_lowercase();
    let (distance, best) = candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&wanted, &candidate.to_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    let length = wanted.chars().count().max(best.chars().count());
    let near = distance <= 1 || (distance as f64) <= MAX_RELATIVE_DISTANCE * length as f64;
    near.then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_counts_lines_and_characters() {
        let text = "a = 1\nü = \"x\"\n\tname = 3\n";
        let start = text.find("name").unwrap();
        let problem = Problem::at("f.toml", text, start..start + 4, "bad");
        assert_eq!((problem.line, problem.column), (Some(3), Some(2)));
        assert_eq!(problem.excerpt, "  |\n3 | \tname = 3\n  | \t^^^^");
        let quoted = text.find("\"x\"").unwrap();
        assert_eq!(Problem::at("f.toml", text, quoted..quoted + 3, "bad").column, Some(5));
    }

    #[test]
    fn position_survives_spans_past_the_end() {
        let problem = Problem::at("f.toml", "a", 10..20, "bad");
        assert_eq!((problem.line, problem.column), (Some(1), Some(2)));
        assert_eq!(Problem::at("f.toml", "ü", 1..1, "bad").column, Some(1));
    }

    #[test]
    fn nearest_needs_likeness() {
        assert_eq!(nearest("wisper-base", ["whisper-base", "whisper-tiny"]), Some("whisper-base"));
        assert_eq!(nearest("ftp", ["hf", "url"]), None);
        assert_eq!(nearest("kokoro-82m", ["Kokoro-82M"]), Some("Kokoro-82M"));
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn serde_messages_gain_a_suggestion() {
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        assert_eq!(
            with_suggestion("unknown field `famly`, expected one of `name`, `family`"),
            ("unknown key `famly`; did you mean `family`?".to_owned(), names(["name", "family"]))
        );
        assert_eq!(
            with_suggestion("unknown variant `audio2txt`, expected `audio2text` or `text2audio`"),
            ("unknown value `audio2txt`; did you mean `audio2text`?".to_owned(), names(["audio2text", "text2audio"]))
        );
        assert_eq!(with_suggestion("missing field `name`"), ("missing field `name`".to_owned(), Vec::new()));
    }
}
