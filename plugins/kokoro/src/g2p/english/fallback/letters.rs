//! English spelling to sound by rules, for when no espeak-ng is installed.
//!
//! The table `rules.txt` turns letters into sounds in context (the idea of Elovitz et al., "Letter-to-sound rules for automatic translation of
//! English text to phonetics", 1976; the rules are our own, in Kokoro's alphabet), then one vowel gets the stress by the shape of the word,
//! unstressed short vowels weaken, and the result is turned American or British.

use std::{collections::HashMap, sync::LazyLock};

use super::super::Variant;
use super::names::spelled;

/// One line of the table.
struct Rule {
    left: Vec<char>,
    letters: Vec<char>,
    right: Vec<char>,
    sounds: &'static str,
}

/// Rules by the letter they begin with. A damaged line would be a mistake in this crate; the tests make sure that there is none.
static RULES: LazyLock<HashMap<char, Vec<Rule>>> = LazyLock::new(|| {
    let mut rules: HashMap<char, Vec<Rule>> = HashMap::new();
    for rule in include_str!("rules.txt").lines().filter_map(parse) {
        if let Some(&first) = rule.letters.first() {
            rules.entry(first).or_default().push(rule);
        }
    }
    rules
});

fn parse(line: &'static str) -> Option<Rule> {
    if line.starts_with('#') {
        return None;
    }
    let (pattern, sounds) = line.split_once(' ')?;
    let (left, rest) = pattern.split_once('[')?;
    let (letters, right) = rest.split_once(']')?;
    Some(Rule {
        left: left.chars().collect(),
        letters: letters.chars().collect(),
        right: right.chars().collect(),
        sounds: if sounds == "-" { "" } else { sounds },
    })
}

fn is_vowel_letter(c: char) -> bool {
    "aeiouy".contains(c)
}

fn is_consonant_letter(c: char) -> bool {
    c.is_ascii_lowercase() && !is_vowel_letter(c)
}

/// Endings that `%` stands for.
const ENDINGS: [&str; 8] = ["e", "es", "ed", "er", "ers", "ing", "ely", "ement"];

impl Rule {
    fn fits(&self, word: &[char], at: usize) -> bool {
        let end = at + self.letters.len();
        word.get(at..end) == Some(self.letters.as_slice())
            && self.left_fits(&word[..at])
            && self.right_fits(&word[end..])
    }

    fn left_fits(&self, before: &[char]) -> bool {
        let mut rest = before;
        for &sign in self.left.iter().rev() {
            match sign {
                '_' => {
                    if !rest.is_empty() {
                        return false;
                    }
                }
                ':' => rest = &rest[..rest.iter().rposition(|&c| !is_consonant_letter(c)).map_or(0, |i| i + 1)],
                sign => match rest.split_last() {
                    Some((&c, before)) if letter_fits(sign, c) => rest = before,
                    _ => return false,
                },
            }
        }
        true
    }

    fn right_fits(&self, after: &[char]) -> bool {
        let mut rest = after;
        for &sign in &self.right {
            match sign {
                '_' => {
                    if !rest.is_empty() {
                        return false;
                    }
                }
                '%' => {
                    let rest: String = rest.iter().collect();
                    return ENDINGS.contains(&rest.as_str());
                }
                sign => match rest.split_first() {
                    Some((&c, after)) if letter_fits(sign, c) => rest = after,
                    _ => return false,
                },
            }
        }
        true
    }
}

fn letter_fits(sign: char, c: char) -> bool {
    match sign {
        'V' => is_vowel_letter(c),
        'C' => is_consonant_letter(c),
        'E' => matches!(c, 'e' | 'i' | 'y'),
        sign => sign == c,
    }
}

/// Sounds that carry a syllable.
pub(super) fn is_nucleus(c: char) -> bool {
    "æɛɪɒʌʊAIOWYïüiɔɑɜəᵊᵻ".contains(c)
}

/// Nuclei that are never stressed.
fn is_weak(c: char) -> bool {
    "əᵊᵻ".contains(c)
}

fn is_long(c: char) -> bool {
    "AIOWYïüɔɑɜ".contains(c)
}

/// A word of small letters in the neutral alphabet of the table, with stress marks; spelled if it can't be spoken.
pub(super) fn read_word(word: &str) -> String {
    let word: Vec<char> = word.chars().collect();
    let word = word.as_slice();
    if !is_speakable(word) {
        return spell(word);
    }
    let mut sounds: Vec<char> = Vec::new();
    let mut at = 0;
    while at < word.len() {
        let rule = RULES.get(&word[at]).and_then(|rules| rules.iter().find(|rule| rule.fits(word, at)));
        match rule {
            Some(rule) => {
                sounds.extend(rule.sounds.chars());
                at += rule.letters.len();
            }
            None => at += 1,
        }
    }
    let spelling: String = word.iter().collect();
    stressed(&sounds, &spelling)
}

