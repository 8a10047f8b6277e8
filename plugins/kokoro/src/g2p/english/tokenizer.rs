//! spaCy's rule-based tokenizer (`spacy/tokenizer.pyx`): white space, exceptions, prefixes and suffixes, addresses, infixes.

use std::collections::{HashMap, HashSet};

use super::{
    package::{ExceptionToken, TokenizerFile},
    pattern::Pattern,
    unicode::is_space,
};

/// Runs without white space longer than this are cut, so that no input costs quadratic time. No word of any language comes near.
const LONGEST_RUN: usize = 1024; // characters

/// A token of the text; the texts of all tokens with their spaces put back make up the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// True when one space follows.
    pub(crate) space_after: bool,
    /// Norm given by an exception.
    pub(crate) norm: Option<String>,
}

impl Word {
    fn new(chars: &[char]) -> Self {
        Self { text: chars.iter().collect(), space_after: false, norm: None }
    }

    fn exception(token: &ExceptionToken) -> Self {
        Self { text: token.text.clone(), space_after: false, norm: token.norm.clone() }
    }
}

/// Splits text into tokens.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    prefix: Pattern,
    suffix: Pattern,
    infix: Pattern,
    url: Pattern,
    exceptions: HashMap<String, Vec<ExceptionToken>>,
    /// Exceptions that the affix rules would split (":)"), as the token sequences they are split into, found by their first token.
    split_exceptions: HashMap<String, Vec<Vec<String>>>,
}

impl Tokenizer {
    /// Compiles the rules; the error says which pattern is not understood.
    pub(crate) fn new(file: TokenizerFile) -> Result<Self, String> {
        let compile = |name: &str, source: &str| Pattern::new(source).map_err(|e| format!("{name} rules: {e}"));
        let mut tokenizer = Self {
            prefix: compile("prefix", &file.prefix)?,
            suffix: compile("suffix", &file.suffix)?,
            infix: compile("infix", &file.infix)?,
            url: compile("URL", &file.url)?,
            exceptions: file.exceptions.into_iter().collect(),
            split_exceptions: HashMap::new(),
        };
        let mut split_exceptions: HashMap<String, Vec<Vec<String>>> = HashMap::new();
        for text in tokenizer.exceptions.keys() {
            let chars: Vec<char> = text.chars().collect();
            let is_affected = tokenizer.prefix.search(&chars).is_some()
                || tokenizer.infix.search(&chars).is_some()
                || tokenizer.suffix.search_suffix(&chars).is_some()
                || text.contains(' ');
            if !is_affected {
                continue;
            }
            let parts: Vec<String> = tokenizer.affixes(text, false).into_iter().map(|w| w.text).collect();
            if let Some(first) = parts.first() {
                split_exceptions.entry(first.clone()).or_default().push(parts);
            }
        }
        tokenizer.split_exceptions = split_exceptions;
        Ok(tokenizer)
    }

    /// Tokens of `text`.
    pub(crate) fn tokenize(&self, text: &str) -> Vec<Word> {
        self.join_split_exceptions(self.affixes(text, true))
    }

    /// White space and affix rules (`_tokenize_affixes`): runs of white space are tokens of their own, less one plain space after a word.
    fn affixes(&self, text: &str, with_exceptions: bool) -> Vec<Word> {
        let chars: Vec<char> = text.chars().collect();
        let mut words = Vec::new();
        let Some(&first) = chars.first() else { return words };
        let mut in_space = is_space(first);
        let mut start = 0;
        for (i, &c) in chars.iter().enumerate() {
            if is_space(c) == in_space {
                continue;
            }
            if start < i {
                self.run(&chars[start..i], with_exceptions, &mut words);
            }
            start = i;
            if c == ' ' {
                if let Some(last) = words.last_mut() {
                    last.space_after = true;
                }
                start = i + 1;
            }
            in_space = !in_space;
        }
        if start < chars.len() {
            self.run(&chars[start..], with_exceptions, &mut words);
        }
        words
    }

    fn run(&self, chars: &[char], with_exceptions: bool, words: &mut Vec<Word>) {
        for piece in chars.chunks(LONGEST_RUN) {
            let is_known = with_exceptions && self.push_exception(piece, words);
            if !is_known {
                self.split(piece, with_exceptions, words);
            }
        }
    }

    fn exception(&self, chars: &[char]) -> Option<&[ExceptionToken]> {
        // The longest exception is far shorter than this; longer text needs no string to look it up.
        const LONGEST_EXCEPTION: usize = 64;
        if chars.len() > LONGEST_EXCEPTION {
            return None;
        }
        let text: String = chars.iter().collect();
        self.exceptions.get(&text).map(Vec::as_slice)
    }

