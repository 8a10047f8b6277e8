//! Japanese text to phonemes: words by MeCab with UniDic, their pronunciation in kana, kana to phonemes.
//!
//! Reference: `misaki/cutlet.py`, Apache-2.0, © hexgrad, after cutlet (MIT, © Paul O'Leary McCann).

mod analyzer;
mod dictionary;
mod kana;
mod numbers;

use std::path::Path;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use unicode_normalization::UnicodeNormalization;

pub use self::analyzer::{Analyzer, Word};
use super::G2pError;
use super::error::read_text;
use super::sorted::{Collector, SortedWords};

/// Numbers of UniDic's features: pronunciation (long vowels as ー), kana.
const PRONUNCIATION: usize = 9;
const KANA: usize = 17;

/// Numbers of UniDic's classes of characters.
const SYMBOL: u8 = 3;
const HIRAGANA: u8 = 6;
const KATAKANA: u8 = 7;

/// The front end for Japanese. Immutable once loaded, so threads can share it.
#[derive(Debug)]
pub struct Japanese {
    analyzer: Analyzer,
    /// Words that are spoken in one although UniDic cuts them.
    whole_words: SortedWords<()>,
    /// Bytes of the longest.
    longest: usize,
}

/// A word on its way to phonemes.
#[derive(Clone, Debug, Default)]
struct Spoken {
    surface: String,
    hiragana: String,
    class: u8,
}

impl Japanese {
    /// Opens UniDic in `unidic_dir` and reads the list of words `ja_words.txt` in `words_dir`.
    ///
    /// # Errors
    ///
    /// A file is missing or damaged.
    pub fn load(unidic_dir: &Path, words_dir: &Path) -> Result<Self, G2pError> {
        let analyzer = Analyzer::open(unidic_dir)?;
        let path = words_dir.join("ja_words.txt");
        let text = read_text(&path)?;
        let mut words = Collector::default();
        let mut longest = 0;
        for word in text.lines().map(str::trim).filter(|word| !word.is_empty()) {
            if !words.add(word, ()) {
                return Err(G2pError::format(&path, format!("the word `{word}` is too long")));
            }
            longest = longest.max(word.len());
        }
        Ok(Self { analyzer, whole_words: words.finish(), longest })
    }

    /// The analysis of words; for comparison with the reference.
    #[must_use]
    pub fn analyzer(&self) -> &Analyzer {
        &self.analyzer
    }

    /// Phonemes of `text`.
    #[must_use]
    pub fn phonemes(&self, text: &str) -> String {
        let text = normalize(text);
        let words: Vec<Spoken> = self.analyzer.words(&text).iter().map(spoken).collect();
        tidy(&with_spaces(&self.join(words)))
    }

    /// Puts together words of one class of characters that are a word of the list, the longest first.
    fn join(&self, words: Vec<Spoken>) -> Vec<Spoken> {
        let mut joined = Vec::with_capacity(words.len());
        let mut at = 0;
        while at < words.len() {
            let mut surface = String::new();
            let mut end = at + 1;
            for (next, word) in words.iter().enumerate().skip(at).take_while(|(_, word)| word.class == words[at].class)
            {
                surface.push_str(&word.surface);
                if surface.len() > self.longest {
                    break;
                }
                if self.whole_words.get(&surface).is_some() {
                    end = next + 1;
                }
            }
            let mut whole = Spoken { class: words[at].class, ..Spoken::default() };
            for word in &words[at..end] {
                whole.surface.push_str(&word.surface);
                whole.hiragana.push_str(&word.hiragana);
            }
            joined.push(whole);
            at = end;
        }
        joined
    }
}

fn spoken(word: &Word<'_, '_>) -> Spoken {
    let feature = |number| word.feature(number).filter(|feature| !feature.is_empty());
    let reading = feature(PRONUNCIATION).or_else(|| feature(KANA)).unwrap_or(word.surface);
    Spoken {
        surface: word.surface.to_owned(),
        hiragana: kana::to_hiragana(reading),
        // What has a reading is spoken, and so are unknown words in kana.
        class: if word.class == KATAKANA || !word.is_unknown { HIRAGANA } else { word.class },
    }
}

/// Phonemes of one word; nothing for unknown words in characters that have no sound of their own.
fn phonemes_of(word: &Spoken) -> String {
    if word.surface.is_ascii() {
        return word.surface.clone();
    }
    match word.class {
        SYMBOL => word.surface.chars().map(kana::symbol).collect(),
        HIRAGANA => kana::phonemes(&word.hiragana),
        _ => String::new(),
    }
}

