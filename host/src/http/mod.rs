//! The HTTP API: OpenAI's audio routes and Xinference's, on one router. The folders mirror the routes.
//!
//! What comes in is turned into typed requests by [`body`] and the `…_request` modules; every error leaves through [`error`].

mod audio;
mod auth;
mod body;
mod cluster;
mod error;
mod health;
mod in_flight;
mod metrics;
mod models;
mod observe;
mod openapi;
mod request_id;
mod sse;
mod terms;
mod wire;

pub(crate) use in_flight::InFlight;
pub(crate) use models::launch_at_start;
pub(crate) use wire::Wire;

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

use crate::{config::Config, server::App};
use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, Method, StatusCode,
        uri::{PathAndQuery, Uri},
    },
    middleware::{from_fn, from_fn_with_state, map_request},
};
use std::{sync::Arc, time::Duration};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};
use utoipa_axum::router::OpenApiRouter;

/// Everything that the server answers.
pub fn router(app: Arc<App>) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(openapi::base())
        .merge(audio::routes())
        .merge(models::routes())
        .merge(auth::routes())
        .merge(cluster::routes())
        .merge(health::routes())
        .merge(in_flight::routes())
        .merge(metrics::routes())
        .split_for_parts();
    let router = router
        .merge(openapi::routes(description, app.keys.is_on()))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        // The last one is the outermost: what panics or is refused inside gets the common shape, then headers.
        .layer(from_fn_with_state(app.clone(), auth::guard));
    finish(router, app)
}

/// `/metrics` alone, for a port of its own. No key is needed there.
pub(crate) fn metrics_router(app: Arc<App>) -> Router {
    let router = metrics::routes().merge(health::routes()).split_for_parts().0;
    finish(router.fallback(unknown_route).method_not_allowed_fallback(wrong_method), app)
}

/// What surrounds every handler.
fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    let cors = cors(&app.config);
    let router = router
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(from_fn(error::render_all))
        .layer(cors)
        .layer(from_fn_with_state(app.clone(), observe::observe))
        .layer(from_fn(request_id::identify))
        .with_state(app);
    // Around the router and not in it, because it changes what is routed by.
    Router::new().fallback_service(router).layer(map_request(plain_path))
}

/// Takes away what people add to paths by accident: slashes at the end, and one too many at the beginning (from a base address
/// that ends with one). The page below `/docs/` keeps its own, which its relative links need.
async fn plain_path(mut request: Request) -> Request {
    let path = request.uri().path();
    let plain = path.trim_end_matches('/').trim_start_matches('/');
    if path.len() > 1 && path.len() != plain.len() + 1 && path != "/docs/" {
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(target) = PathAndQuery::try_from(format!("/{plain}{query}")) {
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = Some(target);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

async fn unknown_route(State(app): State<Arc<App>>, request: Request) -> StatusCode {
    body::discard(&app, request);
    StatusCode::NOT_FOUND
}

async fn wrong_method(State(app): State<Arc<App>>, request: Request) -> StatusCode {
    body::discard(&app, request);
    StatusCode::METHOD_NOT_ALLOWED
}

/// Which pages of other origins may call this server, with any headers.
fn cors(config: &Config) -> CorsLayer {
    /// How long a browser remembers the answer of a preflight.
    const REMEMBER: Duration = Duration::from_secs(3600);
    let origin = if config.allows_any_origin() {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(config.cors_origins.iter().filter_map(|origin| HeaderValue::try_from(origin.as_str()).ok()))
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(["x-request-id", "x-sample-rate", "retry-after"].map(HeaderName::from_static))
        .max_age(REMEMBER)
}
