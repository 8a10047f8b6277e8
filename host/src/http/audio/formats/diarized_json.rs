//! `diarized_json`: who said what.

use super::{Usage, verbose_json::task_name};
use crate::http::audio::transcript::Transcript;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use syrinx_plugin_api::Segment;
use utoipa::ToSchema;

/// A transcript by speakers.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiarizedTranscript<'a> {
    /// `transcribe` or `translate`.
    #[schema(example = "transcribe")]
    task: &'static str,
    /// Of the input, in seconds.
    duration: f64,
    text: &'a str,
    segments: Vec<DiarizedSegment<'a>>,
    usage: Usage,
}

/// What one speaker says at a time. In streams it is an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct DiarizedSegment<'a> {
    #[schema(example = "seg_000")]
    pub(crate) id: String,
    /// `transcript.text.segment`
    #[serde(rename = "type")]
    #[schema(example = "transcript.text.segment")]
    pub(crate) kind: &'static str,
    /// Seconds from the start of the audio.
    start: f64,
    /// Seconds from the start of the audio.
    end: f64,
    text: &'a str,
    /// `A`, `B`, …, or one of the known names.
    #[schema(example = "A")]
    speaker: &'a str,
}

impl<'a> DiarizedSegment<'a> {
    /// The segment of a transcript; none when nothing is said in it.
    pub(crate) fn of(segment: &'a Segment) -> Option<Self> {
        let text = segment.text.trim();
        (!text.is_empty()).then(|| Self {
            id: id(segment.id),
            kind: "transcript.text.segment",
            start: segment.start,
            end: segment.end,
            text,
            speaker: segment.speaker.as_deref().unwrap_or_default(),
        })
    }
}

/// The id of a segment, which deltas refer to.
pub(crate) fn id(number: usize) -> String {
    format!("seg_{number:03}")
}

pub(super) fn render(transcript: &Transcript) -> Response {
    Json(DiarizedTranscript {
        task: task_name(transcript.task),
        duration: transcript.duration,
        text: &transcript.text,
        segments: transcript.segments.iter().filter_map(DiarizedSegment::of).collect(),
        usage: Usage::seconds(transcript),
    })
    .into_response()
}
