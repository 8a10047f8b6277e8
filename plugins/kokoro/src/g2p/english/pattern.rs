//! A small backtracking matcher for the regular expressions inside spaCy's tokenizer file.
//!
//! They are Python `re` patterns with look-behind and look-ahead, long alternations of short literals, and character classes of a thousand
//! ranges, searched in single words. Compiled as tables of alternatives by first character they load in well under a millisecond and a search
//! in a word costs less than a microsecond; general engines either lack look-around or take tens of milliseconds to compile the classes.
//!
//! Supported: literals, classes, `\d \w \s \S`, groups, alternation, greedy `? * + {m,n}`, `^`, `$`, look-ahead, fixed-width look-behind.

use std::cell::Cell;

use super::unicode;

/// Steps a single search may take before it counts as "no match"; reached only by hostile text against the URL pattern.
const STEP_LIMIT: u32 = 2_000_000;

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    alternatives: Vec<Vec<Node>>,
    /// For each ASCII character the alternatives that can begin with it, in order.
    by_first: Vec<Vec<u16>>,
    /// The same for alternatives whose matches can be of any width; in suffix rules these begin with ASCII characters.
    unbounded_by_first: Vec<Vec<u16>>,
    /// Widest match of the other alternatives, in characters.
    bounded_width: usize,
}

#[derive(Debug, Clone)]
enum Node {
    Char(char),
    Class(Box<Class>),
    Start,
    End,
    Group(Vec<Vec<Node>>),
    Repeat { node: Box<Node>, min: usize, max: usize },
    Look { behind: bool, negate: bool, width: usize, inner: Vec<Vec<Node>> },
}

#[derive(Debug, Clone, Default)]
struct Class {
    negate: bool,
    ascii: u128,
    ranges: Vec<(char, char)>,
    predicates: Vec<fn(char) -> bool>,
}

impl Class {
    fn add(&mut self, from: char, to: char) {
        for code in (from as u32)..=(to as u32).min(127) {
            self.ascii |= 1 << code;
        }
        if to as u32 > 127 {
            self.ranges.push((from, to));
        }
    }

    fn escape(&mut self, letter: char) -> bool {
        match letter {
            'd' => self.predicates.push(unicode::is_decimal),
            'w' => self.predicates.push(unicode::is_word),
            's' => self.predicates.push(unicode::is_space),
            'S' => self.predicates.push(|c| !unicode::is_space(c)),
            _ => return false,
        }
        true
    }

    /// Sorts and joins the ranges so that membership is one binary search.
    fn finish(mut self) -> Self {
        self.ranges.sort_unstable();
        let mut joined: Vec<(char, char)> = Vec::with_capacity(self.ranges.len());
        for (from, to) in self.ranges.drain(..) {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        self.ranges = joined;
        self
    }

    fn contains(&self, c: char) -> bool {
        let listed = if c.is_ascii() {
            self.ascii >> (c as u32) & 1 == 1
        } else {
            let at = self.ranges.partition_point(|&(_, to)| to < c);
            self.ranges.get(at).is_some_and(|&(from, _)| from <= c)
        };
        (listed || self.predicates.iter().any(|p| p(c))) != self.negate
    }
}

impl Pattern {
    /// Compiles a pattern; the error says what is not understood and where.
    pub(crate) fn new(source: &str) -> Result<Self, String> {
        let source = source.strip_prefix("(?u)").unwrap_or(source);
        let mut parser = Parser { chars: source.chars().collect(), at: 0, depth: 0 };
        let alternatives = parser.alternatives()?;
        if parser.at != parser.chars.len() {
            return Err(format!("unbalanced `)` at character {} of a pattern", parser.at));
        }
        let count = u16::try_from(alternatives.len()).map_err(|_| "a pattern has too many alternatives".to_owned())?;
        let widths: Vec<Option<usize>> = alternatives.iter().map(|a| max_width_of(a)).collect();
        let by_first: Vec<Vec<u16>> = (0..128_u8)
            .map(|byte| {
                (0..count)
                    .filter(|&i| can_begin(&alternatives[usize::from(i)], char::from(byte)) != Begin::No)
                    .collect()
            })
            .collect();
        let unbounded = |i: &u16| widths[usize::from(*i)].is_none();
        let unbounded_by_first = by_first.iter().map(|all| all.iter().copied().filter(unbounded).collect()).collect();
        let bounded_width = widths.iter().flatten().copied().max().unwrap_or(0);
        Ok(Self { alternatives, by_first, unbounded_by_first, bounded_width })
    }

    /// Leftmost match, `(start, end)` in characters.
    pub(crate) fn search(&self, text: &[char]) -> Option<(usize, usize)> {
        self.search_from(text, 0)
    }

