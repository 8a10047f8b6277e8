//! Kana to phonemes.
//!
//! Reference: `misaki/cutlet.py: HEPBURN, Cutlet._get_single_mapping`, Apache-2.0, © hexgrad, after cutlet (MIT, © Paul O'Leary McCann).

use std::collections::HashMap;
use std::sync::LazyLock;

#[rustfmt::skip]
const SINGLE: [(char, &str); 88] = [
    ('ぁ', "a"), ('あ', "a"), ('ぃ', "i"), ('い', "i"), ('ぅ', "ɯ"), ('う', "ɯ"), ('ぇ', "e"), ('え', "e"), ('ぉ', "o"),
    ('お', "o"), ('か', "ka"), ('が', "ɡa"), ('き', "kʲi"), ('ぎ', "ɡʲi"), ('く', "kɯ"), ('ぐ', "ɡɯ"), ('け', "ke"),
    ('げ', "ɡe"), ('こ', "ko"), ('ご', "ɡo"), ('さ', "sa"), ('ざ', "ʣa"), ('し', "ɕi"), ('じ', "ʥi"), ('す', "sɨ"),
    ('ず', "zɨ"), ('せ', "se"), ('ぜ', "ʣe"), ('そ', "so"), ('ぞ', "ʣo"), ('た', "ta"), ('だ', "da"), ('ち', "ʨi"),
    ('ぢ', "ʥi"), ('つ', "ʦɨ"), ('づ', "zɨ"), ('て', "te"), ('で', "de"), ('と', "to"), ('ど', "do"), ('な', "na"),
    ('に', "ɲi"), ('ぬ', "nɯ"), ('ね', "ne"), ('の', "no"), ('は', "ha"), ('ば', "ba"), ('ぱ', "pa"), ('ひ', "çi"),
    ('び', "bʲi"), ('ぴ', "pʲi"), ('ふ', "ɸɯ"), ('ぶ', "bɯ"), ('ぷ', "pɯ"), ('へ', "he"), ('べ', "be"), ('ぺ', "pe"),
    ('ほ', "ho"), ('ぼ', "bo"), ('ぽ', "po"), ('ま', "ma"), ('み', "mʲi"), ('む', "mɯ"), ('め', "me"), ('も', "mo"),
    ('ゃ', "ja"), ('や', "ja"), ('ゅ', "jɯ"), ('ゆ', "jɯ"), ('ょ', "jo"), ('よ', "jo"), ('ら', "ɾa"), ('り', "ɾʲi"),
    ('る', "ɾɯ"), ('れ', "ɾe"), ('ろ', "ɾo"), ('ゎ', "βa"), ('わ', "βa"), ('ゐ', "i"), ('ゑ', "e"), ('を', "o"),
    ('ゔ', "vɯ"), ('ゕ', "ka"), ('ゖ', "ke"), ('ヷ', "va"), ('ヸ', "vʲi"), ('ヹ', "ve"), ('ヺ', "vo"),
];

#[rustfmt::skip]
const DIGRAPHS: [(&str, &str); 76] = [
    ("いぇ", "je"), ("うぃ", "βi"), ("うぇ", "βe"), ("うぉ", "βo"), ("きぇ", "kʲe"), ("きゃ", "kʲa"), ("きゅ", "kʲɨ"),
    ("きょ", "kʲo"), ("ぎゃ", "ɡʲa"), ("ぎゅ", "ɡʲɨ"), ("ぎょ", "ɡʲo"), ("くぁ", "kᵝa"), ("くぃ", "kᵝi"), ("くぇ", "kᵝe"),
    ("くぉ", "kᵝo"), ("ぐぁ", "ɡᵝa"), ("ぐぃ", "ɡᵝi"), ("ぐぇ", "ɡᵝe"), ("ぐぉ", "ɡᵝo"), ("しぇ", "ɕe"), ("しゃ", "ɕa"),
    ("しゅ", "ɕɨ"), ("しょ", "ɕo"), ("じぇ", "ʥe"), ("じゃ", "ʥa"), ("じゅ", "ʥɨ"), ("じょ", "ʥo"), ("ちぇ", "ʨe"),
    ("ちゃ", "ʨa"), ("ちゅ", "ʨɨ"), ("ちょ", "ʨo"), ("ぢゃ", "ʥa"), ("ぢゅ", "ʥɨ"), ("ぢょ", "ʥo"), ("つぁ", "ʦa"),
    ("つぃ", "ʦʲi"), ("つぇ", "ʦe"), ("つぉ", "ʦo"), ("てぃ", "tʲi"), ("てゅ", "tʲɨ"), ("でぃ", "dʲi"), ("でゅ", "dʲɨ"),
    ("とぅ", "tɯ"), ("どぅ", "dɯ"), ("にぇ", "ɲe"), ("にゃ", "ɲa"), ("にゅ", "ɲɨ"), ("にょ", "ɲo"), ("ひぇ", "çe"),
    ("ひゃ", "ça"), ("ひゅ", "çɨ"), ("ひょ", "ço"), ("びゃ", "bʲa"), ("びゅ", "bʲɨ"), ("びょ", "bʲo"), ("ぴゃ", "pʲa"),
    ("ぴゅ", "pʲɨ"), ("ぴょ", "pʲo"), ("ふぁ", "ɸa"), ("ふぃ", "ɸʲi"), ("ふぇ", "ɸe"), ("ふぉ", "ɸo"), ("ふゅ", "ɸʲɨ"),
    ("ふょ", "ɸʲo"), ("みゃ", "mʲa"), ("みゅ", "mʲɨ"), ("みょ", "mʲo"), ("りゃ", "ɾʲa"), ("りゅ", "ɾʲɨ"), ("りょ", "ɾʲo"),
    ("ゔぁ", "va"), ("ゔぃ", "vʲi"), ("ゔぇ", "ve"), ("ゔぉ", "vo"), ("ゔゅ", "bʲɨ"), ("ゔょ", "bʲo"),
];

