use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::DType;

/// Why a checkpoint can't be read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The file can't be opened or mapped.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file is not what its place or extension says, or it is damaged.
    #[error("{path} is not a readable {format} file: {reason}; download it again")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that is needed is not there.
    #[error("the checkpoint has no tensor {name}")]
    Missing {
        /// Its name in this kind of checkpoint.
        name: String,
    },
    /// A tensor has another shape than the model needs.
    #[error("tensor {name} has shape {got:?}, but {wanted} is needed")]
    Shape {
        /// Its name.
        name: String,
        /// The shape in the file.
        got: Vec<usize>,
        /// What fits.
        wanted: String,
    },
    /// A tensor's elements are of a type that doesn't fit.
    #[error("tensor {name} holds {got}, which can't be used here")]
    Type {
        /// Its name.
        name: String,
        /// The type in the file.
        got: DType,
    },
}
