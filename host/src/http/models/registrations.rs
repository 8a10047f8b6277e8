//! `GET /v1/model_registrations/audio` and `…/audio/{name}`: the catalogue.

use super::{blocking, is_audio, versions};
use crate::{
    http::{body::truth, error::ApiError},
    models::State as ModelState,
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};
use syrinx_registry::{JsonMap, ModelEntry, Origin};
use utoipa::{IntoParams, ToSchema};

/// How to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// `true`: with the whole specifications.
    detailed: Option<String>,
}

/// A line of the list.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Registration {
    /// A name.
    Plain(Plain),
    /// A specification.
    Detailed(Box<Detailed>),
}

/// A model's name, and where it comes from.
#[derive(Serialize, ToSchema)]
pub(crate) struct Plain {
    model_name: String,
    /// Whether it came with the program.
    is_builtin: bool,
}

/// A specification, and how often it runs.
#[derive(Serialize, ToSchema)]
pub(crate) struct Detailed {
    #[serde(flatten)]
    specification: Specification,
    /// Sets of files that it can be loaded from.
    model_version_count: usize,
    /// How many of it serve.
    model_instance_count: usize,
    /// Whether a launch would download nothing.
    cache_status: bool,
}

/// A model of the catalogue in Xinference's words.
#[derive(Serialize, ToSchema)]
pub(crate) struct Specification {
    /// Of the format of specifications.
    version: u32,
    model_name: String,
    model_id: Option<String>,
    model_revision: Option<String>,
    /// `huggingface` or `modelscope`.
    model_hub: Option<&'static str>,
    /// The directory of a model that a client registered with one.
    model_uri: Option<String>,
    model_family: String,
    multilingual: bool,
    language: Option<String>,
    model_lang: Vec<String>,
    model_ability: Vec<&'static str>,
    #[schema(value_type = Option<Object>)]
    default_model_config: Option<JsonMap>,
    #[schema(value_type = Option<Object>)]
    default_transcription_config: Option<JsonMap>,
    /// The plugin that runs it.
    engine: String,
    /// Of the files that are tried first.
    model_format: Option<&'static str>,
    /// The same for its quantization; `GET /v1/engines/…` lists what can be chosen.
    quantization: Option<String>,
    description: Option<String>,
    license: Option<String>,
    is_builtin: bool,
}

/// Lists the models that can be launched, sorted by their names in lower case. Empty for types of models that this server
/// doesn't run.
#[utoipa::path(
    get,
    path = "/v1/model_registrations/{model_type}",
    operation_id = "list_registrations",
    tag = "models",
    params(("model_type" = String, Path, description = "`audio`"), How),
    responses((status = 200, body = Vec<Registration>))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    Query(how): Query<How>,
) -> Result<Json<Vec<Registration>>, ApiError> {
    if !is_audio(&kind)? {
        return Ok(Json(Vec::new()));
    }
    let catalogue = app.models.provision().catalogue();
    let mut entries: Vec<Arc<ModelEntry>> = catalogue.models().cloned().collect();
    entries.sort_by_cached_key(|entry| entry.name.to_lowercase());
    if !how.detailed.as_deref().and_then(truth).unwrap_or(false) {
        let plain = |entry: &Arc<ModelEntry>| {
            Registration::Plain(Plain { model_name: entry.name.clone(), is_builtin: entry.builtin })
        };
        return Ok(Json(entries.iter().map(plain).collect()));
    }
    blocking(move || {
        let mut serving: HashMap<String, usize> = HashMap::new();
        for status in app.models.live().iter().filter(|status| matches!(status.state, ModelState::Ready(_))) {
            *serving.entry(status.entry.name.clone()).or_default() += 1;
        }
        let store = app.models.provision().store();
        let detailed = |entry: &Arc<ModelEntry>| {
            Registration::Detailed(Box::new(Detailed {
                specification: specification(entry),
                model_version_count: entry.sources.len(),
                model_instance_count: serving.get(&entry.name).copied().unwrap_or(0),
                cache_status: store.locate(entry).is_some(),
            }))
        };
        Ok(Json(entries.iter().map(detailed).collect()))
    })
    .await
}

/// Describes a model that can be launched.
#[utoipa::path(
    get,
    path = "/v1/model_registrations/{model_type}/{model_name}",
    operation_id = "get_registration",
    tag = "models",
    params(
        ("model_type" = String, Path, description = "`audio`"),
        ("model_name" = String, Path, description = "Name of the catalogue")
    ),
    responses((status = 200, body = Specification))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Specification>, ApiError> {
    Ok(Json(specification(&*versions::entry(&app, &kind, &name)?)))
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
        model_uri: (!entry.builtin).then(|| directory(entry)).flatten(),
        model_family: entry.family.clone(),
        multilingual: entry.multilingual,
        language: (entry.languages.len() == 1).then(|| entry.languages[0].clone()),
        model_lang: entry.languages.clone(),
        model_ability: entry.abilities.iter().map(|ability| ability.as_str()).collect(),
        default_model_config: entry.default_model_config.clone(),
        default_transcription_config: entry.default_transcription_config.clone(),
        engine: entry.plugin.clone(),
        model_format: entry.sources.first().and_then(|source| source.format).map(|format| format.as_str()),
        quantization: entry.sources.first().and_then(|source| source.quantization.clone()),
        description: entry.description.clone(),
        license: entry.license.clone(),
        is_builtin: entry.builtin,
    }
}

fn directory(entry: &ModelEntry) -> Option<String> {
    entry.sources.iter().flat_map(|source| &source.items).find_map(|item| match &item.origin {
        Origin::Path(directory) => Some(directory.display().to_string()),
        _ => None,
    })
}
