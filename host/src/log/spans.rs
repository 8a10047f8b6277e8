//! Spans for an OpenTelemetry collector: OTLP over HTTP, with the cargo feature `otel`.
//!
//! Where to is told by OpenTelemetry's own variables, `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`); without one of
//! them nothing is sent. `…_HEADERS`, `…_TIMEOUT`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER` and
//! `OTEL_BSP_*` mean what they mean everywhere. A caller's `traceparent` makes its span the parent of ours.

#[cfg(feature = "otel")]
pub(crate) use otlp::Sending;
#[cfg(not(feature = "otel"))]
pub(crate) use without::Sending;

use axum::http::HeaderMap;
use tracing::Span;

/// Variables that say where spans go.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Whether somebody wants spans.
fn wanted() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// A request's span goes on where the caller's left off.
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    #[cfg(feature = "otel")]
    otlp::adopt(span, headers);
    #[cfg(not(feature = "otel"))]
    let _ = (span, headers);
}

/// A request's span learns how it was answered.
pub(crate) fn answered(route: &str, status: u16) {
    #[cfg(feature = "otel")]
    otlp::answered(route, status);
    #[cfg(not(feature = "otel"))]
    let _ = (route, status);
}

#[cfg(not(feature = "otel"))]
mod without {
    use tracing_subscriber::layer::Identity;

    /// Sends nothing.
    pub(crate) struct Sending;

    impl Sending {
        /// With the reason why nothing is sent although somebody wants it.
        pub(crate) fn start() -> (Self, Option<String>) {
            let reason = "this build has no OpenTelemetry; build it with `--features otel`".to_owned();
            (Self, super::wanted().then_some(reason))
        }

        pub(crate) fn layer(&self) -> Identity {
            Identity::new()
        }
    }
}

#[cfg(feature = "otel")]
mod otlp {
    use axum::http::HeaderMap;
    use opentelemetry::{
        KeyValue,
        propagation::{Extractor, TextMapPropagator as _},
        trace::{Status, TracerProvider as _},
    };
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
    use opentelemetry_sdk::{
        Resource,
        propagation::TraceContextPropagator,
        trace::{SdkTracer, SdkTracerProvider},
    };
    use std::{pin::Pin, time::Duration};
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
    use tracing_subscriber::registry::LookupSpan;

    /// What the service is called unless `OTEL_SERVICE_NAME` says otherwise.
    const SERVICE: &str = "syrinx";
    /// Longest wait for a collector that doesn't answer, where `OTEL_EXPORTER_OTLP_TIMEOUT` doesn't say.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Sends spans in the background; the rest of them when it is dropped.
    pub(crate) struct Sending(Option<SdkTracerProvider>);

    impl Sending {
        /// With the reason why nothing is sent although somebody wants it.
        pub(crate) fn start() -> (Self, Option<String>) {
            if !super::wanted() {
                return (Self(None), None);
            }
            match provider() {
                Ok(provider) => (Self(Some(provider)), None),
                Err(reason) => (Self(None), Some(reason)),
            }
        }

        pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> Option<OpenTelemetryLayer<S, SdkTracer>> {
            let tracer = self.0.as_ref()?.tracer(SERVICE);
            Some(tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false))
        }
    }

    impl Drop for Sending {
        fn drop(&mut self) {
            if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
                tracing::warn!(%error, "the last spans could not be sent");
            }
        }
    }

    fn provider() -> Result<SdkTracerProvider, String> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Client(agent.into()))
            .build()
            .map_err(|error| error.to_string())?;
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
        let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let resource = if named { resource } else { resource.with_service_name(SERVICE) };
        Ok(SdkTracerProvider::builder().with_resource(resource.build()).with_batch_exporter(exporter).build())
    }

    /// The exporter's thread may block, so the command line's client will do.
    #[derive(Debug)]
    struct Client(ureq::Agent);

    impl HttpClient for Client {
        fn send_bytes<'a, 'b>(
            &'a self,
            request: Request<Bytes>,
        ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let response = self.0.run(Request::from_parts(parts, body.as_ref()))?;
                let (parts, mut body) = response.into_parts();
                Ok(Response::from_parts(parts, Bytes::from(body.read_to_vec()?)))
            })
        }
    }

    /// Headers of a request, for the propagator.
    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(axum::http::HeaderName::as_str).collect()
        }
    }

    pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
        if headers.contains_key("traceparent") {
            // Fails for a span that the filter has switched off, which nobody misses.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
        }
    }

    pub(super) fn answered(route: &str, status: u16) {
        const SERVER_ERRORS: u16 = 500;
        let span = Span::current();
        span.set_attribute("http.route", route.to_owned());
        span.set_attribute("http.response.status_code", i64::from(status));
        if status >= SERVER_ERRORS {
            span.set_status(Status::error(""));
        }
    }
}
