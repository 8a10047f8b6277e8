//! `POST /v1/audio/voices` and `DELETE /v1/audio/voices/{id}`: voices that people save, to be cloned by any model that can.

use super::clips::{self, Samples};
use crate::{
    http::{
        body::{Fields, Upload},
        error::{ApiError, clip},
    },
    server::App,
    voices::{NewVoice, SAMPLE_SECONDS, SavedVoice, VoiceError},
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Longest statement of consent, and longest text of a sample, in characters.
const TEXT_LENGTH: usize = 4096;

/// A voice that was saved, as OpenAI describes one.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedVoice {
    /// What `voice` of a speech request says.
    #[schema(example = "voice_5f0c1d2e3a4b59687766554e")]
    id: String,
    /// Seconds since 1970.
    created_at: u64,
    name: String,
    /// `audio.voice`
    #[schema(example = "audio.voice")]
    object: &'static str,
    /// `audio_sample`: what it was made from.
    #[serde(rename = "type")]
    #[schema(example = "audio_sample")]
    kind: &'static str,
}

/// A voice that was deleted.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedVoice {
    id: String,
    deleted: bool,
    /// `audio.voice.deleted`
    #[schema(example = "audio.voice.deleted")]
    object: &'static str,
}

/// The form of a new voice, for the description of the API.
#[derive(ToSchema)]
#[expect(dead_code, reason = "requests are read by their fields, so that every dialect is understood")]
pub(crate) struct NewVoiceForm {
    /// What people call it: up to 100 characters, none of OpenAI's names, no other voice's.
    #[schema(example = "Ann", max_length = 100)]
    name: String,
    /// A recording of 1 to 60 s of one speaker, in any audio format.
    #[schema(value_type = String, format = Binary)]
    audio_sample: Vec<u8>,
    /// The speaker's statement of consent, or the reference of one. It is kept.
    #[schema(example = "Ann agreed on 2026-11-25")]
    consent: String,
    /// What is said in the recording. Many models imitate better when they know.
    #[schema(nullable)]
    prompt_text: Option<String>,
    /// The model that it is made for; a note, all models that clone can use it.
    #[schema(nullable)]
    model: Option<String>,
    /// `audio_sample`, which is the default.
    #[serde(rename = "type")]
    #[schema(nullable)]
    kind: Option<String>,
}

/// Saves a voice
///
/// The recording is kept until it is deleted, also across restarts. The voice's id or name is then a `voice` for every model
/// that can clone. With cURL: `curl localhost:9997/v1/audio/voices -F name=Ann -F consent='I agree' -F audio_sample=@ann.wav`
#[utoipa::path(
    post,
    path = "/v1/audio/voices",
    tag = "audio",
    request_body(content = NewVoiceForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "The voice.", body = CreatedVoice)),
)]
pub(crate) async fn create(State(app): State<Arc<App>>, fields: Fields) -> Result<Json<CreatedVoice>, ApiError> {
    let NewVoiceFields { name, consent, prompt_text, model, sample } = NewVoiceFields::parse(&fields)?;
    drop(fields);
    let longest = SAMPLE_SECONDS.end() + 1.0;
    let Samples { decoded: sample, held } = clips::decode(SAMPLE, sample, None, longest, &app.memory).await?;
    let new = NewVoice { name, consent, prompt_text, model, sample };
    let saved = with_voices(&app, move |app| app.voices.create(new)).await?;
    drop(held);
    tracing::info!(id = saved.id, "saved a voice");
    Ok(Json(CreatedVoice {
        id: saved.id.clone(),
        created_at: saved.created_at,
        name: saved.name.clone(),
        object: "audio.voice",
        kind: "audio_sample",
    }))
}

