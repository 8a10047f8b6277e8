//! Trimming.

/// The text without white space at its ends. Unlike [`str::trim`] and like Python's `str.strip`, the four separators U+001C–U+001F are
/// white space here; the reference's rules for words and blank segments depend on it.
#[must_use]
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::strip;

    #[test]
    fn separators_are_white_space() {
        assert_eq!(strip("\u{1e} a\u{3000}\n"), "a");
        assert_eq!(strip("\u{1f}"), "");
    }
}
