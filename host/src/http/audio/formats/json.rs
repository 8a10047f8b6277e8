//! `json`: the text, and what it cost.

use crate::http::audio::transcript::Transcript;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use syrinx_plugin_api::{Task, TokenLogprob};
use utoipa::ToSchema;

/// Input tokens that a second of audio counts as, for clients that want the tokens form.
const AUDIO_TOKENS_PER_SECOND: f64 = 10.0; // tokens per second; ours, models here have no such tokens

/// What OpenAI calls usage, in the two forms that its types have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Usage {
    /// Of whole responses.
    Duration { seconds: f64 },
    /// Of streamed ones.
    Tokens { input_tokens: u64, output_tokens: u64, total_tokens: u64, input_token_details: InputTokens },
}

/// Where input tokens come from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
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

/// The text, and what it cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlainTranscript<'a> {
    text: &'a str,
    /// Of transcriptions: the languages that were spoken, where the model can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    languages: Option<Vec<Language<'a>>>,
    /// When asked for by `include[]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Logprob<'a>>>,
    usage: Usage,
}

/// A language that was spoken.
#[derive(Serialize, ToSchema)]
pub(crate) struct Language<'a> {
    /// ISO 639 code.
    #[schema(example = "en")]
    code: &'a str,
}

/// The languages of a transcript.
pub(crate) fn languages(transcript: &Transcript) -> Option<Vec<Language<'_>>> {
    let spoken = transcript.language.as_deref().filter(|_| transcript.task == Task::Transcribe);
    spoken.map(|code| vec![Language { code }])
}

/// A token and how sure the model was of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Logprob<'a> {
    token: &'a str,
    /// Natural logarithm of its probability.
    logprob: f32,
    /// Of its text; a token may be a part of a character.
    bytes: &'a [u8],
}

impl<'a> From<&'a TokenLogprob> for Logprob<'a> {
    fn from(token: &'a TokenLogprob) -> Self {
        /// What JSON can say of a probability of 0.
        const IMPOSSIBLE: f32 = -9999.0; // as OpenAI does
        let logprob = if token.logprob.is_finite() { token.logprob } else { IMPOSSIBLE };
        Self { token: &token.token, logprob, bytes: &token.bytes }
    }
}

/// Log probabilities as they are sent.
pub(crate) fn logprobs(tokens: &[TokenLogprob]) -> Vec<Logprob<'_>> {
    tokens.iter().map(Logprob::from).collect()
}

pub(super) fn render(transcript: &Transcript) -> Response {
    Json(PlainTranscript {
        text: &transcript.text,
        languages: languages(transcript),
        logprobs: transcript.logprobs.as_deref().map(logprobs),
        usage: Usage::seconds(transcript),
    })
    .into_response()
}
