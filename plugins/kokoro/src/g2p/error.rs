//! What can go wrong while a front end loads or, where espeak-ng is asked, converts.

use std::path::{Path, PathBuf};

/// Why a front end could not be loaded or used.
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
    /// A speech program or library could not be used.
    #[error("can't use espeak-ng from {path}: {reason}", path = path.display())]
    Espeak {
        /// The library or program.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// espeak-ng is there but says nothing.
    #[error("{espeak} has no pronunciation of {text:?} in the language `{language}`")]
    Unspoken {
        /// Library or program.
        espeak: String,
        /// espeak-ng's code of the language.
        language: &'static str,
        /// What it was asked for.
        text: String,
    },
}

impl G2pError {
    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }
}

/// Reads a whole file; the error names it.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, G2pError> {
    std::fs::read(path).map_err(|source| G2pError::Read { path: path.to_owned(), source })
}

/// Reads a whole text file; the error names it.
pub(crate) fn read_text(path: &Path) -> Result<String, G2pError> {
    String::from_utf8(read(path)?).map_err(|error| G2pError::format(path, error.to_string()))
}
