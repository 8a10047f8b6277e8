//! The seam between the network and the search over tokens: a search needs next-token logits, the right to drop and double
//! sequences, and nothing else. A test can therefore put a table in the network's place.

use thiserror::Error;

use crate::weights::Dims;

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

    /// A session or audio of another model.
    #[cfg(feature = "candle")]
    pub(super) fn foreign() -> Self {
        Self::shape("the model of a session or of its audio", "another one", "the model that is asked")
    }
}

/// Checks the arguments of [`TokenModel::forward`].
pub(super) fn check_feed(session: &dyn TokenModel, tokens: &[u32], positions: &[usize]) -> Result<(), ModelError> {
    let (beams, context, vocab) = (session.beams(), session.context(), session.vocab_size());
    let n = tokens.len() / beams;
    if n == 0 || !tokens.len().is_multiple_of(beams) {
        let wanted = format!("a multiple of the {beams} beams");
        return Err(ModelError::shape("the number of tokens", tokens.len(), wanted));
    }
    let wanted = session.fed() + n;
    if wanted > context {
        return Err(ModelError::ContextOverflow { wanted, context });
    }
    if let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) {
        return Err(ModelError::UnknownToken { token, vocab });
    }
    if let Some(&position) = positions.iter().find(|&&position| position >= n) {
        return Err(ModelError::shape("a position", position, format!("below the number of tokens per beam, {n}")));
    }
    Ok(())
}

/// Checks the argument of [`TokenModel::reorder`] for a session of `beams` sequences.
pub(super) fn check_reorder(beams: usize, source: &[usize]) -> Result<(), ModelError> {
    if source.is_empty() {
        return Err(ModelError::shape("the number of beams", 0, "at least 1"));
    }
    match source.iter().find(|&&beam| beam >= beams) {
        Some(beam) => Err(ModelError::shape("a beam to continue", beam, format!("below {beams}"))),
        None => Ok(()),
    }
}

/// Checks the (layer, head) pairs whose cross attention is to be watched.
pub(super) fn check_heads(dims: &Dims, heads: &[(usize, usize)]) -> Result<(), ModelError> {
    for (index, &(layer, head)) in heads.iter().enumerate() {
        if layer >= dims.decoder_layers || head >= dims.decoder_heads || heads[..index].contains(&(layer, head)) {
            let wanted = format!("below {}.{}, each once", dims.decoder_layers, dims.decoder_heads);
            return Err(ModelError::shape("a layer and head to watch", format!("{layer}.{head}"), wanted));
        }
    }
    Ok(())
}

/// Checks log-mel features of one window, and counts their frames.
pub(super) fn check_mel(dims: &Dims, mel: &[f32]) -> Result<usize, ModelError> {
    let frames = mel.len() / dims.n_mels;
    if frames == 0 || frames % 2 == 1 || frames > 2 * dims.n_audio_ctx || frames * dims.n_mels != mel.len() {
        let wanted = format!("{} bins times an even number of frames up to {}", dims.n_mels, 2 * dims.n_audio_ctx);
        return Err(ModelError::shape("the number of mel values", mel.len(), wanted));
    }
    Ok(frames)
}

/// Checks encoder output that was computed elsewhere, and counts its frames.
pub(super) fn check_hidden(dims: &Dims, hidden: &[f32]) -> Result<usize, ModelError> {
    let frames = hidden.len() / dims.d_model;
    if frames == 0 || frames > dims.n_audio_ctx || !hidden.len().is_multiple_of(dims.d_model) {
        let wanted = format!("{} times a number of frames up to {}", dims.d_model, dims.n_audio_ctx);
        return Err(ModelError::shape("the number of feature values", hidden.len(), wanted));
    }
    Ok(frames)
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
