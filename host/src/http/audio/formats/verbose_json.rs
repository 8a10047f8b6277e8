//! `verbose_json`: everything that is known.

use super::Usage;
use crate::http::audio::{language, transcript::Transcript};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use syrinx_plugin_api::{Segment, Task};

#[derive(Serialize)]
struct Body<'a> {
    task: &'static str,
    language: &'a str,
    /// Translations only: what was spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_language: Option<&'a str>,
    /// Of the input, in seconds.
    duration: f64,
    text: &'a str,
    segments: Vec<SegmentBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<WordBody<'a>>>,
    usage: Usage,
}

#[derive(Serialize)]
struct SegmentBody<'a> {
    id: usize,
    seek: usize,
    start: f64,
    end: f64,
    text: &'a str,
    tokens: &'a [u32],
    temperature: f32,
    avg_logprob: f32,
    compression_ratio: f32,
    no_speech_prob: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'a str>,
}

#[derive(Serialize)]
struct WordBody<'a> {
    word: &'a str,
    start: f64,
    end: f64,
}

pub(super) fn render(transcript: &Transcript) -> Response {
    let spoken = transcript.language.as_deref().map(language::name);
    let (task, language, source_language) = match transcript.task {
        Task::Translate => ("translate", "english", spoken),
        _ => ("transcribe", spoken.unwrap_or("unknown"), None),
    };
    let words = transcript.words.as_ref().map(|words| {
        words.iter().map(|word| WordBody { word: &word.word, start: word.start, end: word.end }).collect()
    });
    Json(Body {
        task,
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

fn segment_body(segment: &Segment) -> SegmentBody<'_> {
    // JSON has no NaN; a statistic that isn't one is as good as none.
    let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
    SegmentBody {
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
    }
}