    /// Leftmost match that starts at `from` or later.
    pub(crate) fn search_from(&self, text: &[char], from: usize) -> Option<(usize, usize)> {
        let steps = Cell::new(0);
        (from..=text.len()).find_map(|start| self.match_at(text, start, &steps).map(|end| (start, end)))
    }

    /// Leftmost match of a pattern whose alternatives all end in `$`: where the rest of the text is longer than what a bounded alternative can
    /// match, only the unbounded ones are tried.
    pub(crate) fn search_suffix(&self, text: &[char]) -> Option<(usize, usize)> {
        let steps = Cell::new(0);
        let near_end = text.len().saturating_sub(self.bounded_width);
        let unbounded = |start: usize| {
            let first = text[start];
            let alternatives = if first.is_ascii() { self.unbounded_by_first[first as usize].as_slice() } else { &[] };
            alternatives.iter().find_map(|&i| self.attempt(usize::from(i), text, start, &steps))
        };
        (0..near_end)
            .find_map(|start| Some((start, unbounded(start)?)))
            .or_else(|| (near_end..text.len()).find_map(|start| Some((start, self.match_at(text, start, &steps)?))))
    }

    /// End of a match that starts at the first character.
    pub(crate) fn match_start(&self, text: &[char]) -> Option<usize> {
        self.match_at(text, 0, &Cell::new(0))
    }

    fn match_at(&self, text: &[char], start: usize, steps: &Cell<u32>) -> Option<usize> {
        match text.get(start) {
            Some(&first) if first.is_ascii() => {
                self.by_first[first as usize].iter().find_map(|&i| self.attempt(usize::from(i), text, start, steps))
            }
            _ => (0..self.alternatives.len()).find_map(|i| self.attempt(i, text, start, steps)),
        }
    }

    fn attempt(&self, alternative: usize, text: &[char], start: usize, steps: &Cell<u32>) -> Option<usize> {
        let mut end = None;
        Matcher { text, steps }.sequence(&self.alternatives[alternative], start, &mut |at| {
            end = Some(at);
            true
        });
        end
    }
}

struct Matcher<'a> {
    text: &'a [char],
    steps: &'a Cell<u32>,
}

impl Matcher<'_> {
    /// Matches `nodes` at `at`, then whatever `then` asks for; true as soon as one way works.
    fn sequence(&self, nodes: &[Node], at: usize, then: &mut dyn FnMut(usize) -> bool) -> bool {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > STEP_LIMIT {
            return false;
        }
        let Some((node, rest)) = nodes.split_first() else {
            return then(at);
        };
        match node {
            Node::Char(_) | Node::Class(_) => self.single(node, at) && self.sequence(rest, at + 1, then),
            Node::Start => at == 0 && self.sequence(rest, at, then),
            Node::End => at == self.text.len() && self.sequence(rest, at, then),
            Node::Group(alternatives) => {
                alternatives.iter().any(|nodes| self.sequence(nodes, at, &mut |next| self.sequence(rest, next, then)))
            }
            Node::Repeat { node, min, max } => self.repeat(node, *min, *max, at, rest, then),
            Node::Look { behind, negate, width, inner } => {
                let found = match behind {
                    true => at >= *width && inner.iter().any(|n| self.sequence(n, at - width, &mut |end| end == at)),
                    false => inner.iter().any(|n| self.sequence(n, at, &mut |_| true)),
                };
                found != *negate && self.sequence(rest, at, then)
            }
        }
    }

    fn single(&self, node: &Node, at: usize) -> bool {
        self.text.get(at).is_some_and(|&c| match node {
            Node::Char(expected) => c == *expected,
            Node::Class(class) => class.contains(c),
            _ => false,
        })
    }

    /// Greedy repetition. Single characters are counted in a loop; groups recurse once per round, which word lengths bound.
    fn repeat(
        &self,
        node: &Node,
        min: usize,
        max: usize,
        at: usize,
        rest: &[Node],
        then: &mut dyn FnMut(usize) -> bool,
    ) -> bool {
        if matches!(node, Node::Char(_) | Node::Class(_)) {
            let most = (0..max).take_while(|&n| self.single(node, at + n)).count();
            return most >= min && (min..=most).rev().any(|n| self.sequence(rest, at + n, then));
        }
        if max > 0
            && self.sequence(std::slice::from_ref(node), at, &mut |next| {
                next > at && self.repeat(node, min.saturating_sub(1), max - 1, next, rest, then)
            })
        {
            return true;
        }
        min == 0 && self.sequence(rest, at, then)
    }
}

#[derive(PartialEq, Eq)]
enum Begin {
    Yes,
    No,
    /// The nodes can match nothing, so the answer depends on what follows.
    Passes,
}

