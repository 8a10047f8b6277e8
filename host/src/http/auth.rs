//! Authentication: which routes are open, where a request's key is, and what one without gets.
//!
//! Off, every key is accepted, because OpenAI's clients always send one. On, a request is refused before its body is read, on unknown
//! routes too.

use super::{
    body::{self, JsonObject},
    error::ApiError,
    terms::Admitted,
};
use crate::{auth::StoredKey, server::App};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex},
    time::Instant,
};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(cluster_auth)).routes(routes!(token))
}

/// Whether a path needs no key even when authentication is on: what clients ask before they know whether to send one, what
/// probes ask, and pages that tell nothing about this server.
pub(super) fn is_open(path: &str) -> bool {
    const OPEN: [&str; 8] =
        ["/v1/cluster/auth", "/token", "/health", "/health/live", "/health/ready", "/status", "/docs", "/openapi.json"];
    OPEN.contains(&path) || path.starts_with("/docs/")
}

/// Whether a path brings work for a model, of which each key may have so much.
fn is_work(path: &str) -> bool {
    ["/v1/audio/speech", "/v1/audio/transcriptions", "/v1/audio/translations"].contains(&path)
}

/// Middleware: lets a request through that has a key, or needs none, and doesn't ask too much.
pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if is_open(path) || (path == "/metrics" && !app.keys.guard_metrics()) {
        return next.run(request).await;
    }
    match check(&app, request.headers()).and_then(|key| admit(&app, key, is_work(path))) {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(error) => {
            body::discard(&app, request);
            error.into_response()
        }
    }
}

/// Counts a request among those of its key.
///
/// # Errors
/// 429.
fn admit(app: &App, key: Option<StoredKey>, is_work: bool) -> Result<Admitted, ApiError> {
    let arrived = Instant::now();
    let turn = key.as_ref().filter(|_| is_work).map(|key| app.callers.enter(key, arrived)).transpose();
    let turn = turn
        .map_err(|error| ApiError::too_many(error.to_string(), error.retry_after()).with_code("rate_limit_exceeded"))?;
    // Without keys there is nobody who could permit it.
    let may_raise_priority = key.as_ref().is_none_or(|key| app.callers.limits(key).may_raise_priority);
    Ok(Admitted { arrived, key, may_raise_priority, turn: Arc::new(Mutex::new(turn)) })
}

/// The key that these headers have; none if none is needed.
///
/// # Errors
/// 401.
pub(super) fn check(app: &App, headers: &HeaderMap) -> Result<Option<StoredKey>, ApiError> {
    if !app.keys.is_on() {
        return Ok(None);
    }
    let given: Vec<&str> = given(headers).collect();
    if let Some(key) = given.iter().find_map(|key| app.keys.find(key)) {
        return Ok(Some(key));
    }
    Err(ApiError::unauthorized(if given.is_empty() {
        "this server needs an API key: send it as `Authorization: Bearer <key>` or as `x-api-key`"
    } else {
        "this server does not know the API key"
    }))
}

/// The keys of a request: there are two places for one, and some clients fill the first with a word of their own.
fn given(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let plain = text(header::HeaderName::from_static("x-api-key"));
    [bearer, plain].into_iter().flatten().filter(|key| !key.is_empty())
}

/// Whether keys are checked.
#[derive(Serialize, ToSchema)]
struct ClusterAuth {
    auth: bool,
}

/// Whether this server wants a key. Xinference's client asks this first.
#[utoipa::path(
    get, path = "/v1/cluster/auth", tag = "server",
    responses((status = 200, description = "Whether keys are checked", body = ClusterAuth), ApiError)
)]
async fn cluster_auth(State(app): State<Arc<App>>) -> Json<ClusterAuth> {
    Json(ClusterAuth { auth: app.keys.is_on() })
}

/// What `login` sends.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body; the handler reads it leniently")]
struct Login {
    /// Anything: keys belong to nobody by name.
    username: String,
    /// An API key.
    #[schema(format = Password)]
    password: String,
}

/// What `login` keeps and sends from then on.
#[derive(Serialize, ToSchema)]
struct Token {
    /// The key.
    access_token: String,
    /// `bearer`.
    token_type: &'static str,
}

/// Turns a login into a token. There are no users here: the password is an API key, and so is the token.
#[utoipa::path(
    post, path = "/token", tag = "server", request_body = Login,
    responses((status = 200, description = "The token to send as `Authorization: Bearer`", body = Token), ApiError)
)]
async fn token(State(app): State<Arc<App>>, JsonObject(body): JsonObject) -> Result<Json<Token>, ApiError> {
    for name in ["username", "password"] {
        match body.get(name) {
            Some(Value::String(_)) => {}
            None | Some(Value::Null) => return Err(ApiError::invalid(name, format!("`{name}` is required"))),
            Some(_) => return Err(ApiError::invalid(name, format!("`{name}` must be text"))),
        }
    }
    let password = body.get("password").and_then(Value::as_str).unwrap_or_default();
    if app.keys.is_on() && !app.keys.accept(password) {
        return Err(ApiError::unauthorized("this server has no users: the password must be one of its API keys"));
    }
    Ok(Json(Token { access_token: password.to_owned(), token_type: "bearer" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_either_header() {
        for (pairs, expected) in [
            (&[("authorization", "Bearer abc")][..], &["abc"][..]),
            (&[("authorization", "bearer   abc ")], &["abc"]),
            (&[("x-api-key", "abc")], &["abc"]),
            (&[("authorization", "Basic abc"), ("x-api-key", "def")], &["def"]),
            (&[("authorization", "Bearer not-empty"), ("x-api-key", "def")], &["not-empty", "def"]),
            (&[("authorization", "Bearer "), ("x-api-key", "def")], &["def"]),
            (&[], &[]),
            (&[("authorization", "abc")], &[]),
            (&[("authorization", "Bearer")], &[]),
            (&[("x-api-key", "")], &[]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, header::HeaderValue::from_static(value));
            }
            assert_eq!(given(&headers).collect::<Vec<_>>(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn open_routes_are_few() {
        for open in
            ["/v1/cluster/auth", "/health", "/health/ready", "/status", "/docs", "/docs/", "/docs/a.css", "/token"]
        {
            assert!(is_open(open), "{open}");
        }
        for closed in ["/", "/v1/models", "/metrics", "/healthy", "/docsx", "/v1/cluster/auth/x", "/STATUS", "//status"]
        {
            assert!(!is_open(closed), "{closed}");
        }
    }
}
