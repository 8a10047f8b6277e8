//! Control tokens in text: `[uv_break]`, `[laugh]`.
//!
//! Source: ChatTTS `norm.py: _split_tags, _combine_tags`.

/// A text without its tags, and the tags: tag `i` follows stretch `i`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// What is between the tags; can be empty.
    pub stretches: Vec<String>,
    /// The tags, with their brackets; a bracket that closes nothing counts as an empty one.
    pub tags: Vec<String>,
    /// Tags that are never closed, and with them what follows: this is in neither of the others.
    pub lost: String,
}

/// Cuts a text at its tags: from `[` to the next `]`.
pub fn cut_tags(text: &str) -> Tagged {
    let mut tagged = Tagged::default();
    let (mut stretch, mut tag, mut in_tag) = (String::new(), String::new(), false);
    for character in text.chars() {
        if character == '[' {
            tagged.stretches.push(std::mem::take(&mut stretch));
            tagged.lost.push_str(&std::mem::take(&mut tag));
            in_tag = true;
        }
        if in_tag {
            tag.push(character)
        } else {
            stretch.push(character)
        }
        if character == ']' {
            tagged.tags.push(std::mem::take(&mut tag));
            in_tag = false;
        }
    }
    if !stretch.is_empty() {
        tagged.stretches.push(stretch);
    }
    tagged.lost.push_str(&tag);
    tagged
}

impl Tagged {
    /// The text again. Where stray brackets made more tags than stretches, the last tags are lost.
    pub(super) fn join(&self) -> String {
        let tags = self.tags.iter().map(String::as_str).chain(std::iter::repeat(""));
        self.stretches.iter().zip(tags).flat_map(|(stretch, tag)| [stretch, tag]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_cut() {
        for (text, stretches, tags, lost, joined) in [
            ("", &[][..], &[][..], "", ""),
            ("a[b", &["a"], &[], "[b", "a"),
            ("a]b", &["a]b"], &[""], "", "a]b"),
            ("[laugh]哈[uv_break]", &["", "哈"], &["[laugh]", "[uv_break]"], "", "[laugh]哈[uv_break]"),
            ("a]b[c]", &["a]b"], &["", "[c]"], "", "a]b"),
            ("[[a]]!", &["", "", "]!"], &["[a]", ""], "[", "[a]]!"),
        ] {
            let tagged = cut_tags(text);
            assert_eq!(tagged.stretches, stretches, "{text}");
            assert_eq!(tagged.tags, tags, "{text}");
            assert_eq!(tagged.lost, lost, "{text}");
            assert_eq!(tagged.join(), joined, "{text}");
        }
    }
}