fn can_begin(nodes: &[Node], c: char) -> Begin {
    for node in nodes {
        let begin = match node {
            Node::Char(expected) if c == *expected => Begin::Yes,
            Node::Class(class) if class.contains(c) => Begin::Yes,
            Node::Char(_) | Node::Class(_) => Begin::No,
            Node::Start | Node::End | Node::Look { .. } => Begin::Passes,
            Node::Group(alternatives) => {
                let all: Vec<Begin> = alternatives.iter().map(|a| can_begin(a, c)).collect();
                if all.contains(&Begin::Yes) {
                    Begin::Yes
                } else if all.contains(&Begin::Passes) {
                    Begin::Passes
                } else {
                    Begin::No
                }
            }
            Node::Repeat { node, min, .. } => match can_begin(std::slice::from_ref(node), c) {
                Begin::No if *min == 0 => Begin::Passes,
                begin => begin,
            },
        };
        if begin != Begin::Passes {
            return begin;
        }
    }
    Begin::Passes
}

fn max_width_of(nodes: &[Node]) -> Option<usize> {
    nodes.iter().try_fold(0, |sum, node| Some(sum + max_width(node)?))
}

fn max_width(node: &Node) -> Option<usize> {
    match node {
        Node::Char(_) | Node::Class(_) => Some(1),
        Node::Start | Node::End | Node::Look { .. } => Some(0),
        Node::Group(alternatives) => alternatives.iter().try_fold(0, |most, a| Some(most.max(max_width_of(a)?))),
        Node::Repeat { max: usize::MAX, .. } => None,
        Node::Repeat { node, max, .. } => max_width(node)?.checked_mul(*max),
    }
}

/// Deepest nesting of groups accepted; the real patterns have five.
const DEPTH_LIMIT: u32 = 64;

struct Parser {
    chars: Vec<char>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn eat(&mut self, expected: &str) -> bool {
        let found = expected.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        if found {
            self.at += expected.chars().count();
        }
        found
    }

    fn unsupported(&self, what: &str) -> String {
        format!("{what} at character {} of a pattern is not supported", self.at)
    }

    fn alternatives(&mut self) -> Result<Vec<Vec<Node>>, String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.unsupported("nesting this deep"));
        }
        let mut all = vec![Vec::new()];
        while let Some(c) = self.peek() {
            match c {
                '|' => {
                    self.at += 1;
                    all.push(Vec::new());
                }
                ')' => break,
                _ => {
                    let node = self.item()?;
                    let node = self.quantified(node)?;
                    if let Some(last) = all.last_mut() {
                        last.push(node);
                    }
                }
            }
        }
        self.depth -= 1;
        Ok(all)
    }

    fn item(&mut self) -> Result<Node, String> {
        let Some(c) = self.peek() else {
            return Err(self.unsupported("the end"));
        };
        self.at += 1;
        match c {
            '^' => Ok(Node::Start),
            '$' => Ok(Node::End),
            '.' => Ok(Node::Class(Box::new(Class { negate: true, ascii: 1 << b'\n', ..Class::default() }))),
            '[' => self.class(),
            '(' => self.group(),
            '\\' => {
                let letter = self.peek().ok_or_else(|| self.unsupported("a lone backslash"))?;
                let mut class = Class::default();
                if class.escape(letter) {
                    self.at += 1;
                    return Ok(Node::Class(Box::new(class)));
                }
                self.escaped_char().map(Node::Char)
            }
            '*' | '+' | '?' => Err(self.unsupported("a quantifier without an item")),
            c => Ok(Node::Char(c)),
        }
    }

    fn group(&mut self) -> Result<Node, String> {
        let (look, behind, negate) = if self.eat("?:") {
            (false, false, false)
        } else if self.eat("?=") {
            (true, false, false)
        } else if self.eat("?!") {
            (true, false, true)
        } else if self.eat("?<=") {
            (true, true, false)
        } else if self.eat("?<!") {
            (true, true, true)
        } else if self.peek() == Some('?') {
            return Err(self.unsupported("this kind of group"));
        } else {
            (false, false, false)
        };
        let inner = self.alternatives()?;
        if !self.eat(")") {
            return Err(self.unsupported("an open group"));
        }
        if !look {
            return Ok(Node::Group(inner));
        }
        let mut width = 0;
        if behind {
            width = inner
                .first()
                .and_then(|a| fixed_width(a))
                .filter(|&width| inner.iter().all(|a| fixed_width(a) == Some(width)))
                .ok_or_else(|| self.unsupported("a look-behind of varying width"))?;
        }
        Ok(Node::Look { behind, negate, width, inner })
    }

    fn quantified(&mut self, node: Node) -> Result<Node, String> {
        let (min, max) = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('{') => {
                let close = self.chars[self.at..].iter().position(|&c| c == '}');
                let body: String =
                    close.map(|close| self.chars[self.at + 1..self.at + close].iter().collect()).unwrap_or_default();
                let (low, high) = body.split_once(',').unwrap_or((&body, &body));
                let min = low.parse().map_err(|_| self.unsupported("this repetition"))?;
                let max = match high {
                    "" => usize::MAX,
                    high => high.parse().map_err(|_| self.unsupported("this repetition"))?,
                };
                self.at += close.unwrap_or(0);
                (min, max)
            }
            _ => return Ok(node),
        };
        self.at += 1;
        if matches!(self.peek(), Some('?' | '+')) {
            return Err(self.unsupported("a lazy or possessive quantifier"));
        }
        Ok(Node::Repeat { node: Box::new(node), min, max })
    }

    fn class(&mut self) -> Result<Node, String> {
        let mut class = Class { negate: self.eat("^"), ..Class::default() };
        let mut first = true;
        loop {
            let c = self.peek().ok_or_else(|| self.unsupported("an open class"))?;
            self.at += 1;
            let from = match c {
                ']' if !first => break,
                '\\' => {
                    let letter = self.peek().ok_or_else(|| self.unsupported("a lone backslash"))?;
                    if class.escape(letter) {
                        self.at += 1;
                        first = false;
                        continue;
                    }
                    self.escaped_char()?
                }
                c => c,
            };
            first = false;
            let is_range = self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|&c| c != ']');
            if !is_range {
                class.add(from, from);
                continue;
            }
            self.at += 1;
            let to = if self.eat("\\") {
                self.escaped_char()?
            } else {
                self.at += 1;
                self.chars[self.at - 1]
            };
            if to < from {
                return Err(self.unsupported("a reversed range"));
            }
            class.add(from, to);
        }
        Ok(Node::Class(Box::new(class.finish())))
    }

    /// The character after a backslash: `\uXXXX`, `\UXXXXXXXX`, or punctuation standing for itself.
    fn escaped_char(&mut self) -> Result<char, String> {
        let letter = self.peek().ok_or_else(|| self.unsupported("a lone backslash"))?;
        self.at += 1;
        let digits = match letter {
            'u' => 4,
            'U' => 8,
            c if !c.is_ascii_alphanumeric() => return Ok(c),
            _ => return Err(self.unsupported("this escape")),
        };
        let hex: String = self.chars.iter().skip(self.at).take(digits).collect();
        self.at += digits;
        u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32).ok_or_else(|| self.unsupported("this code point"))
    }
}

