//! What can go wrong in this family.

use std::path::{Path, PathBuf};

use syrinx_plugin_common::checkpoint::CheckpointError;

/// An error of a file, the network or a request.
#[derive(Debug, thiserror::Error)]
pub enum ChatTtsError {
    /// A file can't be read, or doesn't hold what it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint's error.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// libtorch's error.
    #[cfg(feature = "torch")]
    #[error("libtorch: {}", brief(.0))]
    Torch(#[from] tch::TchError),
    /// The device can't be used.
    #[error("{0}")]
    Device(String),
    /// The device doesn't compute in that type.
    #[error("{0}")]
    Precision(&'static str),
    /// A text, or a text with its audio prompt, is longer than the model's positions.
    #[error("the text has {tokens} tokens with all that precedes it; the model takes {most}")]
    TooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions that may be used for it.
        most: usize,
    },
    /// A speaker of another model.
    #[error("the speaker is a vector of {width} numbers; this model's have {hidden}")]
    Speaker {
        /// Numbers of the vector.
        width: usize,
        /// Numbers that fit.
        hidden: usize,
    },
    /// A recording, or codes, without the autoencoder.
    #[error(
        "the model's directory has no asset/DVAE.safetensors, which recordings to imitate and `use_decoder` false need"
    )]
    NoEncoder,
    /// The network made nonsense.
    #[error("the network computes nonsense (not a number)")]
    Nonsense,
    /// The turn that a row was computed in panicked.
    #[error("a computation panicked: {0}")]
    Panicked(String),
    /// Nobody computes any more.
    #[error("the model is being unloaded")]
    Closed,
}

impl ChatTtsError {
    /// A file that is not as it should be.
    pub(crate) fn file(path: &Path, reason: impl ToString) -> Self {
        Self::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Whether memory is what is missing.
    #[cfg(feature = "torch")]
    pub(crate) fn is_memory(&self) -> bool {
        let text = self.to_string();
        ["out of memory", "not enough memory", "bad_alloc", "can't allocate"].iter().any(|words| text.contains(words))
    }
}

/// The first line: the rest is libtorch's stack.
#[cfg(feature = "torch")]
fn brief(error: &tch::TchError) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}
