//! The tokens that a window starts with.
//!
//! Source: openai/whisper `whisper/decoding.py: DecodingTask._get_initial_tokens`; hotwords: SYSTRAN/faster-whisper
//! `faster_whisper/transcribe.py: WhisperModel.get_prompt`.

use crate::text::strip;
use crate::tokenizer::Tokenizer;

/// What to write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    /// The words that were spoken.
    #[default]
    Transcribe,
    /// English, whatever was spoken.
    Translate,
}

/// Context for the decoder, as text or as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// Is trimmed and put after one space.
    Text(String),
    /// Is taken as it is.
    Tokens(Vec<u32>),
}

impl Context {
    /// The tokens; none for an empty text.
    fn tokens(&self, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Self::Text(text) if text.is_empty() => Vec::new(),
            Self::Text(text) => encode_context(tokenizer, text),
            Self::Tokens(tokens) => tokens.clone(),
        }
    }
}

/// Tokens of a text that precedes others: trimmed, after one space.
#[must_use]
pub fn encode_context(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(&format!(" {}", strip(text)))
}

/// What a prompt is made of.
#[derive(Debug, Clone, Copy)]
pub struct PromptParts<'a> {
    /// Language code; ignored by English models.
    pub language: &'a str,
    /// Ignored by English models.
    pub task: Task,
    /// Whether the model shall emit no timestamps.
    pub without_timestamps: bool,
    /// Text of the windows before.
    pub previous: Option<&'a Context>,
    /// Words that are likely; stand before the previous text.
    pub hotwords: Option<&'a str>,
    /// Beginning of this window's text.
    pub prefix: Option<&'a Context>,
    /// Whether the prefix is a part of what the window says, as in faster-whisper: `<|0.00|>` goes before it where there are timestamps, and
    /// both are in the result. In openai/whisper it is a part of the prompt, and some models emit one timestamp after it and stop.
    pub prefix_is_said: bool,
    /// Tokens that may be sampled.
    pub sample_len: usize,
    /// Positions of the decoder (448).
    pub n_text_ctx: usize,
}

/// The first tokens of a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// All of them.
    pub tokens: Vec<u32>,
    /// Place of `<|startoftranscript|>`: the probability of no speech is read there.
    pub sot_index: usize,
    /// How many of the last ones count as said.
    pub said: usize,
}

/// `<|startoftranscript|>`, and for multilingual models the language and the task.
#[must_use]
pub fn start_sequence(tokenizer: &Tokenizer, language: &str, task: Task) -> Vec<u32> {
    let specials = tokenizer.specials();
    if !tokenizer.is_multilingual() {
        return vec![specials.sot];
    }
    // A model without the language's token gets its first one; callers have checked the language before.
    let language = tokenizer.language_token(language).unwrap_or(specials.sot + 1);
    vec![specials.sot, language, tokenizer.task_token(task)]
}

