use std::path::PathBuf;

use thiserror::Error;

/// Why a speaker can't be had.
#[derive(Debug, Error)]
pub enum SpeakerError {
    /// A request's or an option's text is no speaker.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with its text.
        problem: Problem,
    },
    /// The release's statistics can't be read.
    #[error("{path}: {reason}", path = path.display())]
    Statistics {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is wrong with a text that should hold a speaker, an audio prompt or statistics.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Problem {
    /// It is far longer than any speaker.
    #[error("{bytes} bytes are too many, at most {limit} are accepted")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that is read.
        limit: usize,
    },
    /// A character is no digit of base16384.
    #[error("character {at} ({character:?}) doesn't belong in a speaker string")]
    Character {
        /// Position, in characters from 0.
        at: usize,
        /// The character.
        character: char,
    },
    /// The number of characters doesn't go with the last one, which says how many bytes there are.
    #[error("the speaker string is cut short")]
    Cut,
    /// The compressed data is damaged.
    #[error("the speaker string is damaged: {0}")]
    Damaged(String),
    /// The compressor gave up.
    #[error("it can't be compressed: {0}")]
    Compression(String),
    /// Long texts are tensors in base64, and this is none.
    #[error(
        "this is neither a name, nor a speaker string, nor a tensor that torch saved, in base64 ({0}); names have at most {limit} characters",
        limit = super::voice::LONGEST_NAME
    )]
    NoTensor(String),
    /// The tensor is none of a speaker.
    #[error("the tensor is {got}, but a vector of {width} values in float32, float16 or bfloat16 is needed")]
    Tensor {
        /// Its type and shape.
        got: String,
        /// The model's width.
        width: usize,
    },
    /// The data is of another size.
    #[error("{bytes} bytes were expected, for {what}")]
    Size {
        /// What is needed.
        bytes: usize,
        /// For what.
        what: &'static str,
    },
    /// A value is infinite, not a number, or too large for float16.
    #[error("value {at} is not finite in float16")]
    NotFinite {
        /// Its index.
        at: usize,
    },
    /// The head of an audio prompt is wrong.
    #[error("an audio prompt has 4 codebooks and at least one step, not {codebooks} and {steps}")]
    PromptShape {
        /// Codebooks that it announces.
        codebooks: u16,
        /// Steps that it announces.
        steps: u16,
    },
    /// A code is beyond the codebook.
    #[error("code {code} at {at} is beyond the codebook, which ends at {last}")]
    Code {
        /// Index in the row-major codes.
        at: usize,
        /// The code.
        code: u16,
        /// The last one there is.
        last: u16,
    },
}

impl Problem {
    /// The error of the field whose text has this problem.
    pub fn of(self, field: &'static str) -> SpeakerError {
        SpeakerError::Field { field, problem: self }
    }
}