    fn push_exception(&self, chars: &[char], words: &mut Vec<Word>) -> bool {
        let Some(tokens) = self.exception(chars) else { return false };
        words.extend(tokens.iter().map(Word::exception));
        true
    }

    /// Strips prefixes and suffixes until nothing changes or an exception is left (`_split_affixes`), then looks at the middle.
    fn split(&self, whole: &[char], with_exceptions: bool, words: &mut Vec<Word>) {
        let is_exception = |chars: &[char]| with_exceptions && !chars.is_empty() && self.exception(chars).is_some();
        let mut rest = whole;
        let mut suffixes: Vec<&[char]> = Vec::new();
        let mut last_length = 0;
        while !rest.is_empty() && rest.len() != last_length && !is_exception(rest) {
            last_length = rest.len();
            let prefix_length = self.prefix.match_start(rest).unwrap_or(0);
            let (prefix, without_prefix) = rest.split_at(prefix_length);
            if prefix_length > 0 && is_exception(without_prefix) {
                words.push(Word::new(prefix));
                rest = without_prefix;
                break;
            }
            let suffix_length = self.suffix.search_suffix(without_prefix).map_or(0, |(start, end)| end - start);
            let (without_suffix, suffix) = rest.split_at(rest.len() - suffix_length);
            if suffix_length > 0 && is_exception(without_suffix) {
                suffixes.push(suffix);
                rest = without_suffix;
                break;
            }
            if prefix_length > 0 {
                words.push(Word::new(prefix));
            }
            if suffix_length > 0 {
                suffixes.push(suffix);
            }
            rest = &rest[prefix_length..rest.len() - suffix_length];
        }
        let is_done = rest.is_empty() || (with_exceptions && self.push_exception(rest, words));
        if !is_done {
            self.middle(rest, words);
        }
        words.extend(suffixes.iter().rev().map(|suffix| Word::new(suffix)));
    }

    /// What is left between the affixes: an address stays whole, anything else is split at infixes (`_attach_tokens`).
    fn middle(&self, chars: &[char], words: &mut Vec<Word>) {
        // The URL pattern demands a dot; looking for one first saves its backtracking for nearly every word.
        if chars.contains(&'.') && self.url.match_start(chars).is_some() {
            words.push(Word::new(chars));
            return;
        }
        let mut start = 0;
        let mut from = 0;
        while let Some((infix_start, infix_end)) = self.infix.search_from(chars, from) {
            from = infix_end.max(infix_start + 1);
            if infix_start == 0 {
                continue;
            }
            if infix_start != start {
                words.push(Word::new(&chars[start..infix_start]));
            }
            words.push(Word::new(&chars[infix_start..infix_end]));
            start = infix_end;
        }
        if start < chars.len() {
            words.push(Word::new(&chars[start..]));
        }
    }

    /// Puts exceptions back together that the affix rules took apart (`_apply_special_cases`); longer ones win, then earlier ones.
    fn join_split_exceptions(&self, words: Vec<Word>) -> Vec<Word> {
        let mut found: Vec<(usize, usize)> = Vec::new(); // start, length
        for (start, word) in words.iter().enumerate() {
            for parts in self.split_exceptions.get(&word.text).into_iter().flatten() {
                let matches =
                    words.len() - start >= parts.len() && parts.iter().zip(&words[start..]).all(|(p, w)| *p == w.text);
                if matches {
                    found.push((start, parts.len()));
                }
            }
        }
        if found.is_empty() {
            return words;
        }
        found.sort_unstable_by_key(|&(start, length)| (std::cmp::Reverse(length), start));
        found.dedup();
        let mut taken = HashSet::new();
        let mut joined: HashMap<usize, usize> = HashMap::new();
        for (start, length) in found {
            if !taken.contains(&start) && !taken.contains(&(start + length - 1)) {
                joined.insert(start, length);
            }
            taken.extend(start..start + length);
        }
        let mut out = Vec::with_capacity(words.len());
        let mut at = 0;
        while at < words.len() {
            let length = joined.get(&at).copied().unwrap_or(1);
            let span = &words[at..at + length];
            let text: String = span
                .iter()
                .enumerate()
                .flat_map(|(i, w)| [w.text.as_str(), if w.space_after && i + 1 < length { " " } else { "" }])
                .collect();
            match self.exceptions.get(&text).filter(|_| joined.contains_key(&at)) {
                Some(tokens) => {
                    out.extend(tokens.iter().map(Word::exception));
                    if let (Some(last), Some(replaced)) = (out.last_mut(), span.last()) {
                        last.space_after = replaced.space_after;
                    }
                }
                None => out.extend_from_slice(span),
            }
            at += length;
        }
        out
    }
}