/// Letter by letter; as in abbreviations, the last one carries the stress.
pub(super) fn spell(letters: &[char]) -> String {
    let names: Vec<&str> = letters.iter().filter_map(|&c| spelled(c)).collect();
    let (last, before) = names.split_last().map_or(("", &[][..]), |(last, before)| (*last, before));
    before.concat().replace('ˈ', "ˌ") + last
}

/// Pairs of consonant letters that English words (and common names) begin with.
const BEGINNINGS: &str = "bl br bh ch cl cr cz dh dj dr dw fj fl fr gh gl gn gr gw hr hy jh kh kl km kn kr kw ll mb mc mn ng nk pf ph pl pn pr ps pt \
    qu rh sc sh sk sl sm sn sp sq sr st sv sw sz th tr ts tw tz vl vr wh wr zh zl zw";

/// Longest word that is spelled because of how it begins ("nginx").
const SPELLED_LENGTH: usize = 5;

/// Whether there is a vowel, and the first two letters can be said together.
fn is_speakable(word: &[char]) -> bool {
    let begins_well = match word {
        [a, b, ..] if is_consonant_letter(*a) && is_consonant_letter(*b) => {
            BEGINNINGS.split_whitespace().any(|pair| pair.chars().eq([*a, *b]))
                && !(*a == 'n' && word.len() <= SPELLED_LENGTH)
        }
        _ => true,
    };
    word.iter().copied().any(is_vowel_letter) && (begins_well || word.len() > SPELLED_LENGTH)
}

/// Endings that put the stress right before them, with the number of syllables they are.
const STRESS_BEFORE: [(&str, usize); 24] = [
    ("tion", 1),
    ("tions", 1),
    ("sion", 1),
    ("sions", 1),
    ("tious", 1),
    ("cious", 1),
    ("tial", 1),
    ("cian", 1),
    ("ic", 1),
    ("ics", 1),
    ("ical", 2),
    ("ity", 2),
    ("ety", 2),
    ("ify", 2),
    ("ian", 2),
    ("ium", 2),
    ("ious", 2),
    ("ia", 2),
    ("ial", 2),
    ("graphy", 2),
    ("logy", 2),
    ("nomy", 2),
    ("cracy", 2),
    ("meter", 2),
];

/// Endings that are stressed themselves.
const STRESSED_ENDINGS: [&str; 9] = ["ee", "eer", "oon", "ette", "ique", "esque", "ese", "aire", "elle"];

/// Beginnings that leave the stress to the syllable behind them.
const UNSTRESSED_PREFIXES: [&str; 10] = ["be", "de", "re", "dis", "mis", "un", "con", "ex", "en", "pre"];

/// Picks the stressed vowel, weakens short vowels elsewhere, and writes the marks.
fn stressed(sounds: &[char], spelling: &str) -> String {
    let nuclei: Vec<usize> = (0..sounds.len()).filter(|&i| is_nucleus(sounds[i])).collect();
    let count = nuclei.len();
    if count == 0 {
        return sounds.iter().collect();
    }
    let wanted = stressed_syllable(sounds, &nuclei, spelling).min(count - 1);
    let can_carry = |&n: &usize| !is_weak(sounds[nuclei[n]]);
    let primary = (0..=wanted).rev().find(can_carry).or_else(|| (wanted..count).find(can_carry)).unwrap_or(wanted);
    let secondary = primary.checked_sub(2).filter(|n| !is_weak(sounds[nuclei[*n]]));
    let mut out = String::new();
    for (i, &sound) in sounds.iter().enumerate() {
        let syllable = nuclei.iter().position(|&n| n == i);
        let mark = match syllable {
            Some(n) if n == primary => Some('ˈ'),
            Some(n) if Some(n) == secondary => Some('ˌ'),
            _ => None,
        };
        out.extend(mark);
        // Not in the first syllable, and not before two consonants.
        let is_open = |n: usize| nuclei.get(n + 1).copied().unwrap_or(sounds.len()) - i <= 2;
        let is_weakened = mark.is_none() && "æɒʌ".contains(sound) && syllable.is_some_and(|n| n > 0 && is_open(n));
        out.push(if is_weakened { 'ə' } else { sound });
    }
    out
}

