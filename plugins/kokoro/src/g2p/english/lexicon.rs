//! Pronunciations of words: two dictionaries, words with rules of their own, spelled-out abbreviations.
//!
//! Reference: `misaki/en.py: Lexicon`. The rules for endings are in [`super::endings`], those for numbers in [`super::number`].

use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use super::{
    G2pError, Variant,
    dictionary::{Dictionary, Entry},
    stress,
    unicode::{all_alpha, capitalize, digit_value, is_alpha},
};

/// What is known of the sounds to the right of a word when it is looked up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Context {
    /// Whether the next sound is a vowel; `None` before punctuation and at the end.
    pub(crate) before_vowel: Option<bool>,
    /// Whether the next word is "to".
    pub(crate) before_to: bool,
}

/// A word on its way through the lexicon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) tag: Option<&'a str>,
    pub(crate) shift: Option<f64>,
    /// `None` where the surroundings must not matter (inside numbers and names of symbols).
    pub(crate) context: Option<Context>,
}

impl Query<'_> {
    /// A word looked up on its own.
    pub(crate) const ALONE: Query<'static> = Query { tag: None, shift: None, context: None };

    fn tag_starts_with(&self, prefix: &str) -> bool {
        self.tag.is_some_and(|tag| tag.starts_with(prefix))
    }

    fn tag_is(&self, tag: &str) -> bool {
        self.tag == Some(tag)
    }
}

/// Stress shift of words with some capital letters, and of words all in capitals.
const MIXED_CASE_SHIFT: f64 = 0.5;
const ALL_CAPS_SHIFT: f64 = 2.0;

/// Proper names longer than this are also looked up in lower case.
const LONG_NAME: usize = 7; // characters

/// The two dictionaries of a variety of English and the rules around them.
#[derive(Debug)]
pub(crate) struct Lexicon {
    pub(super) variant: Variant,
    gold: Dictionary,
    silver: Dictionary,
}

impl Lexicon {
    /// Reads `us_gold.json` and `us_silver.json` (or `gb_…`) in `dir`.
    pub(crate) fn load(dir: &Path, variant: Variant) -> Result<Self, G2pError> {
        let prefix = match variant {
            Variant::American => "us",
            Variant::British => "gb",
        };
        Ok(Self {
            variant,
            gold: Dictionary::load(&dir.join(format!("{prefix}_gold.json")))?,
            silver: Dictionary::load(&dir.join(format!("{prefix}_silver.json")))?,
        })
    }

    pub(crate) fn is_british(&self) -> bool {
        self.variant == Variant::British
    }

    /// Number of words in both dictionaries.
    pub(crate) fn len(&self) -> usize {
        self.gold.len() + self.silver.len()
    }

    /// Pronunciation of one token, with the currency that precedes it and its stress shift, or `None` if it isn't known.
    pub(crate) fn pronounce(&self, piece: &PieceView<'_>, context: Context) -> Option<String> {
        let word: String = piece.text.replace(['‘', '’'], "'").nfkc().collect();
        let word: String =
            word.chars().map(|c| digit_value(c).and_then(|v| char::from_digit(v, 10)).unwrap_or(c)).collect();
        let query = Query {
            tag: Some(piece.tag),
            shift: if word == word.to_lowercase() {
                None
            } else if word == word.to_uppercase() {
                Some(ALL_CAPS_SHIFT)
            } else {
                Some(MIXED_CASE_SHIFT)
            },
            context: Some(context),
        };
        if let Some(phonemes) = self.word(&word, query) {
            let unit = piece.currency.and_then(|currency| self.currency_name(currency));
            let phonemes = match unit {
                Some(unit) => format!("{phonemes} {unit}"),
                None => phonemes,
            };
            return Some(stress::apply(&phonemes, piece.shift));
        }
        if super::number::is_number(&word, piece.is_head) {
            return self
                .number(&word, piece.currency, piece.is_head, piece.number_flags)
                .map(|phonemes| stress::apply(&phonemes, piece.shift));
        }
        None
    }

    /// Pronunciation of a word: rules of its own, the dictionaries, endings (`get_word`).
    fn word(&self, word: &str, query: Query<'_>) -> Option<String> {
        if let Some(phonemes) = self.special(word, query) {
            return Some(phonemes);
        }
        let lower = word.to_lowercase();
        let tail = tail(word);
        let length = word.chars().count();
        let may_be_lowered = length > 1
            && all_alpha(&word.replace('\'', ""))
            && word != lower
            && (!query.tag_is("NNP") || length > LONG_NAME)
            && !self.has(word)
            && (word == word.to_uppercase() || tail == tail.to_lowercase())
            && (self.has(&lower) || self.with_ending(&lower, query).is_some_and(|p| !p.is_empty()));
        let word = if may_be_lowered { lower.as_str() } else { word };
        if self.is_known(word) {
            return self.lookup(word, query);
        }
        if let Some(stem) = word.strip_suffix("s'") {
            let singular = format!("{stem}'s");
            if self.is_known(&singular) {
                return self.lookup(&singular, query);
            }
        }
        if let Some(stem) = word.strip_suffix('\'').filter(|stem| self.is_known(stem)) {
            return self.lookup(stem, query);
        }
        let ing_query = Query { shift: query.shift.or(Some(MIXED_CASE_SHIFT)), ..query };
        self.with_s(word, query).or_else(|| self.with_ed(word, query)).or_else(|| self.with_ing(word, ing_query))
    }

