//! Tokens that are no speech: speaker tags, notes, brackets.

use std::collections::BTreeSet;

use super::Tokenizer;

/// Symbols that are suppressed where they are a single token, alone or after a space.
/// Source: openai/whisper `whisper/tokenizer.py: Tokenizer.non_speech_tokens`.
const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 \
    << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";

/// Musical signs (U+2640–U+267F): their first token is suppressed even where they take several, since these share two bytes.
const MUSICAL: &str = "♩ ♪ ♫ ♬ ♭ ♮ ♯";

/// A hyphen and a quote are fine inside of a word, not before one.
const BEFORE_WORDS: [&str; 2] = [" -", " '"];

impl Tokenizer {
    /// The tokens that stand for no speech, sorted.
    #[must_use]
    pub fn non_speech_tokens(&self) -> Vec<u32> {
        let mut found: BTreeSet<u32> =
            BEFORE_WORDS.iter().filter_map(|text| self.encode(text).first().copied()).collect();
        let symbols = SYMBOLS.split(' ').map(|symbol| (symbol, false));
        for (symbol, first_is_enough) in symbols.chain(MUSICAL.split(' ').map(|symbol| (symbol, true))) {
            for tokens in [self.encode(symbol), self.encode(&format!(" {symbol}"))] {
                if tokens.len() == 1 || first_is_enough {
                    found.extend(tokens.first());
                }
            }
        }
        found.into_iter().collect()
    }

    /// What is suppressed by default: the tokens of no speech, and those that only prompts have. Languages are not in it.
    #[must_use]
    pub fn suppressed_by_default(&self) -> Vec<u32> {
        let mut tokens = self.non_speech_tokens();
        tokens.extend(self.prompt_only_tokens());
        tokens.sort_unstable();
        tokens
    }

    /// Special tokens that a model must never emit; they are suppressed with any list.
    #[must_use]
    pub fn prompt_only_tokens(&self) -> [u32; 6] {
        let s = self.specials();
        [s.transcribe, s.translate, s.sot, s.sot_prev, s.sot_lm, s.no_speech]
    }
}
