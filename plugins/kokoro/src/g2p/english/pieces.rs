//! From tokens to pieces: tokens are cut further (case changes, digits, hyphens, apostrophes), and pieces without space between them are put
//! in one group, which is pronounced together. Reference: `misaki/en.py: G2P.tokenize, fold_left, subtokenize, retokenize`.

use unicode_normalization::UnicodeNormalization;

use super::{
    lexicon::PieceView,
    markup::{Annotation, TokenAnnotation},
    tokenizer::Word,
    unicode::{is_alpha, is_ascii_number, is_decimal, is_lower_letter, is_mark, is_upper_letter, is_word},
};

/// Longest group; what follows starts a new one, so that no input costs quadratic time.
const LONGEST_GROUP: usize = 1024; // pieces

/// Characters that are silent when nothing is known about them.
pub(crate) fn is_junk(text: &str) -> bool {
    text.chars().all(|c| "',-._‘’/".contains(c))
}

/// Punctuation that the model knows.
fn is_punctuation(c: char) -> bool {
    ";:,.!?—…\"“”".contains(c)
}

/// Punctuation less quotation marks: what separates a word from the sounds after it.
pub(crate) fn is_pause(c: char) -> bool {
    ";:,.!?—…".contains(c)
}

/// Whether the piece holds a character that no dictionary, number or abbreviation does, so that looking it up together with others is vain.
pub(crate) fn is_hopeless(text: &str) -> bool {
    text.chars().any(|c| {
        let is_possible = is_word(c) || is_mark(c) || "'‘’.,-/%&+@".contains(c);
        // What normalisation turns into something else may become letters.
        !is_possible && (c.is_ascii() || c.nfkc().eq([c]))
    })
}

/// A piece of text on its way to phonemes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece<'t> {
    pub(crate) text: String,
    pub(crate) tag: &'t str,
    pub(crate) space_after: bool,
    pub(crate) phonemes: Option<String>,
    /// Whether it begins a group.
    pub(crate) is_head: bool,
    /// Read as "to".
    pub(crate) is_to: bool,
    pub(crate) shift: Option<f64>,
    pub(crate) currency: Option<char>,
    pub(crate) number_flags: String,
    /// Whether a space is put before its phonemes within the group.
    pub(crate) prespace: bool,
}

impl Piece<'_> {
    /// What the lexicon sees of the piece.
    pub(crate) fn view(&self) -> PieceView<'_> {
        PieceView {
            text: if self.is_to { "to" } else { &self.text },
            tag: self.tag,
            shift: self.shift,
            currency: self.currency,
            is_head: self.is_head,
            number_flags: &self.number_flags,
        }
    }

    /// Whether nothing needs to be looked up, or it must not be looked up together with its neighbours.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_to || self.phonemes.is_some()
    }

    /// Whether it is the word "to", which the word before wants to know.
    pub(crate) fn is_word_to(&self) -> bool {
        matches!(self.text.as_str(), "to" | "To") || (self.text == "TO" && matches!(self.tag, "TO" | "IN"))
    }
}

/// Joins neighbours to one piece; the tag is that of the part with the most letters, capitals counting twice.
pub(crate) fn merge<'t>(parts: &[Piece<'t>], phonemes: Option<String>) -> Option<Piece<'t>> {
    let (first, last) = (parts.first()?, parts.last()?);
    let mut text = String::new();
    for part in parts {
        text.push_str(&part.text);
        if part.space_after {
            text.push(' ');
        }
    }
    if last.space_after {
        text.pop();
    }
    let weight = |piece: &Piece<'_>| -> usize {
        let is_small = |c: char| c.to_lowercase().eq(std::iter::once(c));
        piece.text.chars().map(|c| if is_small(c) { 1 } else { 2 }).sum()
    };
    let mut heaviest = first;
    for part in parts {
        if weight(part) > weight(heaviest) {
            heaviest = part;
        }
    }
    let mut shifts = parts.iter().filter_map(|p| p.shift);
    let shift = shifts.next().filter(|&shift| shifts.all(|other| other == shift));
    let mut flags: Vec<char> = parts.iter().flat_map(|p| p.number_flags.chars()).collect();
    flags.sort_unstable();
    flags.dedup();
    Some(Piece {
        text,
        tag: heaviest.tag,
        space_after: last.space_after,
        phonemes,
        is_head: first.is_head,
        is_to: false,
        shift,
        currency: parts.iter().filter_map(|p| p.currency).max(),
        number_flags: flags.into_iter().collect(),
        prespace: first.prespace,
    })
}

