//! Cutting phonemes into pieces that fit into the network.
//!
//! Three rules of the references ([`chunk_english`], [`chunk_text`], [`balanced_split`]) and the one that this plugin
//! serves with ([`Plan`]): sentence by sentence, the first piece short, so that the first sound comes soon and memory
//! stays small however long the text is.

mod plan;
mod reference;

pub use plan::{FIRST_TARGET, PIECE_LIMIT, PIECE_TARGET, Plan};
pub use reference::{
    Batch, Chunk, balanced_split, chunk_english, chunk_text, raw_phonemes_fit, split_at_sentences, split_text_fully,
    waterfall_last,
};

/// A token of the grapheme-to-phoneme step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// As written.
    pub text: String,
    /// As spoken; punctuation marks stand for themselves. Empty when nothing is spoken.
    pub phonemes: String,
    /// White space after it.
    pub whitespace: String,
}

impl Token {
    /// Phonemes and white space, as they count: one character for any white space.
    fn spoken_len(&self) -> usize {
        self.phonemes.chars().count() + usize::from(!self.whitespace.is_empty())
    }
}

/// The phoneme string of tokens, without white space at its ends.
#[must_use]
pub fn phonemes_of(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        text.push_str(&token.phonemes);
        if !token.whitespace.is_empty() {
            text.push(' ');
        }
    }
    text.trim().to_owned()
}

/// The text of tokens, without white space at its ends.
#[must_use]
pub fn text_of(tokens: &[Token]) -> String {
    let text: String = tokens.iter().flat_map(|token| [token.text.as_str(), token.whitespace.as_str()]).collect();
    text.trim().to_owned()
}

/// Cuts a raw phoneme string into tokens: words, and each mark by itself, so that it can be planned like text.
#[must_use]
pub fn tokens_of_phonemes(phonemes: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut word_open = false;
    for character in phonemes.chars() {
        if character.is_whitespace() {
            if let Some(last) = tokens.last_mut() {
                " ".clone_into(&mut last.whitespace);
            }
            word_open = false;
            continue;
        }
        let mark = is_mark(character);
        match tokens.last_mut() {
            Some(last) if word_open && !mark => {
                last.phonemes.push(character);
                last.text.push(character);
            }
            _ => tokens.push(Token { text: character.into(), phonemes: character.into(), whitespace: String::new() }),
        }
        // The slash of v1.1-zh separates words and stays with the one before it.
        word_open = !mark && character != '/';
    }
    tokens
}

fn is_mark(character: char) -> bool {
    matches!(character, '.' | '!' | '?' | '…' | ':' | ';' | ',' | '—' | ')' | '(' | '“' | '”' | '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_phonemes_become_tokens_and_back() {
        let text = "həlˈO, wˈɜɹld! “hˈI.” —";
        let tokens = tokens_of_phonemes(text);
        assert_eq!(phonemes_of(&tokens), text);
        assert_eq!(tokens[1], Token { text: ",".into(), phonemes: ",".into(), whitespace: " ".into() });
        assert_eq!(phonemes_of(&tokens_of_phonemes("  a \n b  ")), "a b");
        assert!(tokens_of_phonemes(" ").is_empty());
        let words: Vec<String> = tokens_of_phonemes("我3/ㄅㄨ4.").into_iter().map(|token| token.phonemes).collect();
        assert_eq!(words, ["我3/", "ㄅㄨ4", "."]);
    }
}
