//! Words with their parts of speech.
//!
//! Reference: `jieba/posseg/__init__.py` and `viterbi.py` of jieba 0.42.1, MIT licence, © Sun Junyi.

use std::collections::HashMap;
use std::path::Path;

use super::literal::Literal;
use super::words::{NEVER, Stretch, Words, characters, is_han, read_table, runs};
use crate::g2p::error::G2pError;

/// Tag of punctuation and of what nobody knows.
pub(super) const OTHER: &str = "x";
/// Tag of Latin letters.
pub(super) const LATIN: &str = "eng";
/// Tag of numbers.
const NUMBER: &str = "m";

/// A word and its tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaggedWord {
    pub(crate) text: String,
    pub(crate) tag: String,
}

/// The model that cuts and tags what is in no dictionary.
#[derive(Debug)]
pub(crate) struct Tags {
    /// Place in the word (B, E, M, S) and tag, in the order that decides between equals.
    states: Vec<(char, String)>,
    start: Vec<f64>,
    /// Per state, the states that can follow and their log probabilities, by state.
    steps: Vec<Vec<(u16, f64)>>,
    /// Per character, the states that show it and their log probabilities, by state.
    emit: HashMap<char, Vec<(u16, f64)>>,
    /// Per character, the states to consider.
    candidates: HashMap<char, Vec<u16>>,
}

impl Tags {
    /// Reads `posseg/*.py` in jieba's directory.
    pub(crate) fn load(dir: &Path) -> Result<Self, G2pError> {
        let dir = dir.join("posseg");
        let mut start: Vec<((char, String), f64)> = Vec::new();
        read_table(&dir.join("prob_start.py"), |table| {
            table.each('{', '}', |table| {
                let state = state(table)?;
                table.expect(':')?;
                start.push((state, table.number()?));
                Ok(())
            })
        })?;
        start.sort_by(|a, b| a.0.cmp(&b.0));
        let (states, start): (Vec<_>, Vec<_>) = start.into_iter().unzip();
        let number = |state: &(char, String)| {
            let found = states.binary_search(state).ok().and_then(|at| u16::try_from(at).ok());
            found.ok_or_else(|| format!("{state:?} is no state"))
        };

        let mut steps: Vec<Vec<(u16, f64)>> = vec![Vec::new(); states.len()];
        read_table(&dir.join("prob_trans.py"), |table| {
            table.each('{', '}', |table| {
                let from = number(&state(table)?)?;
                table.expect(':')?;
                table.each('{', '}', |table| {
                    let to = number(&state(table)?)?;
                    table.expect(':')?;
                    steps[usize::from(from)].push((to, table.number()?));
                    Ok(())
                })
            })
        })?;
        let mut emit: HashMap<char, Vec<(u16, f64)>> = HashMap::new();
        read_table(&dir.join("prob_emit.py"), |table| {
            table.each('{', '}', |table| {
                let state = number(&state(table)?)?;
                table.expect(':')?;
                table.each('{', '}', |table| {
                    let character = table.character()?;
                    table.expect(':')?;
                    emit.entry(character).or_default().push((state, table.number()?));
                    Ok(())
                })
            })
        })?;
        let mut candidates: HashMap<char, Vec<u16>> = HashMap::new();
        read_table(&dir.join("char_state_tab.py"), |table| {
            table.each('{', '}', |table| {
                let character = table.character()?;
                table.expect(':')?;
                let of_character = candidates.entry(character).or_default();
                table.each('(', ')', |table| {
                    of_character.push(number(&state(table)?)?);
                    Ok(())
                })
            })
        })?;
        for row in steps.iter_mut().chain(emit.values_mut()) {
            row.sort_unstable_by_key(|(state, _)| *state);
            row.shrink_to_fit();
        }
        Ok(Self { states, start, steps, emit, candidates })
    }

    /// Words of `text` with their tags.
    pub(crate) fn cut(&self, words: &Words, text: &str) -> Vec<TaggedWord> {
        let mut tagged = Vec::new();
        let mut push = |text: &str, tag: &str| tagged.push(TaggedWord { text: text.to_owned(), tag: tag.to_owned() });
        for run in runs(text, is_word_character) {
            if !run.starts_with(is_word_character) {
                for character in characters(run) {
                    push(character, OTHER);
                }
                continue;
            }
            for stretch in words.stretches(run) {
                match stretch {
                    Stretch::Word(word) => push(word, words.tag(word).unwrap_or(OTHER)),
                    Stretch::Singles(singles, false) => {
                        for character in characters(singles) {
                            push(character, words.tag(character).unwrap_or(OTHER));
                        }
                    }
                    Stretch::Singles(singles, true) => self.cut_singles(singles, &mut push),
                }
            }
        }
        tagged
    }

