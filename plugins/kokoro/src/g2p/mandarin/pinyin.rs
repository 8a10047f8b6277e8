//! Syllables of Hanyu Pinyin: letters, tone, and how they fall into initial and final.
//!
//! Reference: `pypinyin/standard.py` and `style/_utils.py` (the strict scheme), MIT licence, © mozillazg.

use unicode_normalization::UnicodeNormalization;

/// A syllable as a dictionary spells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Syllable {
    /// Letters without marks of tone; ü stays.
    pub(crate) letters: String,
    /// 1 to 4, 5 for the neutral tone.
    pub(crate) tone: u8,
}

/// Tone of syllables without a mark.
pub(crate) const NEUTRAL: u8 = 5;

/// Combining marks and what they mean. Tones: macron, acute, caron, grave.
const TONE_MARKS: [(char, u8); 4] = [('\u{304}', 1), ('\u{301}', 2), ('\u{30c}', 3), ('\u{300}', 4)];
const DIAERESIS: char = '\u{308}';
const CIRCUMFLEX: char = '\u{302}';

/// Initials, longer ones before their beginnings.
const INITIALS: [&str; 21] =
    ["zh", "ch", "sh", "b", "p", "m", "f", "d", "t", "n", "l", "g", "k", "h", "j", "q", "x", "r", "z", "c", "s"];

/// Finals in full spelling.
#[rustfmt::skip]
const FINALS: [&str; 37] = [
    "i", "u", "ü", "a", "ia", "ua", "o", "uo", "e", "ie", "üe", "ai", "uai", "ei", "uei", "ao", "iao", "ou", "iou",
    "an", "ian", "uan", "üan", "en", "in", "uen", "ün", "ang", "iang", "uang", "eng", "ing", "ueng", "ong", "iong",
    "er", "ê",
];

impl Syllable {
    /// Reads a spelling with marks: `nǐ`, `lǜ`, `de`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut letters = String::with_capacity(text.len());
        let mut tone = NEUTRAL;
        for character in text.nfd() {
            if let Some((_, number)) = TONE_MARKS.iter().find(|(mark, _)| *mark == character) {
                tone = *number;
                continue;
            }
            match (character, letters.pop()) {
                (DIAERESIS, Some('u')) => letters.push('ü'),
                (CIRCUMFLEX, Some('e')) => letters.push('ê'),
                (_, last) => {
                    letters.extend(last);
                    letters.push(character);
                }
            }
        }
        Self { letters, tone }
    }

    /// The initial, empty for syllables that start with a vowel, y or w.
    pub(crate) fn initial(&self) -> &'static str {
        initial_of(&self.letters)
    }

    /// The final in full spelling (`gui` has uei, `yuan` üan), empty for syllables without a vowel.
    pub(crate) fn full_final(&self) -> &'static str {
        let full = full_spelling(&self.letters);
        let known = |text: &str| FINALS.iter().copied().find(|known| *known == text);
        known(&full[initial_of(&full).len()..])
            // `yo` is no spelling of the scheme: what follows the y counts.
            .or_else(|| known(full.strip_prefix(['y', 'w']).unwrap_or_default()))
            .unwrap_or_default()
    }
}

fn initial_of(letters: &str) -> &'static str {
    INITIALS.iter().copied().find(|initial| letters.starts_with(initial)).unwrap_or_default()
}

/// Undoes the abbreviations of the scheme: y and w before vowels, ü without dots after j q x, iu ui un for iou uei uen.
fn full_spelling(letters: &str) -> String {
    let mut full = without_y_and_w(letters);
    if let Some(rest) = full.strip_prefix(['j', 'q', 'x']).and_then(|rest| rest.strip_prefix('u')) {
        full = format!("{}ü{rest}", &full[..1]);
    }
    for (short, long) in [("iu", "iou"), ("ui", "uei"), ("un", "uen")] {
        if let Some(before) = full.strip_suffix(short)
            && before.ends_with(|c: char| c.is_ascii_lowercase())
        {
            full = format!("{before}{long}");
        }
    }
    full
}

fn without_y_and_w(letters: &str) -> String {
    let full = if let Some(rest) = letters.strip_prefix('y') {
        match rest.chars().next() {
            Some('u') => format!("ü{}", &rest[1..]),
            Some('i') => rest.to_owned(),
            _ => format!("i{rest}"),
        }
    } else if let Some(rest) = letters.strip_prefix('w') {
        if rest.starts_with('u') { rest.to_owned() } else { format!("u{rest}") }
    } else {
        return letters.to_owned();
    };
    if FINALS.contains(&full.as_str()) { full } else { letters.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_taken_apart() {
        for (text, initial, full_final, tone) in [
            ("nǐ", "n", "i", 3),
            ("lǜ", "l", "ü", 4),
            ("lüè", "l", "üe", 4),
            ("guì", "g", "uei", 4),
            ("jūn", "j", "ün", 1),
            ("yuán", "", "üan", 2),
            ("wēng", "", "ueng", 1),
            ("wú", "", "u", 2),
            ("yī", "", "i", 1),
            ("yǒu", "", "iou", 3),
            ("niú", "n", "iou", 2),
            ("lún", "l", "uen", 2),
            ("zhuāng", "zh", "uang", 1),
            ("de", "d", "e", 5),
            ("yō", "", "o", 1),
            ("er", "", "er", 5),
            ("ê̄", "", "ê", 1),
            ("ế", "", "ê", 2),
            ("m̀", "m", "", 4),
            ("ń", "n", "", 2),
            ("hng", "h", "", 5),
        ] {
            let syllable = Syllable::parse(text);
            assert_eq!(
                (syllable.initial(), syllable.full_final(), syllable.tone),
                (initial, full_final, tone),
                "{text}"
            );
        }
    }
}
