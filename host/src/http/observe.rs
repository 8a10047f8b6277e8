//! Measures every request, to the last byte of its response.

use crate::{connection::Busy, metrics};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Middleware: counts a request as in flight until its response body ends or is given up.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    // Unknown paths share one label, or anybody could fill the memory with names.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let busy = Busy::begin();
    let mut measured = metrics::Request::begin(method(request.method()), route);
    let response = next.run(request).await;
    measured.answered(response.status().as_u16());
    tracing::info!(status = response.status().as_u16(), seconds = measured.elapsed().as_secs_f64(), "answered");
    response.map(|body| Body::new(Observed { body, _measured: measured, _busy: busy }))
}

/// The name of a method, one of few.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// A response body that is being measured.
struct Observed {
    body: Body,
    _measured: metrics::Request,
    _busy: Busy,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
