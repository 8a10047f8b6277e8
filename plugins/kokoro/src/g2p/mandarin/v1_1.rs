//! The front end of Kokoro v1.1-zh: bopomofo-like symbols with tones as digits, after tone sandhi.
//!
//! Reference: `misaki/zh_frontend.py: ZHFrontend.__call__`, Apache-2.0, © PaddlePaddle authors.

use std::path::Path;

use super::merges::merge;
use super::readings::Readings;
use super::sandhi::{change_tones, merge_erhua};
use super::sounds::{Sound, mark_buzzed_vowels, sounds};
use super::tags::{OTHER, Tags};
use super::words::Words;
use super::{G2pError, SpeakEnglish, normalize};

/// The front end of v1.1-zh. Immutable once loaded, so threads can share it.
#[derive(Debug)]
pub struct MandarinV1_1 {
    words: Words,
    tags: Tags,
    readings: Readings,
    unknown: String,
}

/// A word with what is said for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its characters.
    pub text: String,
    /// jieba's part of speech; `X` for Chinese that it doesn't know.
    pub tag: String,
    /// What separates it from the next: `/` between words, white space after punctuation.
    pub separator: String,
    /// Its phonemes; `None` when there are none.
    pub phonemes: Option<String>,
}

/// Marks that the model knows and that stand for themselves.
const MARKS: &str = ";:,.!?—…\"()“”";

/// Symbols of initials and rimes.
#[rustfmt::skip]
const SYMBOLS: [(&str, &str); 59] = [
    ("b", "ㄅ"), ("p", "ㄆ"), ("m", "ㄇ"), ("f", "ㄈ"), ("d", "ㄉ"), ("t", "ㄊ"), ("n", "ㄋ"), ("l", "ㄌ"), ("g", "ㄍ"), ("k", "ㄎ"),
    ("h", "ㄏ"), ("j", "ㄐ"), ("q", "ㄑ"), ("x", "ㄒ"), ("zh", "ㄓ"), ("ch", "ㄔ"), ("sh", "ㄕ"), ("r", "ㄖ"), ("z", "ㄗ"), ("c", "ㄘ"),
    ("s", "ㄙ"), ("a", "ㄚ"), ("o", "ㄛ"), ("e", "ㄜ"), ("ie", "ㄝ"), ("ai", "ㄞ"), ("ei", "ㄟ"), ("ao", "ㄠ"), ("ou", "ㄡ"), ("an", "ㄢ"),
    ("en", "ㄣ"), ("ang", "ㄤ"), ("eng", "ㄥ"), ("er", "ㄦ"), ("i", "ㄧ"), ("u", "ㄨ"), ("ü", "ㄩ"), ("ii", "ㄭ"), ("iii", "十"),
    ("üe", "月"), ("ia", "压"), ("ian", "言"), ("iang", "阳"), ("iao", "要"), ("in", "阴"), ("ing", "应"), ("iong", "用"), ("iou", "又"),
    ("ong", "中"), ("ua", "穵"), ("uai", "外"), ("uan", "万"), ("uang", "王"), ("uei", "为"), ("uen", "文"), ("ueng", "瓮"), ("uo", "我"),
    ("üan", "元"), ("ün", "云"),
];

/// Symbols that stand for themselves besides [`MARKS`]: separators, tones, erhua.
const PLAIN: &str = "/ 12345R";

impl MandarinV1_1 {
    /// Loads jieba's dictionary and models in `jieba_dir` (`dict.txt`, `finalseg/*.py`, `posseg/*.py`), pypinyin's dictionaries in
    /// `pypinyin_dir`, and the phrases in `phrases_dir` (`large_pinyin_*.py` of pypinyin-dict).
    ///
    /// # Errors
    ///
    /// A file is missing or damaged.
    pub fn load(jieba_dir: &Path, pypinyin_dir: &Path, phrases_dir: &Path) -> Result<Self, G2pError> {
        Ok(Self {
            words: Words::load(jieba_dir)?,
            tags: Tags::load(jieba_dir)?,
            readings: Readings::load_v1_1(pypinyin_dir, phrases_dir)?,
            unknown: String::new(),
        })
    }

