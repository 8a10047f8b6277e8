//! Request bodies. Dialects end here: what comes out is [`Fields`], whether it was JSON, careless JSON or a form.

pub(crate) mod base64_text;
mod fields;
pub(crate) mod json_lenient;
pub(crate) mod multipart;
mod read;

pub(crate) use fields::{Fields, Upload, name_of_type, truth};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fields::{Item, object};

use crate::{
    http::error::{ApiError, clip},
    server::App,
};
use axum::{
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use read::{BodyLimits, LimitedBody};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Largest body of routes that take JSON and no files. [bytes]
const JSON_LIMIT: u64 = 4 << 20;

/// What a body is, by its content type.
enum Dialect {
    Json,
    Form,
}

impl FromRequest<Arc<App>> for Fields {
    type Rejection = ApiError;

    /// # Errors
    /// 400 when the body is malformed, 408 when it stops arriving, 413 when it is too large, 415 when it is of another
    /// type, 503 when the uploads of others take all the memory.
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let dialect = dialect(&parts.headers);
        let limits = limits(app, app.config.limits.body_bytes);
        let mut body = LimitedBody::new(&parts.headers, body, limits, &app.memory)?;
        let mut fields = match dialect? {
            Dialect::Json => Self::from_json(&body.collect().await?),
            Dialect::Form => multipart::read(content_type(&parts.headers), body.stream()).await,
        }?;
        fields.hold(body.into_reservation());
        Ok(fields)
    }
}

/// The body of a route that takes a JSON object only.
pub(crate) struct JsonObject(pub(crate) Map<String, Value>);

impl FromRequest<Arc<App>> for JsonObject {
    type Rejection = ApiError;

    /// # Errors
    /// As for [`Fields`].
    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let limits = limits(app, JSON_LIMIT.min(app.config.limits.body_bytes));
        let mut body = LimitedBody::new(&parts.headers, body, limits, &app.memory)?;
        match dialect(&parts.headers)? {
            Dialect::Json => fields::object(&body.collect().await?).map(Self),
            Dialect::Form => Err(unsupported(&parts.headers, "application/json")),
        }
    }
}

/// Gives a request's body up in such a way that the client gets to read the answer while it is still sending.
pub(crate) fn discard(app: &App, request: Request) {
    let (parts, body) = request.into_parts();
    drop(LimitedBody::new(&parts.headers, body, limits(app, app.config.limits.body_bytes), &app.memory));
}

fn limits(app: &App, bytes: u64) -> BodyLimits {
    BodyLimits { bytes, silence: app.config.limits.upload_silence }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The dialect that the content type announces.
fn dialect(headers: &HeaderMap) -> Result<Dialect, ApiError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if let Some(encoding) = encodings.find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let message = format!(
            "the body is encoded as `{}`, which is not read here; send it without `content-encoding`",
            clip(&String::from_utf8_lossy(encoding.as_bytes()))
        );
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let essence = content_type(headers).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "multipart/form-data" => Ok(Dialect::Form),
        "application/json" | "text/json" => Ok(Dialect::Json),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Dialect::Json),
        _ => Err(unsupported(headers, "multipart/form-data or application/json")),
    }
}

/// 415.
fn unsupported(headers: &HeaderMap, accepted: &str) -> ApiError {
    let given = match content_type(headers) {
        "" => "not given".to_owned(),
        other => format!("`{}`", clip(other)),
    };
    let message = format!("the content type is {given}, but must be {accepted}");
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
}