/// Phonemes of a group, `unknown` standing for the parts without any.
pub(crate) fn joined_phonemes(parts: &[Piece<'_>], unknown: &str) -> String {
    let mut all = String::new();
    for part in parts {
        let phonemes = part.phonemes.as_deref();
        if part.prespace
            && !all.is_empty()
            && !all.ends_with(char::is_whitespace)
            && phonemes.is_some_and(|p| !p.is_empty())
        {
            all.push(' ');
        }
        all.push_str(phonemes.unwrap_or(unknown));
    }
    all
}

/// Tokens with their tags and annotations; tokens under one pronunciation are joined.
pub(crate) fn annotated<'t>(
    words: &[Word],
    tags: impl Iterator<Item = &'t str>,
    annotations: Vec<TokenAnnotation>,
    unknown: &str,
) -> Vec<Piece<'t>> {
    let mut pieces: Vec<Piece<'t>> = words
        .iter()
        .zip(tags)
        .map(|(word, tag)| Piece {
            text: word.text.clone(),
            tag,
            space_after: word.space_after,
            phonemes: None,
            is_head: true,
            is_to: false,
            shift: None,
            currency: None,
            number_flags: String::new(),
            prespace: false,
        })
        .collect();
    for TokenAnnotation { token, is_first, annotation } in annotations {
        let Some(piece) = pieces.get_mut(token) else { continue };
        match annotation {
            Annotation::Phonemes(phonemes) => {
                piece.is_head = is_first;
                piece.phonemes = Some(if is_first { phonemes } else { String::new() });
            }
            Annotation::Stress(shift) => piece.shift = Some(shift),
            Annotation::NumberFlags(flags) => piece.number_flags = flags,
        }
    }
    let mut folded: Vec<Piece<'t>> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match folded.pop_if(|_| !piece.is_head) {
            Some(before) => {
                let pair = [before, piece];
                folded.extend(merge(&pair, Some(joined_phonemes(&pair, unknown))));
            }
            None => folded.push(piece),
        }
    }
    folded
}

/// Cuts tokens into pieces and puts pieces without space between them into groups.
pub(crate) fn grouped<'t>(tokens: &[Piece<'t>]) -> Vec<Vec<Piece<'t>>> {
    let mut groups: Vec<Vec<Piece<'t>>> = Vec::new();
    // Whether the last group may grow: its last piece is to be looked up and no space follows it.
    let mut is_open = false;
    let mut currency = None;
    for (i, token) in tokens.iter().enumerate() {
        let is_last_amount = tokens.get(i + 1).is_none_or(|next| next.tag != "CD");
        let mut parts: Vec<Piece<'t>> = if token.phonemes.is_some() {
            vec![token.clone()]
        } else {
            subtokens(&token.text)
                .into_iter()
                .map(|text| Piece {
                    text: text.to_owned(),
                    space_after: false,
                    is_head: true,
                    currency: None,
                    prespace: false,
                    ..token.clone()
                })
                .collect()
        };
        if let Some(last) = parts.last_mut() {
            last.space_after = token.space_after;
        }
        let count = parts.len();
        for j in 0..count {
            let is_between_letters = j > 0 && j + 1 < count && {
                let before = parts[j - 1].text.chars().next_back();
                let after = parts[j + 1].text.chars().next();
                before.is_some_and(is_alpha) && after.is_some_and(is_alpha)
            };
            let part = &mut parts[j];
            if part.phonemes.is_none() {
                classify(part, &mut currency, j + 1 == count && is_last_amount, is_between_letters);
            }
            let part = part.clone();
            if part.is_settled() {
                groups.push(vec![part]);
                is_open = false;
                continue;
            }
            let space_after = part.space_after;
            match groups.last_mut() {
                Some(group) if is_open && group.len() < LONGEST_GROUP => group.push(Piece { is_head: false, ..part }),
                _ => groups.push(vec![part]),
            }
            is_open = !space_after;
        }
    }
    groups
}

