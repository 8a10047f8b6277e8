//! What can go wrong with models and jobs. The HTTP layer turns these into status codes, in one place.

use std::time::Duration;
use syrinx_plugin_api::Error as PluginError;

/// No model to give a job to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Nothing runs under this uid.
    #[error("no model `{uid}` is running; launch it with POST /v1/models or `syrinx launch`")]
    NotFound {
        /// The uid asked for.
        uid: String,
    },
    /// It is still being launched.
    #[error("the model `{uid}` is still being loaded")]
    Loading {
        /// The uid asked for.
        uid: String,
    },
    /// It is not in memory now.
    #[error("the model `{uid}` is unloaded; a request to transcribe or speak loads it")]
    Unloaded {
        /// The uid asked for.
        uid: String,
    },
    /// It was to be loaded for this request, and couldn't be.
    #[error("the model `{uid}` can't be loaded: {}", .error.told())]
    Unloadable {
        /// The uid asked for.
        uid: String,
        /// What went wrong.
        error: LaunchError,
    },
}

/// A launch that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// A value that can't be used. 400.
    #[error("{message}")]
    Invalid {
        /// The launch key at fault.
        field: String,
        /// What was wrong and what would be right.
        message: String,
    },
    /// Somebody cancelled it. 499.
    #[error("the launch of `{uid}` was cancelled")]
    Cancelled {
        /// The uid.
        uid: String,
    },
    /// Files, memory, a device or a library are not to be had. 503.
    #[error("{0}")]
    Unavailable(String),
    /// The plugin is broken. 500.
    #[error("{0}")]
    Internal(String),
}

/// What is told of a failure that is nobody's business but the operator's.
const INTERNAL_FAILURE: &str = "internal error: the server's log has the details";

impl LaunchError {
    /// The text for clients: without what is only for the log.
    pub fn told(&self) -> String {
        match self {
            Self::Internal(_) => INTERNAL_FAILURE.to_owned(),
            _ => self.to_string(),
        }
    }

    pub(crate) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.into() }
    }
}

/// A job that came to nothing, or stopped half way.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JobError {
    /// Every place and every seat in the queue is taken. 429.
    #[error("the model `{uid}` is busy: {waiting} requests are waiting already")]
    QueueFull {
        /// The model.
        uid: String,
        /// Requests that wait.
        waiting: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// The launch allows no more requests at a time. 429.
    #[error("the model `{uid}` was launched to take at most {limit} requests at a time")]
    LimitReached {
        /// The model.
        uid: String,
        /// `request_limits` of its launch.
        limit: usize,
        /// When to try again.
        retry_after: Duration,
    },
    /// By how long jobs take, it would have to wait longer than it has. 503.
    #[error("the model `{uid}` is busy: the request would wait for about {} s, but has {} s", .expected.as_secs().max(1), seconds(.allowed))]
    Overloaded {
        /// The model.
        uid: String,
        /// How long it would wait.
        expected: Duration,
        /// How long it may.
        allowed: Duration,
        /// When to try again.
        retry_after: Duration,
    },
    /// It has waited for as long as it had. 503.
    #[error("the model `{uid}` is busy: the request could not begin within its {} s", seconds(.allowed))]
    Expired {
        /// The model.
        uid: String,
        /// How long it might wait.
        allowed: Duration,
        /// When to try again.
        retry_after: Duration,
    },
    /// The model is being terminated. 503.
    #[error("the model `{uid}` is being terminated")]
    Closed {
        /// The model.
        uid: String,
    },
    /// It took longer than it had, by its own word or the server's. 503.
    #[error("the request was stopped: it took longer than its {} s", seconds(.0))]
    Deadline(Duration),
    /// The plugin's.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A time in seconds, as short as can be.
fn seconds(time: &Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
