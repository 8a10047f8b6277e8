//! The log on standard error, and the spans around its lines.
//!
//! Every line that is written for a request is within two spans: `request`, with the `request_id`, and below it `job`, with
//! the model's `uid` and the generation of its plugin. That also holds for what plugins say, in this process or in one of
//! their own.

mod format;
pub(crate) mod spans;

pub use format::LogFormat;

use std::io::{self, IsTerminal as _};
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Begins to log. Keep what comes back: when it is dropped, spans that are on their way are sent.
///
/// A filter that makes no sense is replaced by `info`.
pub(crate) fn start(filter: &str, format: LogFormat) -> spans::Sending {
    // Decoders call every odd upload an error; what is wrong with it is told to whoever sent it.
    let filter = format!("symphonia=off,{filter}");
    let (filter, mistake) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let text = || fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let text = (format == LogFormat::Text).then(text);
    let json = (format == LogFormat::Json).then(format::json);
    let (sending, mistaken) = spans::Sending::start();
    let log = Registry::default().with(filter).with(text).with(json).with(sending.layer());
    // Fails when the program around this has set up its own log, which is fine.
    let _ = log.try_init();
    if let Some(error) = mistake {
        tracing::warn!(%error, "the log level makes no sense; using info");
    }
    if let Some(reason) = mistaken {
        tracing::warn!(reason, "spans are not sent");
    }
    sending
}
