//! Numbers in the words of either language. English words come without hyphens and commas: the model takes both for pauses.

use syrinx_plugin_common::numbers::{chinese, english};

use super::super::Language;

/// The pattern of a number as a group: digits, perhaps in groups of three, perhaps with decimals.
macro_rules! digits {
    () => {
        r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
    };
}
pub(super) use digits;

/// More digits than this are a code, not a number.
const LONGEST_NUMBER: usize = 12;

/// A cardinal. Codes and what begins with zero are read digit by digit.
pub(super) fn cardinal(digits: &str, language: Language) -> String {
    let digits = digits.replace(',', "");
    if digits.len() > LONGEST_NUMBER || (digits.len() > 1 && digits.starts_with('0')) {
        return spelled(&digits, language);
    }
    match language {
        Language::Chinese => chinese::cardinal(&digits).unwrap_or(digits),
        Language::English => plain(&english::cardinal(&digits)),
    }
}

/// Digit by digit.
pub(super) fn spelled(digits: &str, language: Language) -> String {
    match language {
        Language::Chinese => chinese::spelled(digits).unwrap_or_else(|| digits.to_owned()),
        Language::English => english::spelled(digits),
    }
}

/// A number: digits, perhaps in groups of three, perhaps with decimals, perhaps with a sign.
pub(super) fn number(text: &str, language: Language) -> String {
    let (sign, text) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (by(language, "负", "minus "), rest),
        (_, Some(rest)) => (by(language, "正", "plus "), rest),
        _ => ("", text),
    };
    let Some((whole, decimals)) = text.split_once('.') else { return format!("{sign}{}", cardinal(text, language)) };
    let (whole, decimals) = (cardinal(whole, language), spelled(decimals, language));
    format!("{sign}{whole}{}{decimals}", by(language, "点", " point "))
}

/// As [`number`]; two of something is 两 in Chinese.
pub(super) fn count(text: &str, language: Language) -> String {
    match (text, language) {
        ("2", Language::Chinese) => "两".to_owned(),
        _ => number(text, language),
    }
}

/// Whether the digits look like a year of this millennium or the last.
pub(super) fn is_year(digits: &str) -> bool {
    digits.len() == 4 && matches!(digits.parse(), Ok(1000..=2099_u32))
}

/// A year.
pub(super) fn year(digits: &str, language: Language) -> String {
    match (language, digits.parse()) {
        (Language::English, Ok(year)) => plain(&english::year(year)),
        _ => spelled(digits, language),
    }
}

/// An English ordinal.
pub(super) fn ordinal(digits: &str) -> String {
    plain(&english::ordinal(&digits.replace(',', "")))
}

/// The text of either language.
pub(super) fn by(language: Language, chinese: &'static str, english: &'static str) -> &'static str {
    match language {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

/// Whether the number is one, so that an English noun after it is singular.
pub(super) fn is_one(number: &str) -> bool {
    number == "1"
}

fn plain(words: &str) -> String {
    words.replace('-', " ").replace(',', "")
}
