//! Characters and word pieces put together to units: Chinese characters, words of other scripts, abbreviations.
//!
//! Source: FunASR `utils/postprocess_utils.py` (`sentence_postprocess`, `abbr_dispose`, `sentence_postprocess_sentencepiece`).

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Tokens that are no text.
const SPECIAL: [&str; 4] = ["<s>", "</s>", "<unk>", "<OOV>"];
/// Ends a word piece that goes on.
const CONTINUES: &str = "@@";
/// SentencePiece's mark of a space.
const SPACE_MARK: char = '\u{2581}';

/// When something is said, ms.
pub type Span = [i64; 2];

/// A text and the units in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The text.
    pub text: String,
    /// Its units.
    pub units: Vec<String>,
    /// When they are said, where that was given. Units of odd characters have none.
    pub spans: Option<Vec<Span>>,
}

/// Puts tokens together. With times, the text is all units separated by spaces; without, Chinese characters follow each other directly.
#[must_use]
pub fn compose(tokens: &[&str], spans: Option<&[Span]>) -> Sentence {
    let tokens: Vec<&str> = tokens.iter().copied().filter(|token| !SPECIAL.contains(token)).collect();
    let mut parts = Parts { items: Vec::new(), spans: Vec::new(), given: spans.unwrap_or_default() };
    if !tokens.is_empty() && tokens.iter().all(|token| is_chinese(token)) {
        parts.items = tokens.iter().map(|token| Item::Unit(token.replace(' ', ""))).collect();
        parts.spans = parts.given.to_vec();
    } else if !tokens.is_empty() && tokens.iter().all(|token| is_alphabetic(token)) {
        parts.words(&tokens);
    } else {
        parts.mixed(&tokens);
    }
    let (items, spans_out) = parts.abbreviated();
    let units: Vec<String> = items.iter().filter_map(Item::unit).map(str::to_owned).collect();
    let text = match spans {
        Some(_) => units.join(" "),
        None => items.iter().map(|item| item.unit().unwrap_or(" ")).collect(),
    };
    Sentence { text: text.trim().to_owned(), units, spans: spans.map(|_| spans_out) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Unit(String),
    Space,
}

impl Item {
    fn unit(&self) -> Option<&str> {
        match self {
            Self::Unit(text) => Some(text),
            Self::Space => None,
        }
    }

    /// A single Latin letter.
    fn letter(&self) -> Option<char> {
        let mut characters = self.unit()?.chars();
        let first = characters.next().filter(char::is_ascii_alphabetic)?;
        characters.next().is_none().then_some(first)
    }
}

/// Units in the making.
struct Parts<'a> {
    items: Vec<Item>,
    spans: Vec<Span>,
    given: &'a [Span],
}

