//! Every error that leaves the server is rendered here, and only here.
//!
//! A body carries two shapes at once, because each family of clients reads its own: `error.message` for OpenAI's
//! clients, `detail` for Xinference's. [`render_all`] gives the same shape to what handlers never see: unknown routes, wrong
//! methods, the framework's own rejections and panics.

use crate::models::{JobError, LaunchError, ModelError};
use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{any::Any, borrow::Cow, fmt, time::Duration};
use syrinx_plugin_api::{Error as PluginError, ErrorKind};
use utoipa::ToSchema;

/// The text of a failure that is nobody's business but the operator's.
pub(crate) const INTERNAL: &str = "internal error: the server's log has the details under this response's x-request-id";

/// The status that says that another call cancelled this one. Not in the registry of status codes.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// An error on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    message: String,
    /// The request field at fault.
    param: Option<Cow<'static, str>>,
    /// A stable word for programs.
    code: Option<&'static str>,
    /// When another try makes sense.
    retry_after: Option<Duration>,
    /// The rest of the request won't be read.
    close: bool,
}

impl ApiError {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None, close: false }
    }

    /// 400: `param` holds a value that can't be used. The text begins with its name unless it has it already: many clients
    /// show nothing but the text.
    pub(crate) fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (param, mut message) = (param.into(), message.into());
        if !message.contains(&*param) {
            message = format!("`{param}`: {message}");
        }
        Self::new(StatusCode::BAD_REQUEST, message).with_param(param)
    }

    /// 400 without a field to blame.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: a key is needed, and `message` says what is wrong with the request's.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key")
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 404 for a model uid that isn't running.
    pub(crate) fn model_not_found(uid: &str) -> Self {
        Self::not_found(format!(
            "model `{}` is not running; GET /v1/models lists those that are, POST /v1/models launches one",
            clip(uid)
        ))
        .with_param("model")
        .with_code("model_not_found")
    }

    /// 413.
    pub(crate) fn too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request body is larger than this server's limit of {limit} bytes"),
        )
        .with_code("request_too_large")
        .closing()
    }

    /// 499: cancelled by another call.
    pub(crate) fn cancelled(message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::CONFLICT);
        Self::new(status, message).with_code("cancelled")
    }

    /// 500. `cause` is for the log; the client learns that it was not its fault, and no more.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL)
    }

    /// 503, worth another try after `retry_after`.
    pub(crate) fn unavailable(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// 429, worth another try after `retry_after`.
    pub(crate) fn too_many(message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, message) }
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same error with another status.
    #[must_use]
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same error, blamed on `param`.
    #[must_use]
    pub(crate) fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same error with a word for programs.
    #[must_use]
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The same error, after which the connection ends.
    #[must_use]
    pub(crate) fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The body, for those that send it inside of a stream that has begun.
    pub(crate) fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            error: OpenAiError {
                message: &self.message,
                kind: kind_of(self.status),
                param: self.param.as_deref(),
                code: self.code,
            },
            detail: &self.message,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status.as_u16())
    }
}

/// How long a client should wait for a model that is being loaded.
const LOADING: Duration = Duration::from_secs(30); // as in Xinference

/// And for one that could not be: whatever holds the memory or the network takes a while.
const TRY_LOADING_AGAIN: Duration = Duration::from_secs(10);

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        match &error {
            ModelError::NotFound { uid } => Self::model_not_found(uid),
            ModelError::Loading { .. } => {
                Self::unavailable(error.to_string(), Some(LOADING)).with_code("model_loading")
            }
            ModelError::Unloaded { .. } => Self::unavailable(error.to_string(), None).with_code("model_unloaded"),
            ModelError::Unloadable { error: cause, .. } => {
                if let LaunchError::Internal(cause) = cause {
                    tracing::error!(%cause, "a model can't be loaded");
                }
                Self::unavailable(error.to_string(), Some(TRY_LOADING_AGAIN)).with_code("model_unloadable")
            }
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::LimitReached { retry_after, .. } => {
                Self::too_many(error.to_string(), retry_after).with_code("request_limits")
            }
            JobError::QueueFull { retry_after, .. } => {
                Self::too_many(error.to_string(), retry_after).with_code("queue_full")
            }
            JobError::Overloaded { retry_after, .. } => {
                Self::unavailable(error.to_string(), Some(retry_after)).with_code("overloaded")
            }
            JobError::Expired { retry_after, .. } => {
                Self::unavailable(error.to_string(), Some(retry_after)).with_code("deadline_exceeded")
            }
            JobError::Deadline(_) => Self::unavailable(error.to_string(), None).with_code("deadline_exceeded"),
            JobError::Closed { .. } => Self::unavailable(error.to_string(), None),
            JobError::Plugin(error) => error.into(),
        }
    }
}

