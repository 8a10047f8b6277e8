//! Signs between numbers: sums, comparisons, sizes.

use super::super::Language;
use super::rule::{Found, Read};
use super::words::{by, cardinal, number};

pub(super) const RULES: &[(&str, Read)] =
    &[(r"\s?([+×÷=≈≠<>≤≥±*·−/-])\s?", sign), (r"[²³]|\^(-?[0-9]+)", power), (r"([0-9]+)\s?[xX]\s?([0-9]+)", size)];

/// How far around a sign an equals sign makes it part of a sum, in characters.
const HORIZON: usize = 20;

fn sign(found: &Found<'_>) -> Option<String> {
    let operand = |c: char| c.is_ascii_digit() || "()²³".contains(c);
    let is_comparison = "=≈≠<>≤≥".contains(found.group(1));
    let begins = |c: char| operand(c) || (is_comparison && c.is_ascii_alphabetic());
    let has_operands = found.previous().is_some_and(begins) && found.next().is_some_and(|c| operand(c) || c == '-');
    let is_sum = || {
        let has_equals =
            |mut side: Box<dyn Iterator<Item = char> + '_>| side.by_ref().take(HORIZON).any(|c| "=≈≠".contains(c));
        has_equals(Box::new(found.before().chars().rev())) || has_equals(Box::new(found.after().chars()))
    };
    let words = match found.group(1) {
        "+" => by(found.language, "加", " plus "),
        "×" | "*" | "·" => by(found.language, "乘以", " times "),
        "÷" => by(found.language, "除以", " divided by "),
        "=" => by(found.language, "等于", " equals "),
        "≈" => by(found.language, "约等于", " is about "),
        "≠" => by(found.language, "不等于", " is not "),
        "<" => by(found.language, "小于", " is less than "),
        ">" => by(found.language, "大于", " is greater than "),
        "≤" => by(found.language, "小于等于", " is at most "),
        "≥" => by(found.language, "大于等于", " is at least "),
        "±" => by(found.language, "正负", " plus or minus "),
        "-" | "−" if is_sum() => by(found.language, "减", " minus "),
        "/" if is_sum() => by(found.language, "除以", " divided by "),
        _ => return None,
    };
    has_operands.then(|| words.to_owned())
}

fn power(found: &Found<'_>) -> Option<String> {
    let follows = found.previous().is_some_and(|c| c.is_alphanumeric() || c == ')');
    let words = match found.group(0) {
        "²" | "^2" => by(found.language, "的平方", " squared").to_owned(),
        "³" | "^3" => by(found.language, "的立方", " cubed").to_owned(),
        _ => {
            let exponent = number(found.group(1), found.language);
            match found.language {
                Language::Chinese => format!("的{exponent}次方"),
                Language::English => format!(" to the power of {exponent}"),
            }
        }
    };
    follows.then_some(words)
}

/// 1920x1080
fn size(found: &Found<'_>) -> Option<String> {
    let words = |digits| cardinal(digits, found.language);
    let by = by(found.language, "乘", " by ");
    found.is_alone().then(|| format!("{}{by}{}", words(found.group(1)), words(found.group(2))))
}
