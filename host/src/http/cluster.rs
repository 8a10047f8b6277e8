//! What Xinference's clients ask about a cluster: here it is one process.

use crate::server::App;
use axum::{Json, extract::State, routing::get};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .route("/v1/cluster/auth", get(auth))
        .route("/v1/cluster/version", get(version))
        .route("/v1/cluster/devices", get(devices))
        .route("/v1/address", get(address))
        .route("/v1/workers", get(workers))
        .route("/v1/supervisor", get(supervisor))
        .route("/v1/plugins", get(plugins))
}

/// Xinference's client asks this first: whether it has to send its key.
async fn auth() -> Json<Value> {
    Json(json!({"auth": false}))
}

async fn version() -> Json<Value> {
    Json(json!({"version": env!("CARGO_PKG_VERSION"), "full-revisionid": null}))
}

/// GPUs: plugins decide what they run on; the host counts none.
async fn devices() -> Json<u32> {
    Json(0)
}

async fn address(State(app): State<Arc<App>>) -> Json<String> {
    Json(app.address())
}

async fn workers(State(app): State<Arc<App>>) -> Json<Value> {
    let models: Vec<String> = app.models.live().into_iter().map(|status| status.uid).collect();
    Json(json!([{"work-ip": app.address(), "models": models}]))
}

async fn supervisor(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"supervisor_ip": app.address()}))
}

/// Ours: plugin files, the generations in use, and why a file isn't.
async fn plugins(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({"object": "list", "data": app.models.plugins().reports()}))
}
