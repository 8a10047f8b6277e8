//! The languages of Whisper: codes in the order of their tokens, English names and aliases.
//!
//! Source: openai/whisper `whisper/tokenizer.py: LANGUAGES, TO_LANGUAGE_CODE`. The order matters: the token of language `i`
//! is `<|startoftranscript|> + 1 + i` in every vocabulary.

use thiserror::Error;

/// Code and English name of each language, in token order. The last one (`yue`) exists only in vocabularies with 100 languages.
pub const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"),
    ("zh", "chinese"),
    ("de", "german"),
    ("es", "spanish"),
    ("ru", "russian"),
    ("ko", "korean"),
    ("fr", "french"),
    ("ja", "japanese"),
    ("pt", "portuguese"),
    ("tr", "turkish"),
    ("pl", "polish"),
    ("ca", "catalan"),
    ("nl", "dutch"),
    ("ar", "arabic"),
    ("sv", "swedish"),
    ("it", "italian"),
    ("id", "indonesian"),
    ("hi", "hindi"),
    ("fi", "finnish"),
    ("vi", "vietnamese"),
    ("he", "hebrew"),
    ("uk", "ukrainian"),
    ("el", "greek"),
    ("ms", "malay"),
    ("cs", "czech"),
    ("ro", "romanian"),
    ("da", "danish"),
    ("hu", "hungarian"),
    ("ta", "tamil"),
    ("no", "norwegian"),
    ("th", "thai"),
    ("ur", "urdu"),
    ("hr", "croatian"),
    ("bg", "bulgarian"),
    ("lt", "lithuanian"),
    ("la", "latin"),
    ("mi", "maori"),
    ("ml", "malayalam"),
    ("cy", "welsh"),
    ("sk", "slovak"),
    ("te", "telugu"),
    ("fa", "persian"),
    ("lv", "latvian"),
    ("bn", "bengali"),
    ("sr", "serbian"),
    ("az", "azerbaijani"),
    ("sl", "slovenian"),
    ("kn", "kannada"),
    ("et", "estonian"),
    ("mk", "macedonian"),
    ("br", "breton"),
    ("eu", "basque"),
    ("is", "icelandic"),
    ("hy", "armenian"),
    ("ne", "nepali"),
    ("mn", "mongolian"),
    ("bs", "bosnian"),
    ("kk", "kazakh"),
    ("sq", "albanian"),
    ("sw", "swahili"),
    ("gl", "galician"),
    ("mr", "marathi"),
    ("pa", "punjabi"),
    ("si", "sinhala"),
    ("km", "khmer"),
    ("sn", "shona"),
    ("yo", "yoruba"),
    ("so", "somali"),
    ("af", "afrikaans"),
    ("oc", "occitan"),
    ("ka", "georgian"),
    ("be", "belarusian"),
    ("tg", "tajik"),
    ("sd", "sindhi"),
    ("gu", "gujarati"),
    ("am", "amharic"),
    ("yi", "yiddish"),
    ("lo", "lao"),
    ("uz", "uzbek"),
    ("fo", "faroese"),
    ("ht", "haitian creole"),
    ("ps", "pashto"),
    ("tk", "turkmen"),
    ("nn", "nynorsk"),
    ("mt", "maltese"),
    ("sa", "sanskrit"),
    ("lb", "luxembourgish"),
    ("my", "myanmar"),
    ("bo", "tibetan"),
    ("tl", "tagalog"),
    ("mg", "malagasy"),
    ("as", "assamese"),
    ("tt", "tatar"),
    ("haw", "hawaiian"),
    ("ln", "lingala"),
    ("ha", "hausa"),
    ("ba", "bashkir"),
    ("jw", "javanese"),
    ("su", "sundanese"),
    ("yue", "cantonese"),
];

/// Other English names by which a language is known.
const ALIASES: [(&str, &str); 12] = [
    ("burmese", "my"),
    ("castilian", "es"),
    ("flemish", "nl"),
    ("haitian", "ht"),
    ("letzeburgesch", "lb"),
    ("mandarin", "zh"),
    ("moldavian", "ro"),
    ("moldovan", "ro"),
    ("panjabi", "pa"),
    ("pushto", "ps"),
    ("sinhalese", "si"),
    ("valencian", "ca"),
];

/// The languages that are written without spaces: every piece that decodes to whole characters is a word of its own.
/// Source: openai/whisper `whisper/tokenizer.py: split_to_word_tokens`.
const WITHOUT_SPACES: [&str; 6] = ["zh", "ja", "th", "lo", "my", "yue"];

/// A language that this model does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown language {given:?}: give one of the codes {}, or the English name of one", known.join(", "))]
pub struct UnknownLanguage {
    /// What was asked for.
    pub given: String,
    /// The codes that this model accepts.
    pub known: Vec<&'static str>,
}

/// Finds a language by code, English name or alias, in any letter case, among the first `count` languages.
///
/// # Errors
/// [`UnknownLanguage`] lists the codes that would have been accepted.
pub fn find(given: &str, count: usize) -> Result<&'static str, UnknownLanguage> {
    let wanted = given.trim().to_lowercase();
    let known = &LANGUAGES[..count.min(LANGUAGES.len())];
    let alias = ALIASES.iter().find(|(name, _)| *name == wanted).map(|(_, code)| *code);
    known
        .iter()
        .find(|(code, name)| *code == wanted || *name == wanted || Some(*code) == alias)
        .map(|(code, _)| *code)
        .ok_or_else(|| UnknownLanguage {
            given: given.to_owned(),
            known: known.iter().map(|(code, _)| *code).collect(),
        })
}

/// Position of a code in the table, which is also its distance from `<|startoftranscript|>` minus one.
#[must_use]
pub fn position(code: &str) -> Option<usize> {
    LANGUAGES.iter().position(|(known, _)| *known == code)
}

/// English name of a code.
#[must_use]
pub fn name(code: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// Names and aliases, each with its code.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    LANGUAGES.iter().map(|(code, name)| (*name, *code)).chain(ALIASES.iter().copied())
}

/// Whether words of this language are separated by spaces.
#[must_use]
pub fn uses_spaces(code: &str) -> bool {
    !WITHOUT_SPACES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_names_and_aliases_are_found_in_any_case() {
        assert_eq!(find("DE", 99), Ok("de"));
        assert_eq!(find(" Haitian Creole ", 99), Ok("ht"));
        assert_eq!(find("Mandarin", 99), Ok("zh"));
        assert_eq!(find("castilian", 99), Ok("es"));
    }

    #[test]
    fn cantonese_needs_a_hundred_languages() {
        assert_eq!(find("yue", 100), Ok("yue"));
        let error = find("cantonese", 99).unwrap_err();
        assert_eq!(error.known.len(), 99);
        assert!(error.to_string().contains("\"cantonese\"") && error.to_string().contains("haw"));
    }
}
