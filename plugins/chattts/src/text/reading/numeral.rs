//! What is left of numbers: ordinals, versions, ratios, ranges, fractions, and plain numbers.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{by, cardinal, count, digits, is_year, number, ordinal, spelled, year};

pub(super) const RULES: &[(&str, Read)] = &[
    (r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:st|nd|rd|th)\b", english_ordinal),
    (r"(?:\bN[oO]\.\s?|№\s?|#)([0-9]+)", numbered),
    (r"24/7", always),
    (r"[0-9]+(?:\.[0-9]+){2,}", version),
    (r"[0-9]+(?:\.[0-9]+)?(?:\s?[:：]\s?[0-9]+(?:\.[0-9]+)?)+", ratio),
    (concat!(digits!(), r"\s?[-–—~]\s?", digits!()), range),
    (r"(?:([0-9]+) )?([0-9]+)/([0-9]+)", fraction),
    (concat!(r"([-+])", digits!()), signed),
    (concat!(digits!(), r"\+"), more),
    (r"\.([0-9]+)", decimals),
    (digits!(), plain),
];

/// Before one of these, two is 两: measure words, units of time and money, the larger powers of ten.
const COUNTED: &str = "个只条张件位名本辆台杯瓶碗盘块片颗粒根支把双对套间座栋家所部篇首句段遍次回趟步天年周岁米斤吨克公升倍种类样层头匹棵朵\
                       场轮顿份组批百千万亿元毛角分秒小点站箱包袋盒门股人者国多余";

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

/// 3:2, 1:2:3
fn ratio(found: &Found<'_>) -> Option<String> {
    let parts = found.group(0).split([':', '：']).map(|digits| number(digits.trim(), found.language));
    found.is_alone().then(|| parts.collect::<Vec<_>>().join(by(found.language, "比", " to ")))
}

/// Three to five; a score where the first is the larger one.
fn range(found: &Found<'_>) -> Option<String> {
    let (first, last) = (found.group(1), found.group(2));
    let is_score = matches!((first.parse::<u32>(), last.parse::<u32>()), (Ok(a), Ok(b)) if a > b && a < 100);
    let to = if is_score { by(found.language, "比", " to ") } else { by(found.language, "到", " to ") };
    let glued = found.previous().is_some_and(|c| c.is_ascii_alphabetic());
    let is_range = (found.begins_alone() || glued) && found.ends_alone();
    let is_years = is_recent(first) && is_recent(last);
    let number = |text, is_last| if is_years { year(text, found.language) } else { read(found, text, is_last) };
    is_range.then(|| format!("{}{to}{}", number(first, false), number(last, !is_score)))
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
                _ if top == bottom => return Some(format!("{0} {0}", words(top))),
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
    let after = if is_last { found.after().trim_start_matches(' ') } else { "" };
    let counts = after.starts_with(|c| COUNTED.contains(c));
    let is_glued = found.previous().is_some_and(|c| c.is_ascii_alphabetic()) && text.len() >= SHORTEST_CODE;
    match found.language {
        language if is_glued && text.bytes().all(|b| b.is_ascii_digit()) => spelled(text, language),
        Language::Chinese if counts && found.previous() != Some('第') => count(text, found.language),
        Language::Chinese if is_last && is_recent(text) && !text.ends_with("00") && !counts => {
            year(text, found.language)
        }
        Language::English if is_year(text) && (is_recent(text) || is_announced(found)) => year(text, found.language),
        _ => number(text, found.language),
    }
}

/// Digits after letters that are a code: flight BA249.
const SHORTEST_CODE: usize = 3;

/// Four digits that are a year wherever they stand.
fn is_recent(digits: &str) -> bool {
    digits.len() == 4 && matches!(digits.parse(), Ok(1900..=2099_u32))
}

/// Whether the word before says that this is a year.
fn is_announced(found: &Found<'_>) -> bool {
    let word = found.before().trim_end().rsplit(' ').next().unwrap_or_default();
    let announcing = ["in", "since", "by", "from", "until", "year", "of", "to", "before", "after", "circa"];
    announcing.iter().any(|w| word.eq_ignore_ascii_case(w))
}

fn plain(found: &Found<'_>) -> Option<String> {
    Some(read(found, found.group(0), true))
}

/// 100+ users
fn more(found: &Found<'_>) -> Option<String> {
    let ends = !found.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '+');
    let words = || number(found.group(1), found.language) + by(found.language, "多", " plus");
    (found.begins_alone() && ends).then(words)
}

/// .5
fn decimals(found: &Found<'_>) -> Option<String> {
    let begins = !found.previous().is_some_and(|c| c.is_alphanumeric() || c == '.');
    begins.then(|| by(found.language, "点", "point ").to_owned() + &spelled(found.group(1), found.language))
}
