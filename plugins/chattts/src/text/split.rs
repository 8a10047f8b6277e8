/// Cuts one text into the parts that are spoken one after another: its lines, or else its sentences, which end with `。` or with `.` and
/// white space. Lines can be empty, sentences can't.
///
/// Source: ChatTTS `core.py: Chat.infer`.
pub fn split(text: &str) -> Vec<String> {
    if text.contains('\n') {
        return text.split('\n').map(str::to_owned).collect();
    }
    let mut parts = Vec::new();
    let mut part = String::new();
    for character in text.chars() {
        let ends = character == '。' || (is_space(character) && part.ends_with('.'));
        part.push(character);
        if ends {
            parts.push(std::mem::take(&mut part));
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// White space as Python's `\s` has it: Unicode's and the four separators among the control characters.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (text, parts) in [
            ("", &[][..]),
            ("你好。世界。", &["你好。", "世界。"]),
            ("Hello. World. ok", &["Hello. ", "World. ", "ok"]),
            ("3.5 is. \tx", &["3.5 is. ", "\tx"]),
            ("a. b\n\nc", &["a. b", "", "c"]),
            ("Hi.\u{3000}X", &["Hi.\u{3000}", "X"]),
            ("a.\u{1c}b", &["a.\u{1c}", "b"]),
            ("。。", &["。", "。"]),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }
}
