//! Pronunciation markup in the text: `[Kokoro](/kˈOkəɹO/)`, `[really](-2)`, `[1984](#a#)`.
//!
//! Reference: `misaki/en.py: G2P.preprocess`, and spaCy's alignment (`spacy/training/align.pyx`) that carries the annotations over to tokens.

use super::{tokenizer::Word, unicode::is_space};

/// What a piece of text is annotated with.
#[derive(Debug, Clone, PartialEq)]
pub enum Annotation {
    /// Phonemes to use as they are.
    Phonemes(String),
    /// Stress shift: whole numbers, 0.5 or −0.5.
    Stress(f64),
    /// Letters that change how numbers are read.
    NumberFlags(String),
}

/// Text without markup, and what was marked.
#[derive(Debug, Default, PartialEq)]
pub struct Marked {
    /// What is to be spoken.
    pub text: String,
    /// The text cut at white space, marked passages in one piece.
    pieces: Vec<String>,
    /// Annotations by number of the piece.
    annotations: Vec<(usize, Annotation)>,
}

/// An annotation as it applies to one token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenAnnotation {
    pub(crate) token: usize,
    /// Whether the token is the first one under the annotation.
    pub(crate) is_first: bool,
    pub(crate) annotation: Annotation,
}

/// Takes the markup out of `text`. Brackets that aren't followed by parentheses are left alone; unknown annotations are dropped.
pub fn parse(text: &str) -> Marked {
    let text = text.trim_start_matches(is_space);
    let mut marked = Marked::default();
    let mut last_end = 0;
    for link in Links::new(text) {
        marked.plain(&text[last_end..link.start]);
        if let Some(annotation) = annotation(link.target) {
            marked.annotations.push((marked.pieces.len(), annotation));
        }
        marked.text.push_str(link.label);
        marked.pieces.push(link.label.to_owned());
        last_end = link.end;
    }
    marked.plain(&text[last_end..]);
    marked
}

impl Marked {
    /// What is annotated: number of the piece (the text cut at white space, marked passages in one piece) and annotation.
    pub fn annotations(&self) -> &[(usize, Annotation)] {
        &self.annotations
    }

    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        self.pieces.extend(text.split(is_space).filter(|p| !p.is_empty()).map(str::to_owned));
    }

    /// Carries the annotations over to the tokens of the text.
    pub(crate) fn token_annotations(&self, words: &[Word]) -> Vec<TokenAnnotation> {
        if self.annotations.is_empty() {
            return Vec::new();
        }
        let token_of_match = align(&self.pieces, words);
        let mut all = Vec::new();
        for (piece, annotation) in &self.annotations {
            // The reference takes the position in the flattened alignment for the number of the token; the two differ only after white-space
            // tokens (which align with nothing) and tokens that span several pieces. Kept, since it is what the model's users get elsewhere.
            let tokens = token_of_match.iter().enumerate().filter(|&(_, p)| p == piece).map(|(i, _)| i);
            for (i, token) in tokens.enumerate().filter(|&(_, t)| t < words.len()) {
                all.push(TokenAnnotation { token, is_first: i == 0, annotation: annotation.clone() });
            }
        }
        all
    }
}

/// For every (token, piece) pair that shares characters, in order of tokens: the number of the piece.
fn align(pieces: &[String], words: &[Word]) -> Vec<usize> {
    let lower = |text: &str| text.to_lowercase().chars().filter(|&c| !is_space(c)).count();
    let piece_lengths: Vec<usize> = pieces.iter().map(|p| lower(p)).collect();
    let mut out = Vec::new();
    let (mut piece, mut used) = (0, 0); // characters used of the current piece
    for word in words {
        let mut left = lower(&word.text);
        while left > 0 && piece < pieces.len() {
            let available = piece_lengths[piece] - used;
            if available == 0 {
                piece += 1;
                used = 0;
                continue;
            }
            out.push(piece);
            let taken = left.min(available);
            left -= taken;
            used += taken;
        }
    }
    out
}

fn annotation(target: &str) -> Option<Annotation> {
    let unsigned = target.strip_prefix(['-', '+']).unwrap_or(target);
    if super::unicode::is_ascii_number(unsigned) {
        return target.parse().ok().map(Annotation::Stress);
    }
    match target {
        "0.5" | "+0.5" => return Some(Annotation::Stress(0.5)),
        "-0.5" => return Some(Annotation::Stress(-0.5)),
        _ => {}
    }
    let between = |mark: char| {
        (target.len() > 1)
            .then(|| target.strip_prefix(mark)?.strip_suffix(mark))
            .flatten()
            .map(|inner| inner.trim_matches(mark).to_owned())
    };
    between('/').map(Annotation::Phonemes).or_else(|| between('#').map(Annotation::NumberFlags))
}

struct Link<'a> {
    start: usize,
    end: usize,
    label: &'a str,
    target: &'a str,
}

/// Finds `[label](target)`, left to right, in linear time.
struct Links<'a> {
    text: &'a str,
    at: usize,
    /// The first `]` at or after the position last asked for.
    close: Option<usize>,
}

impl<'a> Links<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, close: text.find(']') }
    }

    fn close_after(&mut self, from: usize) -> Option<usize> {
        if self.close? < from {
            self.close = self.text[from..].find(']').map(|i| from + i);
        }
        self.close
    }
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        loop {
            let start = self.at + self.text[self.at..].find('[')?;
            self.at = start + 1;
            let close = self.close_after(start + 1)?;
            if close == start + 1 || !self.text[close + 1..].starts_with('(') {
                continue;
            }
            let open = close + 2;
            let end = open + self.text[open..].find(')')? + 1;
            self.at = end;
            return Some(Link { start, end, label: &self.text[start + 1..close], target: &self.text[open..end - 1] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_markup_out() {
        let m = parse(" Say [tomato](/təmˈɑːtoʊ/), [it](-2) [x] [y](z) [5](#&#) [t](+0.5).");
        assert_eq!(m.text, "Say tomato, it [x] y 5 t.");
        assert_eq!(
            m.annotations,
            [
                (1, Annotation::Phonemes("təmˈɑːtoʊ".into())),
                (3, Annotation::Stress(-2.0)),
                (6, Annotation::NumberFlags("&".into())),
                (7, Annotation::Stress(0.5)),
            ]
        );
        assert_eq!(m.pieces, ["Say", "tomato", ",", "it", "[x]", "y", "5", "t", "."]);
    }

    #[test]
    fn leaves_other_brackets() {
        for text in ["[", "[]", "[](x)", "[a] (b)", "a]b(c)", "[a](b", "[[[[", "]["] {
            assert_eq!(parse(text).text, text);
        }
        assert_eq!(parse("[[a](b)").text, "[a");
        assert_eq!(parse("[a](/)").text, "a");
        assert_eq!(parse("[a](//)").annotations, [(0, Annotation::Phonemes(String::new()))]);
    }
}
