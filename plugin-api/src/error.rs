//! What can go wrong in a plugin, in the words of the person who has to act on it.

use serde::{Deserialize, Serialize};

/// Whose problem an [`Error`] is; the host turns it into a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's: a value that can't be used. 400.
    InvalidInput,
    /// The caller's: this model can't do that. 400.
    NotSupported,
    /// The operator's: memory, disk, a device or a library is missing or used up. 503.
    OutOfResources,
    /// The plugin's: a bug, a broken model file. 500.
    #[serde(other)]
    Internal,
}

/// The error of a load or of one job. The message is shown to the caller, so it holds no paths or addresses unless
/// they are what the caller gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Whose problem it is.
    pub kind: ErrorKind,
    /// The request field or launch option at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What was wrong, where, and what to do.
    pub message: String,
}

impl Error {
    /// `field` holds a value that can't be used; the message says which values can.
    pub fn invalid_input(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::InvalidInput, field: Some(field.into()), message: message.into() }
    }

    /// This model can't do what was asked.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::NotSupported, field: None, message: message.into() }
    }

    /// Something of the machine is missing or used up.
    pub fn out_of_resources(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::OutOfResources, field: None, message: message.into() }
    }

    /// A bug, or files that are not what they should be.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Internal, field: None, message: message.into() }
    }

    /// The same error, blamed on `field`.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(crate) fn to_document(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| self.message.clone())
    }

    #[cfg_attr(not(feature = "host"), allow(dead_code))]
    pub(crate) fn from_document(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_else(|_| Self::internal(document))
    }
}
