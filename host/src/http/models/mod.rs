//! `/v1/models…`: what runs, launching, ending, progress; `/v1/model_registrations…`: what could run; `/v1/engines…`,
//! `/v1/cache…`: with what, and what is on disk.

mod cache;
mod detail;
mod engines;
mod events;
mod instances;
mod launch;
pub(crate) mod launch_request;
mod list;
mod nothing;
mod progress;
mod register;
mod registrations;
mod reload;
mod versions;

use super::error::{ApiError, clip};
use crate::{config::LaunchAtStart, models::LaunchSpec, server::App};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::list, launch::launch))
        .routes(routes!(instances::list))
        .routes(routes!(launch::launch_version))
        .routes(routes!(list::get, launch::terminate))
        .routes(routes!(progress::progress))
        .routes(routes!(launch::cancel))
        .routes(routes!(instances::replicas))
        .routes(routes!(events::events))
        .routes(routes!(reload::reload, reload::status))
        .routes(routes!(reload::options))
        .routes(routes!(versions::versions))
        .routes(routes!(registrations::list, register::register))
        .routes(routes!(registrations::get, register::unregister))
        .routes(routes!(engines::engines))
        .routes(routes!(engines::engines_untyped))
        .routes(routes!(cache::list, cache::remove))
        .routes(routes!(cache::files))
        .merge(nothing::routes())
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

/// Xinference's other types of models: known, and empty here.
const OTHER_TYPES: [&str; 7] = ["LLM", "embedding", "rerank", "image", "video", "world", "flexible"];

/// Whether a type of models in an address is ours.
///
/// # Errors
/// 400 when Xinference has no such type.
fn is_audio(kind: &str) -> Result<bool, ApiError> {
    if kind == AUDIO {
        return Ok(true);
    }
    if OTHER_TYPES.iter().any(|other| other.eq_ignore_ascii_case(kind)) {
        return Ok(false);
    }
    let message = format!("unknown model type \"{}\"; there are {AUDIO}, {}", clip(kind), OTHER_TYPES.join(", "));
    Err(ApiError::invalid("model_type", message))
}

/// Seconds since 1970.
fn timestamp(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Runs what reads or writes files on a thread that may block.
///
/// # Errors
/// What it returns; 500 when it panics.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)?
}
