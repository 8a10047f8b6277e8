//! Spelled-out English numbers in digits: "twenty one point five percent" is "21.5%".
//!
//! Source: openai/whisper `whisper/normalizers/english.py: EnglishNumberNormalizer`, with its rules:
//! - suffixes stay: `1960s`, `274th`, `32nd`;
//! - currencies come first: `20 million dollars` is `$20000000`;
//! - single digits in a row are one number: `one oh one` is `101`;
//! - `one` and `ones` stay words.

use regex::{Captures, Regex};

use syrinx_plugin_common::numbers::english::{SMALL, TENS};

use super::english::{pattern, patterns, replace_all};

/// Words for nothing.
const ZEROS: [&str; 3] = ["o", "oh", "zero"];

/// Ordinals that are not made of their number and "th".
const IRREGULAR_ORDINALS: [(&str, u128, &str); 6] = [
    ("zeroth", 0, "th"),
    ("first", 1, "st"),
    ("second", 2, "nd"),
    ("third", 3, "rd"),
    ("fifth", 5, "th"),
    ("twelfth", 12, "th"),
];

/// Words for 100 and the powers of 1000.
const MULTIPLIERS: [(&str, u128); 12] = [
    ("hundred", 100),
    ("thousand", 1_000),
    ("million", 1_000_000),
    ("billion", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
    ("quadrillion", 1_000_000_000_000_000),
    ("quintillion", 1_000_000_000_000_000_000),
    ("sextillion", 1_000_000_000_000_000_000_000),
    ("septillion", 1_000_000_000_000_000_000_000_000),
    ("octillion", 1_000_000_000_000_000_000_000_000_000),
    ("nonillion", 1_000_000_000_000_000_000_000_000_000_000),
    ("decillion", 1_000_000_000_000_000_000_000_000_000_000_000),
];

/// Signs that precede their number, as words.
const SIGNS: [(&str, &str); 4] = [("minus", "-"), ("negative", "-"), ("plus", "+"), ("positive", "+")];

/// Currencies, which are said after their number.
const CURRENCIES: [(&str, &str); 8] = [
    ("pound", "£"),
    ("pounds", "£"),
    ("euro", "€"),
    ("euros", "€"),
    ("dollar", "$"),
    ("dollars", "$"),
    ("cent", "¢"),
    ("cents", "¢"),
];

/// Characters that may precede a number in digits.
const PREFIXES: &str = "-+£€$¢";

/// What a word means for numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Zero,
    /// 1–19
    Ones(u128),
    /// 20–90
    Tens(u128),
    Multiplier(u128),
    /// A number that its suffix ends: `third`, `twenties`, `thousands`.
    OnesSuffixed(u128, &'static str),
    TensSuffixed(u128, &'static str),
    MultiplierSuffixed(u128, &'static str),
    Sign(&'static str),
    Currency(&'static str),
    Per,
    Percent,
    And,
    /// Repeats the next digit so many times.
    Repeat(usize),
    Point,
}

fn lookup<T: Copy>(table: &[(&'static str, T)], word: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == word).map(|(_, value)| *value)
}

fn place(table: &[&str], word: &str) -> Option<u128> {
    table.iter().position(|name| *name == word).map(|i| i as u128)
}

impl Meaning {
    fn of(word: &str) -> Option<Self> {
        let ones = |word: &str| place(&SMALL[1..], word).map(|i| i + 1);
        let tens = |word: &str| place(&TENS[2..], word).map(|i| (i + 2) * 10);
        let multiplier = |word: &str| lookup(&MULTIPLIERS, word);
        if ZEROS.contains(&word) {
            return Some(Self::Zero);
        }
        if let Some(value) = ones(word) {
            return Some(Self::Ones(value));
        }
        if let Some((_, value, suffix)) = IRREGULAR_ORDINALS.iter().find(|(name, ..)| *name == word) {
            return Some(Self::OnesSuffixed(*value, suffix));
        }
        // "sixes" and the other plurals in s; "eighth" and the other ordinals in th.
        let singular = if word == "sixes" { Some("six") } else { word.strip_suffix('s').filter(|one| *one != "six") };
        if let Some(value) = singular.and_then(ones) {
            return Some(Self::OnesSuffixed(value, "s"));
        }
        let cardinal =
            if word == "eighth" { Some("eight") } else { word.strip_suffix("th").filter(|one| *one != "eight") };
        if let Some(value) = cardinal.and_then(ones).filter(|value| *value > 3 && *value != 5 && *value != 12) {
            return Some(Self::OnesSuffixed(value, "th"));
        }
        if let Some(value) = tens(word) {
            return Some(Self::Tens(value));
        }
        for (ending, suffix) in [("ies", "s"), ("ieth", "th")] {
            if let Some(value) = word.strip_suffix(ending).and_then(|stem| tens(&format!("{stem}y"))) {
                return Some(Self::TensSuffixed(value, suffix));
            }
        }
        if let Some(value) = multiplier(word) {
            return Some(Self::Multiplier(value));
        }
        for suffix in ["s", "th"] {
            if let Some(value) = word.strip_suffix(suffix).and_then(multiplier) {
                return Some(Self::MultiplierSuffixed(value, suffix));
            }
        }
        if let Some(sign) = lookup(&SIGNS, word) {
            return Some(Self::Sign(sign));
        }
        if let Some(currency) = lookup(&CURRENCIES, word) {
            return Some(Self::Currency(currency));
        }
        Some(match word {
            "per" => Self::Per,
            "percent" => Self::Percent,
            "and" => Self::And,
            "double" => Self::Repeat(2),
            "triple" => Self::Repeat(3),
            "point" => Self::Point,
            _ => return None,
        })
    }

    /// Whether the word can stand after "point".
    fn is_decimal(self) -> bool {
        matches!(self, Self::Zero | Self::Ones(_) | Self::Tens(_))
    }
}

/// A number that is being said.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// Still open for "hundred".
    Integer(u128),
    /// Digits that were read out one by one, or with a decimal point.
    Digits(String),
}

impl Value {
    fn text(&self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Digits(digits) => digits.clone(),
        }
    }

    fn followed_by(&self, more: impl ToString) -> Self {
        Self::Digits(self.text() + &more.to_string())
    }

    /// The product, if the value is a number and the product whole.
    fn times(&self, multiplier: u128) -> Option<u128> {
        let text = self.text();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let scale = 10_u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let product = digits.parse::<u128>().ok()?.checked_mul(multiplier)?;
        (product % scale == 0).then_some(product / scale)
    }
}

/// Continues a number with 1–19.
fn with_ones(value: Option<&Value>, ones: u128, after: Option<Meaning>) -> Value {
    let is_after_tens = matches!(after, Some(Meaning::Tens(_)));
    match value {
        None => Value::Integer(ones),
        Some(Value::Digits(digits)) if is_after_tens && ones < 10 => {
            // The last zero is the place of the digit.
            Value::Digits(format!("{}{ones}", digits.strip_suffix('0').unwrap_or(digits)))
        }
        Some(value @ Value::Digits(_)) => value.followed_by(ones),
        Some(value) if matches!(after, Some(Meaning::Ones(_))) => value.followed_by(ones),
        Some(value @ Value::Integer(integer)) => {
            let has_room = integer % (if ones < 10 { 10 } else { 100 }) == 0;
            if has_room { Value::Integer(integer + ones) } else { value.followed_by(ones) }
        }
    }
}

/// Continues a number with 20–90.
fn with_tens(value: Option<&Value>, tens: u128) -> Value {
    match value {
        None => Value::Integer(tens),
        Some(Value::Integer(integer)) if integer % 100 == 0 => Value::Integer(integer + tens),
        Some(value) => value.followed_by(tens),
    }
}

/// Multiplies what was said since the last thousand: "two thousand three | hundred".
fn multiplied(integer: u128, multiplier: u128) -> u128 {
    let before = integer / 1000 * 1000;
    before.saturating_add((integer % 1000).saturating_mul(multiplier))
}

/// Whether a word is a number in digits.
fn is_numeric(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    word.split_once('.').map_or_else(|| digits(word), |(whole, decimals)| digits(whole) && digits(decimals))
}

/// The state while words are read.
#[derive(Default)]
struct Reader {
    out: Vec<String>,
    prefix: Option<String>,
    value: Option<Value>,
}

impl Reader {
    /// Writes a text with the prefix that waits for it; the number is over.
    fn put(&mut self, text: impl AsRef<str>) {
        let prefix = self.prefix.take().unwrap_or_default();
        self.out.push(prefix + text.as_ref());
        self.value = None;
    }

    /// Writes the number that is being said, if there is one.
    fn put_value(&mut self) {
        if let Some(value) = self.value.take() {
            self.put(value.text());
        }
    }

    /// The digits said so far; nothing for none and for 0.
    fn digits_so_far(&self) -> String {
        match &self.value {
            None | Some(Value::Integer(0)) => String::new(),
            Some(value) => value.text(),
        }
    }

    /// Reads a word that is a number in digits, perhaps with a sign or currency before it.
    fn numeral(&mut self, word: &str, prefix: Option<char>, digits: &str) {
        match &self.value {
            Some(Value::Digits(so_far)) if so_far.ends_with('.') => {
                self.value = Some(Value::Digits(format!("{so_far}{word}")));
                return;
            }
            _ => self.put_value(),
        }
        if let Some(prefix) = prefix {
            self.prefix = Some(prefix.to_string());
        }
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        self.value = Some(match whole.parse() {
            Ok(integer) if decimals.bytes().all(|digit| digit == b'0') => Value::Integer(integer),
            _ => Value::Digits(digits.to_owned()),
        });
    }

    /// Reads a word that has a meaning. Returns whether the next word was read with it.
    fn word(&mut self, word: &str, meaning: Meaning, before: Option<Meaning>, next: Option<&str>) -> bool {
        let next_meaning = next.and_then(Meaning::of);
        let next_counts = next_meaning.is_some() || next.is_some_and(is_numeric);
        match meaning {
            Meaning::Zero => self.value = Some(Value::Digits(self.digits_so_far() + "0")),
            Meaning::Ones(ones) => self.value = Some(with_ones(self.value.as_ref(), ones, before)),
            Meaning::Tens(tens) => self.value = Some(with_tens(self.value.as_ref(), tens)),
            Meaning::OnesSuffixed(ones, suffix) => {
                self.put(with_ones(self.value.as_ref(), ones, before).text() + suffix);
            }
            Meaning::TensSuffixed(tens, suffix) => self.put(with_tens(self.value.as_ref(), tens).text() + suffix),
            Meaning::Multiplier(multiplier) => match self.value.take() {
                None => self.value = Some(Value::Integer(multiplier)),
                Some(Value::Integer(integer)) if integer > 0 => {
                    self.value = Some(Value::Integer(multiplied(integer, multiplier)));
                }
                Some(value) => match value.times(multiplier) {
                    Some(product) => self.value = Some(Value::Integer(product)),
                    None => {
                        self.put(value.text());
                        self.value = Some(Value::Integer(multiplier));
                    }
                },
            },
            Meaning::MultiplierSuffixed(multiplier, suffix) => match self.value.take() {
                None => self.put(format!("{multiplier}{suffix}")),
                Some(Value::Integer(integer)) => self.put(format!("{}{suffix}", multiplied(integer, multiplier))),
                Some(value) => match value.times(multiplier) {
                    Some(product) => self.put(format!("{product}{suffix}")),
                    None => {
                        self.put(value.text());
                        self.put(format!("{multiplier}{suffix}"));
                    }
                },
            },
            Meaning::Sign(sign) => {
                self.put_value();
                if next_counts {
                    self.prefix = Some(sign.to_owned());
                } else {
                    self.put(word);
                }
            }
            Meaning::Currency(sign) => match self.value.take() {
                Some(value) => {
                    self.prefix = Some(sign.to_owned());
                    self.put(value.text());
                }
                None => self.put(word),
            },
            Meaning::Per => match self.value.take() {
                Some(value) if next == Some("cent") => {
                    self.put(value.text() + "%");
                    return true;
                }
                Some(value) => {
                    self.put(value.text());
                    self.put(word);
                }
                None => self.put(word),
            },
            Meaning::Percent => match self.value.take() {
                Some(value) => self.put(value.text() + "%"),
                None => self.put(word),
            },
            Meaning::And | Meaning::Repeat(_) | Meaning::Point if !next_counts => {
                self.put_value();
                self.put(word);
            }
            Meaning::And => {
                // After hundreds and thousands it says nothing.
                if !matches!(before, Some(Meaning::Multiplier(_))) {
                    self.put_value();
                    self.put(word);
                }
            }
            Meaning::Repeat(times) => {
                let digit = match next_meaning {
                    Some(Meaning::Ones(ones)) => ones,
                    Some(Meaning::Zero) => 0,
                    _ => {
                        self.put_value();
                        self.put(word);
                        return false;
                    }
                };
                self.value = Some(Value::Digits(self.digits_so_far() + &digit.to_string().repeat(times)));
                return true;
            }
            Meaning::Point => {
                if next_meaning.is_some_and(Meaning::is_decimal) || next.is_some_and(is_numeric) {
                    self.value = Some(Value::Digits(self.digits_so_far() + "."));
                }
            }
        }
        false
    }
}

/// Spaces around numbers before words are read.
const SPACING: [(&str, &str); 3] = [
    (r"([a-z])([0-9])", "$1 $2"),
    (r"([0-9])([a-z])", "$1 $2"),
    (r"([0-9])\s+(st|nd|rd|th|s)\b", "$1$2"), // but not before a suffix
];

/// The normaliser, patterns compiled.
pub(super) struct Numbers {
    and_a_half: Regex,
    spacing: Vec<(Regex, &'static str)>,
    dollars_and_cents: Regex,
    only_cents: Regex,
    one: Regex,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self {
            and_a_half: pattern(r"\band\s+a\s+half\b"),
            spacing: patterns(&SPACING),
            dollars_and_cents: pattern(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"),
            only_cents: pattern(r"[€£$]0.([0-9]{1,2})\b"),
            one: pattern(r"\b1(s?)\b"),
        }
    }

    pub(super) fn normalize(&self, text: &str) -> String {
        let text = replace_all(self.with_halves(text), &self.spacing);
        let text = read_words(&text.split_whitespace().collect::<Vec<_>>()).join(" ");
        let text = self.dollars_and_cents.replace_all(&text, |found: &Captures<'_>| {
            format!("{}{}.{:02}", &found[1], &found[2], found[3].parse::<u8>().unwrap_or(0))
        });
        let text = self
            .only_cents
            .replace_all(&text, |found: &Captures<'_>| format!("¢{}", found[1].parse::<u8>().unwrap_or(0)));
        self.one.replace_all(&text, "one$1").into_owned()
    }

    /// "two and a half" is "two point five".
    fn with_halves(&self, text: &str) -> String {
        let mut parts = Vec::new();
        let mut segments = self.and_a_half.split(text).peekable();
        while let Some(segment) = segments.next() {
            if segment.trim().is_empty() {
                continue;
            }
            parts.push(segment);
            if segments.peek().is_some() {
                let last = segment.split_whitespace().next_back().and_then(Meaning::of);
                let is_number =
                    last.is_some_and(|meaning| meaning.is_decimal() || matches!(meaning, Meaning::Multiplier(_)));
                parts.push(if is_number { "point five" } else { "and a half" });
            }
        }
        parts.join(" ")
    }
}

/// Reads words one after the other.
fn read_words(words: &[&str]) -> Vec<String> {
    let mut reader = Reader::default();
    let mut skip = false;
    for (i, word) in words.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let prefix = word.chars().next().filter(|first| PREFIXES.contains(*first));
        let digits = &word[prefix.map_or(0, char::len_utf8)..];
        if is_numeric(digits) {
            reader.numeral(word, prefix, digits);
        } else if let Some(meaning) = Meaning::of(word) {
            let before = i.checked_sub(1).and_then(|i| Meaning::of(words[i]));
            skip = reader.word(word, meaning, before, words.get(i + 1).copied());
        } else {
            reader.put_value();
            reader.put(word);
        }
    }
    reader.put_value();
    reader.out
}
