//! How tones change within a word: 不, 一, neutral tones, third tones; and erhua.
//!
//! Reference: `misaki/tone_sandhi.py: ToneSandhi.modified_tone` and `misaki/zh_frontend.py: ZHFrontend._merge_erhua`, Apache-2.0, © PaddlePaddle
//! authors, whose word lists these are.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::merges::{BU, ER, YI};
use super::sounds::{Sound, all_third, is_third, set_tone};
use super::words::Words;

/// Words that end in a neutral tone.
static NEUTRAL_WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("data/neutral_tone_words.txt").split_whitespace().collect());

/// Words that don't, though the rules say so.
#[rustfmt::skip]
const NOT_NEUTRAL_WORDS: [&str; 40] = [
    "人人", "以下", "佼佼", "冉冉", "分子", "卵子", "原子", "吵吵", "哈哈", "女子", "娃哈哈", "学子", "家家户户", "局地", "干嘛",
    "幺幺", "恳恳", "想想", "打打", "攘攘", "数数", "整整", "死死", "熙熙", "瓜子", "电子", "男子", "留得", "石子", "算子", "考考",
    "耕地", "花花草草", "莘莘", "莲子", "落地", "虎虎", "袅袅", "量子", "青青",
];

/// Words whose 儿 colours the vowel before it, though their part of speech says no.
const ERHUA_WORDS: [&str; 8] = ["妥妥儿", "媳妇儿", "寻老礼儿", "小院儿", "撒欢儿", "老汉儿", "胡同儿", "范儿"];

/// Words whose 儿 is a syllable.
#[rustfmt::skip]
const NOT_ERHUA_WORDS: [&str; 44] = [
    "一儿", "为儿", "乞儿", "体弱儿", "侄儿", "侄孙儿", "俺儿", "可儿", "女儿", "妻儿", "婴儿", "婴幼儿", "孙儿", "孤儿", "少儿",
    "幼儿", "应采儿", "患儿", "我儿", "护儿", "拐儿", "救儿", "替儿", "有儿", "流浪儿", "混血儿", "狗儿", "猪儿", "猫儿", "男儿",
    "瞒儿", "祖儿", "红孩儿", "美儿", "聋儿", "脑瘫儿", "舫儿", "花儿", "虐儿", "虫儿", "蜜雪儿", "连体儿", "马儿", "鸟儿",
];

/// Characters that Unicode gives a numeric value, of those in use for numbers.
const NUMERIC: &str =
    "〇一七万三九二五亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零";

/// Parts of speech whose 儿 is a syllable: adjectives, abbreviations, names of people.
const NOT_ERHUA_TAGS: [&str; 3] = ["a", "j", "nr"];

/// A word with its characters at hand.
struct Letters<'w> {
    word: &'w str,
    characters: Vec<char>,
}

impl<'w> Letters<'w> {
    fn new(word: &'w str) -> Self {
        Self { word, characters: word.chars().collect() }
    }

    fn last(&self) -> char {
        self.characters.last().copied().unwrap_or_default()
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.characters.get(at).is_some_and(|character| word.chars().eq([*character]))
    }
}

/// Changes the tones of a word's sounds.
pub(super) fn change_tones(words: &Words, word: &str, tag: &str, sounds: &mut [Sound]) {
    let letters = Letters::new(word);
    change_bu(&letters, sounds);
    change_yi(&letters, sounds);
    let (first, _) = halves(words, word);
    let cut = first.chars().count();
    neutralize(&letters, tag, cut, sounds);
    change_third(&letters, cut, sounds);
}

/// 不 is light within three characters, and rises before a fourth tone.
fn change_bu(word: &Letters<'_>, sounds: &mut [Sound]) {
    if word.characters.len() == 3 && word.is(1, BU) {
        set_tone(sounds, 1, '5');
        return;
    }
    for at in 0..word.characters.len() {
        if word.is(at, BU) && tone(sounds, at + 1) == Some('4') {
            set_tone(sounds, at, '2');
        }
    }
}

