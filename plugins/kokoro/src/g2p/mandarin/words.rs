//! Cutting Chinese into words: the likeliest path through a dictionary, and a hidden Markov model for what no word of it covers.
//!
//! Reference: `jieba` 0.42.1 (`__init__.py: Tokenizer`, `finalseg/__init__.py`), MIT licence, © Sun Junyi. The same path is the basis of
//! [`super::tags`], which the crates for jieba don't have, so it is here rather than theirs.

use std::collections::HashMap;
use std::path::Path;

use super::literal::Literal;
use crate::g2p::error::{G2pError, read_text};
use crate::g2p::sorted::{Collector, SortedWords};

/// Log probability of what never happened.
pub(super) const NEVER: f64 = -3.14e100;

/// Frequency and tag of a word.
#[derive(Clone, Copy, Debug)]
struct Entry {
    frequency: u32,
    tag: u8,
}

/// jieba's dictionary.
#[derive(Debug)]
pub(crate) struct Words {
    entries: SortedWords<Entry>,
    tags: Vec<String>,
    /// Logarithm of the sum of all frequencies.
    log_total: f64,
    unknown: UnknownWords,
}

/// Where the path through the dictionary leads: words, and runs of single characters that may be unknown words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch<'t> {
    /// A word of two characters or more.
    Word(&'t str),
    /// Single characters in a row. `true`: they are no word together, so the model decides.
    Singles(&'t str, bool),
}

impl Words {
    /// Reads `dict.txt` and `finalseg/*.py` in jieba's directory.
    pub(crate) fn load(dir: &Path) -> Result<Self, G2pError> {
        let path = dir.join("dict.txt");
        let text = read_text(&path)?;
        let mut entries = Collector::default();
        let mut tags: Vec<String> = Vec::new();
        let mut total: u64 = 0;
        for (number, line) in text.lines().enumerate() {
            let broken = || G2pError::format(&path, format!("line {}: not `word frequency tag`", number + 1));
            let mut fields = line.split(' ');
            let (Some(word), Some(frequency), Some(tag)) = (fields.next(), fields.next(), fields.next()) else {
                return Err(broken());
            };
            let frequency: u32 = frequency.parse().map_err(|_| broken())?;
            let known = tags.iter().position(|known| known == tag).unwrap_or_else(|| {
                tags.push(tag.to_owned());
                tags.len() - 1
            });
            let tag = u8::try_from(known).map_err(|_| broken())?;
            if !entries.add(word, Entry { frequency, tag }) {
                return Err(broken());
            }
            total += u64::from(frequency);
        }
        Ok(Self {
            entries: entries.finish(),
            tags,
            log_total: (total as f64).ln(),
            unknown: UnknownWords::load(&dir.join("finalseg"))?,
        })
    }

    /// Words of `text`, as jieba's accurate mode finds them.
    pub(crate) fn cut<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = Vec::new();
        for run in runs(text, is_word_character) {
            if !run.starts_with(is_word_character) {
                words.extend(characters(run));
                continue;
            }
            for stretch in self.stretches(run) {
                match stretch {
                    Stretch::Word(word) => words.push(word),
                    Stretch::Singles(singles, true) => self.unknown.cut(singles, &mut words),
                    Stretch::Singles(singles, false) => words.extend(characters(singles)),
                }
            }
        }
        words
    }

    /// The same with the shorter words that are in long ones, before each (`cut_for_search`).
    pub(crate) fn cut_finely<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut words = Vec::new();
        for word in self.cut(text) {
            let starts: Vec<usize> = word.char_indices().map(|(at, _)| at).chain([word.len()]).collect();
            for length in [2, 3] {
                if starts.len() - 1 > length {
                    let parts = starts.windows(length + 1).map(|ends| &word[ends[0]..ends[length]]);
                    words.extend(parts.filter(|part| self.contains(part)));
                }
            }
            words.push(word);
        }
        words
    }

    /// Whether the dictionary has a word.
    fn contains(&self, word: &str) -> bool {
        self.entries.get(word).is_some_and(|entry| entry.frequency > 0)
    }

    /// The tag of a word of the dictionary.
    pub(super) fn tag(&self, word: &str) -> Option<&str> {
        self.entries.get(word).map(|entry| self.tags[usize::from(entry.tag)].as_str())
    }

    /// The likeliest path through `run`.
    pub(super) fn stretches<'t>(&self, run: &'t str) -> Vec<Stretch<'t>> {
        let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
        let count = starts.len() - 1;
        // Per character: the best log probability from here to the end, and where the first word of that path ends.
        let mut best = vec![(0.0_f64, 0_usize); count + 1];
        for at in (0..count).rev() {
            let mut among = self.entries.all();
            let mut found: Option<(f64, usize)> = None;
            for end in at + 1..=count {
                let word = &run[starts[at]..starts[end]];
                among = self.entries.with_prefix(among, word);
                if among.is_empty() {
                    break;
                }
                let frequency = self.entries.exact(&among, word).map_or(0, |entry| entry.frequency);
                if frequency == 0 {
                    continue;
                }
                let probability = f64::from(frequency).ln() - self.log_total + best[end].0;
                // Of equals the longer word.
                if found.is_none_or(|(best, _)| probability >= best) {
                    found = Some((probability, end));
                }
            }
            // A character that is no word counts as one that was seen once.
            best[at] = found.unwrap_or_else(|| (-self.log_total + best[at + 1].0, at + 1));
        }

        let mut stretches = Vec::new();
        let mut singles = 0;
        let mut at = 0;
        let close = |singles: usize, at: usize, stretches: &mut Vec<Stretch<'t>>| {
            if singles < at {
                let text = &run[starts[singles]..starts[at]];
                stretches.push(Stretch::Singles(text, at - singles > 1 && !self.contains(text)));
            }
        };
        while at < count {
            let end = best[at].1;
            if end > at + 1 {
                close(singles, at, &mut stretches);
                stretches.push(Stretch::Word(&run[starts[at]..starts[end]]));
                singles = end;
            }
            at = end;
        }
        close(singles, count, &mut stretches);
        stretches
    }
}

