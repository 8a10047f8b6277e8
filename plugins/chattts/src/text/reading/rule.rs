//! A pattern and how it is read.

use regex::{Captures, Regex};

use super::super::Language;
use super::super::characters::is_chinese;

/// What is said instead of what was found; `None` if it is something else after all.
pub(super) type Read = fn(&Found<'_>) -> Option<String>;

/// How far the language of a match is looked for, in characters on each side.
const HORIZON: usize = 40;

pub(super) struct Rule {
    pattern: Regex,
    read: Read,
}

/// A match in its text.
pub(super) struct Found<'t> {
    captures: Captures<'t>,
    text: &'t str,
    start: usize,
    end: usize,
    /// The language of what is around.
    pub(super) language: Language,
}

impl Rule {
    pub(super) fn new(pattern: &str, read: Read) -> Result<Self, regex::Error> {
        Ok(Self { pattern: Regex::new(pattern)?, read })
    }

    /// `text` with every match read.
    pub(super) fn apply(&self, text: String, default: Language) -> String {
        let mut out = String::new();
        let mut done = 0;
        for captures in self.pattern.captures_iter(&text) {
            let Some((start, end)) = captures.get(0).map(|whole| (whole.start(), whole.end())) else { continue };
            let language = language_around(&text[..start], &text[end..], default);
            let found = Found { captures, text: &text, start, end, language };
            let Some(words) = (self.read)(&found) else { continue };
            out.push_str(&text[done..start]);
            push_apart(&mut out, &words);
            done = end;
            // English words need room on both sides.
            if out.ends_with(|c: char| c.is_ascii_alphabetic())
                && text[end..].starts_with(|c: char| c.is_ascii_alphanumeric())
            {
                out.push(' ');
            }
        }
        if done == 0 && out.is_empty() {
            return text;
        }
        out.push_str(&text[done..]);
        out
    }
}

/// Appends words; a space comes before them if they would be glued to others.
fn push_apart(out: &mut String, words: &str) {
    if words.starts_with(|c: char| c.is_ascii_alphabetic()) && out.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        out.push(' ');
    }
    out.push_str(words);
}

impl<'t> Found<'t> {
    /// What a group matched.
    pub(super) fn get(&self, group: usize) -> Option<&'t str> {
        self.captures.get(group).map(|group| group.as_str())
    }

    /// What a group matched; nothing if it took no part.
    pub(super) fn group(&self, group: usize) -> &'t str {
        self.get(group).unwrap_or_default()
    }

    pub(super) fn before(&self) -> &'t str {
        &self.text[..self.start]
    }

    pub(super) fn after(&self) -> &'t str {
        &self.text[self.end..]
    }

    pub(super) fn previous(&self) -> Option<char> {
        self.before().chars().next_back()
    }

    pub(super) fn next(&self) -> Option<char> {
        self.after().chars().next()
    }

    pub(super) fn is_chinese(&self) -> bool {
        self.language == Language::Chinese
    }

    /// Whether no letter, digit, or point with a digit touches the match.
    pub(super) fn is_alone(&self) -> bool {
        self.begins_alone() && self.ends_alone()
    }

    /// Whether no Latin letter, digit, or digit with a point comes right before the match.
    pub(super) fn begins_alone(&self) -> bool {
        let mut before = self.before().chars().rev();
        match before.next() {
            Some('.' | ',') => !before.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !c.is_ascii_alphanumeric(),
            None => true,
        }
    }

    /// Whether no Latin letter, digit, or point with a digit comes right after the match.
    pub(super) fn ends_alone(&self) -> bool {
        let mut after = self.after().chars();
        match after.next() {
            Some('.' | ',') => !after.next().is_some_and(|c| c.is_ascii_digit()),
            Some(c) => !c.is_ascii_alphanumeric(),
            None => true,
        }
    }

    /// Whether a sentence ends after the match, as far as one can tell: nothing follows in the line, or a capital.
    pub(super) fn ends_sentence(&self) -> bool {
        let rest = self.after();
        let line = rest.split('\n').next().unwrap_or_default();
        line.trim().is_empty()
            || (line.starts_with(' ') && line.trim_start().starts_with(|c: char| c.is_ascii_uppercase()))
    }
}

/// The language of the nearest words on both sides, within the sentence, if they agree. Letters that touch the match (5G, mp3) are a part of
/// the same word and say nothing.
fn language_around(before: &str, after: &str, default: Language) -> Language {
    let before = before.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let after = after.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    match (nearest(before.chars().rev()), nearest(after.chars())) {
        (Some(a), Some(b)) if a != b => default,
        (Some(language), _) | (None, Some(language)) => language,
        (None, None) => default,
    }
}

/// The language of the first letter or of a mark that only Chinese text has.
fn nearest(characters: impl Iterator<Item = char>) -> Option<Language> {
    let language = |c: char| match c {
        _ if is_chinese(c) || "，、；：（）。！？".contains(c) => Some(Language::Chinese),
        _ if c.is_ascii_alphabetic() => Some(Language::English),
        _ => None,
    };
    characters.take(HORIZON).take_while(|c| !"!?\n".contains(*c)).find_map(language)
}
