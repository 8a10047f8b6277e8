//! `GET /v1/model_registrations/audio` and `…/audio/{name}`: the catalogue.

use super::AUDIO;
use crate::{
    http::{
        body::truth,
        error::{ApiError, clip},
    },
    models::State as ModelState,
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use syrinx_registry::{JsonMap, ModelEntry};

/// Xinference's other types of models: known, and empty here.
const OTHER_TYPES: [&str; 7] = ["LLM", "embedding", "rerank", "image", "video", "world", "flexible"];

#[derive(Deserialize)]
pub(crate) struct How {
    detailed: Option<String>,
}

/// A line of the list.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Registration {
    Plain { model_name: String, is_builtin: bool },
    Detailed(Box<Detailed>),
}

/// A specification, and how often it runs.
#[derive(Serialize)]
pub(crate) struct Detailed {
    #[serde(flatten)]
    specification: Specification,
    model_version_count: usize,
    model_instance_count: usize,
}

/// A model of the catalogue in Xinference's words.
#[derive(Serialize)]
pub(crate) struct Specification {
    version: u32,
    model_name: String,
    model_id: Option<String>,
    model_revision: Option<String>,
    model_hub: Option<&'static str>,
    model_family: String,
    multilingual: bool,
    language: Option<String>,
    model_lang: Vec<String>,
    model_ability: Vec<&'static str>,
    default_model_config: Option<JsonMap>,
    default_transcription_config: Option<JsonMap>,
    engine: String,
    model_format: Option<&'static str>,
    quantization: Vec<String>,
    description: Option<String>,
    license: Option<String>,
    is_builtin: bool,
}

pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    Query(how): Query<How>,
) -> Result<Json<Vec<Registration>>, ApiError> {
    if !is_audio(&kind)? {
        return Ok(Json(Vec::new()));
    }
    let detailed = how.detailed.as_deref().and_then(truth).unwrap_or(false);
    let catalogue = app.models.provision().catalogue();
    let mut entries: Vec<&Arc<ModelEntry>> = catalogue.models().collect();
    entries.sort_by_key(|entry| entry.name.to_lowercase());
    let registration = |entry: &Arc<ModelEntry>| {
        if !detailed {
            return Registration::Plain { model_name: entry.name.clone(), is_builtin: entry.builtin };
        }
        let running = app
            .models
            .live()
            .iter()
            .filter(|status| status.entry.name == entry.name && matches!(status.state, ModelState::Ready(_)))
            .count();
        Registration::Detailed(Box::new(Detailed {
            specification: specification(entry),
            model_version_count: entry.sources.len(),
            model_instance_count: running,
        }))
    };
    Ok(Json(entries.into_iter().map(registration).collect()))
}

pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Specification>, ApiError> {
    let unknown = |message: String| ApiError::not_found(message).with_param("model_name");
    if !is_audio(&kind)? {
        return Err(unknown(format!("there is no {} model `{}` here", clip(&kind), clip(&name))));
    }
    let entry = app.models.provision().catalogue().model(&name).map_err(|error| unknown(error.to_string()))?;
    Ok(Json(specification(&entry)))
}

/// # Errors
/// 400 when Xinference has no such type.
fn is_audio(kind: &str) -> Result<bool, ApiError> {
    if kind == AUDIO {
        return Ok(true);
    }
    if OTHER_TYPES.iter().any(|other| other.eq_ignore_ascii_case(kind)) {
        return Ok(false);
    }
    let message = format!("unknown model type \"{}\"; there are {AUDIO}, {}", clip(kind), OTHER_TYPES.join(", "));
    Err(ApiError::invalid("model_type", message))
}

fn specification(entry: &ModelEntry) -> Specification {
    let hub = entry.huggingface.as_ref().map(|hub| ("huggingface", hub));
    let hub = hub.or_else(|| entry.modelscope.as_ref().map(|hub| ("modelscope", hub)));
    Specification {
        version: 2,
        model_name: entry.name.clone(),
        model_id: hub.map(|(_, hub)| hub.id.clone()),
        model_revision: hub.map(|(_, hub)| hub.revision.clone()),
        model_hub: hub.map(|(name, _)| name),
        model_family: entry.family.clone(),
        multilingual: entry.multilingual,
        language: (entry.languages.len() == 1).then(|| entry.languages[0].clone()),
        model_lang: entry.languages.clone(),
        model_ability: entry.abilities.iter().map(|ability| ability.as_str()).collect(),
        default_model_config: entry.default_model_config.clone(),
        default_transcription_config: entry.default_transcription_config.clone(),
        engine: entry.plugin.clone(),
        model_format: entry.sources.first().and_then(|source| source.format).map(|format| format.as_str()),
        quantization: entry.quantizations().into_iter().map(str::to_owned).collect(),
        description: entry.description.clone(),
        license: entry.license.clone(),
        is_builtin: entry.builtin,
    }
}
