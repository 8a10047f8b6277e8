//! Words that are not listed but whose stem is: -s, -ed, -ing, with the sounds these endings take (`misaki/en.py: stem_s, stem_ed, stem_ing`).

use super::lexicon::{Lexicon, Query};

/// American vowels after which t becomes a flap.
const FLAPPING: &str = "AIOWYiuæɑəɛɪɹʊʌ";

impl Lexicon {
    pub(super) fn with_s(&self, word: &str, query: Query<'_>) -> Option<String> {
        if word.chars().count() < 3 {
            return None;
        }
        let stem = word.strip_suffix('s')?;
        let long = word.chars().count() > 4;
        let stem = if !word.ends_with("ss") && self.is_known(stem) {
            stem.to_owned()
        } else if let Some(stem) = word
            .strip_suffix("'s")
            .or_else(|| word.strip_suffix("es").filter(|_| long && !word.ends_with("ies")))
            .filter(|stem| self.is_known(stem))
        {
            stem.to_owned()
        } else {
            word.strip_suffix("ies")
                .filter(|_| long)
                .map(|stem| format!("{stem}y"))
                .filter(|stem| self.is_known(stem))?
        };
        self.add_s(&self.lookup(&stem, query)?)
    }

    pub(super) fn with_ed(&self, word: &str, query: Query<'_>) -> Option<String> {
        if word.chars().count() < 4 {
            return None;
        }
        let without_d = word.strip_suffix('d')?;
        let stem = if !word.ends_with("dd") && self.is_known(without_d) {
            without_d
        } else {
            word.strip_suffix("ed")
                .filter(|_| word.chars().count() > 4 && !word.ends_with("eed"))
                .filter(|stem| self.is_known(stem))?
        };
        self.add_ed(&self.lookup(stem, query)?)
    }

    pub(super) fn with_ing(&self, word: &str, query: Query<'_>) -> Option<String> {
        let length = word.chars().count();
        if length < 5 {
            return None;
        }
        let stem = word.strip_suffix("ing")?;
        let with_e = format!("{stem}e");
        let stem = if length > 5 && self.is_known(stem) {
            stem
        } else if self.is_known(&with_e) {
            &with_e
        } else {
            undoubled(stem).filter(|stem| length > 5 && self.is_known(stem))?
        };
        self.add_ing(&self.lookup(stem, query)?)
    }

    pub(super) fn add_s(&self, stem: &str) -> Option<String> {
        let last = stem.chars().last()?;
        Some(if "ptkfθ".contains(last) {
            format!("{stem}s")
        } else if "szʃʒʧʤ".contains(last) {
            format!("{stem}{}z", self.weak_vowel())
        } else {
            format!("{stem}z")
        })
    }

    pub(super) fn add_ed(&self, stem: &str) -> Option<String> {
        let mut from_end = stem.chars().rev();
        let last = from_end.next()?;
        let before = from_end.next();
        Some(if "pkfθʃsʧ".contains(last) {
            format!("{stem}t")
        } else if last == 'd' {
            format!("{stem}{}d", self.weak_vowel())
        } else if last != 't' {
            format!("{stem}d")
        } else {
            match before {
                _ if self.is_british() => format!("{stem}ɪd"),
                None => format!("{stem}ɪd"),
                Some(before) if FLAPPING.contains(before) => format!("{}ɾᵻd", &stem[..stem.len() - 1]),
                Some(_) => format!("{stem}ᵻd"),
            }
        })
    }

    pub(super) fn add_ing(&self, stem: &str) -> Option<String> {
        let mut from_end = stem.chars().rev();
        let last = from_end.next()?;
        let before = from_end.next();
        if self.is_british() {
            // The r that would come back before the ending isn't in the pronunciation.
            return (!"əː".contains(last)).then(|| format!("{stem}ɪŋ"));
        }
        if last == 't' && before.is_some_and(|c| FLAPPING.contains(c)) {
            return Some(format!("{}ɾɪŋ", &stem[..stem.len() - 1]));
        }
        Some(format!("{stem}ɪŋ"))
    }

    /// The vowel of an ending that is a syllable of its own.
    fn weak_vowel(&self) -> char {
        if self.is_british() { 'ɪ' } else { 'ᵻ' }
    }
}

/// "runn" → "run", "panick" → "panic".
fn undoubled(stem: &str) -> Option<&str> {
    let mut from_end = stem.chars().rev();
    let last = from_end.next()?;
    let before = from_end.next()?;
    let is_doubled = last == before && "bcdgklmnprstvxz".contains(last);
    (is_doubled || stem.ends_with("ck")).then(|| &stem[..stem.len() - last.len_utf8()])
}