/// Settles punctuation and currency signs, and hands the currency to the amount behind it.
fn classify(part: &mut Piece<'_>, currency: &mut Option<char>, is_last_of_amount: bool, is_between_letters: bool) {
    let sign = match part.text.as_str() {
        "$" => Some('$'),
        "£" => Some('£'),
        "€" => Some('€'),
        _ => None,
    };
    if part.tag == "$" && sign.is_some() {
        *currency = sign;
        part.phonemes = Some(String::new());
    } else if part.tag == ":" && matches!(part.text.as_str(), "-" | "–") {
        part.phonemes = Some("—".to_owned());
    } else if is_punctuation_tag(part.tag) && !part.text.chars().all(|c| c.is_ascii_alphabetic()) {
        part.phonemes = Some(match part.tag {
            "-LRB-" => "(".to_owned(),
            "-RRB-" => ")".to_owned(),
            "``" => "“".to_owned(),
            "\"\"" | "''" => "”".to_owned(),
            _ => part.text.chars().filter(|&c| is_punctuation(c)).collect(),
        });
    } else if currency.is_some() {
        if part.tag != "CD" {
            *currency = None;
        } else if is_last_of_amount {
            part.currency = *currency;
        }
    } else if is_between_letters && part.text == "2" {
        part.is_to = true;
    }
}

fn is_punctuation_tag(tag: &str) -> bool {
    matches!(tag, "." | "," | "-LRB-" | "-RRB-" | "``" | "\"\"" | "''" | ":" | "$" | "#" | "NFP")
}

/// Whether the characters that count are of more than one kind (letters, digits, others).
pub(crate) fn is_mixed(text: &str) -> bool {
    let mut kinds = text.chars().filter(|&c| !"',-._‘’/".contains(c)).map(|c| {
        if is_alpha(c) {
            0
        } else if is_ascii_number(c.encode_utf8(&mut [0; 4])) {
            1
        } else {
            2
        }
    });
    let first = kinds.next();
    kinds.any(|kind| Some(kind) != first)
}

/// Cuts a token at case changes, digits, hyphens and apostrophes. A lone apostrophe that belongs to no letter is dropped.
fn subtokens(text: &str) -> Vec<&str> {
    let (starts, chars): (Vec<usize>, Vec<char>) = text.char_indices().unzip();
    let byte = |at: usize| starts.get(at).copied().unwrap_or(text.len());
    let mut parts = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match subtoken_end(&chars, at) {
            Some(end) => {
                parts.push(&text[byte(at)..byte(end)]);
                at = end;
            }
            None => at += 1,
        }
    }
    if parts.is_empty() { vec![text] } else { parts }
}

