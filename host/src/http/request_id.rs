//! `x-request-id`: every response has one, and the log lines of its request carry it.

use crate::log::spans;
use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tracing::Instrument as _;

/// The header's name.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a caller's that is taken over, in bytes.
const LONGEST: usize = 128;

/// Middleware: takes the caller's id over or makes one, and runs the request in a span that names it.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(&X_REQUEST_ID).filter(|id| is_usable(id)).cloned().unwrap_or_else(fresh);
    request.headers_mut().insert(X_REQUEST_ID, id.clone());
    let span = tracing::info_span!(
        "request",
        request_id = id.to_str().unwrap_or_default(),
        method = %request.method(),
        path = request.uri().path(),
    );
    spans::adopt(&span, request.headers());
    let mut response = next.run(request).instrument(span).await;
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// The id of a request that [`identify`] has let through.
pub(super) fn of(request: &Request) -> &str {
    request.headers().get(&X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// Whether a caller's id can go into logs and back into a header.
fn is_usable(id: &HeaderValue) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// A new id.
pub(super) fn fresh() -> HeaderValue {
    let id = format!("req_{}", uuid::Uuid::new_v4().simple());
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("req_unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_ids_are_not_taken_over() {
        assert!(is_usable(&HeaderValue::from_static("7f3a-b")));
        assert!(!is_usable(&HeaderValue::from_static("")));
        assert!(!is_usable(&HeaderValue::from_static("two words")));
        assert!(!is_usable(&HeaderValue::from_bytes(&[b'x'; LONGEST + 1]).unwrap()));
        assert!(!is_usable(&HeaderValue::from_bytes("grüße".as_bytes()).unwrap()));
    }
}