/// Builds the prompt: `[<|startofprev|> hotwords previous] start-sequence [<|notimestamps|>] [prefix]`.
#[must_use]
pub fn build(tokenizer: &Tokenizer, parts: PromptParts<'_>) -> Prompt {
    let specials = tokenizer.specials();
    let mut tokens = Vec::new();

    let half = parts.n_text_ctx / 2;
    let hotwords = match (parts.hotwords, parts.prefix) {
        (Some(words), None) if !words.trim().is_empty() => encode_context(tokenizer, words),
        _ => Vec::new(), // a prefix says already how the window starts (as in faster-whisper)
    };
    let previous = parts.previous.map(|context| context.tokens(tokenizer)).unwrap_or_default();
    if !previous.is_empty() || !hotwords.is_empty() {
        tokens.push(specials.sot_prev);
        tokens.extend(&hotwords[..hotwords.len().min(half.saturating_sub(1))]);
        // Hotwords and previous text share the room that a prompt has.
        let room = half.saturating_sub(tokens.len());
        tokens.extend(last(&previous, room));
    }

    let sot_index = tokens.len();
    tokens.extend(start_sequence(tokenizer, parts.language, parts.task));
    if parts.without_timestamps {
        tokens.push(specials.no_timestamps);
    }

    let start = tokens.len();
    if let Some(prefix) = parts.prefix.filter(|_| parts.prefix_is_said) {
        let prefix = prefix.tokens(tokenizer);
        if !parts.without_timestamps && !prefix.is_empty() {
            tokens.push(specials.timestamp_begin);
        }
        tokens.extend(&prefix[..prefix.len().min(half.saturating_sub(1))]);
    } else if let Some(prefix) = parts.prefix {
        let prefix = prefix.tokens(tokenizer);
        // Room for the prefix is what sampling leaves of half the context. With the default sample length that is nothing, and
        // then the reference cuts nothing (Python's `x[-0:]` is all of x).
        let room = half.saturating_sub(parts.sample_len);
        tokens.extend(if room == 0 { prefix.as_slice() } else { last(&prefix, room) });
    }
    let said = if parts.prefix_is_said { tokens.len() - start } else { 0 };
    // Never longer than the decoder can see, with one position left to sample: the oldest context goes first.
    let excess = (tokens.len() + 1).saturating_sub(parts.n_text_ctx);
    if excess > 0 {
        let from_front = excess.min(sot_index);
        tokens.drain(..from_front);
        let cut = tokens.len().saturating_sub(parts.n_text_ctx.saturating_sub(1));
        tokens.truncate(tokens.len() - cut);
        return Prompt { tokens, sot_index: sot_index - from_front, said: said.saturating_sub(cut) };
    }
    Prompt { tokens, sot_index, said }
}

/// The last `count` elements, or all of them.
fn last<T>(items: &[T], count: usize) -> &[T] {
    &items[items.len().saturating_sub(count)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer;

    fn parts() -> PromptParts<'static> {
        PromptParts {
            language: "de",
            task: Task::Translate,
            without_timestamps: false,
            previous: None,
            hotwords: None,
            prefix: None,
            prefix_is_said: false,
            sample_len: 224,
            n_text_ctx: 448,
        }
    }

    #[test]
    fn hotwords_and_previous_text_share_the_room() {
        let tokenizer = tokenizer::of_bytes();
        let previous = Context::Tokens(vec![1; 1000]);
        let words = "w".repeat(100);
        let prompt = build(&tokenizer, PromptParts { previous: Some(&previous), hotwords: Some(&words), ..parts() });
        assert_eq!(prompt.sot_index, 224);
        assert_eq!(prompt.tokens.len(), 227);
        assert_eq!(prompt.tokens[prompt.sot_index], tokenizer.specials().sot);
        assert_eq!(prompt.tokens.iter().filter(|token| **token == u32::from(b'w')).count(), 100);
    }

    #[test]
    fn a_prompt_never_fills_the_context() {
        let tokenizer = tokenizer::of_bytes();
        let (previous, prefix) = (Context::Tokens(vec![1; 1000]), Context::Tokens(vec![2; 1000]));
        let prompt = build(&tokenizer, PromptParts { previous: Some(&previous), prefix: Some(&prefix), ..parts() });
        assert_eq!(prompt.tokens.len(), 447);
        assert_eq!(prompt.tokens[prompt.sot_index], tokenizer.specials().sot);
        let parts = PromptParts { prefix: Some(&prefix), prefix_is_said: true, ..parts() };
        let prompt = build(&tokenizer, PromptParts { previous: Some(&previous), ..parts });
        assert_eq!((prompt.tokens.len(), prompt.said), (447, 224), "the oldest context goes first");
        let prompt = build(&tokenizer, parts);
        assert_eq!((prompt.tokens.len(), prompt.said), (227, 224), "half the context, and its timestamp");
        assert_eq!(prompt.tokens[3], tokenizer.specials().timestamp_begin);
    }
}
