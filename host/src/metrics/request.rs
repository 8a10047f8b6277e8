//! Requests over HTTP.

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::{Duration, Instant};

const REQUESTS: &str = "syrinx_http_requests_total";
const DURATION: &str = "syrinx_http_request_duration_seconds";
const IN_FLIGHT: &str = "syrinx_http_requests_in_flight";

pub(super) fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by method, route and status");
    describe_histogram!(DURATION, "Seconds from the first byte of a request to the last of its response");
    describe_gauge!(IN_FLIGHT, "Requests being answered");
}

/// A request in flight. Dropped when its response has been sent, or nobody waits for it any more.
pub(crate) struct Request {
    begun: Instant,
    method: &'static str,
    route: String,
    /// None until there is a response: a client that left before has the status 499 here.
    status: Option<u16>,
}

impl Request {
    /// A request has come. `method` and `route` are of few.
    pub(crate) fn begin(method: &'static str, route: String) -> Self {
        gauge!(IN_FLIGHT).increment(1.0);
        Self { begun: Instant::now(), method, route, status: None }
    }

    /// Its route's pattern.
    pub(crate) fn pattern(&self) -> &str {
        &self.route
    }

    /// How long ago it came.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// It has got its status.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        const CLIENT_LEFT: u16 = 499;
        gauge!(IN_FLIGHT).decrement(1.0);
        let status = self.status.unwrap_or(CLIENT_LEFT).to_string();
        let route = std::mem::take(&mut self.route);
        counter!(REQUESTS, "method" => self.method, "route" => route.clone(), "status" => status).increment(1);
        histogram!(DURATION, "method" => self.method, "route" => route).record(self.begun.elapsed().as_secs_f64());
    }
}
