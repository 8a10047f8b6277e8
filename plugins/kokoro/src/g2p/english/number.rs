//! Pronunciation of numbers in running text: years, ordinals, decimals, amounts of money, digits inside words (`misaki/en.py: get_number`).

use syrinx_plugin_common::numbers::english::{cardinal, decimal, ordinal, year};

use super::{
    lexicon::{Lexicon, Query},
    unicode::is_ascii_number,
};

/// Endings a number may carry: "20th", "1990s", "5's", "86'd", "404ing".
const SUFFIXES: [&str; 9] = ["ing", "'d", "ed", "'s", "st", "nd", "rd", "th", "s"];
const ORDINAL_SUFFIXES: [&str; 4] = ["st", "nd", "rd", "th"];

/// Whether the text is a number with at most one known ending; a minus sign counts at the head of a word only.
pub(crate) fn is_number(word: &str, is_head: bool) -> bool {
    if !word.bytes().any(|b| b.is_ascii_digit()) {
        return false;
    }
    let body = SUFFIXES.iter().find_map(|s| word.strip_suffix(s)).unwrap_or(word);
    body.chars().enumerate().all(|(i, c)| c.is_ascii_digit() || c == ',' || c == '.' || (is_head && i == 0 && c == '-'))
}

/// Main unit and hundredth of a currency.
fn units(currency: char) -> Option<(&'static str, &'static str)> {
    match currency {
        '$' => Some(("dollar", "cent")),
        '£' => Some(("pound", "pence")),
        '€' => Some(("euro", "cent")),
        _ => None,
    }
}

/// Pronounced words of a number in the making.
struct Reading<'a> {
    lexicon: &'a Lexicon,
    flags: &'a str,
    words: Vec<String>,
}

impl Reading<'_> {
    fn word(&mut self, word: &str, shift: Option<f64>) {
        let query = Query { shift, ..Query::ALONE };
        self.words.extend(self.lexicon.lookup(word, query));
    }

    fn number(&mut self, digits: &str, is_first: bool) {
        if is_ascii_number(digits) {
            self.spelled_out(&cardinal(digits), is_first);
        }
    }

    fn digits(&mut self, digits: &str) {
        for at in 0..digits.len() {
            if let Some(digit) = digits.get(at..=at) {
                self.number(digit, false);
            }
        }
    }

    /// Number words; "and" is silent unless flag `&` (said) or `n` (a short "n" on the word before) is set, flag `a` turns a leading "one" into "a".
    fn spelled_out(&mut self, text: &str, is_first: bool) {
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_lowercase()).filter(|w| !w.is_empty()).collect();
        for (i, &word) in words.iter().enumerate() {
            if word == "and" && !self.flags.contains('&') {
                if self.flags.contains('n')
                    && let Some(last) = self.words.last_mut()
                {
                    last.push_str("ən");
                }
            } else if is_first && i == 0 && words.len() > 1 && word == "one" && self.flags.contains('a') {
                self.words.push("ə".to_owned());
            } else {
                self.word(word, (word == "point").then_some(-2.0));
            }
        }
    }
}

impl Lexicon {
    /// Plural name of a currency: "dollars".
    pub(super) fn currency_name(&self, currency: char) -> Option<String> {
        let (unit, _) = units(currency)?;
        self.with_s(&format!("{unit}s"), Query::ALONE)
    }