    fn with_ending(&self, word: &str, query: Query<'_>) -> Option<String> {
        let some = |p: Option<String>| p.filter(|p| !p.is_empty());
        some(self.with_s(word, query))
            .or_else(|| some(self.with_ed(word, query)))
            .or_else(|| some(self.with_ing(word, query)))
    }

    /// Words whose sound depends on what follows or on their part of speech, symbols, dotted abbreviations (`get_special_case`).
    fn special(&self, word: &str, query: Query<'_>) -> Option<String> {
        let context = query.context.unwrap_or_default();
        let plain = |name: &str| self.lookup(name, Query { context: query.context, ..Query::ALONE });
        if query.tag_is("ADD") {
            let name = match word {
                "." => Some("dot"),
                "/" => Some("slash"),
                _ => None,
            };
            if let Some(name) = name {
                let unstressed = Query { shift: Some(-0.5), context: query.context, tag: None };
                return self.lookup(name, unstressed);
            }
        }
        if let Some(name) = symbol_name(word) {
            return plain(name);
        }
        if is_dotted_abbreviation(word) {
            return self.spell(word);
        }
        match word {
            "a" | "A" => Some(if query.tag_is("DT") { "ɐ" } else { "ˈA" }.to_owned()),
            "am" | "Am" | "AM" => {
                if query.tag_starts_with("NN") {
                    self.spell(word)
                } else if context.before_vowel.is_none() || word != "am" || query.shift.is_some_and(|s| s > 0.0) {
                    self.gold_plain("am")
                } else {
                    Some("ɐm".to_owned())
                }
            }
            "an" | "An" | "AN" => {
                if word == "AN" && query.tag_starts_with("NN") {
                    self.spell(word)
                } else {
                    Some("ɐn".to_owned())
                }
            }
            "I" if query.tag_is("PRP") => Some("ˌI".to_owned()),
            "by" | "By" | "BY" if parent_tag(query.tag) == Some("ADV") => Some("bˈI".to_owned()),
            "to" | "To" => self.to(context),
            "TO" if query.tag_is("TO") || query.tag_is("IN") => self.to(context),
            "in" | "In" => Some(Self::in_(query, context)),
            "IN" if !query.tag_is("NNP") => Some(Self::in_(query, context)),
            "the" | "The" => Some(Self::the(context)),
            "THE" if query.tag_is("DT") => Some(Self::the(context)),
            _ if query.tag_is("IN") && matches!(word.to_lowercase().as_str(), "vs" | "vs.") => plain("versus"),
            "used" | "Used" | "USED" => match self.gold_entry("used")? {
                Entry::Plain(phonemes) => Some(phonemes.to_owned()),
                Entry::ByTag(map) => {
                    let is_habit = (query.tag_is("VBD") || query.tag_is("JJ")) && context.before_to;
                    map.get(is_habit.then_some("VBD")).map(str::to_owned)
                }
            },
            _ => None,
        }
    }

    fn to(&self, context: Context) -> Option<String> {
        match context.before_vowel {
            None => self.gold_plain("to"),
            Some(false) => Some("tə".to_owned()),
            Some(true) => Some("tʊ".to_owned()),
        }
    }

    fn in_(query: Query<'_>, context: Context) -> String {
        let is_stressed = context.before_vowel.is_none() || !query.tag_is("IN");
        if is_stressed { "ˈɪn" } else { "ɪn" }.to_owned()
    }

    fn the(context: Context) -> String {
        if context.before_vowel == Some(true) { "ði" } else { "ðə" }.to_owned()
    }

    /// Letter by letter, primary stress on the last one (`get_NNP`); `None` if a letter has no name.
    fn spell(&self, word: &str) -> Option<String> {
        let mut letters = String::new();
        for c in word.chars().filter(|&c| is_alpha(c)) {
            letters.push_str(&self.gold_plain(&c.to_uppercase().collect::<String>())?);
        }
        let mut phonemes = stress::apply(&letters, Some(0.0));
        if let Some(at) = phonemes.rfind(stress::SECONDARY) {
            phonemes.replace_range(at..at + stress::SECONDARY.len_utf8(), "ˈ");
        }
        Some(phonemes)
    }