/// 一 keeps its tone in rows of digits and as an ordinal, is light between two equal verbs, rises before a fourth tone and falls before others.
fn change_yi(word: &Letters<'_>, sounds: &mut [Sound]) {
    let yi = |at: usize| word.is(at, YI);
    let digits = (0..word.characters.len()).all(|at| yi(at) || is_numeric(word.characters[at]));
    if digits && word.word.contains(YI) {
        return;
    }
    if word.characters.len() == 3 && yi(1) && word.characters[0] == word.characters[2] {
        set_tone(sounds, 1, '5');
    } else if word.word.starts_with("第一") {
        set_tone(sounds, 1, '1');
    } else {
        for at in 0..word.characters.len().saturating_sub(1) {
            if !yi(at) {
                continue;
            }
            if matches!(tone(sounds, at + 1), Some('4' | '5')) {
                set_tone(sounds, at, '2');
            } else if !"、：，；。？！“”‘’':,;.?!".contains(word.characters[at + 1]) {
                set_tone(sounds, at, '4');
            }
        }
    }
}

/// Particles, endings, second halves of reduplications and some words are light. The word falls into two parts at `cut`.
fn neutralize(word: &Letters<'_>, tag: &str, cut: usize, sounds: &mut [Sound]) {
    if NOT_NEUTRAL_WORDS.contains(&word.word) {
        return;
    }
    for at in 1..word.characters.len() {
        if word.characters[at] == word.characters[at - 1] && tag.starts_with(['n', 'v', 'a']) {
            set_tone(sounds, at, '5');
        }
    }
    let count = word.characters.len();
    let last = word.last();
    let before_last = count.checked_sub(2).map(|at| word.characters[at]);
    let ge = word.characters.iter().position(|character| *character == '个');
    let ends_light = "吧呢啊呐噻嘛吖嗨呐哦哒滴哩哟喽啰耶喔诶的地得".contains(last)
        || count == 1 && "了着过".contains(last) && matches!(tag, "ul" | "uz" | "ug")
        || count > 1 && "们子".contains(last) && matches!(tag, "r" | "n")
        || count > 1 && "上下".contains(last) && matches!(tag, "s" | "l" | "f")
        || "来去".contains(last) && before_last.is_some_and(|before| "上下进出回过起开".contains(before));
    let counts = |before: char| is_numeric(before) || "几有两半多各整每做是".contains(before);
    if ends_light {
        set_last_tone(sounds);
    } else if let Some(ge) = ge
        && (word.word == "个" || ge > 0 && counts(word.characters[ge - 1]))
    {
        set_tone(sounds, ge, '5');
    } else if is_neutral(&word.characters) {
        set_last_tone(sounds);
    }
    // The same for the two parts of the word.
    let (first, second) = word.characters.split_at(cut.min(count));
    let (first_sounds, second_sounds) = sounds.split_at_mut(cut.min(sounds.len()));
    for (part, sounds) in [(first, first_sounds), (second, second_sounds)] {
        if is_neutral(part) {
            set_last_tone(sounds);
        }
    }
}

/// Whether the word or its last two characters are in the list of neutral tones.
fn is_neutral(characters: &[char]) -> bool {
    let listed = |characters: &[char]| NEUTRAL_WORDS.contains(characters.iter().collect::<String>().as_str());
    listed(characters) || listed(&characters[characters.len().saturating_sub(2)..])
}

/// Of third tones in a row all but the last rise.
fn change_third(word: &Letters<'_>, cut: usize, sounds: &mut [Sound]) {
    match word.characters.len() {
        2 if all_third(sounds) => set_tone(sounds, 0, '2'),
        3 if all_third(sounds) => {
            // 蒙古|包, 纸|老虎.
            if cut == 2 {
                set_tone(sounds, 0, '2');
            }
            if matches!(cut, 1 | 2) {
                set_tone(sounds, 1, '2');
            }
        }
        3 => {
            let (first, second) = sounds.split_at_mut(cut.min(sounds.len()));
            if first.len() == 2 && all_third(first) {
                set_tone(first, 0, '2');
            }
            if second.len() == 2 && all_third(second) {
                set_tone(second, 0, '2');
            } else if second.first().is_some_and(is_third) && !all_third(second) && first.last().is_some_and(is_third) {
                set_tone(first, first.len() - 1, '2');
            }
        }
        4 => {
            let (first, second) = sounds.split_at_mut(2.min(sounds.len()));
            for half in [first, second] {
                if all_third(half) {
                    set_tone(half, 0, '2');
                }
            }
        }
        _ => {}
    }
}

