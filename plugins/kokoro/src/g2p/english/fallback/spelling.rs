//! The fallback that needs nothing installed: words by the rules of [`letters`](super::letters), abbreviations letter by letter, digits and signs
//! by name.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::super::Variant;
use super::Fallback;
use super::letters::{is_nucleus, localized, read_word, spell};
use super::names::{latin, sign_name, spelled};

/// Reads unknown English words by their spelling.
#[derive(Debug, Clone, Copy, Default)]
pub struct LetterRules;

impl Fallback for LetterRules {
    fn phonemes(&self, text: &str, variant: Variant) -> Option<String> {
        read(text, variant)
    }

    fn name(&self) -> &str {
        "spelling rules"
    }

    /// Contractions only: parts of anything else that the dictionaries know are better than what rules make of them.
    fn wants_whole(&self, text: &str) -> bool {
        text.contains(is_apostrophe) && text.chars().all(|c| c.is_alphabetic() || is_apostrophe(c))
    }
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’')
}

/// Phonemes of a piece of text. Text with nothing that can be said gives nothing if it is only punctuation and space, else `None`.
fn read(text: &str, variant: Variant) -> Option<String> {
    let mut plain = String::new();
    for c in text.nfkd().filter(|&c| !is_combining_mark(c)) {
        match c.to_lowercase().next().and_then(latin) {
            Some(letters) => plain.push_str(letters),
            None => plain.push(c),
        }
    }
    let mut spoken: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut is_lost = false;
    for c in plain.chars().chain([' ']) {
        if c.is_ascii_alphabetic() || (is_apostrophe(c) && !word.is_empty()) {
            word.push(c);
            continue;
        }
        if !word.is_empty() {
            spoken.push(contraction(&word));
            word.clear();
        }
        match spelled(c).or_else(|| sign_name(c)) {
            Some(name) => spoken.push(name.to_owned()),
            None => is_lost |= c.is_alphanumeric(),
        }
    }
    if spoken.is_empty() && is_lost {
        return None;
    }
    Some(localized(&spoken.join(" "), variant))
}

/// A word with its contracted endings ("who'd've"), or with an Irish beginning ("O'Connell").
fn contraction(word: &str) -> String {
    let mut parts = word.split(is_apostrophe).filter(|part| !part.is_empty());
    let mut base = parts.next().unwrap_or_default().to_owned();
    let mut endings = String::new();
    let mut beginning = "";
    for part in parts {
        let last = base.chars().next_back().map(|c| c.to_ascii_lowercase());
        match part.to_ascii_lowercase().as_str() {
            "ve" => endings.push_str("əv"),
            "ll" => endings.push_str("ᵊl"),
            "re" => endings.push_str("əɹ"),
            "m" => endings.push('m'),
            "d" if matches!(last, Some('t' | 'd')) => endings.push_str("ᵻd"),
            "d" => endings.push('d'),
            "s" if matches!(last, Some('s' | 'z' | 'x')) => endings.push_str("ᵻz"),
            "s" if matches!(last, Some('p' | 't' | 'k' | 'f')) => endings.push('s'),
            "s" => endings.push('z'),
            "t" if last == Some('n') => {
                base.pop();
                endings.push_str("ᵊnt");
            }
            _ if beginning.is_empty() && base.eq_ignore_ascii_case("o") => {
                beginning = "O";
                part.clone_into(&mut base);
            }
            _ => base.push_str(part),
        }
    }
    format!("{beginning}{}{endings}", mixed_case(&base))
}

/// A word whose capitals may say that parts of it are spelled: "NVMe", "PostgreSQL".
fn mixed_case(word: &str) -> String {
    let chars: Vec<char> = word.chars().collect();
    let capitals = chars.iter().filter(|c| c.is_ascii_uppercase()).count();
    let has_small_run = chars.windows(2).any(|pair| pair.iter().all(char::is_ascii_lowercase));
    if capitals > 1 && capitals * 2 >= chars.len() && !has_small_run && capitals < chars.len() {
        return spell(&chars.iter().map(char::to_ascii_lowercase).collect::<Vec<_>>());
    }
    let mut spoken = String::new();
    for part in chars.chunk_by(|a, b| !(a.is_ascii_lowercase() && b.is_ascii_uppercase())) {
        let small: String = part.iter().map(char::to_ascii_lowercase).collect();
        let is_abbreviation = part.len() > 1 && part.iter().all(char::is_ascii_uppercase) && part.len() < chars.len();
        let sounds = if is_abbreviation { spell(&small.chars().collect::<Vec<_>>()) } else { read_word(&small) };
        // One word has one primary stress.
        if spoken.contains('ˈ') && sounds.chars().any(is_nucleus) {
            spoken = spoken.replace('ˈ', "ˌ");
        }
        spoken.push_str(&sounds);
    }
    spoken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_text() {
        let us = |text: &str| read(text, Variant::American);
        for (text, phonemes) in [
            ("gleeped", "ɡlˈipt"),
            ("O'Glee", "Oɡlˈi"),
            ("zorb'd've", "zˈɔɹbdəv"),
            ("NVMe", "ˌɛnvˌiˌɛmˈi"),
            ("ZorbSQL", "zˌɔɹbˌɛskjˌuˈɛl"),
            ("x = 2", "ˈɛks ˈikwᵊlz tˈu"),
            ("Zörb", "zˈɔɹb"),
            ("[]", ""),
            ("\n", ""),
        ] {
            assert_eq!(us(text).as_deref(), Some(phonemes), "{text}");
        }
        assert_eq!(us("日本"), None);
    }
}