    fn gold_plain(&self, word: &str) -> Option<String> {
        match self.gold_entry(word)? {
            Entry::Plain(phonemes) => Some(phonemes.to_owned()),
            Entry::ByTag(map) => map.get(None).map(str::to_owned),
        }
    }

    fn gold_entry(&self, word: &str) -> Option<Entry<'_>> {
        with_variants(&self.gold, word)
    }

    fn silver_entry(&self, word: &str) -> Option<Entry<'_>> {
        with_variants(&self.silver, word)
    }

    fn has(&self, word: &str) -> bool {
        self.gold_entry(word).is_some() || self.silver_entry(word).is_some()
    }

    /// Whether [`lookup`](Self::lookup) has an answer: listed, or letters that can be spelled.
    pub(super) fn is_known(&self, word: &str) -> bool {
        if self.gold_entry(word).is_some() || symbol_name(word).is_some() || self.silver_entry(word).is_some() {
            return true;
        }
        if word.is_empty() || !word.bytes().all(|b| b.is_ascii_alphabetic()) {
            return false;
        }
        let tail = tail(word);
        word.len() == 1
            || (word == word.to_uppercase() && self.gold_entry(&word.to_lowercase()).is_some())
            || tail == tail.to_uppercase()
    }

    /// Pronunciation from the dictionaries; capitals that aren't listed are looked up in lower case, or spelled when they are a name.
    pub(super) fn lookup(&self, word: &str, query: Query<'_>) -> Option<String> {
        let lower;
        let mut word = word;
        let mut is_name = false;
        if word == word.to_uppercase() && self.gold_entry(word).is_none() {
            lower = word.to_lowercase();
            word = &lower;
            is_name = query.tag_is("NNP");
        }
        let mut entry = self.gold_entry(word);
        if entry.is_none() && !is_name {
            entry = self.silver_entry(word);
        }
        let phonemes = match entry {
            Some(Entry::Plain(phonemes)) => Some(phonemes),
            Some(Entry::ByTag(map)) => {
                let nothing_follows = query.context.is_some_and(|c| c.before_vowel.is_none());
                if nothing_follows && map.has("None") {
                    map.get(Some("None"))
                } else {
                    match query.tag {
                        Some(tag) if map.has(tag) => map.get(Some(tag)),
                        tag => map.get(parent_tag(tag)),
                    }
                }
            }
            None => None,
        };
        if (phonemes.is_none() || (is_name && phonemes.is_some_and(|p| !p.contains(stress::PRIMARY))))
            && let Some(spelled) = self.spell(word)
        {
            return Some(spelled);
        }
        phonemes.map(|p| stress::apply(p, query.shift))
    }
}

/// What the lexicon needs to know about a piece of text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PieceView<'a> {
    pub(crate) text: &'a str,
    pub(crate) tag: &'a str,
    pub(crate) shift: Option<f64>,
    pub(crate) currency: Option<char>,
    pub(crate) is_head: bool,
    pub(crate) number_flags: &'a str,
}

/// An entry, or the entry of the same word with the other first letter: "paris" finds "Paris", "Table" finds "table".
fn with_variants<'a>(dictionary: &'a Dictionary, word: &str) -> Option<Entry<'a>> {
    if let Some(entry) = dictionary.get(word) {
        return Some(entry);
    }
    // Keys of one letter have no variants; neither has anything that isn't ASCII, since no key is.
    if word.len() < 2 || !word.is_ascii() {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let capitalized = capitalize(&lower);
    if lower == capitalized {
        None
    } else if word == capitalized {
        dictionary.get(&lower)
    } else if word == lower {
        dictionary.get(&capitalized)
    } else {
        None
    }
}

/// Everything behind the first character.
fn tail(word: &str) -> &str {
    let mut chars = word.chars();
    chars.next();
    chars.as_str()
}

/// The coarse part of speech that dictionaries list pronunciations under.
fn parent_tag(tag: Option<&str>) -> Option<&str> {
    let tag = tag?;
    Some(if tag.starts_with("VB") {
        "VERB"
    } else if tag.starts_with("NN") {
        "NOUN"
    } else if tag.starts_with("ADV") || tag.starts_with("RB") {
        "ADV"
    } else if tag.starts_with("ADJ") || tag.starts_with("JJ") {
        "ADJ"
    } else {
        tag
    })
}

fn symbol_name(word: &str) -> Option<&'static str> {
    match word {
        "%" => Some("percent"),
        "&" => Some("and"),
        "+" => Some("plus"),
        "@" => Some("at"),
        _ => None,
    }
}

/// "U.S.", "e.g.": dots between runs of at most two letters.
fn is_dotted_abbreviation(word: &str) -> bool {
    word.trim_matches('.').contains('.')
        && all_alpha(&word.replace('.', ""))
        && word.split('.').all(|part| part.chars().count() < 3)
}
