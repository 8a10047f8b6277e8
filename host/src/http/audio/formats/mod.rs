//! Response formats of transcripts, one file each.

pub(crate) mod diarized_json;
pub(crate) mod json;
mod subtitles;
pub(crate) mod verbose_json;

pub(crate) use json::Usage;

use super::transcript::Transcript;
use crate::http::error::{ApiError, clip};
use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::ToSchema;

/// What a transcript is sent as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum TranscriptFormat {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
    DiarizedJson,
}

/// The formats by name.
const FORMATS: [(&str, TranscriptFormat); 6] = [
    ("json", TranscriptFormat::Json),
    ("text", TranscriptFormat::Text),
    ("srt", TranscriptFormat::Srt),
    ("vtt", TranscriptFormat::Vtt),
    ("verbose_json", TranscriptFormat::VerboseJson),
    ("diarized_json", TranscriptFormat::DiarizedJson),
];

const TEXT: &str = "text/plain; charset=utf-8";

impl TranscriptFormat {
    /// # Errors
    /// 400 when there is no such format.
    pub(crate) fn parse(name: &str) -> Result<Self, ApiError> {
        FORMATS.iter().find(|(known, _)| *known == name.trim()).map(|(_, format)| *format).ok_or_else(|| {
            let names = FORMATS.map(|(known, _)| known).join(", ");
            ApiError::invalid(
                "response_format",
                format!("unknown response format \"{}\"; there are {names}", clip(name)),
            )
        })
    }

    /// Whether it can be sent as it grows.
    pub(crate) fn streams(self) -> bool {
        matches!(self, Self::Json | Self::Text | Self::DiarizedJson)
    }
}

/// The response. With `texts_as_json`, formats that are plain text become one JSON string: Xinference's client parses
/// every answer as JSON.
pub(crate) fn render(transcript: &Transcript, format: TranscriptFormat, texts_as_json: bool) -> Response {
    let (content_type, text) = match format {
        TranscriptFormat::Json => return json::render(transcript),
        TranscriptFormat::VerboseJson => return verbose_json::render(transcript),
        TranscriptFormat::DiarizedJson => return diarized_json::render(transcript),
        TranscriptFormat::Text => (TEXT, format!("{}\n", transcript.text)),
        TranscriptFormat::Srt => (TEXT, subtitles::srt(&transcript.segments)),
        TranscriptFormat::Vtt => ("text/vtt; charset=utf-8", subtitles::vtt(&transcript.segments)),
    };
    if texts_as_json {
        return axum::Json(text).into_response();
    }
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
