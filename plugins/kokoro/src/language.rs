//! Kokoro's nine languages and the codes that name them.

use std::fmt;
use std::str::FromStr;

/// A language that the model was trained on. The letter is the first one of a voice's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// `a`
    AmericanEnglish,
    /// `b`
    BritishEnglish,
    /// `e`
    Spanish,
    /// `f`
    French,
    /// `h`
    Hindi,
    /// `i`
    Italian,
    /// `j`
    Japanese,
    /// `p`
    BrazilianPortuguese,
    /// `z`
    Mandarin,
}

/// Letter, alias (`kokoro.pipeline:ALIASES`), BCP 47 tag and English name.
const TABLE: [(Language, char, &str, &str, &str); 9] = [
    (Language::AmericanEnglish, 'a', "en-us", "en-US", "American English"),
    (Language::BritishEnglish, 'b', "en-gb", "en-GB", "British English"),
    (Language::Spanish, 'e', "es", "es", "Spanish"),
    (Language::French, 'f', "fr-fr", "fr-FR", "French"),
    (Language::Hindi, 'h', "hi", "hi", "Hindi"),
    (Language::Italian, 'i', "it", "it", "Italian"),
    (Language::Japanese, 'j', "ja", "ja", "Japanese"),
    (Language::BrazilianPortuguese, 'p', "pt-br", "pt-BR", "Brazilian Portuguese"),
    (Language::Mandarin, 'z', "zh", "zh", "Mandarin"),
];

impl Language {
    /// All of them, by letter.
    pub fn all() -> impl Iterator<Item = Language> {
        TABLE.iter().map(|row| row.0)
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> char {
        self.row().1
    }

    /// The BCP 47 tag.
    #[must_use]
    pub fn tag(self) -> &'static str {
        self.row().3
    }

    /// The language whose letter is `letter`, in lower case.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        TABLE.iter().find(|row| row.1 == letter).map(|row| row.0)
    }

    /// Whether this plugin turns its text into phonemes.
    #[must_use]
    pub fn is_english(self) -> bool {
        matches!(self, Language::AmericanEnglish | Language::BritishEnglish)
    }

    fn row(self) -> &'static (Language, char, &'static str, &'static str, &'static str) {
        // The table has a row per variant, in the variants' order.
        &TABLE[self as usize]
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().4)
    }
}

/// A text that is no language code of Kokoro.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no language code of Kokoro: a (en-us), b (en-gb), e (es), f (fr-fr), h (hi), i (it), j (ja), p (pt-br) and z (zh) are"
)]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    /// Accepts exactly what `kokoro.pipeline:KPipeline.__init__` accepts: a letter or its alias, in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_lowercase();
        TABLE
            .iter()
            .find(|row| row.2 == lower || lower.chars().eq([row.1]))
            .map(|row| row.0)
            .ok_or_else(|| UnknownLanguage(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        for language in Language::all() {
            assert_eq!(language.row().0, language);
            assert_eq!(Language::from_letter(language.letter()), Some(language));
            assert_eq!(language.tag().parse(), Ok(language));
        }
    }

    #[test]
    fn what_the_reference_refuses_is_refused() {
        for text in ["", "en", "fr", "pt", "de", "aa"] {
            assert_eq!(text.parse::<Language>(), Err(UnknownLanguage(text.to_owned())));
        }
    }
}
