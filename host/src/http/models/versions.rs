//! `GET /v1/models/{type}/{name}/versions`: the file sets that a model can be loaded from.

use super::{AUDIO, blocking, is_audio};
use crate::{
    http::error::{ApiError, clip},
    server::App,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;
use syrinx_registry::{FetchOptions, ModelEntry, Store};
use utoipa::ToSchema;

/// A file set that a model can be loaded from.
#[derive(Serialize, ToSchema)]
pub(crate) struct Version {
    /// Names it: `POST /v1/models/instance` launches it, `DELETE /v1/cache/models` removes its files.
    model_version: String,
    /// Where its files are on the server, if they are.
    model_file_location: Option<String>,
    /// Whether a launch would download nothing.
    cache_status: bool,
    model_type: &'static str,
    model_name: String,
    /// Ours: the name of the source in the catalogue.
    source: String,
    model_format: Option<&'static str>,
    quantization: Option<String>,
}

/// Lists the file sets that a model can be loaded from, in the order that they are tried.
#[utoipa::path(
    get,
    path = "/v1/models/{model_type}/{model_name}/versions",
    operation_id = "list_model_versions",
    tag = "models",
    params(
        ("model_type" = String, Path, description = "`audio`"),
        ("model_name" = String, Path, description = "Name of the catalogue")
    ),
    responses((status = 200, body = Vec<Version>))
)]
pub(crate) async fn versions(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<Vec<Version>>, ApiError> {
    let entry = entry(&app, &kind, &name)?;
    let store = app.models.provision().store().clone();
    blocking(move || Ok(Json(versions_of(&entry, &store)))).await
}

/// The entry that an address names.
///
/// # Errors
/// 404 when there is none, 400 for a type that doesn't exist.
pub(super) fn entry(app: &App, kind: &str, name: &str) -> Result<Arc<ModelEntry>, ApiError> {
    let unknown = |message: String| ApiError::not_found(message).with_param("model_name");
    if !is_audio(kind)? {
        return Err(unknown(format!("there is no {} model `{}` here", clip(kind), clip(name))));
    }
    app.models.provision().catalogue().model(name).map_err(|error| unknown(error.to_string()))
}

fn versions_of(entry: &ModelEntry, store: &Store) -> Vec<Version> {
    let version = |source: &syrinx_registry::Source| {
        let options = FetchOptions { source: Some(source.id.clone()), ..FetchOptions::default() };
        let files = store.locate_with(entry, &options).ok().flatten();
        Version {
            model_version: source.version(&entry.name).to_string(),
            cache_status: files.is_some(),
            model_file_location: files.map(|files| files.dir.display().to_string()),
            model_type: AUDIO,
            model_name: entry.name.clone(),
            source: source.id.clone(),
            model_format: source.format.map(|format| format.as_str()),
            quantization: source.quantization.clone(),
        }
    };
    entry.sources.iter().map(version).collect()
}
