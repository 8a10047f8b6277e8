//! English number words: cardinals, ordinals, years and decimals, up to 66 digits; longer numbers are read digit by digit.

/// Words for 0 to 19.
pub const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
/// Words for the tens, from 20 on; the first two are empty.
pub const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// Names of 1000^n, n = 1…
const SCALES: [&str; 21] = [
    "thousand",
    "million",
    "billion",
    "trillion",
    "quadrillion",
    "quintillion",
    "sextillion",
    "septillion",
    "octillion",
    "nonillion",
    "decillion",
    "undecillion",
    "duodecillion",
    "tredecillion",
    "quattuordecillion",
    "quindecillion",
    "sexdecillion",
    "septdecillion",
    "octodecillion",
    "novemdecillion",
    "vigintillion",
];

/// Longest number, in digits, that is read as one; longer ones are read digit by digit.
const LONGEST: usize = 3 * (SCALES.len() + 1);

/// Cardinal of a run of ASCII digits: "one thousand, two hundred and thirty-four".
pub fn cardinal(digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return SMALL[0].to_owned();
    }
    if digits.len() > LONGEST {
        return spelled(digits);
    }
    let mut parts: Vec<String> = Vec::new();
    let mut last_group = 0;
    let mut rest = digits;
    while !rest.is_empty() {
        let scale = (rest.len() - 1) / 3; // power of 1000 of the first group
        let (group, tail) = rest.split_at(rest.len() - 3 * scale);
        rest = tail;
        let value = group.bytes().fold(0_usize, |v, b| v * 10 + usize::from(b.wrapping_sub(b'0')) % 10);
        if value == 0 {
            continue;
        }
        last_group = if scale == 0 { value } else { 0 };
        parts.push(match scale {
            0 => below_thousand(value),
            _ => format!("{} {}", below_thousand(value), SCALES[scale - 1]),
        });
    }
    match parts.split_last() {
        // "and" joins what is below a hundred, a comma everything else.
        Some((last, [])) => last.clone(),
        Some((last, before)) if (1..100).contains(&last_group) => format!("{} and {last}", before.join(", ")),
        _ => parts.join(", "),
    }
}

fn below_thousand(value: usize) -> String {
    let (hundreds, rest) = (value / 100, value % 100);
    match (hundreds, rest) {
        (0, _) => below_hundred(rest),
        (_, 0) => format!("{} hundred", SMALL[hundreds]),
        _ => format!("{} hundred and {}", SMALL[hundreds], below_hundred(rest)),
    }
}

fn below_hundred(value: usize) -> String {
    match (value / 10, value % 10) {
        (0 | 1, _) => SMALL[value].to_owned(),
        (tens, 0) => TENS[tens].to_owned(),
        (tens, ones) => format!("{}-{}", TENS[tens], SMALL[ones]),
    }
}

/// Digit by digit: "zero zero seven".
pub fn spelled(digits: &str) -> String {
    let words: Vec<&str> = digits.bytes().map(|b| SMALL[usize::from(b.wrapping_sub(b'0')) % 10]).collect();
    words.join(" ")
}

/// Ordinal of a run of ASCII digits: "twenty-first".
pub fn ordinal(digits: &str) -> String {
    let words = cardinal(digits);
    let cut = words.rfind([' ', '-']).map_or(0, |at| at + 1);
    let (head, last) = words.split_at(cut);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        _ => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
    format!("{head}{last}")
}

/// A year: "nineteen oh-five", "two thousand and one".
pub fn year(value: u32) -> String {
    let (high, low) = (value / 100, value % 100);
    if high == 0 || (high % 10 == 0 && low < 10) || high >= 100 {
        return cardinal(&value.to_string());
    }
    let century = cardinal(&high.to_string());
    match low {
        0 => format!("{century} hundred"),
        1..=9 => format!("{century} oh-{}", SMALL[low as usize]),
        _ => format!("{century} {}", below_hundred(low as usize)),
    }
}

/// A decimal number the way a double holds it: "three point one four", whole numbers without "point".
pub fn decimal(value: f64) -> String {
    let text = format!("{}", value.abs());
    let sign = if value < 0.0 { "minus " } else { "" };
    match text.split_once('.') {
        Some((whole, fraction)) => format!("{sign}{} point {}", cardinal(whole), spelled(fraction)),
        None if text.bytes().all(|b| b.is_ascii_digit()) => format!("{sign}{}", cardinal(&text)),
        None => String::new(), // infinite: no words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinals() {
        for (digits, words) in [
            ("0", "zero"),
            ("000", "zero"),
            ("19", "nineteen"),
            ("42", "forty-two"),
            ("110", "one hundred and ten"),
            ("1000", "one thousand"),
            ("1001", "one thousand and one"),
            ("1100", "one thousand, one hundred"),
            (
                "72291608016",
                "seventy-two billion, two hundred and ninety-one million, six hundred and eight thousand and sixteen",
            ),
            ("5090228", "five million, ninety thousand, two hundred and twenty-eight"),
        ] {
            assert_eq!(cardinal(digits), words);
        }
        assert!(cardinal(&"9".repeat(63)).starts_with("nine hundred and ninety-nine novemdecillion"));
        assert!(cardinal(&"9".repeat(500)).starts_with("nine nine nine"));
    }

    #[test]
    fn ordinals_years_decimals() {
        assert_eq!(spelled("007"), "zero zero seven");
        assert_eq!(ordinal("20"), "twentieth");
        assert_eq!(ordinal("1012"), "one thousand and twelfth");
        assert_eq!(ordinal("0"), "zeroth");
        assert_eq!(year(1905), "nineteen oh-five");
        assert_eq!(year(2005), "two thousand and five");
        assert_eq!(year(2024), "twenty twenty-four");
        assert_eq!(year(900), "nine hundred");
        assert_eq!(decimal(0.05), "zero point zero five");
        assert_eq!(decimal(10.0), "ten");
        assert_eq!(decimal(1234.56), "one thousand, two hundred and thirty-four point five six");
        assert_eq!(decimal(-0.5), "minus zero point five");
        assert_eq!(decimal(f64::INFINITY), "");
    }

    #[test]
    fn numbers_of_any_length_have_words() {
        for length in 1..200 {
            for digit in ["0", "1", "9"] {
                let digits = digit.repeat(length);
                assert!(cardinal(&digits).bytes().all(|b| b.is_ascii_lowercase() || b" -,".contains(&b)), "{digits}");
                assert!(!ordinal(&digits).is_empty());
            }
        }
    }
}
