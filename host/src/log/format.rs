//! How log lines look.

use json_subscriber::JsonLayer;
use serde::Deserialize;
use std::{io, str::FromStr};
use tracing::Subscriber;
use tracing_subscriber::{fmt::time::SystemTime, registry::LookupSpan};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    /// What there is to choose from.
    pub const NAMES: &str = "text or json";
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.trim().to_ascii_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{name}` is no format of the log; there are {}", Self::NAMES)),
        }
    }
}

/// Lines such as `{"timestamp": …, "level": "INFO", "target": …, "message": …, <the line's own fields>, "context": {…}}`, the
/// context being the fields of all spans around the line, `request_id` and `uid` among them.
pub(super) fn json<S: Subscriber + for<'a> LookupSpan<'a>>() -> JsonLayer<S, fn() -> io::Stderr> {
    let mut layer = JsonLayer::stderr();
    layer.with_timer("timestamp", SystemTime);
    layer.with_level("level").with_target("target").with_flattened_event().with_flattened_span_fields("context");
    layer
}
