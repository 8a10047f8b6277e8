//! The network: log-mel features in, next-token logits out.
//!
//! It runs on one of two backends, see [`Place`]; what is above doesn't know which.
//!
//! *Native*: own kernels for the processor. Weights stay in the half precision in which they are published; arithmetic is in single
//! precision. A decode step is bound by reading weights, so this halves its time without changing a result. The encoder's matrix products
//! are bound by arithmetic; weights are widened on their way into registers, beside it.
//!
//! *candle*: accelerators, and the processor for comparison.

mod attention;
mod cache;
#[cfg(feature = "candle")]
mod candle;
mod decoder;
mod encoder;
mod linear;
mod native;
mod packed;
mod place;
pub mod session;
mod team;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

pub use place::{ComputeType, DeviceName, Place, PlaceError};
pub use session::{ModelError, TokenModel};

use crate::checkpoint::{self, LoadError};
use crate::weights::{Dims, Weights};
use team::Team;

/// Windows that an accelerator encodes at a time, at most.
#[cfg(feature = "candle")]
const WINDOWS_AT_ONCE: usize = 8;

/// How a model is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads of the processor to compute with, at least one.
    pub threads: usize,
    /// What to compute with, whatever the weights are stored in.
    pub compute_type: ComputeType,
    /// What to compute on.
    pub place: Place,
}

impl Default for LoadOptions {
    /// As many threads as the machine has.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            compute_type: ComputeType::default(),
            place: Place::default(),
        }
    }
}

/// A loaded model; shared by all requests.
#[derive(Debug)]
pub struct WhisperModel {
    network: Network,
    alignment_heads: Vec<(usize, usize)>,
    compute_type: ComputeType,
    place: Place,
    threads: usize,
}

#[derive(Debug)]
enum Network {
    Native(Arc<native::Model>),
    #[cfg(feature = "candle")]
    Candle(Arc<candle::Model>),
}

/// What a network is about to be loaded onto.
enum Opened {
    Native,
    #[cfg(feature = "candle")]
    Candle(candle::Device),
}

impl Opened {
    fn new(options: &LoadOptions) -> Result<Self, PlaceError> {
        options.place.check(options.compute_type)?;
        match options.place {
            Place::Native => Ok(Self::Native),
            #[cfg(feature = "candle")]
            Place::Candle(name) => candle::open(name).map(Self::Candle),
            #[cfg(not(feature = "candle"))]
            Place::Candle(_) => Err(PlaceError::without_candle()),
        }
    }
}

/// Encoder output of one window, with the decoder's cross-attention keys and values computed from it.
#[derive(Debug)]
pub struct AudioFeatures(Audio);

#[derive(Debug)]
enum Audio {
    Native(Arc<native::Audio>),
    #[cfg(feature = "candle")]
    Candle(Arc<candle::Audio>),
}

impl AudioFeatures {
    fn native(audio: native::Audio) -> Arc<Self> {
        Arc::new(Self(Audio::Native(Arc::new(audio))))
    }

    #[cfg(feature = "candle")]
    fn candle(audio: candle::Audio) -> Arc<Self> {
        Arc::new(Self(Audio::Candle(Arc::new(audio))))
    }