/// Deletes a saved voice
///
/// Requests that speak with it go on.
#[utoipa::path(
    delete,
    path = "/v1/audio/voices/{voice_id}",
    tag = "audio",
    params(("voice_id" = String, Path, description = "Id of the voice.")),
    responses((status = 200, description = "It is gone.", body = DeletedVoice)),
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<DeletedVoice>, ApiError> {
    let wanted = id.clone();
    with_voices(&app, move |app| app.voices.delete(&wanted)).await.map_err(|error| error.with_param("voice_id"))?;
    tracing::info!(id, "deleted a voice");
    Ok(Json(DeletedVoice { id, deleted: true, object: "audio.voice.deleted" }))
}

/// The field with the recording.
const SAMPLE: &str = "audio_sample";

/// What a form says of a new voice.
struct NewVoiceFields {
    name: String,
    consent: String,
    prompt_text: Option<String>,
    model: Option<String>,
    sample: Upload,
}

impl NewVoiceFields {
    fn parse(fields: &Fields) -> Result<Self, ApiError> {
        if let Some(kind) = fields.text("type")?
            && kind.trim() != "audio_sample"
        {
            let message =
                format!("voices are made from recordings here: `type` can be audio_sample, not \"{}\"", clip(&kind));
            return Err(ApiError::invalid("type", message));
        }
        let name = fields.required_text("name")?;
        let consent = fields.text("consent")?.ok_or_else(|| {
            ApiError::invalid(
                "consent",
                "`consent` is required: the statement of whoever speaks, or the reference of one",
            )
        })?;
        let prompt_text = fields.text("prompt_text")?;
        let model = fields.text("model")?;
        for (field, text) in
            [("consent", Some(&consent)), ("prompt_text", prompt_text.as_ref()), ("model", model.as_ref())]
        {
            if text.is_some_and(|text| text.chars().count() > TEXT_LENGTH) {
                return Err(ApiError::invalid(field, format!("`{field}` can have up to {TEXT_LENGTH} characters")));
            }
        }
        let sample = fields.file(SAMPLE)?.ok_or_else(|| {
            ApiError::invalid(SAMPLE, "`audio_sample` is required: a recording of the voice, as a file of a form")
        })?;
        Ok(Self { name, consent, prompt_text, model, sample })
    }
}

/// The sample of a saved voice for a job, at `rate` Hz.
///
/// # Errors
/// 400 when the voice was deleted meanwhile.
pub(crate) async fn sample(app: &Arc<App>, voice: Arc<SavedVoice>, rate: u32) -> Result<Samples, ApiError> {
    let decoded = with_voices(app, move |app| app.voices.sample(&voice, rate)).await.map_err(|error| {
        // For the speech route the voice is a value in the request, not the thing that the address names.
        if error.status() == StatusCode::NOT_FOUND { error.with_status(StatusCode::BAD_REQUEST) } else { error }
    })?;
    Ok(Samples::new(decoded, &app.memory)?)
}

/// Works with the store on a thread that may take its time.
async fn with_voices<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, VoiceError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = app.clone();
    let outcome = tokio::task::spawn_blocking(move || work(&app)).await.map_err(ApiError::internal)?;
    outcome.map_err(ApiError::from)
}

impl From<VoiceError> for ApiError {
    fn from(error: VoiceError) -> Self {
        match &error {
            VoiceError::NotFound { id } => {
                Self::not_found(format!("there is no saved voice `{}`; GET /v1/audio/voices lists them", clip(id)))
                    .with_param("voice")
                    .with_code("voice_not_found")
            }
            VoiceError::Name(_) => Self::invalid("name", error.to_string()),
            VoiceError::Taken { name, id } => {
                let message = format!(
                    "there is a voice \"{}\" already ({id}); choose another name, or delete that one first",
                    clip(name)
                );
                Self::invalid("name", message).with_code("voice_exists")
            }
            VoiceError::Length { .. } => Self::invalid(SAMPLE, error.to_string()),
            VoiceError::Full { .. } => Self::bad_request(error.to_string()).with_code("voice_limit_reached"),
            VoiceError::Io(_) | VoiceError::Encode(_) | VoiceError::Damaged { .. } => Self::internal(error),
        }
    }
}