impl Parts<'_> {
    fn span(&self, token: usize) -> Option<Span> {
        self.given.get(token).copied()
    }

    /// Notes that a unit lasts from `begin` to the end of `token`.
    fn note(&mut self, begin: Option<i64>, token: usize) {
        if let (Some(begin), Some(span)) = (begin, self.span(token)) {
            self.spans.push([begin, span[1]]);
        }
    }

    /// Words and their pieces only.
    fn words(&mut self, tokens: &[&str]) {
        let mut word = String::new();
        let mut begin = None;
        for (i, token) in tokens.iter().enumerate() {
            begin = begin.or(self.span(i).map(|span| span[0]));
            if token.contains(CONTINUES) {
                word += &token.replace(CONTINUES, "");
                continue;
            }
            word += token;
            self.items.extend([Item::Unit(std::mem::take(&mut word)), Item::Space]);
            self.note(begin.take(), i);
        }
    }

    /// Chinese characters among words and others.
    fn mixed(&mut self, tokens: &[&str]) {
        let mut word = String::new();
        let mut after_word = false;
        // While pieces are gathered, the beginning is that of the first one.
        let mut begin: Option<i64> = None;
        let mut is_gathering = false;
        let mut end = 0;
        for (i, token) in tokens.iter().enumerate() {
            if !is_gathering {
                begin = self.span(i).map(|span| span[0]);
                end = i;
            }
            if !token.is_empty() && token.chars().all(|character| is_chinese(character.encode_utf8(&mut [0; 4]))) {
                if after_word {
                    self.items.pop();
                }
                self.items.push(Item::Unit((*token).to_owned()));
                after_word = false;
                // A character inside of an unfinished word takes that word's time.
                is_gathering = false;
                self.note(begin, end);
            } else if token.contains(CONTINUES) {
                word += &token.replace(CONTINUES, "");
                after_word = false;
                is_gathering = true;
                end = i;
            } else if is_alphabetic_text(token) {
                word += token;
                self.items.extend([Item::Unit(std::mem::take(&mut word)), Item::Space]);
                after_word = true;
                is_gathering = false;
                self.note(begin, i);
            } else {
                self.items.push(Item::Unit((*token).to_owned()));
            }
        }
    }

    /// Single letters with spaces between them become one upper-case unit.
    fn abbreviated(self) -> (Vec<Item>, Vec<Span>) {
        let Parts { items, spans, .. } = self;
        let (mut out, mut out_spans) = (Vec::with_capacity(items.len()), Vec::with_capacity(spans.len()));
        let mut unit = 0; // index of the next unit
        let mut i = 0;
        while i < items.len() {
            let mut letters = String::new();
            let mut end = i;
            if let Some(first) = items[i].letter() {
                letters.push(first.to_ascii_uppercase());
                while let (Some(Item::Space), Some(letter)) =
                    (items.get(end + 1), items.get(end + 2).and_then(Item::letter))
                {
                    letters.push(letter.to_ascii_uppercase());
                    end += 2;
                }
            }
            if end > i {
                let last = unit + letters.len() - 1;
                if let (Some(first), Some(last)) = (spans.get(unit), spans.get(last)) {
                    out_spans.push([first[0], last[1]]);
                }
                unit = last + 1;
                out.push(Item::Unit(letters));
                i = end + 1;
                continue;
            }
            if items[i] != Item::Space {
                out_spans.extend(spans.get(unit));
                unit += 1;
            }
            out.push(items[i].clone());
            i += 1;
        }
        (out, out_spans)
    }
}

/// Puts SentencePiece pieces together (English models).
#[must_use]
pub fn compose_pieces(pieces: &[&str]) -> Sentence {
    let pieces: Vec<&str> = pieces.iter().copied().filter(|piece| !SPECIAL.contains(piece)).collect();
    let mut words = vec![String::new()];
    for (i, piece) in pieces.iter().enumerate() {
        if i > 0 && piece.contains(SPACE_MARK) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(piece.chars().filter(|&character| character != SPACE_MARK));
        }
    }
    let text = words.join(" ");
    let units = words.into_iter().map(|word| match word.as_str() {
        "i" | "i'm" | "i've" | "i'll" => word.replacen('i', "I", 1),
        _ => word,
    });
    Sentence { text, units: units.collect(), spans: None }
}

/// A single Chinese character, digit or `@`: the reference compares texts, so longer ones count by their first character.
fn is_chinese(token: &str) -> bool {
    let token = plain(token);
    in_range(&token, "\u{4e00}", "\u{9fff}") || in_range(&token, "0", "9") || token == "@"
}

/// Python's comparison of texts by code points.
fn in_range(text: &str, low: &str, high: &str) -> bool {
    text.chars().ge(low.chars()) && text.chars().le(high.chars())
}

/// Letters only, none of them Chinese; or an apostrophe.
fn is_alphabetic(token: &str) -> bool {
    let token = plain(token);
    token == "'" || (!token.is_empty() && token.chars().all(is_letter) && !is_chinese(&token))
}

/// The same, character by character, as the reference asks of a single token.
fn is_alphabetic_text(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|character| is_alphabetic(character.encode_utf8(&mut [0; 4])))
}

fn plain(token: &str) -> String {
    ["</s>", "<s>", "<unk>", "<OOV>"].iter().fold(token.replace(' ', ""), |text, special| text.replace(special, ""))
}

/// Python's `str.isalpha`.
fn is_letter(character: char) -> bool {
    character.general_category_group() == GeneralCategoryGroup::Letter
}
