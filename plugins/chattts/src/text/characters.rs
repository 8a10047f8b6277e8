//! The characters that the model knows, and what others become.
//!
//! Source: ChatTTS `norm.py`.

/// What lies between a half-width character and its full-width form.
const FULL_WIDTH: u32 = 0xfee0;

/// A Chinese character of the basic block.
pub(super) fn is_chinese(character: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&character)
}

/// Whether the model knows the character; all others are dropped in the end.
pub(super) fn is_known(character: char) -> bool {
    is_chinese(character) || character.is_ascii_alphabetic() || "，。、,. ".contains(character)
}

/// The Chinese form of a half-width mark.
pub(super) fn full_width(character: char) -> char {
    match character {
        '.' => '。',
        '"' => '“',
        '\'' => '‘',
        '!' | '#' | '$' | '%' | '&' | '(' | ')' | ',' | '-' | '*' | '+' | '/' | ':' | ';' | '<' | '=' | '>' | '?'
        | '@' | '\\' | '^' | '`' | '{' | '|' | '}' | '~' => {
            char::from_u32(u32::from(character) + FULL_WIDTH).unwrap_or(character)
        }
        _ => character,
    }
}

/// The nearest mark that the model knows.
pub(super) fn simplified(character: char) -> char {
    match character {
        '：' | '；' | '（' | '）' | '【' | '】' | '『' | '』' | '「' | '」' | '《' | '》' | '－' => '，',
        '！' => '。',
        ':' | ';' | '(' | ')' | '>' | '<' | '-' => ',',
        '!' => '.',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let half: String = (' '..='~').map(full_width).collect();
        assert_eq!(
            half,
            " ！“＃＄％＆‘（）＊＋，－。／0123456789：；＜＝＞？＠ABCDEFGHIJKLMNOPQRSTUVWXYZ[＼]＾_｀abcdefghijklmnopqrstuvwxyz｛｜｝～"
        );
        assert_eq!("（好）！(ok)-no!".chars().map(simplified).collect::<String>(), "，好，。,ok,,no.");
        assert!("中aZ，。、,. ".chars().all(is_known));
        assert!(!"？?!3é…\n〇ａ".chars().any(is_known));
    }
}
