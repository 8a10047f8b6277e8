//! `GET /v1/audio/voices`: the voices of the models that run.

use crate::{
    http::error::ApiError,
    models::{ModelError, State as ModelState},
    server::App,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use syrinx_plugin_api::Voice;

#[derive(Deserialize)]
pub(crate) struct Filter {
    /// Uid of a model; all if none.
    model: Option<String>,
}

/// A voice as OpenAI describes one, and which model has it.
#[derive(Serialize)]
pub(crate) struct VoiceBody {
    id: String,
    name: String,
    object: &'static str,
    language: Option<String>,
    gender: Option<String>,
    model: String,
}

#[derive(Serialize)]
pub(crate) struct Voices {
    object: &'static str,
    data: Vec<VoiceBody>,
    /// Ids only, which tools made for other Kokoro servers read.
    voices: Vec<String>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Result<Json<Voices>, ApiError> {
    if let Some(uid) = &filter.model
        && app.models.status(uid).is_none_or(|status| matches!(status.state, ModelState::Failed(_)))
    {
        return Err(ModelError::NotFound { uid: uid.clone() }.into());
    }
    let wanted = |uid: &str| filter.model.as_deref().is_none_or(|wanted| wanted == uid);
    let models = app.models.live().into_iter().filter(|status| wanted(&status.uid));
    let data: Vec<VoiceBody> = models
        .filter_map(|status| Some((status.card?, status.uid)))
        .flat_map(|(card, uid)| card.voices.iter().map(|voice| body(voice, &uid)).collect::<Vec<_>>())
        .collect();
    let voices = data.iter().map(|voice| voice.id.clone()).collect();
    Ok(Json(Voices { object: "list", data, voices }))
}

fn body(voice: &Voice, uid: &str) -> VoiceBody {
    let name = if voice.name.is_empty() { &voice.id } else { &voice.name };
    VoiceBody {
        id: voice.id.clone(),
        name: name.clone(),
        object: "audio.voice",
        language: voice.language.clone(),
        gender: voice.gender.clone(),
        model: uid.to_owned(),
    }
}
