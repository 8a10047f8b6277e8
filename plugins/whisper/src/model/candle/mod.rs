//! The network on candle's tensors: NVIDIA cards, Apple's GPUs, and the processor for comparison.
//!
//! A step of any number of sessions is one pass: see [`plan`] for how their tokens are laid out, and [`rows`] for where keys and values
//! are. The host waits for the device once per step, for the logits.

mod decoder;
mod device;
mod encoder;
mod layers;
mod plan;
mod rows;
mod session;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};

pub(super) use device::{Device, open};
pub(super) use session::{Feed, Session};

use super::session::{ModelError, TokenModel as _, check_heads, check_hidden, check_mel};
use super::team::Team;
use super::{ComputeType, CrossAttention};
use crate::weights::{Dims, Weights};
use decoder::{Decoder, Watch, fetch};
use encoder::Encoder;
use layers::Target;
use rows::Buffers;

/// Windows that are encoded at once: enough to keep a large card busy, few enough for the attention scores of a small one
/// (90 MB each for the large models in half precision).
const ENCODER_BATCH: usize = 4;
/// Beams of the warm-up: those of most requests.
const WARM_UP_BEAMS: usize = 5;

/// A loaded network.
#[derive(Debug)]
pub(super) struct Model {
    dims: Dims,
    target: Target,
    encoder: Encoder,
    decoder: Decoder,
    /// Threads of the processor; accelerators don't need them.
    team: Team,
    pools: Arc<Mutex<Pools>>,
}

/// What sessions and audio share. Locked for the length of a step: a device does one thing at a time anyway.
#[derive(Debug)]
struct Pools {
    /// Keys and values of tokens for each decoder layer, `[rows, 2 · d_model]`.
    rows: Buffers,
    /// Keys, then values, of the audio for each decoder layer, `[windows, heads, n_audio_ctx, size]`.
    audio: Buffers,
}

/// Encoder output of one window, and where the decoder's keys and values that were computed from it are.
#[derive(Debug)]
pub(super) struct Audio {
    /// `[frames, d_model]`
    hidden: Tensor,
    frames: usize,
    slot: Slot,
}

/// A window's place in the audio's buffers.
#[derive(Debug)]
struct Slot {
    index: usize,
    pools: Arc<Mutex<Pools>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.pools).audio.give(self.index..self.index + 1);
    }
}

fn lock(pools: &Mutex<Pools>) -> MutexGuard<'_, Pools> {
    // The ledgers are consistent between any two of their calls.
    pools.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Audio {
    /// The encoder's output, `[frames, d_model]`.
    pub(super) fn hidden(&self) -> std::result::Result<Vec<f32>, ModelError> {
        Ok(fetch(&self.hidden)?)
    }

    fn slot(&self) -> usize {
        self.slot.index
    }
}

impl Model {
    /// Brings the weights onto the device.
    pub(super) fn new(
        weights: Weights,
        team: Team,
        device: Device,
        compute_type: ComputeType,
    ) -> std::result::Result<Self, ModelError> {
        let target = Target { device, dtype: device::dtype(compute_type) };
        let Weights { dims, encoder, decoder, .. } = weights;
        let encoder = Encoder::new(&target, encoder, dims.encoder_heads)?;
        let decoder = Decoder::new(&target, decoder, dims.decoder_heads)?;
        let window = [dims.decoder_heads, dims.n_audio_ctx, dims.d_model / dims.decoder_heads];
        let pools = Pools {
            rows: Buffers::new(&target, dims.decoder_layers, dims.n_text_ctx, &[2 * dims.d_model])?,
            audio: Buffers::new(&target, 2 * dims.decoder_layers, 1, &window)?,
        };
        Ok(Self { dims, target, encoder, decoder, team, pools: Arc::new(Mutex::new(pools)) })
    }

    pub(super) fn dims(&self) -> &Dims {
        &self.dims
    }

    pub(super) fn audio_bytes(&self) -> usize {
        let dims = &self.dims;
        dims.n_audio_ctx * dims.d_model * (2 * dims.decoder_layers + 1) * self.target.dtype.size_in_bytes()
    }