/// Number of the syllable that should be stressed.
fn stressed_syllable(sounds: &[char], nuclei: &[usize], spelling: &str) -> usize {
    let count = nuclei.len();
    if count == 1 {
        return 0;
    }
    if let Some(&(_, syllables)) = STRESS_BEFORE.iter().find(|(ending, _)| spelling.ends_with(ending))
        && count > syllables
    {
        return count - syllables - 1;
    }
    if STRESSED_ENDINGS.iter().any(|ending| spelling.ends_with(ending)) {
        return count - 1;
    }
    let is_heavy = |n: usize| {
        let after = nuclei.get(n + 1).copied().unwrap_or(sounds.len());
        is_long(sounds[nuclei[n]]) || after - nuclei[n] > 2
    };
    if count == 2 {
        let has_prefix = UNSTRESSED_PREFIXES.iter().any(|prefix| spelling.starts_with(prefix));
        return usize::from(is_weak(sounds[nuclei[0]]) || (has_prefix && !is_weak(sounds[nuclei[1]]) && is_heavy(1)));
    }
    // Words that end in a vowel letter are mostly foreign and stressed on the last syllable but one, like all with a heavy one there.
    if spelling.ends_with(['a', 'o', 'i']) || (is_heavy(count - 2) && !is_weak(sounds[nuclei[count - 2]])) {
        return count - 2;
    }
    count - 3
}

/// From the neutral alphabet to American or British.
pub(super) fn localized(sounds: &str, variant: Variant) -> String {
    let chars: Vec<char> = sounds.chars().collect();
    let next_sound = |i: usize| chars[i + 1..].iter().copied().find(|c| !"ˈˌ".contains(*c));
    let mut out = String::new();
    match variant {
        Variant::American => {
            for (i, &c) in chars.iter().enumerate() {
                let before = i.checked_sub(1).map(|i| chars[i]);
                match c {
                    'ɒ' => out.push('ɑ'),
                    'ï' => out.push('i'),
                    'ü' => out.push('u'),
                    'æ' if chars.get(i + 1) == Some(&'ɹ') => out.push('ɛ'),
                    // t between a vowel or r and an unstressed vowel is a flap.
                    't' if before.is_some_and(|b| is_nucleus(b) || b == 'ɹ')
                        && chars.get(i + 1).copied().is_some_and(is_nucleus) =>
                    {
                        out.push('T')
                    }
                    c => out.push(c),
                }
            }
        }
        Variant::British => {
            let mut i = 0;
            while i < chars.len() {
                let c = chars[i];
                // r is only spoken before vowels; without it the vowel before changes.
                let drops_r = chars.get(i + 1) == Some(&'ɹ') && !next_sound(i + 1).is_some_and(is_nucleus);
                match c {
                    'ɛ' if drops_r => out.push_str("ɛː"),
                    'ɪ' if drops_r => out.push_str("ɪə"),
                    'ʊ' if drops_r => out.push_str("ʊə"),
                    'I' if drops_r => out.push_str("Iə"),
                    'O' => out.push('Q'),
                    'æ' => out.push('a'),
                    'ï' => out.push_str("iː"),
                    'ü' => out.push_str("uː"),
                    'ᵻ' => out.push('ɪ'),
                    'ɔ' | 'ɑ' | 'ɜ' => {
                        out.push(c);
                        out.push('ː');
                    }
                    c => out.push(c),
                }
                i += if drops_r && is_nucleus(c) { 2 } else { 1 };
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_well_formed_and_reachable() {
        let lines = include_str!("rules.txt").lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
        for line in lines {
            let rule = parse(line).unwrap_or_else(|| panic!("{line}"));
            assert!(!rule.letters.is_empty() && rule.letters.iter().all(char::is_ascii_lowercase), "{line}");
            assert!(
                rule.left.iter().chain(&rule.right).all(|c| "_VCE:%".contains(*c) || c.is_ascii_lowercase()),
                "{line}"
            );
            assert!(rule.sounds.chars().all(|c| is_nucleus(c) || "bdfhjklmnpstvwzðŋɡɹʃʒʤʧθ".contains(c)), "{line}");
        }
        for letter in 'a'..='z' {
            // The last rule of each letter has no context, so that no letter is skipped.
            let last = RULES.get(&letter).and_then(|rules| rules.last()).unwrap();
            assert_eq!((last.letters.as_slice(), last.left.len(), last.right.len()), (&[letter][..], 0, 0));
        }
    }

    #[test]
    fn reads_words() {
        for (word, phonemes) in [
            ("zorblax", "zˈɔɹblæks"),
            ("snorfle", "snˈɔɹfᵊl"),
            ("gleep", "ɡlˈip"),
            ("nation", "nˈAʃᵊn"),
            ("grpc", "ʤˌiˌɑɹpˌisˈi"),
            ("nginx", "ˌɛnʤˌiˌIˌɛnˈɛks"),
        ] {
            assert_eq!(localized(&read_word(word), Variant::American), phonemes, "{word}");
        }
        assert_eq!(localized(&read_word("zorblar"), Variant::British), "zˈɔːblə");
    }
}