impl From<PluginError> for ApiError {
    fn from(error: PluginError) -> Self {
        match (error.kind, error.field) {
            (ErrorKind::InvalidInput | ErrorKind::NotSupported, Some(field)) => Self::invalid(field, error.message),
            (ErrorKind::InvalidInput | ErrorKind::NotSupported, None) => Self::bad_request(error.message),
            (ErrorKind::OutOfResources, field) => {
                Self { param: field.map(Cow::Owned), ..Self::unavailable(error.message, None) }
            }
            (kind, field) => Self::internal(PluginError { kind, field, message: error.message }),
        }
    }
}

impl From<LaunchError> for ApiError {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Invalid { field, message } => Self::invalid(field, message),
            LaunchError::Cancelled { .. } => Self::cancelled(error.to_string()),
            LaunchError::Unavailable(message) => Self::unavailable(message, None),
            LaunchError::Internal(cause) => Self::internal(cause),
        }
    }
}

/// The JSON of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct ErrorBody<'a> {
    #[schema(inline)]
    pub(crate) error: OpenAiError<'a>,
    /// The same text as `error.message`, where Xinference's clients look for it.
    detail: &'a str,
}

/// The half that OpenAI's clients read.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiError<'a> {
    /// What was wrong, and what to do about it.
    message: &'a str,
    /// `invalid_request_error`, `authentication_error`, `permission_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The request field at fault.
    #[schema(required)]
    param: Option<&'a str>,
    /// A stable word for programs, such as `model_not_found`.
    #[schema(required)]
    code: Option<&'static str>,
}

/// OpenAI's `error.type` for a status.
fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// Marks a response that is in the right shape already.
#[derive(Clone, Copy)]
struct Rendered;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // Nothing in it can fail to serialise; an empty object would still be valid JSON.
        let body = serde_json::to_vec(&self.body()).unwrap_or_else(|_| b"{}".to_vec());
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        } else if self.status.is_server_error() {
            // OpenAI's clients would try twice more; what failed for good should not be run three times.
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Rendered);
        response
    }
}

/// Longest text of a framework's rejection that is passed on, in bytes.
const REJECTION_LIMIT: usize = 4096;

/// Middleware: gives every error that didn't come from a handler the common shape.
pub(crate) async fn render_all(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) || response.extensions().get::<Rendered>().is_some() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let message = match status {
        StatusCode::NOT_FOUND => format!("there is no route {method} {}", clip(&path)),
        StatusCode::METHOD_NOT_ALLOWED => {
            // The methods that it takes are in `Allow`, which the router adds after this.
            format!("{} does not take {method}", clip(&path))
        }
        status if status.is_server_error() => INTERNAL.to_owned(),
        // Rejections of the framework's own extractors (query strings, path encodings) say what was wrong in plain text.
        _ => match axum::body::to_bytes(body, REJECTION_LIMIT).await {
            Ok(text) if !text.is_empty() => String::from_utf8_lossy(&text).into_owned(),
            _ => status.canonical_reason().unwrap_or("the request can't be read").to_owned(),
        },
    };
    let mut rendered = ApiError::new(status, message).into_response();
    for name in [header::ALLOW, header::CONNECTION] {
        if let Some(value) = parts.headers.get(&name) {
            rendered.headers_mut().insert(name, value.clone());
        }
    }
    rendered
}

/// What a panic in a handler becomes. Its text goes to the log.
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let reason = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    ApiError::internal(format!("a handler panicked: {reason}")).into_response()
}

/// Longest piece of a caller's own text that a message repeats, in characters.
const QUOTE_LIMIT: usize = 80;

/// A caller's text, short enough to repeat and without control characters.
pub(crate) fn clip(text: &str) -> String {
    let mut clipped: String =
        text.chars().take(QUOTE_LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(QUOTE_LIMIT).is_some() {
        clipped.push('…');
    }
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_carry_the_same_text() {
        let error = ApiError::invalid("voice", "unknown voice").with_code("unknown_voice");
        let body = serde_json::to_value(error.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "error": {"message": "unknown voice", "type": "invalid_request_error", "param": "voice", "code": "unknown_voice"},
                "detail": "unknown voice"
            })
        );
    }

    #[test]
    fn the_text_names_the_field() {
        assert_eq!(ApiError::invalid("voice", "unknown voice").message, "unknown voice");
        let error = ApiError::invalid("response_format", "unknown audio format");
        assert_eq!(error.message, "`response_format`: unknown audio format");
    }

    #[test]
    fn waiting_times_are_whole_seconds_and_never_zero() {
        let response = ApiError::too_many("full", Duration::from_millis(20)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(kind_of(response.status()), "rate_limit_error");
    }

    #[test]
    fn quotes_are_short_and_printable() {
        assert_eq!(clip("a\nb"), "a\u{fffd}b");
        assert_eq!(clip(&"x".repeat(200)).chars().count(), QUOTE_LIMIT + 1);
    }
}