fn fixed_width(nodes: &[Node]) -> Option<usize> {
    nodes.iter().try_fold(0, |sum, node| {
        let width = match node {
            Node::Char(_) | Node::Class(_) => 1,
            Node::Start | Node::End | Node::Look { .. } => 0,
            Node::Group(alternatives) => {
                let width = fixed_width(alternatives.first()?)?;
                alternatives.iter().all(|a| fixed_width(a) == Some(width)).then_some(width)?
            }
            Node::Repeat { node, min, max } if min == max => fixed_width(std::slice::from_ref(node))? * min,
            Node::Repeat { .. } => return None,
        };
        Some(sum + width)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &str, text: &str) -> Option<(usize, usize)> {
        let chars: Vec<char> = text.chars().collect();
        Pattern::new(pattern).unwrap().search(&chars)
    }

    #[test]
    fn finds_leftmost_first_alternative() {
        assert_eq!(find(r"\.\.+|…", "a...b"), Some((1, 4)));
        assert_eq!(find(r"km$|m$", "5km"), Some((1, 3)));
        assert_eq!(find(r"(?<=[0-9])(?:km|m)$", "5km"), Some((1, 3)));
        assert_eq!(find(r"(?<=[0-9])(?:km|m)$", "xkm"), None);
        assert_eq!(find(r"^\+(?![0-9])", "+5"), None);
        assert_eq!(find(r"^\+(?![0-9])", "+x"), Some((0, 1)));
        assert_eq!(find(r"(?<=[A-Z][A-Z])\.$", "USA."), Some((3, 4)));
        assert_eq!(find(r"[\u00A6\U0001F300-\U0001F5FF]", "a🌍"), Some((1, 2)));
        assert_eq!(find(r"^(?:[a-z]{2,3}\.)+$", "ab.cde."), Some((0, 7)));
        assert_eq!(find(r"^(?:[a-z]{2,3}\.)+$", "ab.cdef."), None);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for bad in ["(?P<x>a)", "a+?", r"(?<=a*)b", "(a", "[a", r"\b", "a)"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hostile_text_ends() {
        let text = "a:".repeat(500) + "@";
        let chars: Vec<char> = text.chars().collect();
        let pattern = Pattern::new(r"^(?:\S+(?::\S*)?@)?(?:\S+\S+\S+\.)+x$").unwrap();
        assert_eq!(pattern.search(&chars), None);
    }
}