    /// Sets what stands in the phonemes for what nobody knows; nothing by default.
    #[must_use]
    pub fn with_unknown_mark(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.unknown);
        self
    }

    /// Phonemes of `text`. Latin letters go to `english` if that is given.
    #[must_use]
    pub fn phonemes(&self, text: &str, english: Option<SpeakEnglish<'_>>) -> String {
        let text = normalize(text);
        let mut parts = Vec::new();
        for (part, is_latin) in latin_and_other(&text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            parts.push(match (is_latin, english) {
                (false, _) => self.spelled(&self.tokens(part)),
                (true, Some(english)) => english(part),
                (true, None) => self.unknown.clone(),
            });
        }
        parts.join(" ")
    }

    /// Words of normalized text without Latin letters.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        for word in merge(&self.readings, self.tags.cut(&self.words, text)) {
            let is_mark = is_mark(&word.text);
            let is_chinese = word.text.chars().all(|c| matches!(c, '\u{4e00}'..='\u{9fff}'));
            let tag = match word.tag.as_str() {
                OTHER if is_chinese => "X",
                tag if tag != OTHER && is_mark => OTHER,
                tag => tag,
            };
            if is_foreign(tag) {
                if !word.text.chars().all(char::is_whitespace) {
                    let phonemes = (tag == OTHER && is_mark).then(|| word.text.clone());
                    tokens.push(Token { tag: tag.to_owned(), text: word.text, separator: String::new(), phonemes });
                } else if let Some(last) = tokens.last_mut() {
                    last.separator.push_str(&word.text);
                }
                continue;
            }
            if let Some(last) = tokens.last_mut().filter(|last| !is_foreign(&last.tag) && last.separator.is_empty()) {
                last.separator.push('/');
            }
            let mut sounds = sounds(&self.readings, &word.text);
            mark_buzzed_vowels(&mut sounds);
            change_tones(&self.words, &word.text, tag, &mut sounds);
            let sounds = merge_erhua(&word.text, tag, sounds);
            let phonemes = Some(self.symbols(&sounds));
            tokens.push(Token { tag: tag.to_owned(), text: word.text, separator: String::new(), phonemes });
        }
        tokens
    }

    /// Phonemes of tokens with their separators.
    #[must_use]
    pub fn spelled(&self, tokens: &[Token]) -> String {
        let mut text = String::new();
        for token in tokens {
            text.push_str(token.phonemes.as_deref().unwrap_or(&self.unknown));
            text.push_str(&token.separator);
        }
        text
    }

    /// Symbols of a word's sounds.
    fn symbols(&self, sounds: &[Sound]) -> String {
        let mut text = String::new();
        let mut is_first = true;
        for sound in sounds {
            if !sound.initial.is_empty() {
                self.push_symbol(&sound.initial, &mut text);
                is_first = false;
            }
            // A mark within a word ("1.") is both parts of its sound, but said once.
            if sound.rime.is_empty() || sound.rime == sound.initial && is_mark(&sound.rime) {
                continue;
            }
            match sound.rime.strip_suffix('R') {
                // 歌儿: the vowel and its colour are one symbol, but not at the start of a word.
                Some("e") if !is_first => self.push_symbol("er", &mut text),
                Some(rime) => {
                    self.push_symbol(rime, &mut text);
                    text.push('R');
                }
                None => self.push_symbol(&sound.rime, &mut text),
            }
            text.extend(sound.tone);
            is_first = false;
        }
        if is_first {
            text.push_str(&self.unknown);
        }
        text
    }

    fn push_symbol(&self, part: &str, text: &mut String) {
        if let Some((_, symbol)) = SYMBOLS.iter().find(|(known, _)| *known == part) {
            text.push_str(symbol);
        } else if MARKS.contains(part) || PLAIN.contains(part) {
            text.push_str(part);
        } else {
            text.push_str(&self.unknown);
        }
    }
}

/// Whether a text is one mark that the model knows.
fn is_mark(text: &str) -> bool {
    let mut characters = text.chars();
    matches!((characters.next(), characters.next()), (Some(mark), None) if MARKS.contains(mark))
}

fn is_foreign(tag: &str) -> bool {
    tag == OTHER || tag == super::tags::LATIN
}

/// Cuts a text into runs of Latin words (`true`; with the spaces, hyphens and apostrophes in and behind them) and of everything else.
fn latin_and_other(text: &str) -> Vec<(&str, bool)> {
    let is_letter = |c: char| c.is_ascii_alphabetic();
    let is_latin = |c: char| c.is_ascii_alphabetic() || matches!(c, ' ' | '\'' | '-');
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let latin_end = rest.find(|c| !is_latin(c)).unwrap_or(rest.len());
        let has_letters = rest[..latin_end].contains(is_letter);
        let end = if has_letters { latin_end } else { rest.find(is_letter).unwrap_or(rest.len()) };
        parts.push((&rest[..end], has_letters));
        rest = &rest[end..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_runs_are_found() {
        assert_eq!(
            latin_and_other("我用 AI-based 的 don't."),
            [("我用 ", false), ("AI-based ", true), ("的 ", false), ("don't", true), (".", false)]
        );
        assert_eq!(latin_and_other(" 'ab"), [(" 'ab", true)]);
        assert_eq!(latin_and_other("-3 -"), [("-3 -", false)]);
        assert!(latin_and_other("").is_empty());
    }
}