/// 儿 at the end of a word becomes an `R` in the rime before it, unless the word is one of those where it is a syllable.
pub(super) fn merge_erhua(word: &str, tag: &str, mut sounds: Vec<Sound>) -> Vec<Sound> {
    if !word.ends_with(ER) {
        return sounds;
    }
    let count = word.chars().count();
    if sounds.len() == count
        && let Some(last) = sounds.last_mut()
        && last.rime == "er"
        && last.tone == Some('1')
    {
        last.tone = Some('2');
    }
    let is_syllable = NOT_ERHUA_WORDS.contains(&word) || NOT_ERHUA_TAGS.contains(&tag);
    if is_syllable && !ERHUA_WORDS.contains(&word) || sounds.len() != count || count < 2 {
        return sounds;
    }
    let pair_starts = word.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
    let coloured = sounds.last().is_some_and(|last| last.rime == "er" && matches!(last.tone, Some('2' | '5')));
    if coloured && !NOT_ERHUA_WORDS.contains(&&word[pair_starts..]) {
        sounds.pop();
        if let Some(before) = sounds.last_mut() {
            before.rime.push('R');
        }
    }
    sounds
}

/// The two parts of a word: its shortest part that the finer segmentation finds, and the rest.
fn halves<'w>(words: &Words, word: &'w str) -> (&'w str, &'w str) {
    let parts = words.cut_finely(word);
    // The first of the shortest.
    let Some(part) = parts.into_iter().min_by_key(|part| part.chars().count()) else { return (word, "") };
    if word.starts_with(part) {
        return word.split_at(part.len());
    }
    // Not at the start: cut off as many characters at the end.
    let keep = word.chars().count() - part.chars().count();
    word.split_at(word.char_indices().nth(keep).map_or(word.len(), |(at, _)| at))
}

fn tone(sounds: &[Sound], at: usize) -> Option<char> {
    sounds.get(at)?.tone
}

fn set_last_tone(sounds: &mut [Sound]) {
    if let Some(last) = sounds.last_mut() {
        last.tone = Some('5');
    }
}

fn is_numeric(character: char) -> bool {
    character.is_numeric() || NUMERIC.contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sounds from pinyin with tones as digits.
    fn sounds(text: &str) -> Vec<Sound> {
        let sound = |text: &str| Sound {
            initial: String::new(),
            rime: text[..text.len() - 1].to_owned(),
            tone: text.chars().next_back(),
        };
        text.split_whitespace().map(sound).collect()
    }

    fn tones(sounds: &[Sound]) -> String {
        sounds.iter().filter_map(|sound| sound.tone).collect()
    }

    #[test]
    fn bu_and_yi() {
        let bu = |word: &str, pinyin: &str| {
            let mut sounds = sounds(pinyin);
            change_bu(&Letters::new(word), &mut sounds);
            tones(&sounds)
        };
        assert_eq!(bu("不怕", "u4 a4"), "24");
        assert_eq!(bu("看不懂", "an4 u4 ong3"), "453");
        assert_eq!(bu("不来", "u4 ai2"), "42");
        let yi = |word: &str, pinyin: &str| {
            let mut sounds = sounds(pinyin);
            change_yi(&Letters::new(word), &mut sounds);
            tones(&sounds)
        };
        assert_eq!(yi("一段", "i1 uan4"), "24");
        assert_eq!(yi("一天", "i1 ian1"), "41");
        assert_eq!(yi("看一看", "an4 i1 an4"), "454");
        assert_eq!(yi("第一天", "i4 i1 ian1"), "411");
        assert_eq!(yi("一二一", "i1 er4 i1"), "141");
    }

    #[test]
    fn third_tones_rise() {
        let third = |word: &str, cut, pinyin: &str| {
            let mut sounds = sounds(pinyin);
            change_third(&Letters::new(word), cut, &mut sounds);
            tones(&sounds)
        };
        assert_eq!(third("你好", 1, "i3 ao3"), "23");
        assert_eq!(third("蒙古包", 2, "eng3 u3 ao3"), "223");
        assert_eq!(third("纸老虎", 1, "i3 ao3 u3"), "323");
        assert_eq!(third("所有人", 2, "uo3 iou3 en2"), "232");
        assert_eq!(third("好喜欢", 1, "ao3 i3 uan1"), "231");
    }

    #[test]
    fn erhua() {
        let erhua = |word: &str, tag: &str, pinyin: &str| {
            let sounds = merge_erhua(word, tag, sounds(pinyin));
            sounds.iter().map(|sound| sound.rime.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(erhua("花园儿", "n", "ua1 uan2 er5"), "ua uanR");
        assert_eq!(erhua("女儿", "n", "ü3 er2"), "ü er");
        assert_eq!(erhua("小二儿", "nr", "iao3 er4 er2"), "iao er er");
        assert_eq!(erhua("媳妇儿", "nr", "i2 u4 er1"), "i uR");
        assert_eq!(erhua("儿", "n", "er2"), "er");
    }
}
