//! `POST /v1/models`, `POST /v1/models/instance`, `DELETE /v1/models/{uid}`, `POST /v1/models/{uid}/cancel`.

use super::{
    AUDIO,
    launch_request::{self, LaunchBody, VersionBody},
};
use crate::{
    http::{
        body::{JsonObject, truth},
        error::{ApiError, clip},
    },
    models::LaunchSpec,
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use syrinx_registry::ModelVersion;
use utoipa::{IntoParams, ToSchema};

/// How to launch.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// `false` in any case answers at once.
    wait_ready: Option<String>,
}

/// What a launch is called.
#[derive(Serialize, ToSchema)]
pub(crate) struct Launched {
    model_uid: String,
}

/// Launches a model and answers when it serves. Keys beyond those listed are launch options of the model's plugin, of any
/// type; those that it doesn't know are ignored.
#[utoipa::path(
    post,
    path = "/v1/models",
    operation_id = "launch_model",
    tag = "models",
    params(How),
    request_body = LaunchBody,
    responses((status = 200, body = Launched))
)]
pub(crate) async fn launch(
    State(app): State<Arc<App>>,
    Query(how): Query<How>,
    JsonObject(body): JsonObject,
) -> Result<Json<Launched>, ApiError> {
    begin(&app, &how, launch_request::parse(body)?).await
}

/// Launches a model from one certain set of files, see `GET /v1/models/{model_type}/{model_name}/versions`.
#[utoipa::path(
    post,
    path = "/v1/models/instance",
    operation_id = "launch_model_version",
    tag = "models",
    params(How),
    request_body = VersionBody,
    responses((status = 200, body = Launched))
)]
pub(crate) async fn launch_version(
    State(app): State<Arc<App>>,
    Query(how): Query<How>,
    JsonObject(mut body): JsonObject,
) -> Result<Json<Launched>, ApiError> {
    let unknown = |given: &str| {
        let message = format!(
            "there is no `model_version` \"{}\"; GET /v1/models/audio/NAME/versions lists those of a model",
            clip(given)
        );
        ApiError::invalid("model_version", message)
    };
    let given = match body.remove("model_version") {
        Some(Value::String(given)) => given,
        _ => return Err(ApiError::invalid("model_version", "`model_version` is required, as text")),
    };
    let version = ModelVersion::parse(&given).ok_or_else(|| unknown(&given))?;
    let entry = app.models.provision().catalogue().model(&version.name).map_err(|_| unknown(&given))?;
    let source = entry.sources.iter().find(|source| source.fingerprint() == version.fingerprint);
    let source = source.ok_or_else(|| unknown(&given))?.id.clone();
    body.insert("model_name".to_owned(), version.name.into());
    if body.get("model_type").is_none_or(Value::is_null) {
        body.insert("model_type".to_owned(), AUDIO.into());
    }
    begin(&app, &how, LaunchSpec { source: Some(source), ..launch_request::parse(body)? }).await
}

async fn begin(app: &App, how: &How, spec: LaunchSpec) -> Result<Json<Launched>, ApiError> {
    let launch = app.models.launch(spec)?;
    let model_uid = launch.uid.clone();
    if how.wait_ready.as_deref().and_then(truth).unwrap_or(true) {
        launch.ready().await?;
    }
    Ok(Json(Launched { model_uid }))
}

/// What OpenAI's clients expect of a deletion.
#[derive(Serialize, ToSchema)]
pub(crate) struct Deleted {
    id: String,
    /// `model`
    object: &'static str,
    deleted: bool,
}

/// Terminates a model. Requests in flight finish; new ones are refused at once. A launch under way is cancelled.
#[utoipa::path(
    delete,
    path = "/v1/models/{uid}",
    operation_id = "terminate_model",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    responses((status = 200, body = Deleted))
)]
pub(crate) async fn terminate(State(app): State<Arc<App>>, Path(uid): Path<String>) -> Result<Json<Deleted>, ApiError> {
    // Goes on when the caller leaves: half a termination would be a model that nobody can reach.
    let (models, patience) = (app.models.clone(), app.config.limits.drain);
    let ending = tokio::spawn({
        let uid = uid.clone();
        async move { models.terminate(&uid, patience).await }
    });
    ending.await.map_err(ApiError::internal)??;
    Ok(Json(Deleted { id: uid, object: "model", deleted: true }))
}

/// Cancels a launch. Whoever waits for it gets 499. The uid is free again when this answers.
#[utoipa::path(
    post,
    path = "/v1/models/{uid}/cancel",
    operation_id = "cancel_launch",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a launch under way")),
    responses((status = 200, body = (), description = "null"))
)]
pub(crate) async fn cancel(State(app): State<Arc<App>>, Path(uid): Path<String>) -> Result<Json<()>, ApiError> {
    app.models.cancel(&uid).await.map_err(|_| {
        ApiError::not_found(format!("no launch of `{}` is under way", clip(&uid))).with_param("model_uid")
    })?;
    Ok(Json(()))
}
