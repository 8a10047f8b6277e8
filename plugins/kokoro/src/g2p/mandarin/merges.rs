//! Words that are put together because their tones depend on each other: 不 and 一 with what follows, reduplications, third tones, 儿.
//!
//! Reference: `misaki/tone_sandhi.py: ToneSandhi.pre_merge_for_modify`, Apache-2.0, © PaddlePaddle authors.

use super::readings::Readings;
use super::sounds::{all_third, is_third, sounds};
use super::tags::{LATIN, OTHER, TaggedWord};

/// "not"
pub(super) const BU: &str = "不";
/// "one"
pub(super) const YI: &str = "一";
/// The ending that colours the vowel before it.
pub(super) const ER: &str = "儿";

/// Longest word that third tones are joined to. [characters]
const LONGEST_THIRD_TONES: usize = 3;

impl TaggedWord {
    /// Whether it is punctuation or Latin, which nothing is merged with.
    pub(super) fn is_foreign(&self) -> bool {
        self.tag == OTHER || self.tag == LATIN
    }
}

/// Puts words together in the order of the reference.
pub(super) fn merge(readings: &Readings, words: Vec<TaggedWord>) -> Vec<TaggedWord> {
    let words = merge_bu(&words);
    let words = merge_yi_between(&words);
    let words = merge_yi(words);
    let words = merge_reduplications(words);
    let words = merge_third_tones(readings, &words, |before, here| all_third(before) && all_third(here));
    let words = merge_third_tones(readings, &words, |before, here| {
        before.last().is_some_and(is_third) && here.first().is_some_and(is_third)
    });
    merge_er(words)
}

/// 不 goes to the word behind it.
fn merge_bu(words: &[TaggedWord]) -> Vec<TaggedWord> {
    let mut merged = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let mut word = word.clone();
        if !word.is_foreign() && at > 0 && words[at - 1].text == BU {
            word.text.insert_str(0, BU);
        }
        if word.text != BU || words.get(at + 1).is_none_or(TaggedWord::is_foreign) {
            merged.push(word);
        }
    }
    merged
}

/// 听 一 听 becomes 听一听.
fn merge_yi_between(words: &[TaggedWord]) -> Vec<TaggedWord> {
    let mut merged: Vec<TaggedWord> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let is_between = words[at].text == YI
            && at > 0
            && words.get(at + 1).is_some_and(|next| next.text == words[at - 1].text && !next.is_foreign())
            && words[at - 1].tag == "v";
        match merged.last_mut() {
            Some(last) if is_between => {
                last.text.push_str(YI);
                last.text.push_str(&words[at + 1].text);
                at += 2;
            }
            _ => {
                merged.push(words[at].clone());
                at += 1;
            }
        }
    }
    merged
}

/// Appends words to the one before where `belongs` says so.
fn append_where(words: Vec<TaggedWord>, belongs: impl Fn(&TaggedWord, &TaggedWord) -> bool) -> Vec<TaggedWord> {
    let mut merged: Vec<TaggedWord> = Vec::new();
    for word in words {
        match merged.last_mut() {
            Some(last) if belongs(last, &word) => last.text.push_str(&word.text),
            _ => merged.push(word),
        }
    }
    merged
}

/// 一 takes the word behind it.
fn merge_yi(words: Vec<TaggedWord>) -> Vec<TaggedWord> {
    append_where(words, |last, word| last.text == YI && !word.is_foreign())
}

/// A word said twice.
fn merge_reduplications(words: Vec<TaggedWord>) -> Vec<TaggedWord> {
    append_where(words, |last, word| last.text == word.text && !word.is_foreign())
}

/// 儿 goes to the word before it.
fn merge_er(words: Vec<TaggedWord>) -> Vec<TaggedWord> {
    append_where(words, |last, word| word.text == ER && !last.is_foreign())
}

/// Two words whose third tones meet, the way `meet` says, become one if that is short.
fn merge_third_tones(
    readings: &Readings,
    words: &[TaggedWord],
    meet: impl Fn(&[super::sounds::Sound], &[super::sounds::Sound]) -> bool,
) -> Vec<TaggedWord> {
    let of_words: Vec<_> =
        words.iter().map(|word| if word.is_foreign() { Vec::new() } else { sounds(readings, &word.text) }).collect();
    let mut merged: Vec<TaggedWord> = Vec::new();
    let mut has_merged = false;
    for (at, word) in words.iter().enumerate() {
        let joins = at > 0
            && !has_merged
            && !word.is_foreign()
            && !words[at - 1].is_foreign()
            && meet(&of_words[at - 1], &of_words[at])
            && !is_reduplication(&words[at - 1].text)
            && words[at - 1].text.chars().count() + word.text.chars().count() <= LONGEST_THIRD_TONES;
        match merged.last_mut() {
            Some(last) if joins => last.text.push_str(&word.text),
            _ => merged.push(word.clone()),
        }
        has_merged = joins;
    }
    merged
}

/// Two equal characters: their tone is another rule's.
fn is_reduplication(word: &str) -> bool {
    let mut characters = word.chars();
    matches!((characters.next(), characters.next(), characters.next()), (Some(a), Some(b), None) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<TaggedWord> {
        let word = |word: &str| {
            let (text, tag) = word.split_once('/').unwrap();
            TaggedWord { text: text.to_owned(), tag: tag.to_owned() }
        };
        text.split(' ').map(word).collect()
    }

    fn texts(words: Vec<TaggedWord>) -> String {
        words.into_iter().map(|word| word.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn small_words_join() {
        assert_eq!(texts(merge_bu(&words("我/r 不/d 去/v"))), "我 不去");
        assert_eq!(texts(merge_bu(&words("我/r 不/d ,/x 不/d"))), "我 不 , 不");
        assert_eq!(texts(merge_yi_between(&words("听/v 一/m 听/v 看/v"))), "听一听 看");
        assert_eq!(texts(merge_yi_between(&words("天/n 一/m 天/n"))), "天 一 天");
        assert_eq!(texts(merge_yi(words("一/m 天/n 一/m ./x"))), "一天 一 .");
        assert_eq!(texts(merge_reduplications(words("看/v 看/v 看/v"))), "看看 看");
        assert_eq!(texts(merge_er(words("花/n 儿/n ,/x 儿/n"))), "花儿 , 儿");
    }
}