/// Characters that belong together in a run (`re_han_default`).
fn is_word_character(c: char) -> bool {
    is_han(c) || c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '&' | '.' | '_' | '%' | '-')
}

/// The ideographs that jieba knows.
pub(super) fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fd5}')
}

/// Each character by itself.
pub(super) fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices().map(|(at, character)| &text[at..at + character.len_utf8()])
}

/// Runs of characters that are all of a class, or all not.
pub(super) fn runs(text: &str, class: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let inside = class(rest.chars().next()?);
        let end = rest.find(|c| class(c) != inside).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// The model of words that no dictionary has: each character begins a word, is in its middle, ends it, or is one.
#[derive(Debug)]
struct UnknownWords {
    start: [f64; 4],
    /// From row to column.
    step: [[f64; 4]; 4],
    emit: HashMap<char, [f64; 4]>,
}

/// In the order that decides between equals.
const STATES: [char; 4] = ['B', 'E', 'M', 'S'];
const BEGIN: usize = 0;
const END: usize = 1;
const SINGLE: usize = 3;

/// Which states can come before each.
const BEFORE: [[usize; 2]; 4] = [[1, 3], [0, 2], [0, 2], [1, 3]];

impl UnknownWords {
    fn load(dir: &Path) -> Result<Self, G2pError> {
        let mut model = Self { start: [NEVER; 4], step: [[NEVER; 4]; 4], emit: HashMap::new() };
        read_table(&dir.join("prob_start.py"), |table| {
            table.each('{', '}', |table| {
                let state = state(table)?;
                model.start[state] = table.number()?;
                Ok(())
            })
        })?;
        read_table(&dir.join("prob_trans.py"), |table| {
            table.each('{', '}', |table| {
                let from = state(table)?;
                table.each('{', '}', |table| {
                    let to = state(table)?;
                    model.step[from][to] = table.number()?;
                    Ok(())
                })
            })
        })?;
        read_table(&dir.join("prob_emit.py"), |table| {
            table.each('{', '}', |table| {
                let state = state(table)?;
                table.each('{', '}', |table| {
                    let character = table.character()?;
                    table.expect(':')?;
                    model.emit.entry(character).or_insert([NEVER; 4])[state] = table.number()?;
                    Ok(())
                })
            })
        })?;
        Ok(model)
    }

    /// Cuts single characters that belong to no word of the dictionary.
    fn cut<'t>(&self, text: &'t str, words: &mut Vec<&'t str>) {
        for run in runs(text, is_han) {
            if run.starts_with(is_han) {
                self.cut_han(run, words);
            } else {
                words.extend(numbers_and_letters(run));
            }
        }
    }

    fn cut_han<'t>(&self, run: &'t str, words: &mut Vec<&'t str>) {
        let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
        let mut begin = 0;
        let mut next = 0;
        for (at, state) in self.likeliest_states(run).into_iter().enumerate() {
            match state {
                BEGIN => begin = at,
                END => words.push(&run[starts[begin]..starts[at + 1]]),
                SINGLE => words.push(&run[starts[at]..starts[at + 1]]),
                _ => {}
            }
            if matches!(state, END | SINGLE) {
                next = at + 1;
            }
        }
        if starts[next] < run.len() {
            words.push(&run[starts[next]..]);
        }
    }

    /// Viterbi.
    fn likeliest_states(&self, run: &str) -> Vec<usize> {
        let emit = |character: char| self.emit.get(&character).copied().unwrap_or([NEVER; 4]);
        let mut scores = [0.0; 4];
        let mut back: Vec<[usize; 4]> = Vec::new();
        for (at, character) in run.chars().enumerate() {
            let emit = emit(character);
            if at == 0 {
                scores = std::array::from_fn(|state| self.start[state] + emit[state]);
                continue;
            }
            let before = scores;
            let mut from = [0; 4];
            for state in 0..STATES.len() {
                let reach = |previous: usize| before[previous] + self.step[previous][state] + emit[state];
                let [first, second] = BEFORE[state];
                from[state] = if reach(second) >= reach(first) { second } else { first };
                scores[state] = reach(from[state]);
            }
            back.push(from);
        }
        let mut state = if scores[SINGLE] >= scores[END] { SINGLE } else { END };
        let mut states = vec![state];
        for from in back.iter().rev() {
            state = from[state];
            states.push(state);
        }
        states.reverse();
        states
    }
}

