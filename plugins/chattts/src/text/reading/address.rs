//! Addresses on the net.

use super::rule::{Found, Read};
use super::words::{by, spelled};

pub(super) const RULES: &[(&str, Read)] = &[
    (r"(?i)(?:https?://|www\.)[a-z0-9][a-z0-9\-._~/%+:]*(?:[?#][a-z0-9\-._~/%+:=&?#]*)?", address),
    (r"[A-Za-z0-9._%+\-]+@[A-Za-z0-9\-]+(?:\.[A-Za-z0-9\-]+)+", address),
    (
        r"(?i)[a-z][a-z0-9\-]*(?:\.[a-z0-9\-]+)*\.(?:com|org|net|cn|io|ai|edu|gov|uk|de|jp|fr)(?:/[a-z0-9\-._~/%+]*)?",
        domain,
    ),
];

fn domain(found: &Found<'_>) -> Option<String> {
    found.is_alone().then(|| address(found))?
}

/// The signs are named, digits are read one by one. What follows `?` or `#` is for machines.
fn address(found: &Found<'_>) -> Option<String> {
    let text = found.group(0);
    let body = text.trim_end_matches(['.', ',', ':', '-', '?', '!']);
    let end = &text[body.len()..];
    let body = match body.find("://") {
        Some(at) => &body[at + 3..],
        None => body,
    };
    let body = body.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let mut words = String::new();
    for character in body.chars() {
        let name = match character {
            '.' => by(found.language, "点", " dot "),
            '/' => by(found.language, "斜杠", " slash "),
            '-' => by(found.language, "杠", " dash "),
            '_' => by(found.language, "下划线", " underscore "),
            ':' => by(found.language, "冒号", " colon "),
            '@' => by(found.language, "艾特", " at "),
            '%' => by(found.language, "百分号", " percent "),
            '+' => by(found.language, "加", " plus "),
            '~' => by(found.language, "波浪号", " tilde "),
            digit if digit.is_ascii_digit() => {
                let digit = spelled(digit.encode_utf8(&mut [0; 4]), found.language);
                words.push_str(&if found.is_chinese() { digit } else { format!(" {digit} ") });
                continue;
            }
            letter => {
                words.push(letter);
                continue;
            }
        };
        words.push_str(name);
    }
    let words: Vec<&str> = words.split_whitespace().collect();
    Some(words.join(" ") + end)
}
