//! `GET /v1/audio/voices`: the voices of the models that run, and the saved ones.

use crate::{
    http::error::ApiError,
    models::{ModelError, State as ModelState},
    server::App,
    voices::SavedVoice,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use syrinx_plugin_api::{Ability, Voice};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Uid of a model; all if none.
    model: Option<String>,
}

/// A voice as OpenAI describes one, and which model has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Voice)]
pub(crate) struct VoiceBody {
    /// What `voice` of a speech request says.
    id: String,
    name: String,
    /// `audio.voice`
    #[schema(example = "audio.voice")]
    object: &'static str,
    /// BCP 47 tag, when it has one language.
    language: Option<String>,
    /// `female`, `male`
    gender: Option<String>,
    /// Uid of the model that has it. Saved voices: of the model asked for; none when all voices are listed, since every
    /// model that clones can use them.
    model: Option<String>,
    /// Saved voices: seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
}

/// Voices that a request can name.
#[derive(Serialize, ToSchema)]
#[schema(as = VoiceList)]
pub(crate) struct Voices {
    /// `list`
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<VoiceBody>,
    /// Ids only, which tools made for other Kokoro servers read.
    voices: Vec<String>,
}

/// Lists voices
///
/// Those of all running models and the saved ones, or those that one model can speak with.
#[utoipa::path(
    get,
    path = "/v1/audio/voices",
    operation_id = "list_voices",
    tag = "audio",
    params(Filter),
    responses((status = 200, description = "The voices.", body = Voices)),
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(mut filter): Query<Filter>,
) -> Result<Json<Voices>, ApiError> {
    // Tools with an empty setting send `?model=`.
    filter.model = filter.model.filter(|uid| !uid.trim().is_empty());
    if let Some(uid) = &filter.model
        && app.models.status(uid).is_none_or(|status| matches!(status.state, ModelState::Failed(_)))
    {
        return Err(ModelError::NotFound { uid: uid.clone() }.into());
    }
    let wanted = |uid: &str| filter.model.as_deref().is_none_or(|wanted| wanted == uid);
    let models = app.models.live().into_iter().filter(|status| wanted(&status.uid));
    let mut data = Vec::new();
    // Whether the saved voices are of use: always, unless somebody asks for a model that doesn't clone.
    let mut saved = filter.model.is_none();
    for status in models {
        let Some(card) = status.card else { continue };
        saved |= card.abilities.contains(&Ability::Clone);
        data.extend(card.voices.iter().map(|voice| body(voice, &status.uid)));
    }
    if saved {
        data.extend(app.voices.list().iter().map(|voice| saved_body(voice, filter.model.clone())));
    }
    let voices = data.iter().map(|voice| voice.id.clone()).collect();
    Ok(Json(Voices { object: "list", data, voices }))
}

fn saved_body(voice: &SavedVoice, model: Option<String>) -> VoiceBody {
    VoiceBody {
        id: voice.id.clone(),
        name: voice.name.clone(),
        object: "audio.voice",
        language: None,
        gender: None,
        model,
        created_at: Some(voice.created_at),
    }
}

fn body(voice: &Voice, uid: &str) -> VoiceBody {
    let name = if voice.name.is_empty() { &voice.id } else { &voice.name };
    VoiceBody {
        id: voice.id.clone(),
        name: name.clone(),
        object: "audio.voice",
        language: voice.language.clone(),
        gender: voice.gender.clone(),
        model: Some(uid.to_owned()),
        created_at: None,
    }
}
