//! Mandarin text to phonemes: numerals in words, words by jieba, readings by pypinyin, and for the release v1.1 tone sandhi and erhua.
//!
//! The two releases of the model speak different alphabets: [`Mandarin`] is v1.0 (IPA, tones as arrows), [`MandarinV1_1`] is v1.1-zh (bopomofo,
//! tones as digits). Reference: `misaki/zh.py`, Apache-2.0, © hexgrad.

mod ipa;
mod literal;
mod merges;
mod numerals;
mod pinyin;
mod readings;
mod sandhi;
mod sounds;
mod tags;
mod v1_1;
mod words;

use std::path::Path;

use self::readings::{Reading, Readings};
pub use self::v1_1::MandarinV1_1;
use self::words::{Words, runs};
use super::G2pError;

/// Turns English words within Chinese text into phonemes.
pub type SpeakEnglish<'e> = &'e dyn Fn(&str) -> String;

/// The front end of Kokoro v1.0. Immutable once loaded, so threads can share it.
#[derive(Debug)]
pub struct Mandarin {
    words: Words,
    readings: Readings,
}

impl Mandarin {
    /// Loads jieba's dictionary and model in `jieba_dir` (`dict.txt`, `finalseg/*.py`) and pypinyin's dictionaries in `pypinyin_dir`.
    ///
    /// # Errors
    ///
    /// A file is missing or damaged.
    pub fn load(jieba_dir: &Path, pypinyin_dir: &Path) -> Result<Self, G2pError> {
        Ok(Self { words: Words::load(jieba_dir)?, readings: Readings::load(pypinyin_dir)? })
    }

    /// Phonemes of `text`. What isn't Chinese passes through, but Latin letters go to `english` if that is given.
    #[must_use]
    pub fn phonemes(&self, text: &str, english: Option<SpeakEnglish<'_>>) -> String {
        let text = normalize(text);
        let mut phonemes = String::new();
        for run in runs(&text, is_cjk) {
            if run.starts_with(is_cjk) {
                // English words have no space around them in Chinese text.
                if english.is_some() && phonemes.ends_with(char::is_alphanumeric) {
                    phonemes.push(' ');
                }
                self.push_chinese(run, &mut phonemes);
            } else {
                match english {
                    Some(english) => push_mixed(run, english, &mut phonemes),
                    None => phonemes.push_str(run),
                }
            }
        }
        phonemes
    }

    /// Words as jieba cuts them; for comparison with the reference.
    #[must_use]
    pub fn words(&self, normalized: &str) -> Vec<String> {
        self.words.cut(normalized).into_iter().map(str::to_owned).collect()
    }

    fn push_chinese(&self, run: &str, phonemes: &mut String) {
        for (at, word) in self.words.cut(run).into_iter().enumerate() {
            if at > 0 {
                phonemes.push(' ');
            }
            for reading in self.readings.read(word) {
                match reading {
                    Reading::Syllable(syllable) => phonemes.extend(ipa::phonemes(syllable)),
                    Reading::Text(text) => phonemes.push_str(text),
                }
            }
        }
    }
}

/// Text between Chinese: Latin words in English, the rest as it is.
fn push_mixed(run: &str, english: SpeakEnglish<'_>, phonemes: &mut String) {
    for part in runs(run, |c| c.is_ascii_alphabetic() || matches!(c, '\'' | ' ' | '-')) {
        if !part.contains(|c: char| c.is_ascii_alphabetic()) {
            phonemes.push_str(part);
            continue;
        }
        if !phonemes.is_empty() && !phonemes.ends_with([' ', '“', '(']) {
            phonemes.push(' ');
        }
        phonemes.push_str(english(part.trim()).trim());
        if part.ends_with(' ') {
            phonemes.push(' ');
        }
    }
}

/// Numerals in words, punctuation as the model knows it.
#[must_use]
pub fn normalize(text: &str) -> String {
    let text = text.trim();
    let mut out = String::with_capacity(text.len());
    for character in numerals::in_words(text).chars() {
        match PUNCTUATION.iter().find(|(from, _)| *from == character) {
            Some((_, to)) => out.push_str(to),
            None => out.push(character),
        }
    }
    out.trim().to_owned()
}

/// `misaki/zh.py: ZHG2P.map_punctuation`.
const PUNCTUATION: [(char, &str); 18] = [
    ('、', ", "),
    ('，', ", "),
    ('。', ". "),
    ('．', ". "),
    ('！', "! "),
    ('：', ": "),
    ('；', "; "),
    ('？', "? "),
    ('«', " “"),
    ('»', "” "),
    ('《', " “"),
    ('》', "” "),
    ('「', " “"),
    ('」', "” "),
    ('【', " “"),
    ('】', "” "),
    ('（', " ("),
    ('）', ") "),
];

/// What v1.0 calls Chinese.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalized() {
        assert_eq!(normalize("你好，世界！"), "你好, 世界!");
        assert_eq!(normalize(" 《红楼梦》（3回）。"), "“红楼梦”  (三回) .");
        assert_eq!(normalize("。"), ".");
        assert_eq!(normalize(""), "");
    }

    #[test]
    fn english_within_chinese_is_spoken() {
        let mut phonemes = String::from("wo↓");
        push_mixed("iPhone, OK ", &|word| format!("<{word}>"), &mut phonemes);
        assert_eq!(phonemes, "wo↓ <iPhone>, <OK> ");
    }
}