    /// The encoder's output, `[frames, d_model]`.
    ///
    /// # Errors
    /// It can't be fetched from the device.
    pub fn hidden(&self) -> Result<Cow<'_, [f32]>, ModelError> {
        match &self.0 {
            Audio::Native(audio) => Ok(Cow::Borrowed(&audio.hidden)),
            #[cfg(feature = "candle")]
            Audio::Candle(audio) => audio.hidden().map(Cow::Owned),
        }
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
    /// There is no model, or it is damaged or not Whisper; the device isn't there or can't hold it.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        // That a device isn't there should not be found after gigabytes were read.
        let opened = Opened::new(options)?;
        Self::on(opened, checkpoint::read(dir)?, options)
    }

    /// A model of these weights.
    ///
    /// # Errors
    /// The device isn't there or can't hold it.
    pub fn new(weights: Weights, options: &LoadOptions) -> Result<Self, LoadError> {
        Self::on(Opened::new(options)?, weights, options)
    }

    fn on(opened: Opened, mut weights: Weights, options: &LoadOptions) -> Result<Self, LoadError> {
        let team = Team::new(match options.place.device() {
            DeviceName::Cpu => options.threads,
            // The caller's thread tells an accelerator what to do.
            DeviceName::Cuda(_) | DeviceName::Metal => 1,
        });
        let threads = team.threads();
        let alignment_heads = std::mem::take(&mut weights.alignment_heads);
        let network = match opened {
            Opened::Native => Network::Native(Arc::new(native::Model::new(weights, team, options.compute_type))),
            #[cfg(feature = "candle")]
            Opened::Candle(device) => {
                Network::Candle(Arc::new(candle::Model::new(weights, team, device, options.compute_type)?))
            }
        };
        Ok(Self { network, alignment_heads, compute_type: options.compute_type, place: options.place, threads })
    }

    /// Sizes of the network.
    pub fn dims(&self) -> &Dims {
        match &self.network {
            Network::Native(model) => model.dims(),
            #[cfg(feature = "candle")]
            Network::Candle(model) => model.dims(),
        }
    }

    /// (layer, head) pairs whose cross attention follows the audio: word timestamps come from them.
    pub fn alignment_heads(&self) -> &[(usize, usize)] {
        &self.alignment_heads
    }

    /// What it computes on.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What it computes with.
    pub fn compute_type(&self) -> ComputeType {
        self.compute_type
    }

    /// Memory that [`AudioFeatures`] of one window need, bytes.
    pub fn audio_bytes(&self) -> usize {
        match &self.network {
            Network::Native(model) => model.audio_bytes(),
            #[cfg(feature = "candle")]
            Network::Candle(model) => model.audio_bytes(),
        }
    }

    /// Threads of the processor that it computes with.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// On accelerators, runs each kind of step once: they compile and choose their kernels at the first use, which takes seconds.
    ///
    /// # Errors
    /// The device fails, for instance for lack of memory.
    pub fn warm_up(&self) -> Result<(), ModelError> {
        match &self.network {
            Network::Native(_) => Ok(()),
            #[cfg(feature = "candle")]
            Network::Candle(_) if self.place.device() == DeviceName::Cpu => Ok(()),
            #[cfg(feature = "candle")]
            Network::Candle(model) => model.warm_up(&self.alignment_heads),
        }
    }

    /// Encodes one window of log-mel features, `[n_mels, frames]`: 3000 frames for the official models.
    ///
    /// # Errors
    /// `mel` is no whole even number of frames, or more of them than the encoder has positions for.
    pub fn encode(&self, mel: &[f32]) -> Result<Arc<AudioFeatures>, ModelError> {
        Ok(match &self.network {
            Network::Native(model) => AudioFeatures::native(model.encode(mel)?),
            #[cfg(feature = "candle")]
            Network::Candle(model) => AudioFeatures::candle(model.encode(mel)?),
        })
    }

    /// Windows that are encoded faster together than one by one; 1 where that gains nothing.
    pub fn windows_at_once(&self) -> usize {
        match &self.network {
            Network::Native(_) => 1, // a window alone keeps all threads busy
            #[cfg(feature = "candle")]
            Network::Candle(_) => WINDOWS_AT_ONCE,
        }
    }

    /// Encodes several windows; accelerators compute those of equal length side by side.
    ///
    /// # Errors
    /// As [`WhisperModel::encode`].
    pub fn encode_all(&self, mels: &[&[f32]]) -> Result<Vec<Arc<AudioFeatures>>, ModelError> {
        match &self.network {
            Network::Native(_) => mels.iter().map(|mel| self.encode(mel)).collect(),
            #[cfg(feature = "candle")]
            Network::Candle(model) => Ok(model.encode_all(mels)?.into_iter().map(AudioFeatures::candle).collect()),
        }
    }

    /// Features from an encoder output that was computed elsewhere, `[frames, d_model]`.
    ///
    /// # Errors
    /// The values are no whole number of frames, or more of them than the encoder has positions for.
    pub fn features(&self, hidden: Vec<f32>) -> Result<Arc<AudioFeatures>, ModelError> {
        Ok(match &self.network {
            Network::Native(model) => AudioFeatures::native(model.features(hidden)?),
            #[cfg(feature = "candle")]
            Network::Candle(model) => AudioFeatures::candle(model.features(&hidden)?),
        })
    }

    /// Starts decoding.
    ///
    /// # Panics
    /// `audio` was made by a model on another backend.
    pub fn session(&self, audio: &AudioFeatures) -> Session {
        Session(match (&self.network, &audio.0) {
            (Network::Native(model), Audio::Native(audio)) => {
                Run::Native(Box::new(decoder::Session::new(Arc::clone(model), Arc::clone(audio))))
            }
            #[cfg(feature = "candle")]
            (Network::Candle(model), Audio::Candle(audio)) => {
                Run::Candle(Box::new(candle::Session::new(Arc::clone(model), Arc::clone(audio))))
            }
            #[cfg(feature = "candle")]
            _ => panic!("audio features belong to the model that made them"),
        })
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
        match (&self.network, &audio.0) {
            (Network::Native(model), Audio::Native(audio)) => model.cross_attention(audio, tokens, heads),
            #[cfg(feature = "candle")]
            (Network::Candle(model), Audio::Candle(audio)) => model.cross_attention(audio, tokens, heads),
            #[cfg(feature = "candle")]
            _ => Err(ModelError::foreign()),
        }
    }
}

