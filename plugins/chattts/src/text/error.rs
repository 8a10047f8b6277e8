use std::path::PathBuf;

use thiserror::Error;

/// Why a file of the text stages can't be used.
#[derive(Debug, Error)]
pub enum TextError {
    /// A file is missing or unreadable.
    #[error("can't read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file is there but not what it should be.
    #[error("{path}: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// The tokenizer fails on a text.
    #[error("the text can't be tokenized: {0}")]
    Tokenize(String),
    /// The tokenizer lacks a control token.
    #[error("the tokenizer has no token {name}; the files in asset/tokenizer are of another model")]
    NoToken {
        /// The token.
        name: String,
    },
    /// The audio prompt is no matrix of codes.
    #[error("the audio prompt has rows of {lengths:?} codes, but {rows} rows of the same length are needed")]
    Prompt {
        /// Length of each row.
        lengths: Vec<usize>,
        /// How many there should be.
        rows: usize,
    },
}
