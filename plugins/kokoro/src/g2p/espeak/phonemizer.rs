//! Text through espeak-ng with its punctuation kept, the way the Python package `phonemizer` does it.
//!
//! espeak-ng drops punctuation, so the text is cut at the marks, each part is spoken on its own, and the marks are put back
//! (`phonemizer/punctuation.py`, `backend/espeak/espeak.py`).

use std::ops::Range;

use crate::g2p::unicode::is_space;

/// A speech program that turns text into IPA.
pub trait Phonemizer: Send + Sync {
    /// IPA of `text`, spoken in one go: words separated by spaces, clauses by spaces or line ends, tied symbols joined by `^`.
    /// `None` when the program fails.
    fn speak(&self, language: &str, text: &str) -> Option<String>;

    /// Name and place, for logs.
    fn name(&self) -> &str;
}

fn is_mark(c: char) -> bool {
    ";:,.!?¡¿—…\"«»“”(){}[]".contains(c)
}

/// Runs of marks with the white space around them.
fn mark_runs(text: &str) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some(&(start, _)) = rest.peek() {
        let mut end = start;
        let mut has_mark = false;
        while let Some(&(at, c)) = rest.peek().filter(|&&(_, c)| is_mark(c) || is_space(c)) {
            has_mark |= is_mark(c);
            end = at + c.len_utf8();
            rest.next();
        }
        if has_mark {
            runs.push(start..end);
        } else if end == start {
            rest.next();
        }
    }
    runs
}

/// What becomes of the marks that espeak-ng puts around words of another language: `(en)…(es)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    /// They stay.
    Keep,
    /// They go, the words stay.
    Remove,
}

/// IPA of `text` with its punctuation; each spoken part is followed by a space unless a mark follows. `None` when there is nothing to say or
/// the program fails.
pub fn phonemize(phonemizer: &dyn Phonemizer, language: &str, text: &str, flags: Flags) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let runs = mark_runs(text);
    let mut out = String::new();
    let mut at = 0;
    let end = text.len()..text.len();
    for run in runs.into_iter().chain(std::iter::once(end)) {
        let part = &text[at..run.start];
        if !part.is_empty() {
            let spoken = words(&phonemizer.speak(language, part)?, flags);
            // A part that says nothing has no space behind it either, so the next mark takes the one before it.
            if !spoken.is_empty() {
                out.push_str(&spoken);
                out.push(' ');
            }
        }
        if !run.is_empty() {
            if out.ends_with(' ') {
                out.pop();
            }
            out.push_str(&text[run.clone()]);
        }
        at = run.end;
    }
    Some(out)
}

/// The output of one call on one line, tidied.
fn words(spoken: &str, flags: Flags) -> String {
    let mut line = spoken.trim().replace('\n', " ").replace("  ", " ");
    if flags == Flags::Remove {
        line = without_flags(&line);
    }
    let words: Vec<&str> = line.split(' ').map(str::trim).collect();
    words.join(" ")
}

/// Takes out everything in brackets. The text's own brackets are marks, so these are espeak-ng's.
fn without_flags(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('(') {
        // Something is between the brackets, else they aren't a flag.
        let inside = &rest[open + 1..];
        let first = inside.chars().next().map_or(0, char::len_utf8);
        let Some(close) = inside[first..].find(')') else { break };
        kept.push_str(&rest[..open]);
        rest = &inside[first + close + 1..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shout;

    impl Phonemizer for Shout {
        fn speak(&self, _language: &str, text: &str) -> Option<String> {
            // Like espeak-ng, it has nothing to say about an apostrophe.
            Some(format!(" {}\n", text.replace('\'', "").to_uppercase()))
        }

        fn name(&self) -> &str {
            "shout"
        }
    }

    #[test]
    fn keeps_punctuation() {
        let say = |text: &str| phonemize(&Shout, "en-us", text, Flags::Keep);
        assert_eq!(say("9:30").as_deref(), Some("9:30 "));
        assert_eq!(say("st.").as_deref(), Some("ST."));
        assert_eq!(say("¿a, b? c").as_deref(), Some("¿A, B? C "));
        assert_eq!(say("[]").as_deref(), Some("[]"));
        assert_eq!(say("a b").as_deref(), Some("A B "));
        assert_eq!(say("a ” '» b").as_deref(), Some("A ”» B "));
        assert_eq!(say(""), None);
    }

    #[test]
    fn language_flags_go() {
        assert_eq!(without_flags("el (en)wˈiːkɛnd(es) fue"), "el wˈiːkɛnd fue");
        assert_eq!(without_flags("a () b (c"), "a () b (c");
        assert_eq!(without_flags("(en)x"), "x");
    }
}
