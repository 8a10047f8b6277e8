//! Languages as callers spell them: a code, a code with a region, or the English name.

use crate::http::error::{ApiError, clip};

/// ISO 639 codes (two letters where there are two) and English names, of the languages that speech models know.
/// Names in lower case, as OpenAI's `verbose_json` has them.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("af", "afrikaans"), ("am", "amharic"), ("ar", "arabic"), ("as", "assamese"), ("az", "azerbaijani"), ("ba", "bashkir"),
    ("be", "belarusian"), ("bg", "bulgarian"), ("bn", "bengali"), ("bo", "tibetan"), ("br", "breton"), ("bs", "bosnian"),
    ("ca", "catalan"), ("cs", "czech"), ("cy", "welsh"), ("da", "danish"), ("de", "german"), ("el", "greek"),
    ("en", "english"), ("eo", "esperanto"), ("es", "spanish"), ("et", "estonian"), ("eu", "basque"), ("fa", "persian"),
    ("fi", "finnish"), ("fo", "faroese"), ("fr", "french"), ("ga", "irish"), ("gl", "galician"), ("gu", "gujarati"),
    ("ha", "hausa"), ("haw", "hawaiian"), ("he", "hebrew"), ("hi", "hindi"), ("hr", "croatian"), ("ht", "haitian creole"),
    ("hu", "hungarian"), ("hy", "armenian"), ("id", "indonesian"), ("is", "icelandic"), ("it", "italian"),
    ("ja", "japanese"), ("jw", "javanese"), ("ka", "georgian"), ("kk", "kazakh"), ("km", "khmer"), ("kn", "kannada"),
    ("ko", "korean"), ("la", "latin"), ("lb", "luxembourgish"), ("ln", "lingala"), ("lo", "lao"), ("lt", "lithuanian"),
    ("lv", "latvian"), ("mg", "malagasy"), ("mi", "maori"), ("mk", "macedonian"), ("ml", "malayalam"), ("mn", "mongolian"),
    ("mr", "marathi"), ("ms", "malay"), ("mt", "maltese"), ("my", "myanmar"), ("ne", "nepali"), ("nl", "dutch"),
    ("nn", "nynorsk"), ("no", "norwegian"), ("oc", "occitan"), ("pa", "punjabi"), ("pl", "polish"), ("ps", "pashto"),
    ("pt", "portuguese"), ("ro", "romanian"), ("ru", "russian"), ("sa", "sanskrit"), ("sd", "sindhi"), ("si", "sinhala"),
    ("sk", "slovak"), ("sl", "slovenian"), ("sn", "shona"), ("so", "somali"), ("sq", "albanian"), ("sr", "serbian"),
    ("su", "sundanese"), ("sv", "swedish"), ("sw", "swahili"), ("ta", "tamil"), ("te", "telugu"), ("tg", "tajik"),
    ("th", "thai"), ("tk", "turkmen"), ("tl", "tagalog"), ("tr", "turkish"), ("tt", "tatar"), ("uk", "ukrainian"),
    ("ur", "urdu"), ("uz", "uzbek"), ("vi", "vietnamese"), ("yi", "yiddish"), ("yo", "yoruba"), ("yue", "cantonese"),
    ("zh", "chinese"),
];

/// Further names and codes for the same languages.
#[rustfmt::skip]
const ALSO: &[(&str, &str)] = &[
    ("burmese", "my"), ("castilian", "es"), ("farsi", "fa"), ("flemish", "nl"), ("haitian", "ht"), ("javanese", "jw"),
    ("jv", "jw"), ("letzeburgesch", "lb"), ("mandarin", "zh"), ("moldavian", "ro"), ("moldovan", "ro"), ("nb", "no"),
    ("panjabi", "pa"), ("pushto", "ps"), ("sinhalese", "si"), ("valencian", "ca"),
];

/// The English name of a code; the code itself where there is none.
pub(crate) fn name(code: &str) -> &str {
    NAMES.iter().find(|(known, _)| *known == code).map_or(code, |(_, name)| name)
}

/// The one of `languages` (a model's codes) that a caller means in `field`. None: nothing to choose, or `auto`.
///
/// # Errors
/// 400 when the model doesn't know it, or nobody does.
pub(crate) fn resolve(field: &'static str, given: &str, languages: &[String]) -> Result<Option<String>, ApiError> {
    let wanted = given.trim().to_lowercase().replace('_', "-");
    if wanted == "auto" {
        return Ok(None);
    }
    let of_name = NAMES.iter().find(|(_, name)| *name == wanted).map(|(code, _)| *code);
    let of_other = ALSO.iter().find(|(other, _)| *other == wanted).map(|(_, code)| *code);
    let without_region = wanted.split('-').next();
    if languages.is_empty() {
        let is_code = NAMES.iter().any(|(code, _)| Some(*code) == without_region);
        if is_code || of_name.is_some() || of_other.is_some() {
            return Ok(None);
        }
        let message = format!("unknown language \"{}\"; send an ISO 639 code, such as en", clip(given));
        return Err(ApiError::invalid(field, message));
    }
    [Some(wanted.as_str()), of_name, of_other, without_region]
        .into_iter()
        .flatten()
        .find_map(|code| languages.iter().find(|language| language.eq_ignore_ascii_case(code)))
        .map(|language| Some(language.clone()))
        .ok_or_else(|| {
            let message = format!("unknown language \"{}\"; this model knows {}", clip(given), languages.join(", "));
            ApiError::invalid(field, message)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        let known: Vec<String> = ["en", "de", "zh", "yue", "jw"].map(String::from).into();
        for (given, code) in [
            ("en", "en"),
            ("EN", "en"),
            ("en-US", "en"),
            ("zh_CN", "zh"),
            ("German", "de"),
            (" mandarin ", "zh"),
            ("yue", "yue"),
            ("cantonese", "yue"),
            ("jv", "jw"),
        ] {
            assert_eq!(resolve("language", given, &known).unwrap().as_deref(), Some(code), "{given}");
        }
        assert_eq!(resolve("language", "auto", &known).unwrap(), None);
        for given in ["en", "zh-CN", "Mandarin", "auto"] {
            assert_eq!(resolve("language", given, &[]).unwrap(), None, "{given}");
        }
        assert!(resolve("language", "klingon", &[]).is_err());
        for given in ["xx", "french", "klingon", "e"] {
            assert!(resolve("language", given, &known).is_err(), "{given}");
        }
    }

    #[test]
    fn names_of_codes() {
        assert_eq!(name("en"), "english");
        assert_eq!(name("tlh"), "tlh");
        assert!(NAMES.iter().all(|(code, name)| name.len() > 2 && code.len() <= 3));
    }
}
