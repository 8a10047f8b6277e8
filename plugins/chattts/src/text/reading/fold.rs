//! Many forms of a character become one.

use unicode_normalization::UnicodeNormalization;

use super::super::characters::is_chinese;

/// `text` with full-width and other compatibility forms of letters, digits and signs in their plain form, without accents and without
/// characters that can't be seen. Marks of Chinese text stay.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push('\n'),
            '\r' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' => {}
            // Accents that are characters of their own.
            '\u{300}'..='\u{36f}' => {}
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            _ if character.is_whitespace() => out.push(' '),
            _ if character.is_ascii() || is_chinese(character) => out.push(character),
            _ => fold_one(character, &mut out),
        }
    }
    out
}

fn fold_one(character: char, out: &mut String) {
    let plain = match character {
        '〇' => "零",
        '’' | '‘' | '′' | 'ʼ' => "'",
        '″' => "\"",
        '−' | '‐' | '‑' => "-",
        '⁄' | '∕' => "/",
        '∶' => ":",
        '㎡' => "m²",
        '㎥' => "m³",
        '²' | '³' => return out.push(character),
        'ß' => "ss",
        'æ' => "ae",
        'Æ' => "Ae",
        'œ' => "oe",
        'Œ' => "Oe",
        'ø' => "o",
        'Ø' => "O",
        'đ' | 'ð' => "d",
        'ł' => "l",
        'Ł' => "L",
        'ı' => "i",
        // Marks that the model or a later stage knows in this form.
        '，' | '。' | '、' | '！' | '？' | '：' | '；' | '（' | '）' => return out.push(character),
        'Ⅰ'..='Ⅻ' => return out.push_str(&(u32::from(character) - u32::from('Ⅰ') + 1).to_string()),
        _ => "",
    };
    if !plain.is_empty() {
        return out.push_str(plain);
    }
    let compatible: String = std::iter::once(character).nfkc().map(|c| if c == '\u{2044}' { '/' } else { c }).collect();
    if compatible.chars().all(|c| c.is_ascii() || is_chinese(c) || "°μ".contains(c)) {
        // One and a half is not eleven halves.
        if compatible.contains('/') && out.ends_with(|c: char| c.is_ascii_digit()) {
            out.push(' ');
        }
        return out.push_str(&compatible);
    }
    match std::iter::once(character).nfd().next() {
        Some(base) if base.is_ascii_alphabetic() => out.push(base),
        _ => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, folded) in [
            ("１２３ＡＢＣａｂｃ", "123ABCabc"),
            ("５０％＋１", "50%+1"),
            ("你好，世界。（好）！？：；", "你好，世界。（好）！？：；"),
            ("café naïve Ångström Łódź", "cafe naive Angstrom Lodz"),
            ("cafe\u{301}", "cafe"),
            ("1½ ¾", "1 1/2 3/4"),
            ("20℃ 5㎏ 3㎡ 4㎞ m²", "20°C 5kg 3m² 4km m²"),
            ("二〇二四", "二零二四"),
            ("① Ⅳ", "1 4"),
            ("don’t", "don't"),
            ("a\u{3000}b\u{a0}c\td\r\ne\u{200b}", "a b c d\ne"),
            ("𝐇𝐞𝐥𝐥𝐨 ﬁ", "Hello fi"),
            ("−5", "-5"),
            ("豈", "豈"),
            ("の😀“”《》", "の😀“”《》"),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }
}
