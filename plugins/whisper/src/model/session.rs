//! The seam between the network and the search over tokens: a search needs next-token logits, the right to drop and double
//! sequences, and nothing else. A test can therefore put a table in the network's place.

use thiserror::Error;

/// Why the network could not be run.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ModelError {
    /// More tokens than the decoder has positions for.
    #[error(
        "{wanted} tokens don't fit the decoder's context of {context}; shorten the prompt or the number of tokens to generate"
    )]
    ContextOverflow {
        /// Tokens fed so far plus those of this call.
        wanted: usize,
        /// Positions of the decoder (`n_text_ctx`).
        context: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token {token} is not in the vocabulary of {vocab} tokens")]
    UnknownToken {
        /// The id.
        token: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// An argument's shape doesn't fit the model or the state of the session.
    #[error("{what} is {got}, but {wanted} is needed")]
    Shape {
        /// Which argument or dimension.
        what: &'static str,
        /// What was given.
        got: String,
        /// What fits.
        wanted: String,
    },
    /// The tensor backend reports a failure (out of device memory, lost device).
    #[error("the {backend} backend failed: {reason}")]
    Backend {
        /// Which backend.
        backend: &'static str,
        /// Its own words.
        reason: String,
    },
    /// A defect: the computation panicked.
    #[error("the computation failed unexpectedly: {0}")]
    Panicked(String),
}

impl ModelError {
    pub(crate) fn shape(what: &'static str, got: impl ToString, wanted: impl ToString) -> Self {
        Self::Shape { what, got: got.to_string(), wanted: wanted.to_string() }
    }
}

/// One decoding run over one window: some sequences (*beams*) of equal length that share the audio.
///
/// A new session has one beam and has been fed nothing.
pub trait TokenModel {
    /// Number of logits per row.
    fn vocab_size(&self) -> usize;

    /// How many tokens a sequence may have in all (`n_text_ctx`).
    fn context(&self) -> usize;

    /// Number of sequences.
    fn beams(&self) -> usize;

    /// How many tokens each sequence has been fed.
    fn fed(&self) -> usize;

    /// Feeds each beam the next tokens of its sequence and computes logits at some of them.
    ///
    /// `tokens` holds the beams' new tokens one beam after the other, the same number for each: `[beams, n]`. `positions` are
    /// indices into the `n` fed tokens. `logits` is overwritten with `[beams, positions, vocab_size]`: row `b * positions.len() + i`
    /// predicts what follows token `positions[i]` of beam `b`. Reuse the vector between steps.
    ///
    /// # Errors
    /// The tokens don't fit the context or the vocabulary, or can't be divided among the beams. The session is unchanged then.
    fn forward(&mut self, tokens: &[u32], positions: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError>;

    /// Replaces the beams: new beam `b` continues what beam `source[b]` was. Also how the number of beams changes (`[0; 5]` widens
    /// a prefilled session to five). No keys or values are copied.
    ///
    /// # Errors
    /// `source` is empty or names a beam that isn't there. The session is unchanged then.
    fn reorder(&mut self, source: &[usize]) -> Result<(), ModelError>;
}
