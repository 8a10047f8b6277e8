//! `GET /v1/models/{uid}/events`: what has happened to a model.

use super::timestamp;
use crate::{
    http::error::ApiError,
    models::{Event, ModelError, Severity},
    server::App,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Something that happened to a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventBody {
    /// `INFO`, `WARNING` or `ERROR`.
    event_type: &'static str,
    /// Seconds since 1970.
    event_ts: u64,
    /// Details, for a person.
    event_content: String,
    /// Ours: `created`, `downloading`, `loading`, `ready`, `error`, `cancelled`, `reloaded`, `catalogue` or `terminated`.
    event_name: &'static str,
}

/// Lists what has happened to a model, oldest first; also to one that is terminated or failed. The newest 100 events are
/// kept.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}/events",
    operation_id = "list_model_events",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    responses((status = 200, body = Vec<EventBody>))
)]
pub(crate) async fn events(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
) -> Result<Json<Vec<EventBody>>, ApiError> {
    let events = app.models.events(&uid).ok_or(ModelError::NotFound { uid })?;
    Ok(Json(events.into_iter().map(body).collect()))
}

fn body(event: Event) -> EventBody {
    EventBody {
        event_type: match event.severity {
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        },
        event_ts: timestamp(event.time),
        event_content: event.content,
        event_name: event.name,
    }
}
