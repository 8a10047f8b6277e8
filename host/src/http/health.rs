//! `GET /health` (the process lives) and `GET /health/ready` (it takes requests).

use super::error::ApiError;
use crate::server::App;
use axum::{Json, extract::State, routing::get};
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .route("/health", get(live))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/status", get(status))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    match app.readiness() {
        Ok(()) => Ok(Json(Health { status: "ready" })),
        Err(reason) => Err(ApiError::unavailable(reason, None).with_code("not_ready")),
    }
}

#[derive(Serialize)]
struct Status {
    /// Seconds.
    uptime: f64,
    version: &'static str,
    models: Vec<ModelLoad>,
}

#[derive(Serialize)]
struct ModelLoad {
    uid: String,
    state: &'static str,
    running: usize,
    waiting: usize,
}

async fn status(State(app): State<Arc<App>>) -> Json<Status> {
    let models = app.models.live().into_iter().map(|status| {
        let load = app.models.running(&status.uid).map(|running| running.load()).ok();
        ModelLoad {
            state: status.state.name(),
            running: load.map_or(0, |load| load.running),
            waiting: load.map_or(0, |load| load.waiting),
            uid: status.uid,
        }
    });
    Json(Status { uptime: app.uptime().as_secs_f64(), version: env!("CARGO_PKG_VERSION"), models: models.collect() })
}
