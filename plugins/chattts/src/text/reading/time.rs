//! Times of day.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{cardinal, count};

/// Hour, minute, second, and half of the day.
macro_rules! time {
    () => {
        r"([0-9]{1,2})[:：]([0-5][0-9])(?:[:：]([0-5][0-9]))?(?:\s?([AaPp])(?:\.[Mm]\.|[Mm]\b))?"
    };
}
/// Hour and half of the day.
macro_rules! hour {
    () => {
        r"\b([0-9]{1,2})\s?([AaPp])(?:\.[Mm]\.|[Mm]\b)"
    };
}
const LAST_HOUR: u32 = 24;

pub(super) const RULES: &[(&str, Read)] = &[
    (concat!(time!(), r"\s?[-–—~]\s?", time!()), range),
    (concat!(r"\b([0-9]{1,2})\s?(?:([AaPp])\.?[Mm]\.?)?\s?[-–—]\s?", hour!()), hours),
    (time!(), time),
    (hour!(), hour),
];

/// A time in words; `first` is the group of its hour, followed by those of minute, second and half of the day.
fn words(found: &Found<'_>, first: usize) -> Option<String> {
    let hour: u32 = found.group(first).parse().ok().filter(|hour| *hour <= LAST_HOUR)?;
    let hour = hour.to_string();
    let (minute, second, half) = (found.group(first + 1), found.get(first + 2), found.get(first + 3));
    let number = |digits: &str| cardinal(digits.trim_start_matches('0'), found.language);
    Some(match found.language {
        Language::Chinese => {
            let padded = |digits: &str| if digits.starts_with('0') { "零" } else { "" }.to_owned() + &number(digits);
            let takes = ["用时", "耗时", "历时", "时长"].iter().any(|word| found.before().ends_with(word));
            let unit = if takes && second.is_some() { "小时" } else { "点" };
            let mut words = format!("{}{}{unit}", half.map_or("", chinese_half), count(&hour, found.language));
            let second = second.filter(|second| *second != "00");
            if minute != "00" || second.is_some() {
                words += &if minute == "00" { "零分".to_owned() } else { padded(minute) + "分" };
            }
            if let Some(second) = second {
                words += &(padded(second) + "秒");
            }
            words
        }
        Language::English => {
            let hour = cardinal(&hour, found.language);
            let minute = match minute {
                "00" if half.is_some() || second.is_some() => String::new(),
                "00" => " o clock".to_owned(),
                early if early.starts_with('0') => format!(" oh {}", number(early)),
                late => format!(" {}", number(late)),
            };
            let second = second.filter(|second| *second != "00");
            let second = second.map_or(String::new(), |second| {
                let plural = if second == "01" { "" } else { "s" };
                format!(" and {} second{plural}", number(second))
            });
            format!("{hour}{minute}{second}{}", half.map_or("", english_half))
        }
    })
}

fn chinese_half(letter: &str) -> &'static str {
    if letter.eq_ignore_ascii_case("a") { "上午" } else { "下午" }
}

fn english_half(letter: &str) -> &'static str {
    if letter.eq_ignore_ascii_case("a") { " a m" } else { " p m" }
}

/// The dot of "p.m." also ends a sentence.
fn with_stop(found: &Found<'_>, words: String) -> String {
    if found.group(0).ends_with('.') && found.ends_sentence() { words + "." } else { words }
}

/// Whether the match isn't a part of a longer row of numbers and colons.
fn is_time(found: &Found<'_>) -> bool {
    let goes_on = |mut side: Box<dyn Iterator<Item = char> + '_>| {
        matches!(side.next(), Some(':' | '：')) && side.next().is_some_and(|c| c.is_ascii_digit())
    };
    found.is_alone() && !goes_on(Box::new(found.before().chars().rev())) && !goes_on(Box::new(found.after().chars()))
}

/// Whether the numbers are goals: 比分 comes before them, or winning after.
fn is_score(found: &Found<'_>) -> bool {
    let before = found.before().trim_end_matches([' ', '：', ':', '是', '为']);
    before.ends_with("比分")
        || ["战胜", "击败", "大胜", "险胜", "获胜", "领先", "落后"].iter().any(|w| found.after().starts_with(w))
}

fn time(found: &Found<'_>) -> Option<String> {
    (is_time(found) && !is_score(found)).then(|| Some(with_stop(found, words(found, 1)?)))?
}

fn range(found: &Found<'_>) -> Option<String> {
    let (start, end) = (words(found, 1)?, words(found, 5)?);
    let to = super::words::by(found.language, "到", " to ");
    is_time(found).then(|| with_stop(found, format!("{start}{to}{end}")))
}

/// An hour with its half of the day.
fn hour_words(found: &Found<'_>, hour: &str, half: Option<&str>) -> Option<String> {
    let hour = hour.parse().ok().filter(|hour| (1..=12_u32).contains(hour))?.to_string();
    Some(match found.language {
        Language::Chinese => format!("{}{}点", half.map_or("", chinese_half), count(&hour, found.language)),
        Language::English => format!("{}{}", cardinal(&hour, found.language), half.map_or("", english_half)),
    })
}

fn hours(found: &Found<'_>) -> Option<String> {
    let (start, end) =
        (hour_words(found, found.group(1), found.get(2))?, hour_words(found, found.group(3), found.get(4))?);
    let to = super::words::by(found.language, "到", " to ");
    is_time(found).then(|| with_stop(found, format!("{start}{to}{end}")))
}

fn hour(found: &Found<'_>) -> Option<String> {
    is_time(found).then(|| Some(with_stop(found, hour_words(found, found.group(1), found.get(2))?)))?
}