#[rustfmt::skip]
const SYMBOLS: [(char, &str); 25] = [
    ('。', "."), ('、', ","), ('？', "?"), ('！', "!"), ('「', "“"), ('」', "”"), ('『', "“"), ('』', "”"), ('：', ":"),
    ('；', ";"), ('（', "("), ('）', ")"), ('《', "("), ('》', ")"), ('【', "["), ('】', "]"), ('・', " "), ('，', ","),
    ('～', "—"), ('〜', "—"), ('—', "—"), ('«', "“"), ('»', "”"), ('\u{309a}', ""), ('\u{3099}', ""),
];

static TABLE: LazyLock<HashMap<char, &str>> = LazyLock::new(|| SINGLE.into_iter().chain(SYMBOLS).collect());
static PAIRS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| DIGRAPHS.into_iter().collect());

/// Small kana, which melt into the one before.
const SMALL: &str = "ゃゅょぁぃぅぇぉ";

/// Marks of repetition.
const REPEAT: &str = "ゝヽ";
const REPEAT_VOICED: &str = "ゞヾ";
const REPEAT_OTHER: &str = "〃々";

const VOICELESS: &str = "かきくけこさしすせそたちつてとはひふへほ";
const VOICED: &str = "がぎぐげござじずぜぞだぢづでどばびぶべぼ";

/// A symbol as the model knows it; unknown ones stand for themselves.
pub(super) fn symbol(character: char) -> String {
    TABLE.get(&character).map_or_else(|| character.into(), |phonemes| (*phonemes).to_owned())
}

/// Phonemes of a word in hiragana.
pub(super) fn phonemes(hiragana: &str) -> String {
    let kana: Vec<char> = hiragana.chars().collect();
    let mut phonemes = String::new();
    for (at, &character) in kana.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| kana[before]);
        push(before, character, kana.get(at + 1).copied(), &mut phonemes);
    }
    phonemes
}

fn pair(first: char, second: char) -> Option<&'static str> {
    let mut pair = String::with_capacity(8);
    pair.push(first);
    pair.push(second);
    PAIRS.get(pair.as_str()).copied()
}

/// What one kana adds, given its neighbours.
fn push(before: Option<char>, kana: char, next: Option<char>, phonemes: &mut String) {
    let single = |kana: char| TABLE.get(&kana).copied().unwrap_or_default();
    if REPEAT.contains(kana) {
        phonemes.extend(before);
    } else if REPEAT_VOICED.contains(kana) {
        let place = before.and_then(|before| VOICELESS.chars().position(|voiceless| voiceless == before));
        let voiced = place.and_then(|place| VOICED.chars().nth(place));
        phonemes.push_str(voiced.map_or("", single));
    } else if REPEAT_OTHER.contains(kana) {
        // What it repeats can't be told here.
    } else if let Some(digraph) = before.and_then(|before| pair(before, kana)) {
        phonemes.push_str(digraph);
    } else if let Some(next) = next.filter(|next| pair(kana, *next).is_some() || SMALL.contains(*next)) {
        // A digraph is said at its second kana; before another small kana the vowel goes.
        if pair(kana, next).is_none() && kana != 'っ' {
            let (consonant, small) = (single(kana), single(next));
            let vowel = consonant.char_indices().next_back().map_or(0, |(at, _)| at);
            phonemes.push_str(&consonant[..vowel]);
            phonemes.push_str(small);
        }
    } else if SMALL.contains(kana) {
        // It was said with the kana before it.
    } else {
        match kana {
            'ー' => phonemes.push('ː'),
            'っ' => phonemes.push('ʔ'),
            'ん' => phonemes.push(nasal_before(next.map_or("", single))),
            kana => phonemes.push_str(single(kana)),
        }
    }
}

/// ん sounds like what follows.
fn nasal_before(next: &str) -> char {
    if next.starts_with(['m', 'p', 'b']) {
        'm'
    } else if next.starts_with(['k', 'ɡ']) {
        'ŋ'
    } else if next.starts_with(['ɲ', 'ʨ', 'ʥ']) {
        'ɲ'
    } else if next.starts_with(['n', 't', 'd', 'ɾ', 'z']) {
        'n'
    } else {
        'ɴ'
    }
}

/// Katakana to hiragana; everything else stays.
pub(super) fn to_hiragana(text: &str) -> String {
    const DISTANCE: u32 = 'ァ' as u32 - 'ぁ' as u32;
    let convert = |c: char| match c {
        'ァ'..='ヶ' | 'ヽ' | 'ヾ' => char::from_u32(u32::from(c) - DISTANCE).unwrap_or(c),
        c => c,
    };
    text.chars().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kana_are_said() {
        for (kana, expected) in [
            ("きょー", "kʲoː"),
            ("がっこー", "ɡaʔkoː"),
            ("しんぶん", "ɕimbɯɴ"),
            ("てんき", "teŋkʲi"),
            ("こんにちわ", "koɲɲiʨiβa"),
            ("ふぁみりー", "ɸamʲiɾʲiː"),
            ("ぬぁ", "na"),
            ("こゝろ", "koこɾo"),
            ("がゞ", "ɡa"),
            ("かゞみ", "kaɡamʲi"),
            ("っぁ", ""),
            ("漢", ""),
        ] {
            assert_eq!(phonemes(kana), expected, "{kana}");
        }
        assert_eq!(to_hiragana("ガッコー・ヴヶ"), "がっこー・ゔゖ");
        assert_eq!((symbol('、'), symbol('々')), (",".to_owned(), "々".to_owned()));
    }
}
