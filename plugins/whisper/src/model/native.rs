//! The network on this crate's own kernels: any processor, nothing else.

use std::sync::{Arc, Mutex, PoisonError};

use super::cache::AudioLayer;
use super::decoder::{self, Session, Watch};
use super::packed::{self, Packed};
use super::session::{self, ModelError};
use super::team::Team;
use super::{ComputeType, CrossAttention, encoder};
use crate::weights::{Dims, Weights};

/// A loaded network.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) weights: Weights<Packed>,
    pub(super) team: Team,
    /// Whether the audio's keys and values are kept in half precision.
    pub(super) half_audio: bool,
    /// Buffers of the last window, for the next.
    spare: Mutex<Option<encoder::Work>>,
}

/// Encoder output of one window, with the decoder's cross-attention keys and values computed from it.
#[derive(Debug)]
pub(super) struct Audio {
    /// `[frames, d_model]`
    pub(super) hidden: Vec<f32>,
    pub(super) layers: Vec<AudioLayer>,
}

impl Model {
    /// Brings the weights into the form that they are computed with.
    pub(super) fn new(weights: Weights, team: Team, compute_type: ComputeType) -> Self {
        let weights = team.run(|| {
            let float = |matrix| Packed::float(&team, matrix);
            // Convolutions are a few percent of the work and stay as they are.
            match compute_type {
                ComputeType::Int8 => weights.map(&|matrix| Packed::int8(&team, matrix), &float),
                _ => weights.map(&float, &float),
            }
        });
        packed::release_memory();
        Self { weights, team, half_audio: compute_type == ComputeType::Int8, spare: Mutex::default() }
    }

    pub(super) fn dims(&self) -> &Dims {
        &self.weights.dims
    }

    pub(super) fn audio_bytes(&self) -> usize {
        let dims = self.dims();
        let value = if self.half_audio { size_of::<half::f16>() } else { size_of::<f32>() };
        dims.n_audio_ctx * dims.d_model * (2 * dims.decoder_layers * value + size_of::<f32>())
    }

    pub(super) fn encode(&self, mel: &[f32]) -> Result<Audio, ModelError> {
        let frames = session::check_mel(self.dims(), mel)?;
        let heads = self.dims().encoder_heads;
        let hidden =
            self.with_work(|work| encoder::encode(&self.team, &self.weights.encoder, heads, mel, frames, work));
        self.features(hidden)
    }

    pub(super) fn features(&self, hidden: Vec<f32>) -> Result<Audio, ModelError> {
        session::check_hidden(self.dims(), &hidden)?;
        let layers = self.with_work(|work| decoder::audio_layers(self, &hidden, work));
        Ok(Audio { hidden, layers })
    }

    /// Runs `work` on the team, with the spare buffers; a second window at the same time gets its own.
    fn with_work<R: Send>(&self, work: impl FnOnce(&mut encoder::Work) -> R + Send) -> R {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = spare().take().unwrap_or_default();
        let done = self.team.run(|| work(&mut buffers));
        *spare() = Some(buffers);
        done
    }

    pub(super) fn cross_attention(
        self: &Arc<Self>,
        audio: &Arc<Audio>,
        tokens: &[u32],
        heads: &[(usize, usize)],
    ) -> Result<CrossAttention, ModelError> {
        session::check_heads(self.dims(), heads)?;
        let frames = audio.hidden.len() / self.dims().d_model;
        let mut watch = Watch { heads: heads.to_vec(), scores: vec![vec![0.0; tokens.len() * frames]; heads.len()] };
        let positions: Vec<usize> = (0..tokens.len()).collect();
        let mut logits = Vec::new();
        let mut session = Session::new(Arc::clone(self), Arc::clone(audio));
        session.forward_watched(tokens, &positions, &mut logits, Some(&mut watch))?;
        Ok(CrossAttention { scores: watch.scores.concat(), frames, logits })
    }
}
