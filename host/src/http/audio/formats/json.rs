//! `json`: the text, and what it cost.

use crate::http::audio::transcript::Transcript;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use syrinx_plugin_api::TokenLogprob;

/// Input tokens that a second of audio counts as, for clients that want the tokens form.
const AUDIO_TOKENS_PER_SECOND: f64 = 10.0; // tokens per second; ours, models here have no such tokens

/// What OpenAI calls usage, in the two forms that its types have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Usage {
    /// Of whole responses.
    Duration { seconds: f64 },
    /// Of streamed ones.
    Tokens { input_tokens: u64, output_tokens: u64, total_tokens: u64, input_token_details: InputTokens },
}

/// Where input tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct InputTokens {
    audio_tokens: u64,
    text_tokens: u64,
}

impl Usage {
    /// Seconds of input.
    pub(crate) fn seconds(transcript: &Transcript) -> Self {
        Self::Duration { seconds: transcript.duration }
    }

    /// Tokens: an estimate for the audio, the model's own count for the text.
    pub(crate) fn tokens(transcript: &Transcript) -> Self {
        let audio_tokens = (transcript.duration * AUDIO_TOKENS_PER_SECOND).ceil() as u64;
        let counted: usize = transcript.segments.iter().map(|segment| segment.tokens.len()).sum();
        let words = transcript.text.split_whitespace().count();
        let output_tokens = if counted > 0 { counted } else { words } as u64;
        Self::Tokens {
            input_tokens: audio_tokens,
            output_tokens,
            total_tokens: audio_tokens + output_tokens,
            input_token_details: InputTokens { audio_tokens, text_tokens: 0 },
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<&'a [TokenLogprob]>,
    usage: Usage,
}

pub(super) fn render(transcript: &Transcript) -> Response {
    let usage = Usage::seconds(transcript);
    Json(Body { text: &transcript.text, logprobs: transcript.logprobs.as_deref(), usage }).into_response()
}
