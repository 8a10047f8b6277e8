//! `verbose_json`: everything that is known.

use super::Usage;
use crate::http::audio::{language, transcript::Transcript};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use syrinx_plugin_api::{Segment, Task};
use utoipa::ToSchema;

/// Everything that is known of a transcript.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerboseTranscript<'a> {
    /// `transcribe` or `translate`.
    #[schema(example = "transcribe")]
    task: &'static str,
    /// English name of the language of the text; `unknown` where the model can't say.
    #[schema(example = "english")]
    language: &'a str,
    /// Translations only: what was spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_language: Option<&'a str>,
    /// Of the input, in seconds.
    duration: f64,
    text: &'a str,
    segments: Vec<VerboseSegment<'a>>,
    /// Present when asked for, or when the model always gives them.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<TimedWord<'a>>>,
    usage: Usage,
}

/// A stretch of transcript. Statistics that a model doesn't have are 0.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerboseSegment<'a> {
    id: usize,
    /// Whisper: frame (10 ms) at which the decoding window began.
    seek: usize,
    /// Seconds from the start of the audio.
    start: f64,
    /// Seconds from the start of the audio.
    end: f64,
    text: &'a str,
    tokens: &'a [u32],
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
    /// Who speaks, when the model tells speakers apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
    /// Code of the language spoken here, when the model tells it per segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    /// How it is said, when the model tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    emotion: Option<&'a str>,
    /// What is heard besides speech, when the model tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
}

/// A word and when it is said, in seconds.
#[derive(Serialize, ToSchema)]
pub(crate) struct TimedWord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

pub(super) fn render(transcript: &Transcript) -> Response {
    let spoken = transcript.language.as_deref().map(language::name);
    let (language, source_language) = match transcript.task {
        Task::Translate => ("english", spoken),
        _ => (spoken.unwrap_or("unknown"), None),
    };
    let words = transcript.words.as_ref().map(|words| {
        words.iter().map(|word| TimedWord { word: &word.word, start: word.start, end: word.end }).collect()
    });
    Json(VerboseTranscript {
        task: task_name(transcript.task),
        language,
        source_language,
        duration: transcript.duration,
        text: &transcript.text,
        segments: transcript.segments.iter().map(segment_body).collect(),
        words,
        usage: Usage::seconds(transcript),
    })
    .into_response()
}

/// A task as OpenAI calls it.
pub(super) fn task_name(task: Task) -> &'static str {
    match task {
        Task::Translate => "translate",
        _ => "transcribe",
    }
}

fn segment_body(segment: &Segment) -> VerboseSegment<'_> {
    // JSON has no NaN; a statistic that isn't one is as good as none.
    let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
    VerboseSegment {
        id: segment.id,
        seek: segment.seek,
        start: segment.start,
        end: segment.end,
        text: &segment.text,
        tokens: &segment.tokens,
        temperature: finite(segment.temperature),
        avg_logprob: finite(segment.avg_logprob),
        compression_ratio: finite(segment.compression_ratio),
        no_speech_prob: finite(segment.no_speech_prob),
        speaker: segment.speaker.as_deref(),
        language: segment.language.as_deref(),
        emotion: segment.emotion.as_deref(),
        event: segment.event.as_deref(),
    }
}
