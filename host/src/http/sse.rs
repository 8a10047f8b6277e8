//! Server-sent events as OpenAI's clients expect them: `event:`, one `data:` line of JSON, a blank line.

use super::error::ApiError;
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;
use std::convert::Infallible;

/// One event. `data` must have a member `type` with the same text as `kind`.
pub(crate) fn event(kind: &str, data: &impl Serialize) -> Bytes {
    match serde_json::to_string(data) {
        Ok(json) => Bytes::from(format!("event: {kind}\ndata: {json}\n\n")),
        Err(cause) => error(&ApiError::internal(format!("an event can't be written: {cause}"))),
    }
}

/// The last event of a stream that fails after it has begun; clients raise it.
pub(crate) fn error(error: &ApiError) -> Bytes {
    let json = serde_json::to_string(&error.body()).unwrap_or_default();
    Bytes::from(format!("data: {json}\n\n"))
}

/// The response that carries `events`.
pub(crate) fn response(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        // Reverse proxies of the nginx family would hold events back otherwise.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
