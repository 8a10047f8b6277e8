//! Measures every request, to the last byte of its response.

use super::in_flight::{CURRENT, Entry};
use crate::{connection::Busy, log::spans, metrics, server::App};
use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tracing::Span;

/// Middleware: counts a request as in flight until its response body ends or is given up.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // Unknown paths share one label, or anybody could fill the memory with names.
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let id = super::request_id::of(&request).to_owned();
    let entry = (request.method() == Method::POST).then(|| Entry::new(&app, &id));
    let busy = Busy::begin();
    let polled = is_polled(&route);
    let mut measured = metrics::Request::begin(method(request.method()), route);
    let response = match &entry {
        Some(entry) => CURRENT.scope(entry.work.clone(), next.run(request)).await,
        None => next.run(request).await,
    };
    let status = response.status().as_u16();
    spans::answered(measured.pattern(), status);
    measured.answered(status);
    let seconds = measured.elapsed().as_secs_f64();
    // Probes hear 503 again and again while models load.
    if polled && (status < 400 || status == 503) {
        tracing::debug!(status, seconds, "answered");
    } else {
        tracing::info!(status, seconds, "answered");
    }
    let span = Span::current();
    response.map(|body| Body::new(Observed { body, entry, _measured: measured, _busy: busy, _span: span }))
}

/// Whether probes and waiting clients ask for a route again and again.
fn is_polled(route: &str) -> bool {
    const POLLED: [&str; 10] = [
        "/health",
        "/health/live",
        "/health/ready",
        "/status",
        "/metrics",
        "/v1/cluster/auth",
        "/v1/models/instances",
        "/v1/models/{uid}/progress",
        "/v1/models/{uid}/replicas",
        "/v1/requests/{request_id}/progress",
    ];
    POLLED.contains(&route)
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
    entry: Option<Entry>,
    _measured: metrics::Request,
    _busy: Busy,
    /// Lasts as long as the response.
    _span: Span,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let body = Pin::new(&mut this.body);
        match &this.entry {
            Some(entry) => CURRENT.sync_scope(entry.work.clone(), || body.poll_frame(context)),
            None => body.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