/// A decoding run over one window; see [`TokenModel`].
#[derive(Debug)]
pub struct Session(Run);

#[derive(Debug)]
enum Run {
    Native(Box<decoder::Session>),
    #[cfg(feature = "candle")]
    Candle(Box<candle::Session>),
}

impl Session {
    /// Checks the arguments of [`TokenModel::forward`].
    pub(crate) fn check(&self, tokens: &[u32], positions: &[usize]) -> Result<(), ModelError> {
        session::check_feed(self, tokens, positions)
    }

    fn run(&self) -> &dyn TokenModel {
        match &self.0 {
            Run::Native(session) => &**session,
            #[cfg(feature = "candle")]
            Run::Candle(session) => &**session,
        }
    }

    fn run_mut(&mut self) -> &mut dyn TokenModel {
        match &mut self.0 {
            Run::Native(session) => &mut **session,
            #[cfg(feature = "candle")]
            Run::Candle(session) => &mut **session,
        }
    }
}

impl TokenModel for Session {
    fn vocab_size(&self) -> usize {
        self.run().vocab_size()
    }

    fn context(&self) -> usize {
        self.run().context()
    }

    fn beams(&self) -> usize {
        self.run().beams()
    }

    fn fed(&self) -> usize {
        self.run().fed()
    }

    fn forward(&mut self, tokens: &[u32], positions: &[usize], logits: &mut Vec<f32>) -> Result<(), ModelError> {
        self.run_mut().forward(tokens, positions, logits)
    }

    fn reorder(&mut self, source: &[usize]) -> Result<(), ModelError> {
        self.run_mut().reorder(source)
    }
}

/// What one session is fed in a step of a [`Batch`]; see [`TokenModel::forward`].
#[derive(Debug)]
pub struct Feed<'s> {
    /// The session.
    pub session: &'s mut Session,
    /// `[beams, n]`
    pub tokens: &'s [u32],
    /// Indices into the `n` tokens.
    pub positions: &'s [usize],
    /// `[beams, positions, vocabulary]`, overwritten.
    pub logits: &'s mut Vec<f32>,
}

impl Feed<'_> {
    fn native(&mut self) -> Result<decoder::Feed<'_>, ModelError> {
        let Self { session, tokens, positions, logits } = self;
        match &mut session.0 {
            Run::Native(session) => Ok(decoder::Feed { session, tokens, positions, logits }),
            #[cfg(feature = "candle")]
            Run::Candle(_) => Err(ModelError::foreign()),
        }
    }

    #[cfg(feature = "candle")]
    fn candle(&mut self) -> Result<candle::Feed<'_>, ModelError> {
        let Self { session, tokens, positions, logits } = self;
        match &mut session.0 {
            Run::Candle(session) => Ok(candle::Feed { session, tokens, positions, logits }),
            Run::Native(_) => Err(ModelError::foreign()),
        }
    }
}

/// Steps of several sessions of one model at once: each weight is read once for all of them.
#[derive(Debug, Default)]
pub struct Batch {
    native: decoder::Batch,
}

impl Batch {
    /// Feeds each session its tokens. Sessions may have different lengths, numbers of beams and numbers of tokens.
    ///
    /// # Errors
    /// As [`TokenModel::forward`]; all sessions are unchanged then.
    pub fn forward(&mut self, model: &WhisperModel, feeds: &mut [Feed<'_>]) -> Result<(), ModelError> {
        match &model.network {
            Network::Native(model) => {
                self.native.forward(model, &mut feeds.iter_mut().map(Feed::native).collect::<Result<Vec<_>, _>>()?)
            }
            #[cfg(feature = "candle")]
            Network::Candle(model) => {
                model.forward(&mut feeds.iter_mut().map(Feed::candle).collect::<Result<Vec<_>, _>>()?)
            }
        }
    }
}
