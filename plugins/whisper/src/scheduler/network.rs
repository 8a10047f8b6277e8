//! What is scheduled: the operations of a network that jobs take turns at, whatever it computes on.

use std::sync::Arc;

use crate::model::{AudioFeatures, Batch, CrossAttention, Feed, ModelError, Session, TokenModel, WhisperModel};

/// What one session is fed in a turn; see [`TokenModel::forward`].
#[derive(Debug)]
pub struct Step<S> {
    /// The session.
    pub session: S,
    /// `[beams, n]`
    pub tokens: Vec<u32>,
    /// Indices into the `n` tokens.
    pub positions: Vec<usize>,
    /// `[beams, positions, vocabulary]`, overwritten.
    pub logits: Vec<f32>,
}

impl<S> Step<S> {
    /// A session that is fed nothing yet.
    pub fn new(session: S) -> Self {
        Self { session, tokens: Vec::new(), positions: Vec::new(), logits: Vec::new() }
    }
}

/// A network that several jobs drive together.
pub trait Network: Send + Sync {
    /// An encoded window.
    type Audio: Send + Sync;
    /// A decoding run over one window.
    type Session: TokenModel + Send;
    /// Buffers that turns leave to each other.
    type Work: Default + Send;

    /// Windows that are encoded faster together than one by one; 1 where that gains nothing.
    fn windows_at_once(&self) -> usize;

    /// Encodes windows of log-mel features, `[n_mels, 3000]` each. One result per window, in order.
    fn encode(&self, windows: &[Vec<f32>]) -> Vec<Result<Arc<Self::Audio>, ModelError>>;

    /// Starts decoding.
    fn session(self: &Arc<Self>, audio: &Arc<Self::Audio>) -> Self::Session;

    /// Feeds `tokens` in one go and watches where the given (layer, head) pairs look.
    ///
    /// # Errors
    /// The tokens don't fit; a head doesn't exist or is named twice; the device failed.
    fn cross_attention(
        self: &Arc<Self>,
        audio: &Arc<Self::Audio>,
        tokens: &[u32],
        heads: &[(usize, usize)],
    ) -> Result<CrossAttention, ModelError>;

    /// Whether a session can be fed this, so that one job's mistake is found before others are in the same turn.
    ///
    /// # Errors
    /// Those of [`TokenModel::forward`].
    fn check(session: &Self::Session, tokens: &[u32], positions: &[usize]) -> Result<(), ModelError>;

    /// Feeds all sessions their tokens.
    ///
    /// # Errors
    /// The device failed.
    fn forward(&self, work: &mut Self::Work, steps: &mut [&mut Step<Self::Session>]) -> Result<(), ModelError>;
}

impl Network for WhisperModel {
    type Audio = AudioFeatures;
    type Session = Session;
    type Work = Batch;

    fn windows_at_once(&self) -> usize {
        Self::windows_at_once(self)
    }

    fn encode(&self, windows: &[Vec<f32>]) -> Vec<Result<Arc<AudioFeatures>, ModelError>> {
        let mels: Vec<&[f32]> = windows.iter().map(Vec::as_slice).collect();
        match self.encode_all(&mels) {
            Ok(audio) => audio.into_iter().map(Ok).collect(),
            // One of them is at fault, perhaps: each answers for itself.
            Err(_) => windows.iter().map(|mel| self.encode(mel)).collect(),
        }
    }

    fn session(self: &Arc<Self>, audio: &Arc<AudioFeatures>) -> Session {
        Self::session(self, audio)
    }

    fn cross_attention(
        self: &Arc<Self>,
        audio: &Arc<AudioFeatures>,
        tokens: &[u32],
        heads: &[(usize, usize)],
    ) -> Result<CrossAttention, ModelError> {
        Self::cross_attention(self, audio, tokens, heads)
    }

    fn check(session: &Session, tokens: &[u32], positions: &[usize]) -> Result<(), ModelError> {
        session.check(tokens, positions)
    }

    fn forward(&self, work: &mut Batch, steps: &mut [&mut Step<Session>]) -> Result<(), ModelError> {
        let mut feeds: Vec<Feed<'_>> = steps
            .iter_mut()
            .map(|step| {
                let Step { session, tokens, positions, logits } = &mut **step;
                Feed { session, tokens, positions, logits }
            })
            .collect();
        work.forward(self, &mut feeds)
    }
}
