//! `GET /v1/engines/{type}/{name}`: what a model can be run with.

use super::{AUDIO, is_audio, versions};
use crate::{http::error::ApiError, server::App};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};
use syrinx_registry::ModelEntry;
use utoipa::ToSchema;

/// What a model can be run with, by the name of the engine, which is the plugin's here.
type Engines = BTreeMap<String, Engine>;

/// An engine of a model.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Engine {
    /// What can be chosen at a launch.
    Usable(Vec<EngineParameters>),
    /// Why it can't be used.
    Unusable(String),
}

/// Values that go together in a launch.
#[derive(Serialize, ToSchema)]
pub(crate) struct EngineParameters {
    model_name: String,
    model_type: &'static str,
    model_format: Option<&'static str>,
    quantization: Option<String>,
    /// The same as a list, and a size that audio models don't have: Xinference's command line reads these.
    quantizations: Vec<String>,
    model_size_in_billions: Option<u32>,
    model_hub: Option<&'static str>,
    model_version: String,
}

/// Lists the engines of a model: the plugin that runs it, with a set of parameters for each set of files, or a text that
/// says why it can't be used. Null for what is of a type that this server doesn't run.
#[utoipa::path(
    get,
    path = "/v1/engines/{model_type}/{model_name}",
    operation_id = "list_engines",
    tag = "models",
    params(
        ("model_type" = String, Path, description = "`audio`"),
        ("model_name" = String, Path, description = "Name of the catalogue")
    ),
    responses((status = 200, body = Option<BTreeMap<String, Engine>>))
)]
pub(crate) async fn engines(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Option<Engines>>, ApiError> {
    // Xinference's command line has no option for the type and asks for a language model of this name.
    if !is_audio(&kind)? {
        let entry = versions::entry(&app, AUDIO, &name).ok();
        return Ok(Json(entry.map(|entry| engines_of(&app, &entry))));
    }
    let entry = versions::entry(&app, &kind, &name)?;
    Ok(Json(Some(engines_of(&app, &entry))))
}

/// The same for a name without a type.
#[utoipa::path(
    get,
    path = "/v1/engines/{model_name}",
    operation_id = "list_engines_untyped",
    tag = "models",
    params(("model_name" = String, Path, description = "Name of the catalogue")),
    responses((status = 200, body = Option<BTreeMap<String, Engine>>))
)]
pub(crate) async fn engines_untyped(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Option<Engines>>, ApiError> {
    let entry = versions::entry(&app, AUDIO, &name)?;
    Ok(Json(Some(engines_of(&app, &entry))))
}

fn engines_of(app: &App, entry: &ModelEntry) -> Engines {
    let parameters = |source: &syrinx_registry::Source| EngineParameters {
        model_name: entry.name.clone(),
        model_type: AUDIO,
        model_format: source.format.map(|format| format.as_str()),
        quantization: source.quantization.clone(),
        quantizations: vec![source.quantization.clone().unwrap_or_else(|| "none".to_owned())],
        model_size_in_billions: None,
        model_hub: source.hub(),
        model_version: source.version(&entry.name).to_string(),
    };
    let engine = match app.models.plugins().current(&entry.plugin) {
        Some(_) => Engine::Usable(entry.sources.iter().map(parameters).collect()),
        None => Engine::Unusable(format!("the plugin `{}` is not installed on this server", entry.plugin)),
    };
    [(entry.plugin.clone(), engine)].into()
}
