//! Character classes the way Python's `str` methods and `re` see them.
//!
//! The reference is Python, and token shapes, word breaks and number detection hang on exactly these predicates; Rust's own differ in small
//! ways (`char::is_alphabetic` accepts vowel signs, `char::is_whitespace` leaves out U+001C–U+001F).

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// `str.isspace()` of one character.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.isalpha()` of one character: any letter category, no marks.
pub(crate) fn is_alpha(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    c.general_category_group() == GeneralCategoryGroup::Letter
}

/// `str.isalpha()` of a string: not empty and letters only.
pub(crate) fn all_alpha(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_alpha)
}

/// Upper-case letter, `\p{Lu}`.
pub(crate) fn is_upper_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_uppercase();
    }
    c.general_category() == GeneralCategory::UppercaseLetter
}

/// Lower-case letter, `\p{Ll}`.
pub(crate) fn is_lower_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_lowercase();
    }
    c.general_category() == GeneralCategory::LowercaseLetter
}

/// Decimal digit of any script, `\d`.
pub(crate) fn is_decimal(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    c.general_category() == GeneralCategory::DecimalNumber
}

/// `\w`: letters, numbers and the underscore.
pub(crate) fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
}

/// Combining mark: it may melt into the letter before it.
pub(crate) fn is_mark(c: char) -> bool {
    !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Mark
}

/// Digits that are not decimal digits (Unicode `Numeric_Type=Digit`): first code point, last code point, value of the first.
const DIGIT_RUNS: [(u32, u32, u32); 21] = [
    (0x00b2, 0x00b3, 2),
    (0x00b9, 0x00b9, 1),
    (0x1369, 0x1371, 1),
    (0x19da, 0x19da, 1),
    (0x2070, 0x2070, 0),
    (0x2074, 0x2079, 4),
    (0x2080, 0x2089, 0),
    (0x2460, 0x2468, 1),
    (0x2474, 0x247c, 1),
    (0x2488, 0x2490, 1),
    (0x24ea, 0x24ea, 0),
    (0x24f5, 0x24fd, 1),
    (0x24ff, 0x24ff, 0),
    (0x2776, 0x277e, 1),
    (0x2780, 0x2788, 1),
    (0x278a, 0x2792, 1),
    (0x10a40, 0x10a43, 1),
    (0x10e60, 0x10e68, 1),
    (0x11052, 0x1105a, 1),
    (0x1f100, 0x1f100, 0),
    (0x1f101, 0x1f10a, 0),
];

/// Value of a character for which `str.isdigit()` is true, 0…9.
pub(crate) fn digit_value(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let code = c as u32;
    if let Some((first, _, value)) = DIGIT_RUNS.iter().find(|(a, b, _)| (*a..=*b).contains(&code)) {
        return Some(value + code - first);
    }
    if !is_decimal(c) {
        return None;
    }
    // Decimal digits come in unbroken runs of ten that start at zero, so the distance to the start of the run tells the value.
    let before = (0..code).rev().take_while(|&p| char::from_u32(p).is_some_and(is_decimal)).count();
    Some(before as u32 % 10)
}

/// `str.capitalize()`: first character upper case, the others lower case.
pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// True for a non-empty run of the digits 0–9.
pub(crate) fn is_ascii_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_other_scripts_have_values() {
        assert_eq!(digit_value('7'), Some(7));
        assert_eq!(digit_value('٣'), Some(3));
        assert_eq!(digit_value('९'), Some(9));
        assert_eq!(digit_value('²'), Some(2));
        assert_eq!(digit_value('❻'), Some(6));
        assert_eq!(digit_value('Ⅷ'), None);
        assert_eq!(digit_value('x'), None);
    }

    #[test]
    fn letters_are_letters_only() {
        assert!(is_alpha('é') && is_alpha('日') && is_alpha('ʰ'));
        assert!(!is_alpha('\u{093e}') && !is_alpha('Ⅷ') && !is_alpha('_'));
        assert_eq!(capitalize("mcDONALD"), "Mcdonald");
    }
}
