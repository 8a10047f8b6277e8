//! Requests being answered, by their `x-request-id`, and how far each is: `GET /v1/requests/{id}/progress`.
//!
//! A client that sends an id of its own can ask from another connection how far its long transcription is. Whoever knows
//! says so with [`reached`], from anywhere in the request's task.

use super::error::{ApiError, clip};
use crate::server::App;
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(progress))
}

/// The requests in flight.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    by_id: Mutex<HashMap<String, Arc<Work>>>,
}

/// One request in flight.
#[derive(Debug)]
pub(crate) struct Work {
    begun: Instant,
    /// 0…1, as the bits of an `f64`.
    progress: AtomicU64,
}

tokio::task_local! {
    /// The request that a task works for.
    pub(super) static CURRENT: Arc<Work>;
}

/// The current request is done to this share, 0…1. Does nothing outside of a request.
pub(crate) fn reached(share: f64) {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { return };
    let _ = CURRENT.try_with(|work| work.progress.store(share.to_bits(), Ordering::Relaxed));
}

/// A request's entry; gone when this is dropped.
pub(super) struct Entry {
    app: Arc<App>,
    id: String,
    pub(super) work: Arc<Work>,
}

impl Entry {
    /// A request has come. Of two with one id, the later one is found.
    pub(super) fn new(app: &Arc<App>, id: &str) -> Self {
        let work = Arc::new(Work { begun: Instant::now(), progress: AtomicU64::new(0.0f64.to_bits()) });
        let mut by_id = app.in_flight.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.insert(id.to_owned(), work.clone());
        drop(by_id);
        Self { app: app.clone(), id: id.to_owned(), work }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut by_id = self.app.in_flight.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        if by_id.get(&self.id).is_some_and(|work| Arc::ptr_eq(work, &self.work)) {
            by_id.remove(&self.id);
        }
    }
}

#[derive(Serialize, ToSchema)]
struct RequestProgress {
    /// 0…1: for transcriptions the share of the audio that is written down; else 0 until the end.
    progress: f64,
    elapsed_seconds: f64,
    /// Null while nothing is known.
    #[schema(required)]
    eta_seconds: Option<f64>,
}

/// How far a request in flight is. Its id is its `x-request-id`; one that isn't in flight is unknown.
#[utoipa::path(
    get, path = "/v1/requests/{request_id}/progress", tag = "server",
    params(("request_id" = String, Path, description = "The `x-request-id` of the request")),
    responses((status = 200, description = "How far it is", body = RequestProgress), ApiError)
)]
async fn progress(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Json<RequestProgress>, ApiError> {
    let work = app.in_flight.by_id.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
    let work = work.ok_or_else(|| {
        ApiError::invalid("request_id", format!("no request with the id `{}` is in flight", clip(&id)))
            .with_code("request_not_found")
    })?;
    let progress = f64::from_bits(work.progress.load(Ordering::Relaxed));
    let elapsed = work.begun.elapsed().as_secs_f64();
    let left = (progress > 0.0).then(|| elapsed * (1.0 - progress) / progress);
    Ok(Json(RequestProgress { progress, elapsed_seconds: elapsed, eta_seconds: left }))
}