    fn cut_singles(&self, text: &str, push: &mut dyn FnMut(&str, &str)) {
        for run in runs(text, is_han) {
            if run.starts_with(is_han) {
                self.cut_han(run, push);
                continue;
            }
            // Numbers with points first, then letters and digits, then the rest.
            let mut rest = run;
            while let Some(first) = rest.chars().next() {
                let is_number = |c: char| c == '.' || c.is_ascii_digit();
                let is_latin = |c: char| c.is_ascii_alphanumeric();
                let (end, tag) = if is_number(first) {
                    (rest.find(|c| !is_number(c)), NUMBER)
                } else if is_latin(first) {
                    (rest.find(|c| !is_latin(c)), LATIN)
                } else {
                    (rest.find(|c| is_number(c) || is_latin(c)), OTHER)
                };
                let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
                push(part, tag);
                rest = after;
            }
        }
    }

    fn cut_han(&self, run: &str, push: &mut dyn FnMut(&str, &str)) {
        let starts: Vec<usize> = run.char_indices().map(|(at, _)| at).chain([run.len()]).collect();
        let states = self.likeliest_states(run);
        let (mut begin, mut next) = (0, 0);
        for (at, &state) in states.iter().enumerate() {
            let (place, tag) = &self.states[usize::from(state)];
            match place {
                'B' => begin = at,
                'E' => push(&run[starts[begin]..starts[at + 1]], tag),
                'S' => push(&run[starts[at]..starts[at + 1]], tag),
                _ => {}
            }
            if matches!(place, 'E' | 'S') {
                next = at + 1;
            }
        }
        if let Some(&state) = states.get(next) {
            push(&run[starts[next]..], &self.states[usize::from(state)].1);
        }
    }

    /// Viterbi over the states that a character can be in and that the states before it lead to. Empty when the model has no path.
    fn likeliest_states(&self, run: &str) -> Vec<u16> {
        let all: Vec<u16> = (0..self.states.len()).filter_map(|state| u16::try_from(state).ok()).collect();
        let mut columns: Vec<Vec<Reached>> = Vec::new();
        for character in run.chars() {
            let candidates = self.candidates.get(&character).filter(|of| !of.is_empty()).unwrap_or(&all);
            let column: Vec<Reached> = match columns.last() {
                None => candidates
                    .iter()
                    .map(|&state| Reached {
                        state,
                        score: self.start[usize::from(state)] + self.emission(character, state),
                        from: 0,
                    })
                    .collect(),
                Some(before) => self.column(before, candidates, character),
            };
            columns.push(column);
        }
        let best = |column: &[Reached]| {
            let better = |a: &(usize, &Reached), b: &(usize, &Reached)| {
                a.1.score.total_cmp(&b.1.score).then(a.1.state.cmp(&b.1.state))
            };
            column.iter().enumerate().max_by(better).map(|(at, _)| at)
        };
        let Some(mut at) = columns.last().and_then(|column| best(column)) else { return Vec::new() };
        let mut states = Vec::with_capacity(columns.len());
        for column in columns.iter().rev() {
            states.push(column[at].state);
            at = column[at].from;
        }
        states.reverse();
        states
    }

    /// The states that `character` can be in after those of the column `before`, which isn't empty; neither is the result.
    fn column(&self, before: &[Reached], candidates: &[u16], character: char) -> Vec<Reached> {
        let mut emissions = vec![NEVER; self.states.len()];
        for &(state, emission) in self.emit.get(&character).map(Vec::as_slice).unwrap_or_default() {
            emissions[usize::from(state)] = emission;
        }
        let mut best: Vec<Option<Reached>> = vec![None; self.states.len()];
        for (from, reached) in before.iter().enumerate() {
            for &(state, step) in &self.steps[usize::from(reached.state)] {
                let score = reached.score + step + emissions[usize::from(state)];
                let slot = &mut best[usize::from(state)];
                // Of equals the later state.
                let is_better = slot.is_none_or(|best| {
                    score > best.score || score == best.score && reached.state >= before[best.from].state
                });
                if is_better {
                    *slot = Some(Reached { state, score, from });
                }
            }
        }
        let likely: Vec<Reached> = candidates.iter().filter_map(|&state| best[usize::from(state)]).collect();
        if !likely.is_empty() {
            return likely;
        }
        let possible: Vec<Reached> = best.into_iter().flatten().collect();
        if !possible.is_empty() {
            return possible;
        }
        candidates.iter().map(|&state| Reached { state, score: f64::NEG_INFINITY, from: 0 }).collect()
    }

    fn emission(&self, character: char, state: u16) -> f64 {
        self.emit.get(&character).and_then(|row| lookup(row, state)).unwrap_or(NEVER)
    }
}

/// A state at a character, and the best way to it.
#[derive(Clone, Copy, Debug)]
struct Reached {
    state: u16,
    score: f64,
    /// Which of the column before.
    from: usize,
}

/// Characters that belong together in a run (`re_han_internal`); unlike in [`Words::cut`] without `%` and `-`.
fn is_word_character(c: char) -> bool {
    is_han(c) || c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '&' | '.' | '_')
}

fn lookup(row: &[(u16, f64)], state: u16) -> Option<f64> {
    row.binary_search_by_key(&state, |(known, _)| *known).ok().map(|at| row[at].1)
}

/// `('B', 'n')`.
fn state(table: &mut Literal<'_>) -> Result<(char, String), String> {
    table.expect('(')?;
    let place = table.character()?;
    table.expect(',')?;
    let tag = table.text()?.into_owned();
    table.expect(')')?;
    Ok((place, tag))
}