/// The state that a row of a table is about, with the colon behind it.
fn state(table: &mut Literal<'_>) -> Result<usize, String> {
    let name = table.character()?;
    table.expect(':')?;
    STATES.iter().position(|state| *state == name).ok_or_else(|| format!("`{name}` is no state"))
}

/// Reads the table `P` of a Python file.
pub(super) fn read_table(
    path: &Path,
    read: impl FnOnce(&mut Literal<'_>) -> Result<(), String>,
) -> Result<(), G2pError> {
    let text = read_text(path)?;
    Literal::after(&text, "P=").and_then(|mut table| read(&mut table)).map_err(|reason| G2pError::format(path, reason))
}

/// Numbers (with a fraction, with a percent sign) and words of letters and digits, and what is between them (`finalseg: re_skip`).
fn numbers_and_letters(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        let start = rest.find(alphanumeric).unwrap_or(rest.len());
        if start > 0 {
            parts.push(&rest[..start]);
            rest = &rest[start..];
            continue;
        }
        let mut end = rest.find(|c| !alphanumeric(c)).unwrap_or(rest.len());
        if let Some(fraction) = rest[end..].strip_prefix('.') {
            let digits = fraction.len() - fraction.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits > 0 {
                end += 1 + digits;
            }
        }
        if rest[end..].starts_with('%') {
            end += 1;
        }
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_whole() {
        assert_eq!(numbers_and_letters("3.14%ab-1."), ["3.14%", "ab", "-", "1", "."]);
        assert_eq!(numbers_and_letters("++"), ["++"]);
        assert!(numbers_and_letters("").is_empty());
    }

    #[test]
    fn runs_alternate() {
        assert_eq!(runs("a, b中文", |c| c.is_ascii_alphabetic()).collect::<Vec<_>>(), ["a", ", ", "b", "中文"]);
        assert_eq!(runs("", is_han).count(), 0);
    }
}
