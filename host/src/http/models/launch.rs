//! `POST /v1/models`, `DELETE /v1/models/{uid}`, `POST /v1/models/{uid}/cancel`.

use super::launch_request;
use crate::{
    http::{
        body::{JsonObject, truth},
        error::ApiError,
    },
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct How {
    /// `false` in any case answers at once.
    wait_ready: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Launched {
    model_uid: String,
}

pub(crate) async fn launch(
    State(app): State<Arc<App>>,
    Query(how): Query<How>,
    JsonObject(body): JsonObject,
) -> Result<Json<Launched>, ApiError> {
    let launch = app.models.launch(launch_request::parse(body)?)?;
    let model_uid = launch.uid.clone();
    if how.wait_ready.as_deref().and_then(truth).unwrap_or(true) {
        launch.ready().await?;
    }
    Ok(Json(Launched { model_uid }))
}

#[derive(Serialize)]
pub(crate) struct Deleted {
    id: String,
    object: &'static str,
    deleted: bool,
}

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

pub(crate) async fn cancel(State(app): State<Arc<App>>, Path(uid): Path<String>) -> Result<Json<()>, ApiError> {
    app.models.cancel(&uid).map_err(|_| {
        ApiError::not_found(format!("no launch of `{}` is under way", crate::http::error::clip(&uid)))
            .with_param("model_uid")
    })?;
    Ok(Json(()))
}
