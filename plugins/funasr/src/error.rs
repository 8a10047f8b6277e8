//! What can go wrong in this family.

use std::path::{Path, PathBuf};

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::OnnxError;

/// An error of a file, a network or a request.
#[derive(Debug, thiserror::Error)]
pub enum FunasrError {
    /// A file can't be read, or doesn't hold what it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory lacks the files of its model.
    #[error("{} holds no {what}: {needed} is needed", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// The files that would do.
        needed: String,
    },
    /// A graph's inputs or outputs are not those of the family.
    #[error("{}: the graph is no export that is known here: {reason}", path.display())]
    Layout {
        /// The graph.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// ONNX Runtime's error.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A torch checkpoint's error.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Hot words that can't be used.
    #[error("hotword: {0}")]
    Hotword(String),
    /// Nobody wants the result any more.
    #[error("the job was stopped")]
    Stopped,
}

impl FunasrError {
    /// A file that is not as it should be.
    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// A graph that is not as it should be.
    pub(crate) fn layout(path: &Path, reason: impl ToString) -> Self {
        Self::Layout { path: path.to_owned(), reason: reason.to_string() }
    }
}