    /// Pronunciation of a number for which [`is_number`] holds.
    pub(super) fn number(&self, word: &str, currency: Option<char>, is_head: bool, flags: &str) -> Option<String> {
        let body = word.trim_end_matches(|c: char| c.is_ascii_lowercase() || c == '\'');
        let suffix = &word[body.len()..];
        let mut reading = Reading { lexicon: self, flags, words: Vec::new() };
        let body = match body.strip_prefix('-') {
            Some(rest) => {
                reading.word("minus", None);
                rest
            }
            None => body,
        };
        let money = currency.and_then(units);
        let is_ordinal = ORDINAL_SUFFIXES.contains(&suffix);
        let plain = body.replace(',', "");
        if is_ascii_number(body) && is_ordinal {
            reading.spelled_out(&ordinal(body), true);
        } else if reading.words.is_empty() && body.len() == 4 && money.is_none() && is_ascii_number(body) {
            reading.spelled_out(&year(body.parse().ok()?), true);
        } else if !is_head && !body.contains('.') {
            read_inside_word(&mut reading, &plain);
        } else if body.matches('.').count() > 1 || !is_head {
            for (i, part) in plain.split('.').enumerate() {
                let is_digits = part.starts_with('0') || (part.len() != 2 && part.bytes().skip(1).any(|b| b != b'0'));
                match is_digits {
                    true => reading.digits(part),
                    false => reading.number(part, i == 0),
                }
            }
        } else if let Some((unit, cent)) = money.filter(|_| is_amount(body)) {
            read_money(&mut reading, &plain, unit, cent);
        } else if !body.contains('.') {
            let words = match is_ordinal {
                true => ordinal(&plain),
                false => cardinal(&plain),
            };
            reading.spelled_out(&words, true);
        } else if let Some(fraction) = plain.strip_prefix('.') {
            reading.word("point", Some(-2.0));
            reading.digits(fraction);
        } else {
            reading.spelled_out(&decimal(plain.parse().ok()?), true);
        }
        if reading.words.is_empty() {
            return None;
        }
        let phonemes = reading.words.join(" ");
        match suffix {
            "s" | "'s" => self.add_s(&phonemes),
            "ed" | "'d" => self.add_ed(&phonemes),
            "ing" => self.add_ing(&phonemes),
            _ => Some(phonemes),
        }
    }
}

/// Digits inside a word: one by one when long or led by zero, three as "one twenty-three", "one oh five".
fn read_inside_word(reading: &mut Reading<'_>, digits: &str) {
    if digits.starts_with('0') || digits.len() > 3 {
        reading.digits(digits);
    } else if digits.len() == 3 && !digits.ends_with("00") {
        reading.number(&digits[..1], true);
        if &digits[1..2] == "0" {
            reading.word("O", Some(-2.0));
            reading.number(&digits[2..], false);
        } else {
            reading.number(&digits[1..], false);
        }
    } else {
        reading.number(digits, true);
    }
}

/// Whether the number can be money: at most two decimals.
fn is_amount(number: &str) -> bool {
    match number.split_once('.') {
        None => true,
        Some((_, cents)) => !cents.contains('.') && cents.len() < 3,
    }
}

/// "three dollars and fifty cents"; a part that is zero is left out.
fn read_money(reading: &mut Reading<'_>, amount: &str, unit: &'static str, cent: &'static str) {
    let is_zero = |digits: &str| digits.bytes().all(|b| b == b'0');
    let parts: Vec<(&str, &str)> = match amount.split_once('.') {
        None => vec![(amount, unit)],
        Some((whole, cents)) if is_zero(cents) => vec![(whole, unit)],
        Some((whole, cents)) if is_zero(whole) => vec![(cents, cent)],
        Some((whole, cents)) => vec![(whole, unit), (cents, cent)],
    };
    for (i, (digits, unit)) in parts.into_iter().enumerate() {
        if i > 0 {
            reading.word("and", None);
        }
        reading.number(if digits.is_empty() { "0" } else { digits }, i == 0);
        let is_one = digits.trim_start_matches('0') == "1";
        if is_one || unit == "pence" {
            reading.word(unit, None);
        } else {
            reading.words.extend(reading.lexicon.with_s(&format!("{unit}s"), Query::ALONE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_other_things() {
        for number in ["5", "1,234.5", "20th", "1990s", "5's", "-3", ".5"] {
            assert!(is_number(number, true), "{number}");
        }
        for other in ["", "a", "5x", "th", "-", "1-2"] {
            assert!(!is_number(other, true), "{other}");
        }
        assert!(!is_number("-3", false));
        assert!(is_amount("5") && is_amount("5.25") && is_amount("5."));
        assert!(!is_amount("5.255") && !is_amount("1.2.3"));
    }
}
