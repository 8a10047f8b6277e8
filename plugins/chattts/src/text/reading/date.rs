//! Dates and years.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{cardinal, is_year, ordinal, spelled, year};

macro_rules! month {
    () => {
        r"(Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
    };
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Days of the longest month.
const LAST_DAY: u32 = 31;

pub(super) const RULES: &[(&str, Read)] = &[
    (r"([12][0-9]{3})([-/.])([0-9]{1,2})([-/.])([0-9]{1,2})", year_month_day),
    (r"([12][0-9]{3})-(0[1-9]|1[0-2])", year_month),
    (r"([0-9]{1,2})/([0-9]{1,2})/([12][0-9]{3})", month_day_year),
    (r"([12][0-9]{3})年?\s?[-–—~至到]\s?([12][0-9]{3})年", years),
    (r"([0-9]{4})\s?年", full_year),
    (r"([0-9]{2})年([0-9]{1,2}月)", short_year),
    (concat!(r"\b", month!(), r" ([0-9]{1,2})(?:st|nd|rd|th)?\b(?:,? ([12][0-9]{3})\b)?"), month_day),
    (concat!(r"\b([0-9]{1,2})(?:st|nd|rd|th)? (?:of )?", month!(), r"(?:,? ([12][0-9]{3})\b)?"), day_month),
    (concat!(r"\b", month!(), r",? ([12][0-9]{3})\b"), month_year),
    (r"'?\b([0-9]{1,3}0)'?s\b", decade),
];

fn date(year_digits: &str, month: &str, day: &str, language: Language) -> Option<String> {
    let (month_number, day_number): (usize, u32) = (month.parse().ok()?, day.parse().ok()?);
    let name = MONTHS.get(month_number.checked_sub(1)?)?;
    if !(1..=LAST_DAY).contains(&day_number) {
        return None;
    }
    let year = year(year_digits, language);
    Some(match language {
        Language::Chinese => {
            let number = |number: &str| cardinal(number.trim_start_matches('0'), language);
            format!("{year}年{}月{}日", number(month), number(day))
        }
        Language::English => format!("{name} {}, {year}", ordinal(day)),
    })
}

fn year_month_day(found: &Found<'_>) -> Option<String> {
    let is_date = found.is_alone() && found.group(2) == found.group(4) && !matches!(found.next(), Some('-' | '/'));
    is_date.then(|| date(found.group(1), found.group(3), found.group(5), found.language))?
}

fn year_month(found: &Found<'_>) -> Option<String> {
    let year = year(found.group(1), found.language);
    let month: usize = found.group(2).parse().ok()?;
    let words = match found.language {
        Language::Chinese => format!("{year}年{}月", cardinal(&month.to_string(), found.language)),
        Language::English => format!("{} {year}", MONTHS.get(month.checked_sub(1)?)?),
    };
    (found.is_alone() && found.next() != Some('-')).then_some(words)
}

/// The American order, or the British one where that is the only possible one.
fn month_day_year(found: &Found<'_>) -> Option<String> {
    let (first, second, year) = (found.group(1), found.group(2), found.group(3));
    let american = || date(year, first, second, found.language);
    let british = || date(year, second, first, found.language);
    found.is_alone().then(|| american().or_else(british))?
}

fn years(found: &Found<'_>) -> Option<String> {
    let (first, last) = (found.group(1), found.group(2));
    let spelled = |digits| spelled(digits, Language::Chinese);
    found.begins_alone().then(|| format!("{}到{}年", spelled(first), spelled(last)))
}

/// Four digits before 年 are a year unless they count years.
fn full_year(found: &Found<'_>) -> Option<String> {
    let digits = found.group(1);
    let counts = digits.ends_with("00") && found.after().starts_with(['前', '后', '来', '间', '历', '多', '的']);
    let is_year = found.begins_alone() && !counts && matches!(digits.parse(), Ok(1001..=2999_u32));
    is_year.then(|| format!("{}年", spelled(digits, Language::Chinese)))
}

fn short_year(found: &Found<'_>) -> Option<String> {
    found.begins_alone().then(|| format!("{}年{}", spelled(found.group(1), Language::Chinese), found.group(2)))
}

/// The full name of a month from its first letters.
fn month_name(text: &str) -> &'static str {
    let start = text.get(..3).unwrap_or_default();
    MONTHS.iter().find(|name| name.starts_with(start)).copied().unwrap_or_default()
}

fn with_year(words: String, digits: Option<&str>) -> String {
    match digits {
        Some(digits) => format!("{words}, {}", year(digits, Language::English)),
        None => words,
    }
}

fn is_day(text: &str) -> bool {
    matches!(text.parse(), Ok(1..=LAST_DAY))
}

fn month_day(found: &Found<'_>) -> Option<String> {
    let is_date = is_day(found.group(2)) && found.ends_alone() && !matches!(found.next(), Some(':' | '%' | '-'));
    is_date.then(|| with_year(format!("{} {}", month_name(found.group(1)), ordinal(found.group(2))), found.get(3)))
}

fn day_month(found: &Found<'_>) -> Option<String> {
    let is_date = is_day(found.group(1)) && found.is_alone() && found.previous() != Some(':');
    is_date.then(|| with_year(format!("{} of {}", ordinal(found.group(1)), month_name(found.group(2))), found.get(3)))
}

fn month_year(found: &Found<'_>) -> Option<String> {
    let words = format!("{} {}", month_name(found.group(1)), year(found.group(2), Language::English));
    found.ends_alone().then_some(words)
}

/// The 1990s, the 80s.
fn decade(found: &Found<'_>) -> Option<String> {
    let digits = found.group(1);
    let follows =
        ["the", "early", "mid", "late"].iter().any(|w| found.before().trim_end_matches([' ', '-']).ends_with(w));
    let singular = match digits.len() {
        2 if follows || found.group(0).starts_with('\'') => cardinal(digits, Language::English),
        4 if is_year(digits) => year(digits, Language::English),
        _ => return None,
    };
    let plural = match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{singular}s"),
    };
    Some(plural)
}
