//! Sentences put together to pieces that are spoken in one go.

/// A piece grows until it is about so long. The model speaks best for ten to twenty seconds at a time.
const LONG_ENOUGH: usize = 60; // units, about 12 s
/// A sentence that is longer is cut at its commas.
const TOO_LONG: usize = 160; // units, about 32 s

/// How long a text is to speak: a Chinese character is a unit, and so are three letters.
fn units(text: &str) -> usize {
    let thirds: usize = text
        .chars()
        .map(|c| match c {
            '\u{4E00}'..='\u{9FFF}' => 3,
            _ => 1,
        })
        .sum();
    thirds / 3
}

/// The pieces of a text's sentences. Marks and spaces stay where they are.
pub fn pieces(sentences: Vec<String>) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for part in sentences.into_iter().flat_map(cut) {
        match pieces.last_mut() {
            Some(last) if units(last) + units(&part) <= LONG_ENOUGH => {
                let is_latin = |c: char| c.is_ascii() && !c.is_ascii_whitespace();
                if last.chars().next_back().is_some_and(is_latin) && part.starts_with(is_latin) {
                    last.push(' ');
                }
                last.push_str(&part);
            }
            _ => pieces.push(part),
        }
    }
    pieces
}

/// A sentence, in parts where it is too long.
fn cut(sentence: String) -> Vec<String> {
    if units(&sentence) <= TOO_LONG {
        return vec![sentence];
    }
    let mut parts = vec![String::new()];
    for clause in sentence.split_inclusive(['，', '、', ',']) {
        match parts.last_mut() {
            Some(last) if last.is_empty() || units(last) + units(clause) <= TOO_LONG => last.push_str(clause),
            _ => parts.push(clause.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_sentences_are_put_together() {
        let sentences = ["Hello there.", "How are you.", "你好。"].map(str::to_owned).to_vec();
        assert_eq!(pieces(sentences), ["Hello there. How are you.你好。"]);
        let long = "好".repeat(50) + "。";
        assert_eq!(pieces(vec![long.clone(), long.clone(), "好。".to_owned()]), [long.clone(), long + "好。"]);
    }

    #[test]
    fn long_sentences_are_cut_at_commas() {
        let clause = "好".repeat(70) + "，";
        let cut = pieces(vec![clause.repeat(5)]);
        assert_eq!(cut.concat(), clause.repeat(5));
        assert_eq!(cut.len(), 3, "{cut:?}");
        let whole = "好".repeat(400);
        assert_eq!(pieces(vec![whole.clone()]), [whole], "there is nothing to cut at");
    }
}
