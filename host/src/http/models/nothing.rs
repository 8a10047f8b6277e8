//! What only Xinference's web page asks for, and what there is none of here: empty lists in the shapes that it reads.

use crate::server::App;
use axum::Json;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(downloads))
        .routes(routes!(launch_history))
        .routes(routes!(favorites))
        .routes(routes!(autostart))
        .routes(routes!(virtual_environments))
}

/// An item of a list that is always empty.
#[derive(Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// A list that is always empty.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmptyList {
    list: [Nothing; 0],
}

const EMPTY: EmptyList = EmptyList { list: [] };

/// Downloads apart from launches: there are none; a launch tells of its own in `…/progress`.
#[utoipa::path(
    get,
    path = "/v1/downloads",
    operation_id = "list_downloads",
    tag = "models",
    responses((status = 200, body = Vec<Nothing>))
)]
async fn downloads() -> Json<[Nothing; 0]> {
    Json([])
}

/// Earlier launches: not kept.
#[utoipa::path(
    get,
    path = "/v1/launch_history",
    operation_id = "list_launch_history",
    tag = "models",
    responses((status = 200, body = Vec<Nothing>))
)]
async fn launch_history() -> Json<[Nothing; 0]> {
    Json([])
}

/// Models that a user of the page has marked: not kept.
#[utoipa::path(
    get,
    path = "/v1/model_favorites",
    operation_id = "list_favorites",
    tag = "models",
    responses((status = 200, body = Vec<Nothing>))
)]
async fn favorites() -> Json<[Nothing; 0]> {
    Json([])
}

/// Launches at the start are in the settings file here, not in the API.
#[utoipa::path(
    get,
    path = "/v1/autostart/models",
    operation_id = "list_autostart",
    tag = "models",
    responses((status = 200, body = Vec<Nothing>))
)]
async fn autostart() -> Json<[Nothing; 0]> {
    Json([])
}

/// Python environments: there are none.
#[utoipa::path(
    get,
    path = "/v1/virtualenvs",
    operation_id = "list_virtual_environments",
    tag = "models",
    responses((status = 200, body = EmptyList))
)]
async fn virtual_environments() -> Json<EmptyList> {
    Json(EMPTY)
}
