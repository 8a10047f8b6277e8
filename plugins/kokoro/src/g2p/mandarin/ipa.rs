//! Pinyin to the phonemes of Kokoro v1.0.
//!
//! Reference: `misaki/transcription.py` (MIT, © Stefan Taubert) and `misaki/zh.py: ZHG2P.retone`.

use super::pinyin::Syllable;

/// Where the tone stands in a final.
const TONE: char = '0';

/// Marks of the tones 1 to 4; the neutral one has none.
const TONES: [&str; 4] = ["→", "↗", "↓", "↘"];

const INITIALS: [(&str, &str); 21] = [
    ("b", "p"),
    ("c", "ʦʰ"),
    ("ch", "ꭧʰ"),
    ("d", "t"),
    ("f", "f"),
    ("g", "k"),
    ("h", "x"),
    ("j", "ʨ"),
    ("k", "kʰ"),
    ("l", "l"),
    ("m", "m"),
    ("n", "n"),
    ("p", "pʰ"),
    ("q", "ʨʰ"),
    ("r", "ɻ"),
    ("s", "s"),
    ("sh", "ʂ"),
    ("t", "tʰ"),
    ("x", "ɕ"),
    ("z", "ʦ"),
    ("zh", "ꭧ"),
];

/// Syllables that don't follow from their parts: exclamations and those without a vowel.
const WHOLE: [(&str, &str); 8] =
    [("hm", "hm0"), ("hng", "hŋ0"), ("m", "m0"), ("n", "n0"), ("ng", "ŋ0"), ("ê", "ɛ0"), ("er", "ɚ0"), ("o", "ɔ0")];

#[rustfmt::skip]
const FINALS: [(&str, &str); 35] = [
    ("a", "a0"), ("ai", "ai0"), ("an", "a0n"), ("ang", "a0ŋ"), ("ao", "au0"), ("e", "ɤ0"), ("ei", "ei0"), ("en", "ə0n"),
    ("eng", "ə0ŋ"), ("i", "i0"), ("ia", "ja0"), ("ian", "jɛ0n"), ("iang", "ja0ŋ"), ("iao", "jau0"), ("ie", "je0"),
    ("in", "i0n"), ("iou", "jou0"), ("ing", "i0ŋ"), ("iong", "jʊ0ŋ"), ("ong", "ʊ0ŋ"), ("ou", "ou0"), ("u", "u0"),
    ("uei", "wei0"), ("ua", "wa0"), ("uai", "wai0"), ("uan", "wa0n"), ("uen", "wə0n"), ("uang", "wa0ŋ"),
    ("ueng", "wə0ŋ"), ("uo", "wo0"), ("o", "wo0"), ("ü", "y0"), ("üe", "ɥe0"), ("üan", "ɥɛ0n"), ("ün", "y0n"),
];

/// The vowel of `zhi`, `ci` and their like.
const BUZZED: &str = "ɨ0";
const BUZZED_AFTER: [&str; 7] = ["zh", "ch", "sh", "r", "z", "c", "s"];

/// Phonemes of a syllable; `None` when it is none of Mandarin's.
pub(crate) fn phonemes(syllable: &Syllable) -> Option<String> {
    let find = |table: &[(&str, &'static str)], key: &str| {
        table.iter().find(|(known, _)| *known == key).map(|(_, phonemes)| *phonemes)
    };
    let (initial, rest) = match find(&WHOLE, &syllable.letters) {
        Some(whole) => ("", whole),
        None => {
            let (initial, full_final) = (syllable.initial(), syllable.full_final());
            let rest =
                if full_final == "i" && BUZZED_AFTER.contains(&initial) { BUZZED } else { find(&FINALS, full_final)? };
            (find(&INITIALS, initial).unwrap_or_default(), rest)
        }
    };
    let tone = TONES.get(usize::from(syllable.tone).wrapping_sub(1)).copied().unwrap_or_default();
    Some(format!("{initial}{}", rest.replace(TONE, tone)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The reference's answer for every syllable of its dictionaries, from the kit.
    #[test]
    fn every_syllable_is_as_the_reference_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kits/kokoro/data/zh_pinyin_ipa_v10.json");
        let table: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(table.len() > 2000);
        for (pinyin, expected) in table {
            let (letters, tone) = pinyin.split_at(pinyin.len() - 1);
            let syllable = Syllable { letters: letters.replace('v', "ü"), tone: tone.parse().unwrap() };
            // The table still has the mark of the second half of diphthongs, which the front end takes out at its end.
            assert_eq!(phonemes(&syllable).unwrap(), expected.replace('\u{32f}', ""), "{pinyin}");
        }
    }

    #[test]
    fn what_is_no_syllable_has_no_phonemes() {
        assert_eq!(phonemes(&Syllable::parse("xyz")), None);
        assert_eq!(phonemes(&Syllable::parse("")), None);
    }
}