/// Joins the words, with a space after each but where brackets and marks want none.
fn with_spaces(words: &[Spoken]) -> String {
    let mut text = String::new();
    // Whether a space goes after the word before.
    let mut space = false;
    for word in words {
        let phonemes = phonemes_of(word);
        // As in the reference, a word without phonemes counts as an opening bracket.
        let opens = "「『«".contains(word.surface.as_str()) || "([".contains(phonemes.as_str());
        let closes = !opens && ("」』»".contains(word.surface.as_str()) || "]).,?!:".contains(phonemes.as_str()));
        if (space || opens) && !closes && !text.is_empty() {
            text.push(' ');
        }
        space = !opens && phonemes != " ";
        text.push_str(&phonemes.replace('っ', ""));
    }
    text
}

/// Single spaces, brackets as the reference leaves them, and no space beside a glottal stop that is within a phrase.
fn tidy(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('(', "«").replace(')', "»");
    let characters: Vec<char> = text.chars().collect();
    let is_superfluous = |at: usize| {
        let before = at.checked_sub(1).map(|before| characters[before]);
        let after = characters.get(at + 1).copied();
        let ends_phrase = before.is_some_and(|mark| "!\",.:;?»—…”".contains(mark));
        let starts_quote = after.is_some_and(|mark| "\"«“".contains(mark));
        characters[at] == ' ' && (after == Some('ʔ') && !ends_phrase || before == Some('ʔ') && !starts_quote)
    };
    (0..characters.len()).filter(|&at| !is_superfluous(at)).map(|at| characters[at]).collect()
}

/// Small katakana of Ainu, which the dictionary has only in full size.
const AINU_KANA: [(char, char); 16] = [
    ('ㇰ', 'ク'),
    ('ㇱ', 'シ'),
    ('ㇲ', 'ス'),
    ('ㇳ', 'ト'),
    ('ㇴ', 'ヌ'),
    ('ㇵ', 'ハ'),
    ('ㇶ', 'ヒ'),
    ('ㇷ', 'フ'),
    ('ㇸ', 'ヘ'),
    ('ㇹ', 'ホ'),
    ('ㇺ', 'ム'),
    ('ㇻ', 'ラ'),
    ('ㇼ', 'リ'),
    ('ㇽ', 'ル'),
    ('ㇾ', 'レ'),
    ('ㇿ', 'ロ'),
];

// The patterns are constants, checked by the tests.
static RANGE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[〜～](\d)").ok());
static DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[0-9]+").ok());

/// One form for every character, and numbers in kana.
fn normalize(text: &str) -> String {
    let text = match RANGE.as_ref() {
        Some(range) => range.replace_all(text, "から$1"),
        None => text.into(),
    };
    let full_size = |c: char| AINU_KANA.iter().find(|(small, _)| *small == c).map_or(c, |(_, full)| *full);
    let plain_quote = |c: char| match c {
        '’' => '\'',
        '‘' => '`',
        '”' => '"',
        c => c,
    };
    let text: String = text.chars().map(full_size).nfkc().map(plain_quote).collect();
    match DIGITS.as_ref() {
        Some(digits) => {
            digits.replace_all(&text, |found: &Captures<'_>| format!(" {}", numbers::in_kana(&found[0]))).into_owned()
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalized() {
        assert_eq!(normalize("ＡＢＣ　ｶﾞｯｺｳ"), "ABC ガッコウ");
        assert_eq!(normalize("３〜5時"), " さんから ご時");
        assert_eq!(normalize("〜です"), "〜です");
        assert_eq!(normalize("ㇰ”"), "ク\"");
    }

    #[test]
    fn spaces_and_glottal_stops() {
        assert_eq!(tidy(" a  ʔ b. ʔ (c) ʔ"), "aʔb. ʔ «c» ʔ");
        assert_eq!(tidy("aʔ “b"), "aʔ “b");
        let word = |surface: &str| Spoken { surface: surface.into(), hiragana: surface.into(), class: HIRAGANA };
        let symbol = |surface: &str| Spoken { surface: surface.into(), hiragana: String::new(), class: SYMBOL };
        let words = [word("はい"), symbol("、"), symbol("「"), word("え"), symbol("」"), symbol("。"), word("と")];
        assert_eq!(with_spaces(&words), "hai, “e”. to");
    }
}
