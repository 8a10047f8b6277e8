//! The official torch release (`config.json`, `*.pth`, `voices/*.pt`) run by an implementation of our own on candle: on the processor, with
//! our own kernels where they are faster, and on accelerators.
//!
//! A file per stage, in the order that data flows: [`plbert`] and [`text_encoder`] read the phonemes, [`prosody`] tells durations, pitch and
//! energy, [`decoder`] joins them, [`source`] and [`stft`] make the harmonic source, [`generator`] the spectrum, [`stft`] the sound.

mod decoder;
mod generator;
mod layers;
mod plbert;
mod prosody;
pub mod source;
pub mod stft;
mod text_encoder;
mod weights;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

pub use decoder::Decoder;
pub use generator::Generator;
pub use plbert::{PlBert, ids_tensor};
pub use prosody::{Durations, ProsodyPredictor, align};
pub use source::Noise;
pub use text_encoder::TextEncoder;
pub use weights::{Checkpoint, Weights};

use self::layers::Linear;
use self::source::HarmonicSource;
use self::stft::{Form, Stft};
use crate::config::{ConfigError, ModelConfig};
use crate::session::Utterance;
use crate::voices::STYLE_WIDTH;

/// A checkpoint that can't be used, or a run that failed.
#[derive(Debug, thiserror::Error)]
pub enum TorchError {
    /// The file.
    #[error(transparent)]
    Checkpoint(#[from] syrinx_plugin_common::checkpoint::CheckpointError),
    /// The configuration beside it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor that has not the shape it should.
    #[error("the checkpoint is no Kokoro: {0}")]
    Shape(String),
    /// More ids than the network has positions.
    #[error("{ids} ids are more than the {positions} that fit into one run")]
    TooLong {
        /// Ids, pads included.
        ids: usize,
        /// What fits.
        positions: usize,
    },
    /// An id that is not in the vocabulary.
    #[error("id {0} is not in the vocabulary")]
    Id(i64),
    /// The threads of the network can't be started.
    #[error("threads can't be started: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// candle's error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// How the network is run.
#[derive(Clone, Debug)]
pub struct TorchOptions {
    /// Where.
    pub device: Device,
    /// What decoder and generator compute in; what leads to durations always computes in float32.
    pub dtype: DType,
    /// Threads of one run on the processor; 0 for all cores.
    pub threads: usize,
    /// Which form of the short transforms.
    pub form: Form,
    /// Whether our own kernels do what they can on the processor; without them it runs what accelerators run, slowly.
    pub kernels: bool,
}

impl Default for TorchOptions {
    fn default() -> Self {
        TorchOptions { device: Device::Cpu, dtype: DType::F32, threads: 0, form: Form::Complex, kernels: true }
    }
}

/// All stages of the network.
pub struct TorchNetwork {
    bert: PlBert,
    bert_encoder: Linear,
    text_encoder: TextEncoder,
    predictor: ProsodyPredictor,
    decoder: Decoder,
    source: HarmonicSource,
    stft: Stft,
    generator: Generator,
    vocabulary_size: usize,
    style_width: usize,
    options: TorchOptions,
    pool: rayon::ThreadPool,
}

/// What one run makes, and what lies on the way to it.
pub struct Spoken {
    /// Frames of 25 ms per input id.
    pub frames: Vec<i64>,
    /// Mono samples.
    pub samples: Vec<f32>,
    /// PL-BERT's hidden states.
    pub last_hidden: Tensor,
    /// The duration half.
    pub durations: Durations,
    /// The text encoder's output.
    pub t_en: Tensor,
    /// Pitch per half frame.
    pub f0: Tensor,
    /// Energy per half frame.
    pub n: Tensor,
    /// The generator's input.
    pub x: Tensor,
}

/// The harmonic source of a run.
#[derive(Clone, Copy)]
pub enum Harmonics<'h> {
    /// Made of the pitch, with this noise.
    Noise(Noise<'h>),
    /// Magnitudes and phases, `[bins, frames]` each.
    Spectrum(&'h [f32], &'h [f32]),
}

impl TorchNetwork {
    /// Loads the checkpoint at `path` with the configuration beside it.
    ///
    /// # Errors
    ///
    /// Files that are missing or broken, or that don't fit to each other.
    pub fn load(path: &Path, options: TorchOptions) -> Result<Self, TorchError> {
        let config = ModelConfig::read(&config_beside(path))?;
        let checkpoint = Checkpoint::open(path)?;
        let exact = checkpoint.weights(&options.device, DType::F32, options.kernels);
        let decoder = exact.in_dtype(options.dtype).part("decoder");
        let net = &config.istftnet;
        let upsampling = net.upsample_rates.iter().product::<usize>() * net.gen_istft_hop_size;
        Ok(TorchNetwork {
            bert: PlBert::load(&exact.part("bert"), &config.plbert)?,
            bert_encoder: Linear::load(&exact.part("bert_encoder"))?,
            text_encoder: TextEncoder::load(
                &exact.part("text_encoder"),
                config.n_layer,
                config.text_encoder_kernel_size,
            )?,
            predictor: ProsodyPredictor::load(&exact.part("predictor"), config.n_layer)?,
            decoder: Decoder::load(&decoder)?,
            source: HarmonicSource::load(&exact.part("decoder.generator.m_source"), upsampling)?,
            stft: Stft::new(net.gen_istft_n_fft, net.gen_istft_hop_size, options.form),
            generator: Generator::load(&decoder.part("generator"), net)?,
            vocabulary_size: config.n_token,
            style_width: config.style_dim,
            pool: rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?,
            options,
        })
    }

    /// Speaks `ids` (pads included) in the style row `style`; the noise is drawn with `seed`.
    ///
    /// # Errors
    ///
    /// [`TorchError::TooLong`], [`TorchError::Id`], [`TorchError::Candle`].
    pub fn speak(&self, ids: &[i64], style: &[f32], speed: f32, seed: u64) -> Result<Utterance, TorchError> {
        let spoken = self.run(ids, style, speed, Harmonics::Noise(Noise::Seed(seed)))?;
        Ok(Utterance { samples: spoken.samples, durations: Some(spoken.frames) })
    }

    /// As [`TorchNetwork::speak`] with the harmonic source as given, on the network's own threads.
    ///
    /// # Errors
    ///
    /// As [`TorchNetwork::speak`].
    pub fn run(&self, ids: &[i64], style: &[f32], speed: f32, harmonics: Harmonics<'_>) -> Result<Spoken, TorchError> {
        self.pool.install(|| self.run_here(ids, style, speed, harmonics))
    }

    fn run_here(&self, ids: &[i64], style: &[f32], speed: f32, harmonics: Harmonics<'_>) -> Result<Spoken, TorchError> {
        let (decoder_style, prosody_style) = self.styles(style)?;
        let ids = self.ids(ids, 1)?;
        let (last_hidden, d_en) = self.encode_prosody(&ids, &[])?;
        let durations = self.predictor.durations(&d_en, &prosody_style, speed)?;
        let t_en = self.text_encoder.forward(&ids, &[])?;
        let (en, asr) = self.align(&durations.d, &t_en, &durations.frames)?;
        let (f0, n) = self.predictor.contours(&en, &prosody_style)?;
        let x = self.decode(&asr, &f0, &n, &decoder_style)?;
        let spectrum = match harmonics {
            Harmonics::Noise(noise) => self.source_spectrum(&f0.flatten_all()?.to_vec1::<f32>()?, noise)?,
            Harmonics::Spectrum(magnitudes, phases) => [magnitudes, phases].concat(),
        };
        let samples = self.generate(&x, &spectrum, &decoder_style)?.1;
        Ok(Spoken { frames: durations.frames.clone(), samples, last_hidden, durations, t_en, f0, n, x })
    }

    /// The halves of a style row: the decoder's and the prosody's, `[1, style]` each.
    ///
    /// # Errors
    ///
    /// The row has another length.
    pub fn styles(&self, style: &[f32]) -> Result<(Tensor, Tensor), TorchError> {
        if style.len() != 2 * self.style_width {
            return Err(TorchError::Shape(format!("a style row of {} values instead of {STYLE_WIDTH}", style.len())));
        }
        let (decoder, prosody) = style.split_at(self.style_width);
        let tensor = |half: &[f32]| Tensor::from_slice(half, (1, half.len()), &self.options.device);
        Ok((tensor(decoder)?, tensor(prosody)?))
    }

    /// `ids` of `batch` items of equal (padded) length as a tensor.
    ///
    /// # Errors
    ///
    /// [`TorchError::TooLong`], [`TorchError::Id`].
    pub fn ids(&self, ids: &[i64], batch: usize) -> Result<Tensor, TorchError> {
        let length = ids.len() / batch.max(1);
        if length > self.bert.positions() {
            return Err(TorchError::TooLong { ids: length, positions: self.bert.positions() });
        }
        if let Some(id) = ids.iter().find(|id| usize::try_from(**id).map_or(true, |id| id >= self.vocabulary_size)) {
            return Err(TorchError::Id(*id));
        }
        Ok(ids_tensor(ids, batch, &self.options.device)?)
    }

    /// PL-BERT: its hidden states and `d_en`, `[batch, hidden, time]`. Without `lengths` nothing is padding.
    ///
    /// # Errors
    ///
    /// [`TorchError::Candle`].
    pub fn encode_prosody(&self, ids: &Tensor, lengths: &[usize]) -> Result<(Tensor, Tensor), TorchError> {
        let hidden = self.bert.forward(ids, lengths)?;
        let d_en = self.bert_encoder.forward(&hidden)?.transpose(1, 2)?.contiguous()?;
        Ok((hidden, d_en))
    }

    /// The stages, for those who run them one by one.
    #[must_use]
    pub fn stages(&self) -> (&PlBert, &TextEncoder, &ProsodyPredictor) {
        (&self.bert, &self.text_encoder, &self.predictor)
    }

    /// `d` `[1, time, hidden + style]` and `t_en` `[1, hidden, time]` repeated to frames: `en` `[1, hidden + style, frames]` and `asr`
    /// `[1, hidden, frames]`.
    ///
    /// # Errors
    ///
    /// [`TorchError::Candle`].
    pub fn align(&self, d: &Tensor, t_en: &Tensor, frames: &[i64]) -> Result<(Tensor, Tensor), TorchError> {
        let en = align(d, frames, 1)?.transpose(1, 2)?.contiguous()?;
        Ok((en, align(t_en, frames, 2)?))
    }

    /// The decoder without its generator. Takes float32, gives the decoder's type.
    ///
    /// # Errors
    ///
    /// [`TorchError::Candle`].
    pub fn decode(&self, asr: &Tensor, f0: &Tensor, n: &Tensor, style: &Tensor) -> Result<Tensor, TorchError> {
        let own = |x: &Tensor| x.to_dtype(self.options.dtype);
        Ok(self.decoder.forward(&own(asr)?, &own(f0)?, &own(n)?, style)?)
    }

    /// Samples of the harmonic source of a pitch.
    ///
    /// # Errors
    ///
    /// As [`HarmonicSource::signal`].
    pub fn source_signal(&self, f0: &[f32], noise: Noise<'_>) -> Result<Vec<f32>, TorchError> {
        self.source.signal(f0, noise)
    }

    /// Magnitudes and phases of the harmonic source, `[2 · bins, frames]`.
    fn source_spectrum(&self, f0: &[f32], noise: Noise<'_>) -> Result<Vec<f32>, TorchError> {
        Ok(self.stft.transform(&self.source.signal(f0, noise)?))
    }

    /// The generator with its inverse transform: what the last convolution gives, `[1, 2 · bins, frames]`, and the samples. `spectrum` is
    /// the harmonic source's, `[2 · bins, frames]`.
    ///
    /// # Errors
    ///
    /// [`TorchError::Candle`].
    pub fn generate(&self, x: &Tensor, spectrum: &[f32], style: &Tensor) -> Result<(Tensor, Vec<f32>), TorchError> {
        let bins = self.stft.bins();
        let source = Tensor::from_slice(spectrum, (1, 2 * bins, spectrum.len() / (2 * bins)), &self.options.device)?;
        let own = |x: &Tensor| x.to_dtype(self.options.dtype);
        let spectrum = self.generator.forward(&own(x)?, &own(&source)?, style)?;
        let mut values = spectrum.flatten_all()?.to_vec1::<f32>()?;
        let frames = spectrum.dim(2)?;
        let (magnitudes, phases) = values.split_at_mut(bins * frames);
        magnitudes.iter_mut().for_each(|magnitude| *magnitude = magnitude.exp());
        phases.iter_mut().for_each(|phase| *phase = phase.sin());
        let samples = self.stft.inverse(magnitudes, phases, frames);
        Ok((spectrum, samples))
    }

    /// The short transforms.
    #[must_use]
    pub fn stft(&self) -> &Stft {
        &self.stft
    }
}

/// The official configuration, which lies beside the checkpoint.
fn config_beside(checkpoint: &Path) -> PathBuf {
    checkpoint.with_file_name("config.json")
}
