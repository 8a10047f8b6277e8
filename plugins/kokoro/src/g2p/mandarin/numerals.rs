//! Arabic numerals in Chinese text, in words: dates, ranges, fractions, percentages, temperatures, numbers.
//!
//! Reference: `cn2an` 0.5.24 (`transform.py: Transform.transform("an2cn")`, `an2cn.py`), MIT licence, © Ailln.

use std::sync::LazyLock;

use regex::{Captures, Regex};

const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];

/// Names of the places of a number, from the ones up; longer numbers stay as they are.
const PLACES: [&str; 16] =
    ["", "十", "百", "千", "万", "十", "百", "千", "亿", "十", "百", "千", "万", "十", "百", "千"];

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
        out.push_str(&digit_by_digit(year.as_str()).unwrap_or_else(|| year.as_str().to_owned()));
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

fn digit_by_digit(digits: &str) -> Option<String> {
    digits.chars().map(|digit| Some(DIGITS[digit_value(digit)?])).collect()
}

/// The value of an ASCII digit or a full-width one.
fn digit_value(digit: char) -> Option<usize> {
    let digit = match digit {
        '０'..='９' => u32::from(digit) - u32::from('０'),
        digit => digit.to_digit(10)?,
    };
    usize::try_from(digit).ok()
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
    let mut words = format!("{sign}{}", integer(whole)?);
    if let Some(decimals) = decimals {
        let read: String = decimals.chars().take(MAX_DECIMALS).collect();
        words.push('点');
        words.push_str(&digit_by_digit(&read)?);
    }
    Some(words)
}

fn integer(text: &str) -> Option<String> {
    let digits: Vec<usize> = text.chars().map(digit_value).collect::<Option<_>>()?;
    let digits = &digits[digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len().saturating_sub(1))..];
    if digits.len() > PLACES.len() {
        return None;
    }
    let mut words = String::new();
    for (at, &digit) in digits.iter().enumerate() {
        let place = digits.len() - at - 1;
        // A zero is said once, and it carries the name of a group of four.
        if digit != 0 || place.is_multiple_of(4) {
            words.push(DIGITS[digit]);
            words.push_str(PLACES[place]);
        }
        if digit == 0 && at > 0 && !words.ends_with('零') {
            words.push('零');
        }
    }
    for (from, to) in [("零零", "零"), ("零万", "万"), ("零亿", "亿"), ("亿万", "亿")] {
        words = words.replace(from, to);
    }
    let words = without_zero_before_thousands(words.trim_matches('零'));
    let words = words.strip_prefix('一').filter(|rest| rest.starts_with('十')).unwrap_or(&words);
    Some(if words.is_empty() { DIGITS[0].to_string() } else { words.to_owned() })
}

/// After 万 and 亿 a full thousand needs no 零 before it.
fn without_zero_before_thousands(words: &str) -> String {
    let characters: Vec<char> = words.chars().collect();
    let is_superfluous = |at: usize| {
        characters[at] == '零'
            && at > 0
            && matches!(characters[at - 1], '万' | '亿')
            && characters.get(at + 1).is_some_and(|digit| DIGITS[1..].contains(digit))
            && characters.get(at + 2) == Some(&'千')
    };
    (0..characters.len()).filter(|&at| !is_superfluous(at)).map(|at| characters[at]).collect()
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
