//! Pronouncing words that no dictionary has.
//!
//! The reference asks espeak-ng. If the user has it installed it is asked (see [`crate::g2p::espeak`]), otherwise [`LetterRules`] reads the
//! spelling.

mod letters;
mod names;
mod spelling;

use std::sync::Arc;

pub use self::spelling::LetterRules;
use super::Variant;
use crate::g2p::espeak::{Flags, Phonemizer, phonemize};

/// Pronounces words that are in no dictionary.
pub trait Fallback: Send + Sync {
    /// Phonemes of `text` (a word, or several pieces that are written together) in Kokoro's alphabet, or `None` if it can't be pronounced.
    fn phonemes(&self, text: &str, variant: Variant) -> Option<String>;

    /// Name for logs.
    fn name(&self) -> &str;

    /// Whether `text`, pieces that are written together ("9:30", "we'd've") of which one is unknown, is handed over as a whole, which is what the
    /// reference does; else only the unknown piece is.
    fn wants_whole(&self, text: &str) -> bool {
        let _ = text;
        true
    }
}

/// The best fallback there is: espeak-ng, where one is given, with the spelling rules behind it for what it says nothing about; else the rules
/// alone.
pub fn best_of(espeak: Option<Arc<dyn Phonemizer>>) -> Box<dyn Fallback> {
    match espeak {
        Some(espeak) => Box::new(WithEspeak { espeak }),
        None => Box::new(LetterRules),
    }
}

/// espeak-ng's pronunciation in Kokoro's alphabet.
pub struct WithEspeak {
    espeak: Arc<dyn Phonemizer>,
}

impl WithEspeak {
    /// Wraps an espeak-ng.
    pub fn new(espeak: Arc<dyn Phonemizer>) -> Self {
        Self { espeak }
    }
}

impl std::fmt::Debug for WithEspeak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WithEspeak").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Fallback for WithEspeak {
    fn phonemes(&self, text: &str, variant: Variant) -> Option<String> {
        let language = match variant {
            Variant::American => "en-us",
            Variant::British => "en-gb",
        };
        match phonemize(self.espeak.as_ref(), language, text, Flags::Keep) {
            Some(ipa) => Some(from_espeak(ipa.trim(), variant)),
            None => LetterRules.phonemes(text, variant),
        }
    }

    fn name(&self) -> &str {
        self.espeak.name()
    }
}

/// espeak-ng's symbols (ties as `^`) and Kokoro's, longer ones first (`misaki/espeak.py: EspeakFallback.E2M`).
const SYMBOLS: [(&str, &str); 20] = [
    ("ʔˌn\u{329}", "ʔn"),
    ("ʔn\u{329}", "ʔn"),
    ("a^ɪ", "I"),
    ("a^ʊ", "W"),
    ("d^ʒ", "ʤ"),
    ("e^ɪ", "A"),
    ("t^ʃ", "ʧ"),
    ("ɔ^ɪ", "Y"),
    ("ə^l", "ᵊl"),
    ("ʲo", "jo"),
    ("ʲə", "jə"),
    ("e", "A"),
    ("ʲ", ""),
    ("ɚ", "əɹ"),
    ("r", "ɹ"),
    ("x", "k"),
    ("ç", "k"),
    ("ɐ", "ə"),
    ("ɬ", "l"),
    ("\u{303}", ""),
];

/// What differs between the varieties, after [`SYMBOLS`].
const AMERICAN: [(&str, &str); 5] = [("o^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", "")];
const BRITISH: [(&str, &str); 2] = [("iə", "ɪə"), ("ə^ʊ", "Q")];

/// The mark of a syllabic consonant.
const SYLLABIC: char = '\u{329}';

fn from_espeak(ipa: &str, variant: Variant) -> String {
    let replace =
        |text: String, table: &[(&str, &str)]| table.iter().fold(text, |text, (from, to)| text.replace(from, to));
    let text = replace(ipa.to_owned(), &SYMBOLS);
    // A syllabic consonant becomes a small schwa and the consonant.
    let mut chars: Vec<char> = Vec::with_capacity(text.len());
    for c in text.chars() {
        if c != SYLLABIC {
            chars.push(c);
        } else if let Some(at) = chars.len().checked_sub(1).filter(|&at| !chars[at].is_whitespace()) {
            chars.insert(at, 'ᵊ');
        }
    }
    let text: String = chars.into_iter().collect();
    let text = match variant {
        Variant::American => replace(text, &AMERICAN),
        Variant::British => replace(text, &BRITISH),
    };
    text.replace('o', "ɔ").replace('ɾ', "T").replace('ʔ', "t").replace('^', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_symbols() {
        assert_eq!(from_espeak("snˈɔːɹfə^l", Variant::American), "snˈɔɹfᵊl");
        assert_eq!(from_espeak("o^ʊkˈɑːnə^l", Variant::American), "Okˈɑnᵊl");
        assert_eq!(from_espeak("bˈʌʔn\u{329}", Variant::American), "bˈʌtn");
        assert_eq!(from_espeak("fˈiəðə^ʊ", Variant::British), "fˈɪəðQ");
        assert_eq!(from_espeak("mˈa^ʊntn\u{329}", Variant::British), "mˈWntᵊn");
    }
}