    fn pools(&self) -> MutexGuard<'_, Pools> {
        lock(&self.pools)
    }

    pub(super) fn encode(&self, mel: &[f32]) -> std::result::Result<Audio, ModelError> {
        let mut audio = self.encode_all(&[mel])?;
        // One window in, one out.
        audio.pop().ok_or_else(ModelError::foreign)
    }

    /// Windows of equal length that follow each other are encoded side by side.
    pub(super) fn encode_all(&self, mels: &[&[f32]]) -> std::result::Result<Vec<Audio>, ModelError> {
        for mel in mels {
            check_mel(&self.dims, mel)?;
        }
        let mut audio = Vec::with_capacity(mels.len());
        for equal in mels.chunk_by(|one, other| one.len() == other.len()) {
            for batch in equal.chunks(ENCODER_BATCH) {
                let shape = [batch.len(), self.dims.n_mels, batch[0].len() / self.dims.n_mels];
                let hidden = self.team.run(|| self.encoder.forward(&self.target.tensor(&batch.concat(), &shape)?))?;
                audio.extend(self.hear(&hidden)?);
            }
        }
        Ok(audio)
    }

    pub(super) fn features(&self, hidden: &[f32]) -> std::result::Result<Audio, ModelError> {
        let frames = check_hidden(&self.dims, hidden)?;
        let hidden = self.target.tensor(hidden, &[1, frames, self.dims.d_model])?;
        let mut audio = self.hear(&hidden)?;
        audio.pop().ok_or_else(ModelError::foreign)
    }

    /// Computes what the decoder needs of encoder output, `[windows, frames, d_model]`.
    fn hear(&self, hidden: &Tensor) -> Result<Vec<Audio>> {
        let (windows, frames, _) = hidden.dims3()?;
        let mut pools = self.pools();
        let mut slots = Vec::with_capacity(windows);
        for _ in 0..windows {
            match pools.audio.take(1) {
                Ok(taken) => slots.push(taken.start),
                Err(error) => {
                    slots.iter().for_each(|&slot| pools.audio.give(slot..slot + 1));
                    return Err(error);
                }
            }
        }
        let written = self.team.run(|| self.decoder.hear(hidden, &pools.audio, &slots));
        drop(pools);
        let slots: Vec<Slot> = slots.into_iter().map(|index| Slot { index, pools: Arc::clone(&self.pools) }).collect();
        written?;
        let audio = slots.into_iter().enumerate();
        audio.map(|(window, slot)| Ok(Audio { hidden: hidden.get(window)?, frames, slot })).collect()
    }

    /// Feeds several sessions at once.
    pub(super) fn forward(&self, feeds: &mut [Feed<'_>]) -> std::result::Result<(), ModelError> {
        session::forward(self, feeds, None)
    }

    pub(super) fn cross_attention(
        self: &Arc<Self>,
        audio: &Arc<Audio>,
        tokens: &[u32],
        heads: &[(usize, usize)],
    ) -> std::result::Result<CrossAttention, ModelError> {
        check_heads(&self.dims, heads)?;
        let mut watch = Watch { heads, scores: vec![None; heads.len()] };
        let positions: Vec<usize> = (0..tokens.len()).collect();
        let mut logits = Vec::new();
        let mut session = Session::new(Arc::clone(self), Arc::clone(audio));
        let feed = Feed { session: &mut session, tokens, positions: &positions, logits: &mut logits };
        session::forward(self, &mut [feed], Some(&mut watch))?;
        let scores: Vec<Tensor> = watch.scores.into_iter().flatten().collect();
        let scores = if scores.is_empty() { Vec::new() } else { fetch(&Tensor::cat(&scores, 0)?)? };
        Ok(CrossAttention { scores, frames: audio.frames, logits })
    }

    /// Runs each kind of step once.
    pub(super) fn warm_up(self: &Arc<Self>, heads: &[(usize, usize)]) -> std::result::Result<(), ModelError> {
        let silence = vec![0.0; self.dims.n_mels * 2 * self.dims.n_audio_ctx];
        let audio: Vec<Arc<Audio>> =
            self.encode_all(&[&silence[..], &silence[..]])?.into_iter().map(Arc::new).collect();
        let [first, second] = &audio[..] else { return Ok(()) };
        let session = |audio: &Arc<Audio>| Session::new(Arc::clone(self), Arc::clone(audio));
        let mut logits = Vec::new();
        let (mut one, mut other) = (session(first), session(second));
        // A prompt, and the steps of its beams.
        one.forward(&[0, 0, 0], &[0, 2], &mut logits)?;
        one.reorder(&[0; WARM_UP_BEAMS])?;
        one.forward(&[0; WARM_UP_BEAMS], &[0], &mut logits)?;
        // Beside another window: a prompt, then steps of beams of two lengths.
        self.side_by_side(&mut one, &mut other, &[0; 4])?;
        other.reorder(&[0; WARM_UP_BEAMS])?;
        self.side_by_side(&mut one, &mut other, &[0; WARM_UP_BEAMS])?;
        // Word timestamps.
        self.cross_attention(first, &[0; 8], heads)?;
        Ok(())
    }

    /// A step of a session with the warm-up's beams, and another one that is fed `tokens`.
    fn side_by_side(
        &self,
        one: &mut Session,
        other: &mut Session,
        tokens: &[u32],
    ) -> std::result::Result<(), ModelError> {
        let (mut logits, mut others) = (Vec::new(), Vec::new());
        self.forward(&mut [
            Feed { session: one, tokens: &[0; WARM_UP_BEAMS], positions: &[0], logits: &mut logits },
            Feed { session: other, tokens, positions: &[0], logits: &mut others },
        ])
    }
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> Self {
        Self::Backend { backend: "candle", reason: device::reason(&error) }
    }
}
