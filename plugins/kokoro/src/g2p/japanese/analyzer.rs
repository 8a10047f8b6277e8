//! Cutting Japanese into words: the cheapest path through all words of the dictionary and guesses for what it doesn't have.
//!
//! Reference: MeCab 0.996 (`tokenizer.cpp`, `viterbi.cpp`), BSD, © Taku Kudo. The crates for Japanese take dictionaries in formats of their own,
//! for which UniDic would have to be unpacked and compiled; this reads what the package ships, and gives the same words as MeCab.

use std::ops::Range;
use std::path::Path;

use super::dictionary::{Character, Characters, Connections, Dictionary, Token};
use crate::g2p::G2pError;

/// Longest run of a class that is guessed to be one word. [characters]
const LONGEST_GROUP: usize = 24;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'t, 'd> {
    /// As written.
    pub surface: &'t str,
    /// Number of the class of its first character.
    pub class: u8,
    /// Whether no dictionary has it.
    pub is_unknown: bool,
    /// Its features, separated by commas.
    pub features: &'d str,
}

impl<'d> Word<'_, 'd> {
    /// A feature by number; `None` when the word has none.
    #[must_use]
    pub fn feature(&self, number: usize) -> Option<&'d str> {
        self.features.split(',').nth(number)
    }
}

/// MeCab's analysis with one dictionary. Immutable once loaded, so threads can share it.
#[derive(Debug)]
pub struct Analyzer {
    known: Dictionary,
    unknown: Dictionary,
    connections: Connections,
    characters: Characters,
    /// Tokens of unknown words by class.
    guesses: Vec<Range<u32>>,
    space: Character,
}

/// A word at a place in the text. [bytes]
#[derive(Clone, Copy, Debug)]
struct Node {
    start: usize,
    end: usize,
    token: Token,
    class: u8,
    is_unknown: bool,
    /// Cost of the cheapest path up to its end.
    total: i64,
    /// The node before it on that path.
    before: usize,
}

/// The node at the start of the text, which every path ends at.
const START: usize = 0;

impl Analyzer {
    /// Opens `sys.dic`, `unk.dic`, `matrix.bin` and `char.bin` in `dir`.
    ///
    /// # Errors
    ///
    /// A file is missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, G2pError> {
        let characters = Characters::open(&dir.join("char.bin"))?;
        let unknown_path = dir.join("unk.dic");
        let unknown = Dictionary::open(&unknown_path)?;
        let guess = |name: &String| {
            let found = unknown.word(name.as_bytes());
            found.ok_or_else(|| G2pError::format(&unknown_path, format!("it lacks the class {name}")))
        };
        let guesses = characters.names().iter().map(guess).collect::<Result<_, _>>()?;
        Ok(Self {
            known: Dictionary::open(&dir.join("sys.dic"))?,
            connections: Connections::open(&dir.join("matrix.bin"))?,
            space: characters.of(' '),
            characters,
            unknown,
            guesses,
        })
    }

    /// The words of `text`. White space is between them.
    #[must_use]
    pub fn words<'t>(&self, text: &'t str) -> Vec<Word<'t, '_>> {
        let start = Node { start: 0, end: 0, token: Token::EDGE, class: 0, is_unknown: true, total: 0, before: START };
        let mut nodes = vec![start];
        // Nodes by where they end; of equally cheap ones the last added wins.
        let mut ending: Vec<Vec<usize>> = vec![Vec::new(); text.len() + 1];
        ending[0].push(START);
        for at in 0..text.len() {
            if ending[at].is_empty() {
                continue;
            }
            let mut found = self.nodes_at(text, at);
            for node in found.iter_mut().rev() {
                let (total, before) = self.cheapest(&nodes, &ending[at], node.token.left);
                node.total = total + i64::from(node.token.cost);
                node.before = before;
                ending[node.end].push(nodes.len());
                nodes.push(*node);
            }
        }
        let mut words = Vec::new();
        let last = ending.iter().rev().find(|ending| !ending.is_empty());
        let mut at = last.map_or(START, |ending| self.cheapest(&nodes, ending, Token::EDGE.left).1);
        while at != START {
            let node = nodes[at];
            let dictionary = if node.is_unknown { &self.unknown } else { &self.known };
            words.push(Word {
                surface: &text[node.start..node.end],
                class: node.class,
                is_unknown: node.is_unknown,
                features: dictionary.features(node.token),
            });
            at = node.before;
        }
        words.reverse();
        words
    }

    /// Cost and number of the cheapest of the nodes `ending`, when the context `left` follows.
    fn cheapest(&self, nodes: &[Node], ending: &[usize], left: u16) -> (i64, usize) {
        let mut best = (i64::MAX, START);
        for &at in ending.iter().rev() {
            let total = nodes[at].total + self.connections.cost(nodes[at].token.right, left);
            if total < best.0 {
                best = (total, at);
            }
        }
        best
    }

    /// Known and unknown words that start at the byte `at`, or behind the white space there.
    fn nodes_at(&self, text: &str, at: usize) -> Vec<Node> {
        let rest = &text[at..];
        let spaces = self.run(rest, self.space);
        let start = at + spaces.0;
        let Some(first) = text[start..].chars().next() else { return Vec::new() };
        let character = self.characters.of(first);
        let node = |end: usize, token: Token, is_unknown: bool| Node {
            start,
            end,
            token,
            class: character.class,
            is_unknown,
            total: 0,
            before: START,
        };

        let mut nodes = Vec::new();
        for (length, tokens) in self.known.words_at(&text.as_bytes()[start..]) {
            let tokens = tokens.filter_map(|number| self.known.token(number));
            nodes.extend(tokens.filter(|_| length > 0).map(|token| node(start + length, token, false)));
        }
        if !nodes.is_empty() && !character.is_always_tried {
            return nodes;
        }
        let guess = |end: usize, nodes: &mut Vec<Node>| {
            let tokens = self.guesses.get(usize::from(character.class)).cloned().unwrap_or_default();
            nodes.extend(tokens.filter_map(|number| self.unknown.token(number)).map(|token| node(end, token, true)));
        };
        let first_end = start + first.len_utf8();
        let mut group_end = None;
        if character.is_grouped {
            let (bytes, count) = self.run(&text[first_end..], character);
            if count <= LONGEST_GROUP {
                guess(first_end + bytes, &mut nodes);
            }
            group_end = Some(first_end + bytes);
        }
        let mut end = first_end;
        for _ in 0..character.length {
            if Some(end) == group_end {
                break;
            }
            guess(end, &mut nodes);
            match text[end..].chars().next() {
                Some(next) if character.is_like(self.characters.of(next)) => end += next.len_utf8(),
                _ => break,
            }
        }
        if nodes.is_empty() {
            guess(end, &mut nodes);
        }
        nodes
    }

    /// Bytes and characters at the start of `text`, each of which has a class in common with the one before it, the first with `character`.
    fn run(&self, text: &str, character: Character) -> (usize, usize) {
        let mut before = character;
        let mut count = 0;
        for (at, next) in text.char_indices() {
            let next = self.characters.of(next);
            if !before.is_like(next) {
                return (at, count);
            }
            before = next;
            count += 1;
        }
        (text.len(), count)
    }
}
