//! How far a transcript is from what was said, and bytes as text.

/// Lower case, without punctuation, white space collapsed; apostrophes within words stay.
pub fn plain(text: &str) -> String {
    let kept: String = text
        .to_lowercase()
        .chars()
        .map(|character| if character.is_alphanumeric() || character == '\'' { character } else { ' ' })
        .collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Errors and words of the reference, both texts made [`plain`].
pub fn word_errors(reference: &str, transcript: &str) -> (usize, usize) {
    let (reference, transcript) = (plain(reference), plain(transcript));
    let reference: Vec<&str> = reference.split(' ').collect();
    let transcript: Vec<&str> = transcript.split(' ').filter(|word| !word.is_empty()).collect();
    (edits(&reference, &transcript), reference.len())
}

/// Word error rate, 0…; both texts made [`plain`].
pub fn word_error_rate(reference: &str, transcript: &str) -> f64 {
    let (errors, words) = word_errors(reference, transcript);
    errors as f64 / words as f64
}

/// Character error rate, 0…; both texts made [`plain`], without white space. For Chinese and Japanese.
pub fn character_error_rate(reference: &str, transcript: &str) -> f64 {
    let letters = |text: &str| plain(text).chars().filter(|c| !c.is_whitespace()).collect::<Vec<char>>();
    let (reference, transcript) = (letters(reference), letters(transcript));
    edits(&reference, &transcript) as f64 / reference.len() as f64
}

/// Levenshtein distance.
fn edits<T: PartialEq>(from: &[T], to: &[T]) -> usize {
    let mut previous: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let substituted = previous[column] + usize::from(a != b);
            current.push(substituted.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous[to.len()]
}

/// Standard alphabet, with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= group.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted() {
        assert_eq!(word_errors("The cat's here.", " the cat's  HERE"), (0, 3));
        assert_eq!(word_errors("one two three", "one too three four"), (2, 3));
        assert_eq!(word_error_rate("a b", ""), 1.0);
        assert_eq!(character_error_rate("天地，玄黄", "天地 玄皇"), 0.25);
    }
}