/// End of the piece that starts at `at`: the first of eight patterns that matches there.
fn subtoken_end(chars: &[char], at: usize) -> Option<usize> {
    let is = |i: usize, class: fn(char) -> bool| chars.get(i).is_some_and(|&c| class(c));
    let run = |from: usize, class: fn(char) -> bool| {
        from + chars[from.min(chars.len())..].iter().take_while(|&&c| class(c)).count()
    };
    let is_apostrophe = |c: char| matches!(c, '\'' | '‘' | '’');
    let is_apostrophe: fn(char) -> bool = is_apostrophe;
    let is_hyphen: fn(char) -> bool = |c| matches!(c, '-' | '_');
    let apostrophes = run(at, is_apostrophe) - at;
    // Apostrophes at the very start.
    if at == 0 && apostrophes > 0 {
        return Some(apostrophes);
    }
    // A capital before a capitalized word stands alone ("A" of "AParser").
    if is(at, is_upper_letter) && is(at + 1, is_upper_letter) && is(at + 2, is_lower_letter) {
        return Some(at + 1);
    }
    // Numbers with points and commas, with a minus sign at the very start.
    let digits_from = at + usize::from(at == 0 && chars[0] == '-');
    let digits_to = number_end(chars, digits_from);
    if digits_to > digits_from {
        return Some(digits_to);
    }
    if is(at, is_hyphen) {
        return Some(run(at, is_hyphen));
    }
    if apostrophes > 1 {
        return Some(at + apostrophes);
    }
    if let Some(end) = before_capital(chars, at) {
        return Some(end);
    }
    // Letters, with apostrophes between them.
    let letters = run(at, is_alpha);
    if letters > at {
        let mut end = letters;
        while is(end, is_apostrophe) && is(end + 1, is_alpha) {
            end += 2;
        }
        return Some(end);
    }
    if apostrophes == 0 {
        return Some(at + 1);
    }
    (at + apostrophes == chars.len()).then_some(chars.len())
}

/// Digits, each optionally with a point or comma before it.
fn number_end(chars: &[char], from: usize) -> usize {
    let digit = |i: usize| chars.get(i).is_some_and(|&c| is_decimal(c));
    let mark = |i: usize| chars.get(i).is_some_and(|&c| c == ',' || c == '.');
    let mut at = from;
    loop {
        if digit(at) && mark(at + 1) && digit(at + 2) {
            at += 3;
        } else if digit(at) && digit(at + 1) || mark(at) && digit(at + 1) {
            at += 2;
        } else if digit(at) {
            at += 1;
        } else {
            return at;
        }
    }
}

/// The shortest run of letters (with apostrophes) whose last letter is small and followed by a capital: "camel" of "camelCase".
fn before_capital(chars: &[char], at: usize) -> Option<usize> {
    let ends_here = |i: usize| {
        let is_small = chars.get(i).is_some_and(|&c| is_lower_letter(c));
        (is_small && chars.get(i + 1).is_some_and(|&c| is_upper_letter(c))).then_some(i + 1)
    };
    let mut letters = at;
    loop {
        let mut i = letters;
        loop {
            if let Some(end) = ends_here(i) {
                return Some(end);
            }
            let is_pair = chars.get(i).is_some_and(|&c| matches!(c, '\'' | '‘' | '’'))
                && chars.get(i + 1).is_some_and(|&c| is_alpha(c));
            if !is_pair {
                break;
            }
            i += 2;
        }
        if !chars.get(letters).is_some_and(|&c| is_alpha(c)) {
            return None;
        }
        letters += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_tokens() {
        for (text, parts) in [
            ("camelCase", &["camel", "Case"][..]),
            ("HTMLParser", &["HTMLParser"]),
            ("O’Brien", &["O’B", "rien"]),
            ("don’tX", &["don’t", "X"]),
            ("aB'c", &["a", "B'c"]),
            ("iPhone", &["i", "Phone"]),
            ("GPT-4o", &["GPT", "-", "4", "o"]),
            ("1,234.56", &["1,234.56"]),
            ("-5", &["-5"]),
            ("we'd've", &["we'd'v", "e"]),
            ("''tis", &["''", "tis"]),
            ("5'6", &["5", "6"]),
            ("rock-'n'-roll", &["rock", "-", "n", "-", "roll"]),
            ("a&b", &["a", "&", "b"]),
            ("x.5", &["x", ".5"]),
            ("dogs'", &["dogs", "'"]),
            ("", &[""]),
        ] {
            assert_eq!(subtokens(text), parts, "{text}");
        }
    }

    #[test]
    fn mixed_kinds() {
        assert!(is_mixed("MP3") && is_mixed("a&b"));
        assert!(!is_mixed("rock-n-roll") && !is_mixed("1,000") && !is_mixed("'-"));
    }
}
