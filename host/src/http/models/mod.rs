//! `/v1/models…`: what runs, launching, ending, progress; and `/v1/model_registrations…`: what could run.

mod instances;
mod launch;
pub(crate) mod launch_request;
mod list;
mod progress;
mod registrations;

use super::error::ApiError;
use crate::{config::LaunchAtStart, models::LaunchSpec, server::App};
use axum::routing::{get, post};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use utoipa_axum::router::OpenApiRouter;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .route("/v1/models", get(list::list).post(launch::launch))
        .route("/v1/models/instances", get(instances::list))
        .route("/v1/models/{uid}", get(list::get).delete(launch::terminate))
        .route("/v1/models/{uid}/progress", get(progress::progress))
        .route("/v1/models/{uid}/cancel", post(launch::cancel))
        .route("/v1/models/{uid}/replicas", get(instances::replicas))
        .route("/v1/model_registrations/{kind}", get(registrations::list))
        .route("/v1/model_registrations/{kind}/{name}", get(registrations::get))
}

/// A launch of the settings file: it has the keys of `POST /v1/models`.
///
/// # Errors
/// When one of them can't be used.
pub(crate) fn launch_at_start(
    LaunchAtStart { model, uid, mut options }: LaunchAtStart,
) -> Result<LaunchSpec, ApiError> {
    options.insert("model_name".to_owned(), model.into());
    options.insert("model_type".to_owned(), AUDIO.into());
    if let Some(uid) = uid {
        options.insert("model_uid".to_owned(), uid.into());
    }
    launch_request::parse(options)
}

/// The only type of model here.
const AUDIO: &str = "audio";

/// Seconds since 1970.
fn timestamp(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
