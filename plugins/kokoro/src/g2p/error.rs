//! What can go wrong while the English front end loads; converting text can't fail.

use std::path::PathBuf;

/// Why the English front end could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum G2pError {
    /// A data file is missing or unreadable.
    #[error("can't read {path}: {source}; fetch the model's assets again", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// No directory below the asset directory looks like a spaCy model.
    #[error("{path} holds no spaCy model (a file named `tokenizer` next to `tok2vec/model` and `tagger/model`)", path = path.display())]
    NoSpacyModel {
        /// The directory that was searched.
        path: PathBuf,
    },
    /// A data file is there but not what it should be.
    #[error("{path} is damaged or of another version: {reason}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A speech program or library for unknown words could not be used.
    #[error("can't use espeak-ng from {path}: {reason}", path = path.display())]
    Espeak {
        /// The library or program.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
}

impl G2pError {
    pub(crate) fn format(path: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }
}

/// Reads a whole file; the error names it.
pub(crate) fn read(path: &std::path::Path) -> Result<Vec<u8>, G2pError> {
    std::fs::read(path).map_err(|source| G2pError::Read { path: path.to_owned(), source })
}
