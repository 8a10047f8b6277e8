//! Chinese number words. Digits may be ASCII or full-width.
//!
//! Source of the rules for zeros: `cn2an` 0.5.24 (`an2cn.py`), MIT licence, © Ailln.

const DIGITS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];

/// Names of the places of a number, from the ones up; longer numbers stay as they are.
const PLACES: [&str; 16] =
    ["", "十", "百", "千", "万", "十", "百", "千", "亿", "十", "百", "千", "万", "十", "百", "千"];

/// The value of an ASCII digit or a full-width one.
fn value(digit: char) -> Option<usize> {
    let digit = match digit {
        '０'..='９' => u32::from(digit) - u32::from('０'),
        digit => digit.to_digit(10)?,
    };
    usize::try_from(digit).ok()
}

/// Digit by digit: 二零二四; `None` if there is something else than digits.
pub fn spelled(digits: &str) -> Option<String> {
    digits.chars().map(|digit| Some(DIGITS[value(digit)?])).collect()
}

/// Cardinal of a run of digits: 一万零二百零三; `None` beyond sixteen digits.
pub fn cardinal(digits: &str) -> Option<String> {
    let digits: Vec<usize> = digits.chars().map(value).collect::<Option<_>>()?;
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
    fn cardinals() {
        for (digits, words) in [
            ("0", "零"),
            ("007", "七"),
            ("10", "十"),
            ("110", "一百一十"),
            ("10203", "一万零二百零三"),
            ("200000", "二十万"),
            ("100000001", "一亿零一"),
            ("100010000", "一亿零一万"),
            ("1000000000000", "一万亿"),
            ("１２", "十二"),
        ] {
            assert_eq!(cardinal(digits).as_deref(), Some(words), "{digits}");
        }
        assert_eq!(cardinal(&"1".repeat(17)), None);
        assert_eq!(cardinal("1x"), None);
    }

    #[test]
    fn digits_one_by_one() {
        assert_eq!(spelled("2024").as_deref(), Some("二零二四"));
        assert_eq!(spelled("０７").as_deref(), Some("零七"));
        assert_eq!(spelled("二"), None);
    }
}
