//! Which of the model's two languages a text is in.

use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

use super::characters::is_chinese;

/// A language that the model speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Mandarin, `zh`.
    Chinese,
    /// English, `en`.
    English,
}

impl Language {
    /// The language of a code, `zh` or `en`.
    pub fn of(code: &str) -> Option<Self> {
        match code {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// `zh` or `en`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }
}

/// The language of `text`: Chinese if it has more Chinese characters than English words. A word that touches a character of a word in
/// another script is none.
pub fn detect(text: &str) -> Language {
    let characters = text.chars().filter(|c| is_chinese(*c)).count();
    let is_english = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    let words = text.split(|c| !is_word_character(c)).filter(is_english).count();
    if characters > words { Language::Chinese } else { Language::English }
}

/// Letters, numbers and `_`: what Python's `\w` is.
pub(super) fn is_word_character(character: char) -> bool {
    character == '_'
        || matches!(character.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        for (text, language) in [
            ("", Language::English),
            ("123", Language::English),
            ("你好?", Language::Chinese),
            ("中文 words", Language::Chinese),
            ("中 words", Language::English), // a tie
            ("中文mixed英文words here now", Language::Chinese),
            ("中 a_b a1", Language::Chinese),
            ("中 don't", Language::English), // two words
        ] {
            assert_eq!(detect(text), language, "{text}");
            assert_eq!(Language::of(language.code()), Some(language));
        }
        assert_eq!(Language::of("fr"), None);
    }
}
