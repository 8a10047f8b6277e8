//! What is left of numbers: ordinals, versions, ratios, ranges, fractions, and plain numbers.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{by, cardinal, count, is_year, number, ordinal, spelled, year};

macro_rules! number {
    () => {
        r"((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)"
    };
}

pub(super) const RULES: &[(&str, Read)] = &[
    (r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:st|nd|rd|th)\b", english_ordinal),
    (r"(?:\bN[oO]\.\s?|№\s?|#)([0-9]+)", numbered),
    (r"24/7", always),
    (r"[0-9]+(?:\.[0-9]+){2,}", version),
    (r"([0-9]+)\s?[:：]\s?([0-9]+)", ratio),
    (concat!(number!(), r"\s?[-–—~]\s?", number!()), range),
    (r"(?:([0-9]+) )?([0-9]+)/([0-9]+)", fraction),
    (concat!(r"([-+])", number!()), signed),
    (r"\.([0-9]+)", decimals),
    (number!(), plain),
];

/// Before one of these, two is 两: measure words, units of time and money, the larger powers of ten.
const COUNTED: &str = "个只条张件位名本辆台杯瓶碗盘块片颗粒根支把双对套间座栋家所部篇首句段遍次回趟步天年周岁米斤吨克公升倍种类样层头匹棵朵\
                       场轮顿份组批百千万亿元毛角分秒小点站箱包袋盒門门口股人者国";

fn english_ordinal(found: &Found<'_>) -> Option<String> {
    found.begins_alone().then(|| ordinal(found.group(1)))
}

fn numbered(found: &Found<'_>) -> Option<String> {
    let number = cardinal(found.group(1), found.language);
    Some(match (found.language, found.group(0).starts_with('#')) {
        (Language::English, _) => format!("number {number}"),
        (Language::Chinese, true) => format!("{number}号"),
        (Language::Chinese, false) => format!("第{number}"),
    })
}

fn always(found: &Found<'_>) -> Option<String> {
    let words = by(found.language, "二十四小时", "twenty four seven");
    found.is_alone().then(|| words.to_owned())
}

/// 1.2.3, 192.168.0.1
fn version(found: &Found<'_>) -> Option<String> {
    let part = |digits: &str| {
        if digits.len() > 2 { spelled(digits, found.language) } else { cardinal(digits, found.language) }
    };
    let parts: Vec<String> = found.group(0).split('.').map(part).collect();
    Some(parts.join(by(found.language, "点", " point ")))
}

fn ratio(found: &Found<'_>) -> Option<String> {
    let words = |digits| cardinal(digits, found.language);
    let to = by(found.language, "比", " to ");
    found.is_alone().then(|| format!("{}{to}{}", words(found.group(1)), words(found.group(2))))
}

/// Three to five; a score where the first is the larger one.
fn range(found: &Found<'_>) -> Option<String> {
    let (first, last) = (found.group(1), found.group(2));
    let is_score = matches!((first.parse::<u32>(), last.parse::<u32>()), (Ok(a), Ok(b)) if a > b && a < 100);
    let to = if is_score { by(found.language, "比", " to ") } else { by(found.language, "到", " to ") };
    let glued = found.previous().is_some_and(|c| c.is_ascii_alphabetic());
    let is_range = (found.begins_alone() || glued) && found.ends_alone();
    is_range.then(|| format!("{}{to}{}", read(found, first, false), read(found, last, !is_score)))
}

fn fraction(found: &Found<'_>) -> Option<String> {
    let (whole, top, bottom) = (found.get(1), found.group(2), found.group(3));
    if !found.is_alone() || bottom.trim_start_matches('0').is_empty() || matches!(found.next(), Some('/')) {
        return None;
    }
    let words = |digits| cardinal(digits, found.language);
    Some(match found.language {
        Language::Chinese => {
            let fraction = format!("{}分之{}", words(bottom), words(top));
            whole.map_or(fraction.clone(), |whole| format!("{}又{fraction}", words(whole)))
        }
        Language::English => {
            let (one, many) = match bottom {
                "2" => ("half".to_owned(), "halves".to_owned()),
                "4" => ("quarter".to_owned(), "quarters".to_owned()),
                // Large denominators are said as numbers.
                _ if bottom.len() > 2 || bottom == "1" => {
                    return Some(format!("{} over {}", words(top), words(bottom)));
                }
                _ => (ordinal(bottom), ordinal(bottom) + "s"),
            };
            let part = if top == "1" { one } else { many };
            match (whole, top) {
                (Some(whole), "1") => format!("{} and a {part}", words(whole)),
                (Some(whole), _) => format!("{} and {} {part}", words(whole), words(top)),
                (None, _) => format!("{} {part}", words(top)),
            }
        }
    })
}

/// A sign that belongs to a number: nothing that it could join comes before it.
fn signed(found: &Found<'_>) -> Option<String> {
    let sign = match (found.group(1), found.language) {
        ("-", Language::Chinese) => "负",
        ("-", Language::English) => "minus ",
        (_, Language::Chinese) => "正",
        (_, Language::English) => "plus ",
    };
    let joins = found.previous().is_some_and(|c| c.is_ascii_alphanumeric() || c == ')');
    (!joins && found.ends_alone()).then(|| format!("{sign}{}", number(found.group(2), found.language)))
}

/// A number by itself, by what stands before and after it.
fn read(found: &Found<'_>, text: &str, is_last: bool) -> String {
    let counts = || {
        let after = if is_last { found.after().trim_start_matches(' ') } else { "" };
        after.starts_with(|c| COUNTED.contains(c)) && found.previous() != Some('第')
    };
    match found.language {
        Language::Chinese if counts() => count(text, found.language),
        Language::English if is_year(text) && is_said_as_year(found, text) => year(text, found.language),
        _ => number(text, found.language),
    }
}

/// The first year that is taken for one wherever it stands.
const RECENT: u32 = 1900;

/// Four digits are a year if they are recent or a word before them says so.
fn is_said_as_year(found: &Found<'_>, digits: &str) -> bool {
    let word = found.before().trim_end().rsplit(' ').next().unwrap_or_default();
    let announces = ["in", "since", "by", "from", "until", "year", "of", "to", "before", "after", "circa"];
    matches!(digits.parse(), Ok(RECENT..=u32::MAX)) || announces.iter().any(|w| word.eq_ignore_ascii_case(w))
}

fn plain(found: &Found<'_>) -> Option<String> {
    Some(read(found, found.group(0), true))
}

/// .5
fn decimals(found: &Found<'_>) -> Option<String> {
    let begins = !found.previous().is_some_and(|c| c.is_alphanumeric() || c == '.');
    begins.then(|| by(found.language, "点", "point ").to_owned() + &spelled(found.group(1), found.language))
}
