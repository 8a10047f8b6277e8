//! What Xinference's clients and web page ask about a cluster: here it is one process, supervisor and worker in one.

use super::error::ApiError;
use crate::{
    machine::{Gpu, Snapshot},
    server::App,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(version))
        .routes(routes!(devices))
        .routes(routes!(address))
        .routes(routes!(workers))
        .routes(routes!(supervisor))
        .routes(routes!(plugins))
}

/// The machine now. Looking at it takes a moment, which must not hold other requests up.
pub(super) async fn machine(app: &Arc<App>) -> Result<Snapshot, ApiError> {
    let app = app.clone();
    tokio::task::spawn_blocking(move || app.machine.snapshot()).await.map_err(ApiError::internal)
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct InfoQuery {
    /// Adds load and memory: `true`, `1`, `yes`; anything else is no.
    detailed: Option<String>,
}

/// A node: this process as supervisor, and again as worker.
#[derive(Default, Serialize, ToSchema)]
struct Node {
    /// `Supervisor` or `Worker`.
    node_type: &'static str,
    /// `host:port`
    ip_address: String,
    /// GPUs of the worker.
    gpu_count: usize,
    /// Their memory, as in `24576MiB`; the number 0 without GPUs, as Xinference has it.
    #[schema(value_type = Value)]
    gpu_vram_total: Value,
    // What follows is there only when details are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_count: Option<usize>,
    /// CPUs that are idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_available: Option<f64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_used: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_available: Option<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    mem_total: Option<u64>,
    /// Percent, the mean of all; null without GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>)]
    gpu_utilization: Option<Option<f64>>,
    /// As `gpu_vram_total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value)]
    gpu_vram_available: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    software_version: Option<&'static str>,
}

/// The nodes of the cluster.
#[utoipa::path(
    get, path = "/v1/cluster/info", tag = "cluster", params(InfoQuery),
    responses((status = 200, description = "Supervisor and worker", body = Vec<Node>), ApiError)
)]
async fn info(State(app): State<Arc<App>>, Query(query): Query<InfoQuery>) -> Result<Json<Vec<Node>>, ApiError> {
    let detailed = query.detailed.as_deref().and_then(super::body::truth).unwrap_or(false);
    let machine = machine(&app).await?;
    let node = |node_type, gpus: &[Gpu]| {
        let node = Node {
            node_type,
            ip_address: app.address(),
            gpu_count: gpus.len(),
            gpu_vram_total: mebibytes(gpus, |gpu| gpu.memory_total),
            ..Node::default()
        };
        if detailed { node.with_details(&machine, gpus) } else { node }
    };
    Ok(Json(vec![node("Supervisor", &[]), node("Worker", &machine.gpus)]))
}

impl Node {
    fn with_details(self, machine: &Snapshot, gpus: &[Gpu]) -> Self {
        let usages: Vec<f64> = gpus.iter().filter_map(|gpu| gpu.usage).collect();
        let usage = (!usages.is_empty()).then(|| usages.iter().sum::<f64>() / usages.len() as f64 * 100.0);
        Self {
            cpu_count: Some(machine.cpus),
            cpu_available: Some(machine.cpus as f64 * (1.0 - machine.cpu_usage)),
            mem_used: Some(machine.memory_total.saturating_sub(machine.memory_available)),
            mem_available: Some(machine.memory_available),
            mem_total: Some(machine.memory_total),
            gpu_utilization: Some(usage),
            gpu_vram_available: Some(mebibytes(gpus, |gpu| Some(gpu.memory_total?.saturating_sub(gpu.memory_used?)))),
            software_version: Some(env!("CARGO_PKG_VERSION")),
            ..self
        }
    }
}

/// A sum over GPUs in Xinference's spelling.
fn mebibytes(gpus: &[Gpu], bytes: impl Fn(&Gpu) -> Option<u64>) -> Value {
    match gpus.iter().filter_map(bytes).sum::<u64>() {
        0 => json!(0),
        bytes => json!(format!("{}MiB", bytes >> 20)),
    }
}

/// The server's version.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerVersion)]
struct Version {
    version: &'static str,
    /// Always null: builds don't know their commit.
    #[serde(rename = "full-revisionid")]
    #[schema(required)]
    full_revisionid: Option<String>,
}

/// The server's version.
#[utoipa::path(
    get, path = "/v1/cluster/version", tag = "cluster",
    responses((status = 200, description = "The version", body = Version), ApiError)
)]
async fn version() -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION"), full_revisionid: None })
}

/// How many GPUs models could run on.
#[utoipa::path(
    get, path = "/v1/cluster/devices", tag = "cluster",
    responses((status = 200, description = "Their number", body = usize, content_type = "application/json"), ApiError)
)]
async fn devices(State(app): State<Arc<App>>) -> Result<Json<usize>, ApiError> {
    Ok(Json(machine(&app).await?.gpus.len()))
}

/// Where clients find this server.
#[utoipa::path(
    get, path = "/v1/address", tag = "cluster",
    responses((status = 200, description = "`host:port`", body = String, content_type = "application/json"), ApiError)
)]
async fn address(State(app): State<Arc<App>>) -> Json<String> {
    Json(app.address())
}

/// What a worker does.
#[derive(Serialize, ToSchema)]
struct Worker {
    /// `host:port`
    #[serde(rename = "work-ip")]
    work_ip: String,
    /// Uids of its models.
    models: Vec<String>,
}

/// The workers: this process alone.
#[utoipa::path(
    get, path = "/v1/workers", tag = "cluster",
    responses((status = 200, description = "One worker", body = Vec<Worker>), ApiError)
)]
async fn workers(State(app): State<Arc<App>>) -> Json<Vec<Worker>> {
    let models = app.models.live().into_iter().map(|status| status.uid).collect();
    Json(vec![Worker { work_ip: app.address(), models }])
}

/// Where the supervisor is.
#[derive(Serialize, ToSchema)]
struct Supervisor {
    /// `host:port`
    supervisor_ip: String,
}

/// The supervisor: this process.
#[utoipa::path(
    get, path = "/v1/supervisor", tag = "cluster",
    responses((status = 200, description = "The supervisor", body = Supervisor), ApiError)
)]
async fn supervisor(State(app): State<Arc<App>>) -> Json<Supervisor> {
    Json(Supervisor { supervisor_ip: app.address() })
}

/// Plugin files.
#[derive(Serialize, ToSchema)]
struct PluginList {
    /// `list`
    object: &'static str,
    /// File, build in use and by which models, builds that finish their last jobs, and why a file isn't in use.
    #[schema(value_type = Vec<Object>)]
    data: Value,
}

/// Plugin files, the builds of them in use and by which models, and why a file isn't in use.
#[utoipa::path(
    get, path = "/v1/plugins", tag = "server",
    responses((status = 200, description = "The plugins", body = PluginList), ApiError)
)]
async fn plugins(State(app): State<Arc<App>>) -> Json<PluginList> {
    Json(PluginList { object: "list", data: json!(app.models.plugins().reports()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn video_memory_is_spelled_as_xinference_does() {
        let gpu =
            |total: u64| Gpu { name: "G".into(), memory_total: Some(total), memory_used: Some(0), usage: Some(0.5) };
        assert_eq!(mebibytes(&[], |gpu| gpu.memory_total), json!(0));
        assert_eq!(mebibytes(&[gpu(8 << 30), gpu(16 << 30)], |gpu| gpu.memory_total), json!("24576MiB"));
    }
}
