//! The HTTP API: OpenAI's audio routes and Xinference's, on one router. The folders mirror the routes.
//!
//! What comes in is turned into typed requests by [`body`] and the `…_request` modules; every error leaves through [`error`].

mod audio;
mod body;
mod cluster;
mod error;
mod health;
mod metrics;
mod models;
mod observe;
mod openapi;
mod request_id;
mod sse;

pub(crate) use error::malformed;
pub(crate) use models::launch_at_start;

/// What the fuzzing door shows of this module.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzed {
    pub(crate) use super::{
        audio::voice,
        body::{Fields, Item, Upload, base64_text, json_lenient, multipart, object},
        error::ApiError,
        models::launch_request,
    };
}

use crate::server::App;
use axum::{
    Router,
    http::{HeaderName, HeaderValue, Method, StatusCode},
    middleware::from_fn,
};
use std::{sync::Arc, time::Duration};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};
use utoipa_axum::router::OpenApiRouter;

/// Everything that the server answers.
pub fn router(app: Arc<App>) -> Router {
    let cors = cors(&app.config.cors_origins);
    let (router, description) = OpenApiRouter::with_openapi(openapi::base())
        .merge(audio::routes())
        .merge(models::routes())
        .merge(cluster::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .split_for_parts();
    router
        .merge(openapi::routes(description))
        .fallback(async || StatusCode::NOT_FOUND)
        // The last one is the outermost: what panics or is refused inside gets the common shape, then headers.
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(error::render_all))
        .layer(cors)
        .layer(from_fn(observe::observe))
        .layer(from_fn(request_id::identify))
        .with_state(app)
}

/// Which pages of other origins may call this server, with any headers.
fn cors(origins: &[String]) -> CorsLayer {
    /// How long a browser remembers the answer of a preflight.
    const REMEMBER: Duration = Duration::from_secs(3600);
    let origin = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::try_from(origin.as_str()).ok()))
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(["x-request-id", "x-sample-rate", "retry-after"].map(HeaderName::from_static))
        .max_age(REMEMBER)
}
