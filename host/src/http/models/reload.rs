//! `POST /v1/models/{uid}/reload`, `GET …/reload` and `GET …/reload/config`: other launch options for a model that runs.

use super::timestamp;
use crate::{
    http::{
        body::{JsonObject, name_of_type},
        error::ApiError,
    },
    models::{ReloadError, ReloadStatus},
    server::App,
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use syrinx_plugin_api::Object;
use utoipa::ToSchema;

/// The body of a reload, for the description of the API.
#[derive(ToSchema)]
#[schema(as = ReloadModel)]
#[expect(dead_code, reason = "describes what is read")]
pub(crate) struct ReloadBody {
    /// Launch options of the plugin that change; null takes one back to its default.
    #[schema(value_type = Object)]
    model_config: (),
    /// Seconds, up to 3600. Xinference's; here the old copy serves until the new one is ready, and finishes what it has
    /// begun in any case.
    #[schema(value_type = Option<f64>, maximum = 3600)]
    drain_timeout: (),
}

/// How a reload went or goes.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReloadReport {
    model_uid: String,
    /// `idle` (there was none), `reloading`, `ready` or `error`.
    status: &'static str,
    /// `idle`, `loading`, `ready` or `error`.
    stage: &'static str,
    operation_id: Option<String>,
    /// Seconds since 1970.
    started_at: Option<u64>,
    finished_at: Option<u64>,
    error: Option<String>,
}

/// What a model can be reloaded with.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReloadOptions {
    model_uid: String,
    /// The plugin.
    engine: String,
    /// JSON Schema of each option by its name.
    #[schema(value_type = Object)]
    parameters: Object,
    /// The options that it was loaded with.
    #[schema(value_type = Object)]
    values: Object,
}

/// Begins to load a model with other options. It serves as before until that is done, and goes on as it was if it fails.
#[utoipa::path(
    post,
    path = "/v1/models/{uid}/reload",
    operation_id = "reload_model",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    request_body = ReloadBody,
    responses((status = 202, body = ReloadReport))
)]
pub(crate) async fn reload(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
    JsonObject(body): JsonObject,
) -> Result<(StatusCode, Json<ReloadReport>), ApiError> {
    let changes = match body.get("model_config") {
        Some(Value::Object(changes)) if !changes.is_empty() => changes,
        Some(Value::Object(_)) | None | Some(Value::Null) => {
            let message = "`model_config` is required: an object with the launch options that change";
            return Err(ApiError::invalid("model_config", message));
        }
        Some(other) => {
            let message = format!("`model_config` must be an object, not {}", name_of_type(other));
            return Err(ApiError::invalid("model_config", message));
        }
    };
    if let Some(timeout) = body.get("drain_timeout").filter(|timeout| !timeout.is_null())
        && !timeout.as_f64().is_some_and(|seconds| seconds > 0.0 && seconds <= 3600.0)
    {
        return Err(ApiError::invalid("drain_timeout", "`drain_timeout` must be a number of seconds, up to 3600"));
    }
    if body.get("python_executable").is_some_and(|python| !python.is_null()) {
        let message = "`python_executable` means nothing to this server: there is no Python in it";
        return Err(ApiError::invalid("python_executable", message));
    }
    let status = app.models.reload(&uid, changes).map_err(|error| match error {
        ReloadError::Model(error) => ApiError::from(error),
        ReloadError::Launch(error) => ApiError::from(error),
        ReloadError::Busy { .. } => ApiError::bad_request(error.to_string()).with_code("reload_in_progress"),
    })?;
    Ok((StatusCode::ACCEPTED, Json(report(uid, Some(&status)))))
}

/// Tells how the latest reload of a model went or goes.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}/reload",
    operation_id = "get_reload",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    responses((status = 200, body = ReloadReport))
)]
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
) -> Result<Json<ReloadReport>, ApiError> {
    let status = app.models.reload_status(&uid)?;
    Ok(Json(report(uid, status.as_ref())))
}

/// Tells what a model can be reloaded with, and what it has.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}/reload/config",
    operation_id = "get_reload_options",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    responses((status = 200, body = ReloadOptions))
)]
pub(crate) async fn options(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
) -> Result<Json<ReloadOptions>, ApiError> {
    let (schema, values) = app.models.reload_options(&uid)?;
    let engine = app.models.status(&uid).map_or_else(String::new, |status| status.entry.plugin.clone());
    let parameters = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Json(ReloadOptions { model_uid: uid, engine, parameters, values }))
}

fn report(uid: String, status: Option<&ReloadStatus>) -> ReloadReport {
    let word = match status {
        None => "idle",
        Some(ReloadStatus { finished: None, .. }) => "reloading",
        Some(ReloadStatus { error: Some(_), .. }) => "error",
        Some(_) => "ready",
    };
    ReloadReport {
        model_uid: uid,
        status: word,
        stage: if word == "reloading" { "loading" } else { word },
        operation_id: status.map(|status| status.operation_id.clone()),
        started_at: status.map(|status| timestamp(status.started)),
        finished_at: status.and_then(|status| status.finished).map(timestamp),
        error: status.and_then(|status| status.error.as_ref()).map(crate::models::LaunchError::told),
    }
}
