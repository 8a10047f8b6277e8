//! `POST /v1/audio/translations`: transcriptions in English.

use super::{
    description::{TranscriptionForm, TranscriptionJson},
    transcriptions::{AnyEvent, AnyTranscript, transcribe},
};
use crate::{
    http::{
        body::Fields,
        error::ApiError,
        terms::{Terms, TermsHeaders},
    },
    server::App,
};
use axum::{extract::State, response::Response};
use std::sync::Arc;
use syrinx_plugin_api::Task;

/// Writes down in English what is said in any language
///
/// As transcriptions, by multilingual Whisper models. With cURL:
/// `curl localhost:9997/v1/audio/translations -F model=whisper-base -F file=@speech.mp3`
#[utoipa::path(
    post,
    path = "/v1/audio/translations",
    tag = "audio",
    params(TermsHeaders),
    request_body(
        description = "A form with the audio as a file, or JSON with it as base64 text.",
        content((TranscriptionForm = "multipart/form-data"), (TranscriptionJson = "application/json")),
    ),
    responses((
        status = 200,
        description = "The English text, in the formats of transcriptions.",
        content(
            (AnyTranscript<'static> = "application/json"),
            (String = "text/plain"),
            (String = "text/vtt"),
            (AnyEvent<'static> = "text/event-stream"),
        ),
    )),
)]
pub(crate) async fn translations(
    State(app): State<Arc<App>>,
    terms: Terms,
    fields: Fields,
) -> Result<Response, ApiError> {
    transcribe(&app, terms, fields, Task::Translate).await
}
