//! Numbers in kana.
//!
//! Reference: `misaki/num2kana.py: Convert`, MIT, © Greatdane. Numbers of ten digits and more, which it refuses, are read digit by digit.

const DIGITS: [&str; 10] = ["ゼロ", "いち", "に", "さん", "よん", "ご", "ろく", "なな", "はち", "きゅう"];
const TEN: &str = "じゅう";
const TEN_THOUSAND: &str = "まん";
const HUNDRED_MILLION: &str = "おく";

/// Most digits of a number that is read as such.
const MAX_DIGITS: usize = 9;

/// The reading of a row of ASCII digits.
pub(super) fn in_kana(digits: &str) -> String {
    let values: Vec<usize> = digits.bytes().filter(u8::is_ascii_digit).map(|digit| usize::from(digit - b'0')).collect();
    if values.len() > MAX_DIGITS {
        return values.into_iter().map(|value| DIGITS[value]).collect();
    }
    let value = values.iter().fold(0, |sum, value| sum * 10 + value);
    match value {
        0..10_000 => below_ten_thousand(value, true),
        10_000..100_000_000 => format!("{}{TEN_THOUSAND}{}", group(value / 10_000), group(value % 10_000)),
        _ => {
            let thousands = value / 10_000 % 10_000;
            let unit = if thousands == 0 { "" } else { TEN_THOUSAND };
            let head = DIGITS[value / 100_000_000 % 10];
            format!("{head}{HUNDRED_MILLION}{}{unit}{}", group(thousands), group(value % 10_000))
        }
    }
}

/// Four digits within a longer number; nothing for none.
fn group(value: usize) -> String {
    if value == 0 { String::new() } else { below_ten_thousand(value, false) }
}

/// `alone`: a thousand has no "one" before it.
fn below_ten_thousand(value: usize, alone: bool) -> String {
    let mut kana = match value / 1000 {
        0 => String::new(),
        1 if alone => "せん".to_owned(),
        1 => "いっせん".to_owned(),
        3 => "さんぜん".to_owned(),
        8 => "はっせん".to_owned(),
        thousands => format!("{}せん", DIGITS[thousands]),
    };
    match value / 100 % 10 {
        0 => {}
        1 => kana.push_str("ひゃく"),
        3 => kana.push_str("さんびゃく"),
        6 => kana.push_str("ろっぴゃく"),
        8 => kana.push_str("はっぴゃく"),
        hundreds => {
            kana.push_str(DIGITS[hundreds]);
            kana.push_str("ひゃく");
        }
    }
    match value / 10 % 10 {
        0 => {}
        1 => kana.push_str(TEN),
        tens => {
            kana.push_str(DIGITS[tens]);
            kana.push_str(TEN);
        }
    }
    if !value.is_multiple_of(10) || value == 0 {
        kana.push_str(DIGITS[value % 10]);
    }
    kana
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The reference's readings, from the kit.
    #[test]
    fn numbers_are_read_as_the_reference_does() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kits/kokoro/data/ja_numbers.json");
        let table: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(table.len() > 50);
        for (digits, expected) in table {
            assert_eq!(in_kana(&digits), expected, "{digits}");
        }
        assert_eq!(in_kana("007"), "なな");
        assert_eq!(in_kana("0000000001"), "ゼロゼロゼロゼロゼロゼロゼロゼロゼロいち");
        assert_eq!(in_kana(&"9".repeat(50)).chars().count(), 150);
    }
}
