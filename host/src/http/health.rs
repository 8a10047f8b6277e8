//! `GET /health` (the process lives), `GET /health/ready` (it takes requests), and `GET /status`, which Xinference's
//! service command waits for.

use super::{auth, cluster, error::ApiError};
use crate::server::App;
use axum::{Json, extract::State, http::HeaderMap};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::UNIX_EPOCH};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(live)).routes(routes!(ready)).routes(routes!(status))
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `ready`.
    status: &'static str,
}

/// Whether the process lives.
#[utoipa::path(
    get, path = "/health", tag = "server",
    responses((status = 200, description = "It does", body = Health), ApiError)
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The same, for probes that tell liveness from readiness.
#[utoipa::path(
    get, path = "/health/live", tag = "server",
    responses((status = 200, description = "It does", body = Health), ApiError)
)]
async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests should be sent here: not while the models of the start are loading, and not while the server stops.
#[utoipa::path(
    get, path = "/health/ready", tag = "server",
    responses((status = 200, description = "They should", body = Health), ApiError)
)]
async fn ready(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    match app.readiness() {
        Ok(()) => Ok(Json(Health { status: "ready" })),
        Err(reason) => Err(ApiError::unavailable(reason, None).with_code("not_ready")),
    }
}

#[derive(Serialize, ToSchema)]
struct Status {
    /// Seconds since the start.
    uptime: u64,
    /// The one worker by its address.
    workers: BTreeMap<String, WorkerStatus>,
    version: &'static str,
    /// Jobs by model. Only for those who could list models too: this route needs no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<ModelLoad>>,
}

#[derive(Serialize, ToSchema)]
struct WorkerStatus {
    /// Seconds since 1970.
    update_time: f64,
    /// Health checks that may fail before the worker is given up: all of them, since it answers.
    failure_remaining_count: u32,
    /// `cpu`, and GPUs by their number.
    #[schema(value_type = BTreeMap<String, Object>)]
    status: BTreeMap<String, Resource>,
}

/// What Xinference reports of a device. Shares are 0…1, sizes in bytes.
#[derive(Serialize)]
#[serde(untagged)]
enum Resource {
    Cpu { usage: f64, total: usize, memory_used: u64, memory_available: u64, memory_total: u64 },
    Gpu { name: String, mem_total: u64, mem_free: u64, mem_used: u64, mem_usage: f64, gpu_util: f64 },
}

#[derive(Serialize, ToSchema)]
struct ModelLoad {
    uid: String,
    /// As in `/v1/models/instances`.
    state: &'static str,
    /// Jobs that run.
    running: usize,
    /// Jobs that wait for a place.
    waiting: usize,
}

/// As in Xinference.
const FAILURE_THRESHOLD: u32 = 5; // XINFERENCE_HEALTH_CHECK_FAILURE_THRESHOLD

/// How the server and its machine are doing.
#[utoipa::path(
    get, path = "/status", tag = "server",
    responses((status = 200, description = "Uptime, machine and jobs", body = Status), ApiError)
)]
async fn status(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Json<Status>, ApiError> {
    let machine = cluster::machine(&app).await?;
    let cpu = Resource::Cpu {
        usage: machine.cpu_usage,
        total: machine.cpus,
        memory_used: machine.memory_total.saturating_sub(machine.memory_available),
        memory_available: machine.memory_available,
        memory_total: machine.memory_total,
    };
    let gpus = machine.gpus.iter().enumerate().map(|(number, gpu)| {
        let (total, used) = (gpu.memory_total.unwrap_or(0), gpu.memory_used.unwrap_or(0));
        let resource = Resource::Gpu {
            name: gpu.name.clone(),
            mem_total: total,
            mem_free: total.saturating_sub(used),
            mem_used: used,
            mem_usage: if total == 0 { 0.0 } else { used as f64 / total as f64 },
            gpu_util: gpu.usage.unwrap_or(0.0) * 100.0,
        };
        (format!("gpu-{number}"), resource)
    });
    let worker = WorkerStatus {
        update_time: machine.taken.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        failure_remaining_count: FAILURE_THRESHOLD,
        status: gpus.chain([("cpu".to_owned(), cpu)]).collect(),
    };
    let models = app.models.live().into_iter().map(|status| {
        let load = app.models.running(&status.uid).map(|running| running.load()).ok();
        ModelLoad {
            state: status.state.name(),
            running: load.map_or(0, |load| load.running),
            waiting: load.map_or(0, |load| load.waiting),
            uid: status.uid,
        }
    });
    Ok(Json(Status {
        uptime: app.uptime().as_secs(),
        workers: [(app.address(), worker)].into(),
        version: env!("CARGO_PKG_VERSION"),
        models: auth::check(&app, &headers).is_ok().then(|| models.collect()),
    }))
}
