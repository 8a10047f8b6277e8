//! Arabic numerals in Chinese text, in words: dates, ranges, fractions, percentages, temperatures, numbers.
//!
//! Reference: `cn2an` 0.5.24 (`transform.py: Transform.transform("an2cn")`, `an2cn.py`), MIT licence, © Ailln.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use syrinx_plugin_common::numbers::chinese::{cardinal, spelled};

/// Most digits that are read after a point.
const MAX_DECIMALS: usize = 16;

/// Measure words: a range before one of them is read as such.
#[rustfmt::skip]
const MEASURES: [&str; 34] = [
    "斤", "克", "千克", "公斤", "吨", "米", "厘米", "毫米", "公里", "升", "毫升", "元", "角", "分", "个", "只", "条", "张",
    "块", "瓶", "杯", "份", "本", "辆", "台", "匹", "头", "位", "亩", "小时", "分钟", "秒", "天", "半",
];

/// The patterns, in the order that they are applied. They are constants, checked by the tests.
struct Patterns {
    range: Regex,
    date: Regex,
    digits: Regex,
    fraction: Regex,
    percent: Regex,
    celsius: Regex,
    number: Regex,
}

static PATTERNS: LazyLock<Result<Patterns, regex::Error>> = LazyLock::new(|| {
    Ok(Patterns {
        range: Regex::new(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")?,
        date: Regex::new(r"(?:(\d{2,4})年)?(?:(\d{1,2})月)?(?:(\d{1,2})日)?")?,
        digits: Regex::new(r"\d+")?,
        fraction: Regex::new(r"(\d+)/(\d+)")?,
        percent: Regex::new(r"(-?(?:\d+\.)?\d+)%")?,
        celsius: Regex::new(r"(\d+)℃")?,
        number: Regex::new(r"-?(?:\d+\.)?\d+")?,
    })
});

/// `text` with its numerals in words.
pub(crate) fn in_words(text: &str) -> String {
    let Ok(patterns) = PATTERNS.as_ref() else { return text.to_owned() };
    let text = ranges(&patterns.range, text);
    let text = patterns.date.replace_all(&text, |found: &Captures<'_>| date(patterns, found));
    let two = |found: &Captures<'_>, join: fn(&str, &str) -> String| {
        let part = |group| found.get(group).and_then(|part| number(part.as_str()));
        part(1).zip(part(2)).map_or_else(|| found[0].to_owned(), |(first, second)| join(&first, &second))
    };
    let text = patterns.fraction.replace_all(&text, |found: &Captures<'_>| {
        two(found, |numerator, denominator| format!("{denominator}分之{numerator}"))
    });
    let one = |found: &Captures<'_>, group: usize, before: &str, after: &str| {
        number(&found[group]).map_or_else(|| found[0].to_owned(), |number| format!("{before}{number}{after}"))
    };
    let text = patterns.percent.replace_all(&text, |found: &Captures<'_>| one(found, 1, "百分之", ""));
    let text = patterns.celsius.replace_all(&text, |found: &Captures<'_>| one(found, 1, "", "摄氏度"));
    patterns.number.replace_all(&text, |found: &Captures<'_>| one(found, 0, "", "")).into_owned()
}

/// `3-5个` becomes `三到五个`; without a measure word behind it isn't a range but perhaps a telephone number.
fn ranges(pattern: &Regex, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut at = 0;
    while let Some(found) = pattern.captures_at(text, at) {
        let Some(whole) = found.get(0) else { break };
        let is_range = MEASURES.iter().any(|measure| text[whole.end()..].starts_with(measure));
        match number(&found[1]).zip(number(&found[2])).filter(|_| is_range) {
            Some((start, end)) => {
                out.push_str(&text[done..whole.start()]);
                out.push_str(&format!("{start}到{end}"));
                done = whole.end();
                at = whole.end();
            }
            // The next number may be the start of a range.
            None => at = found.get(2).map_or(whole.end(), |second| second.start()),
        }
    }
    out.push_str(&text[done..]);
    out
}

/// Years digit by digit, months and days as numbers.
fn date(patterns: &Patterns, found: &Captures<'_>) -> String {
    let mut out = String::new();
    if let Some(year) = found.get(1) {
        out.push_str(&spelled(year.as_str()).unwrap_or_else(|| year.as_str().to_owned()));
        out.push('年');
    }
    for (group, unit) in [(2, '月'), (3, '日')] {
        if let Some(value) = found.get(group) {
            let words = patterns.digits.replace(value.as_str(), |found: &Captures<'_>| {
                number(&found[0]).unwrap_or_else(|| found[0].to_owned())
            });
            out.push_str(&words);
            out.push(unit);
        }
    }
    out
}

/// A number with sign and decimals in words; `None` when it is too long.
fn number(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("负", unsigned),
        None => ("", text),
    };
    let (whole, decimals) = match unsigned.split_once('.') {
        Some((whole, decimals)) => (whole, Some(decimals)),
        None => (unsigned, None),
    };
    let mut words = format!("{sign}{}", cardinal(whole)?);
    if let Some(decimals) = decimals {
        let read: String = decimals.chars().take(MAX_DECIMALS).collect();
        words.push('点');
        words.push_str(&spelled(&read)?);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_words() {
        for (text, words) in [
            ("共10个", "共十个"),
            ("12345", "一万二千三百四十五"),
            ("100000001", "一亿零一"),
            ("10203", "一万零二百零三"),
            ("-3.50", "负三点五零"),
            ("007", "七"),
            ("0", "零"),
            ("2024年5月1日", "二零二四年五月一日"),
            ("3/4", "四分之三"),
            ("99.9%", "百分之九十九点九"),
            ("20℃", "二十摄氏度"),
            ("3-5个", "三到五个"),
            ("010-12345", "十负一万二千三百四十五"),
            ("12345678901234567", "12345678901234567"),
            ("１２", "十二"),
            ("1.2.3", "一点二.三"),
            ("没有", "没有"),
        ] {
            assert_eq!(in_words(text), words, "{text}");
        }
    }
}
