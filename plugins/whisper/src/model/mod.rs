//! The Whisper network on the processor.
//!
//! Data flow: [`frontend`](crate::frontend) → [`WhisperModel::encode`] → [`AudioFeatures`] → [`WhisperModel::session`] →
//! [`TokenModel::forward`], step by step, driven by a search.
//!
//! Weights stay in the half precision in which they are published; arithmetic is in single precision. A decode step is bound by reading
//! weights, so this halves its time without changing a result. The encoder's matrix products are bound by arithmetic; weights are widened
//! on their way into registers, beside it.

mod attention;
mod cache;
mod decoder;
mod encoder;
mod linear;
mod packed;
pub mod session;
mod team;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub use decoder::{Batch, Feed, Session};
pub use session::{ModelError, TokenModel};

use crate::checkpoint::{self, LoadError};
use crate::weights::{Dims, Weights};
use cache::AudioLayer;
use decoder::Watch;
use packed::Packed;
use team::Team;

/// What the network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputeType {
    /// Single precision; the reference's results.
    #[default]
    Float32,
    /// Linear layers with int8 weights (one scale per row) and 12-bit activations; everything else in single precision.
    Int8,
}

/// How a model is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads to compute with, at least one.
    pub threads: usize,
    /// What to compute with, whatever the weights are stored in.
    pub compute_type: ComputeType,
}

impl Default for LoadOptions {
    /// As many threads as the machine has.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            compute_type: ComputeType::default(),
        }
    }
}

/// A loaded model; shared by all requests.
#[derive(Debug)]
pub struct WhisperModel {
    weights: Weights<Packed>,
    team: Team,
    /// Whether the audio's keys and values are kept in half precision.
    half_audio: bool,
    /// Buffers of the last window, for the next.
    spare: Mutex<Option<encoder::Work>>,
}

/// Encoder output of one window, with the decoder's cross-attention keys and values computed from it.
#[derive(Debug)]
pub struct AudioFeatures {
    /// `[frames, d_model]`
    hidden: Vec<f32>,
    layers: Vec<AudioLayer>,
}

impl AudioFeatures {
    /// The encoder's output, `[frames, d_model]`.
    pub fn hidden(&self) -> &[f32] {
        &self.hidden
    }
}

/// What [`WhisperModel::cross_attention`] finds.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossAttention {
    /// Scores before the softmax, `[heads, tokens, frames]`.
    pub scores: Vec<f32>,
    /// Frames of the audio features (1500 for a window).
    pub frames: usize,
    /// `[tokens, vocab_size]`
    pub logits: Vec<f32>,
}

impl WhisperModel {
    /// Loads the model in `dir`, in any of the layouts of [`checkpoint::Layout`].
    ///
    /// # Errors
    /// There is no model, or it is damaged or not Whisper.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let team = Team::new(options.threads);
        let weights = checkpoint::read(dir)?;
        let half_audio = options.compute_type == ComputeType::Int8;
        let weights = team.run(|| {
            let float = |matrix| Packed::float(&team, matrix);
            // Convolutions are a few percent of the work and stay as they are.
            match options.compute_type {
                ComputeType::Float32 => weights.map(&float, &float),
                ComputeType::Int8 => weights.map(&|matrix| Packed::int8(&team, matrix), &float),
            }
        });
        packed::release_memory();
        Ok(Self { weights, team, half_audio, spare: Mutex::default() })
    }

    /// Sizes of the network.
    pub fn dims(&self) -> &Dims {
        &self.weights.dims
    }

    /// (layer, head) pairs whose cross attention follows the audio: word timestamps come from them.
    pub fn alignment_heads(&self) -> &[(usize, usize)] {
        &self.weights.alignment_heads
    }

    /// Memory that [`AudioFeatures`] of one window need, bytes.
    pub fn audio_bytes(&self) -> usize {
        let dims = self.dims();
        let value = if self.half_audio { size_of::<half::f16>() } else { size_of::<f32>() };
        dims.n_audio_ctx * dims.d_model * (2 * dims.decoder_layers * value + size_of::<f32>())
    }

    /// Threads it computes with.
    pub fn threads(&self) -> usize {
        self.team.threads()
    }

    /// Encodes one window of log-mel features, `[n_mels, frames]`: 3000 frames for the official models.
    ///
    /// # Errors
    /// `mel` is no whole even number of frames, or more of them than the encoder has positions for.
    pub fn encode(&self, mel: &[f32]) -> Result<AudioFeatures, ModelError> {
        let dims = self.dims();
        let frames = mel.len() / dims.n_mels;
        if frames == 0 || frames % 2 == 1 || frames > 2 * dims.n_audio_ctx || frames * dims.n_mels != mel.len() {
            let wanted = format!("{} bins times an even number of frames up to {}", dims.n_mels, 2 * dims.n_audio_ctx);
            return Err(ModelError::shape("the number of mel values", mel.len(), wanted));
        }
        let hidden = self.with_work(|work| {
            encoder::encode(&self.team, &self.weights.encoder, dims.encoder_heads, mel, frames, work)
        });
        self.features(hidden)
    }

    /// Features from an encoder output that was computed elsewhere, `[frames, d_model]`.
    ///
    /// # Errors
    /// The values are no whole number of frames.
    pub fn features(&self, hidden: Vec<f32>) -> Result<AudioFeatures, ModelError> {
        if hidden.is_empty() || !hidden.len().is_multiple_of(self.dims().d_model) {
            return Err(ModelError::shape(
                "the number of feature values",
                hidden.len(),
                format!("a multiple of {}", self.dims().d_model),
            ));
        }
        let layers = self.with_work(|work| decoder::audio_layers(self, &hidden, work));
        Ok(AudioFeatures { hidden, layers })
    }

    /// Runs `work` on the team, with the spare buffers; a second window at the same time gets its own.
    fn with_work<R: Send>(&self, work: impl FnOnce(&mut encoder::Work) -> R + Send) -> R {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers = spare().take().unwrap_or_default();
        let done = self.team.run(|| work(&mut buffers));
        *spare() = Some(buffers);
        done
    }

    /// Starts decoding.
    pub fn session<'m>(&'m self, audio: &'m AudioFeatures) -> Session<'m> {
        Session::new(self, audio)
    }

    /// Feeds `tokens` in one go and watches where the given (layer, head) pairs look.
    ///
    /// # Errors
    /// The tokens don't fit the context or the vocabulary, or a head doesn't exist or is named twice.
    pub fn cross_attention(
        &self,
        audio: &AudioFeatures,
        tokens: &[u32],
        heads: &[(usize, usize)],
    ) -> Result<CrossAttention, ModelError> {
        let dims = self.dims();
        for (index, &(layer, head)) in heads.iter().enumerate() {
            if layer >= dims.decoder_layers || head >= dims.decoder_heads || heads[..index].contains(&(layer, head)) {
                let wanted = format!("below {}.{}, each once", dims.decoder_layers, dims.decoder_heads);
                return Err(ModelError::shape("a layer and head to watch", format!("{layer}.{head}"), wanted));
            }
        }
        let frames = audio.hidden.len() / dims.d_model;
        let mut watch = Watch { heads: heads.to_vec(), scores: vec![vec![0.0; tokens.len() * frames]; heads.len()] };
        let positions: Vec<usize> = (0..tokens.len()).collect();
        let mut logits = Vec::new();
        self.session(audio).forward_watched(tokens, &positions, &mut logits, Some(&mut watch))?;
        Ok(CrossAttention { scores: watch.scores.concat(), frames, logits })
    }
}
