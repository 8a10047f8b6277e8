//! The two networks of class `DVAE`: the mel decoder for hidden states, and the autoencoder of recordings.

use tch::{Kind, Tensor};

use super::{
    convnext::{Block, Context, Conv},
    quantizer::Quantizer,
    weights::{Weights, size},
};
use crate::error::ChatTtsError;

/// Dilation of the depthwise convolutions. Source: `ChatTTS/model/dvae.py:ConvNeXtBlock`.
const DILATION: i64 = 2;
/// Samples of a frame. Source: `ChatTTS/model/dvae.py:MelSpectrogramFeatures`.
const N_FFT: i64 = 1024;
/// Samples from frame to frame.
const HOP: i64 = 256;
/// Where the logarithm ends. Source: `ChatTTS/model/dvae.py:safe_log`.
const FLOOR: f64 = 1e-5;

/// `DVAEDecoder`: two convolutions, blocks, a product.
struct Trunk {
    conv_in: [Conv; 2],
    blocks: Vec<Block>,
    conv_out: Conv,
}

impl Trunk {
    fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        let block = |index| Block::load(&weights.part(format_args!("decoder_block.{index}")), DILATION, "weight");
        Ok(Self {
            conv_in: [Conv::load(weights, "conv_in.0")?, Conv::load(weights, "conv_in.2")?],
            blocks: (0..weights.count("decoder_block")).map(block).collect::<Result<_, _>>()?,
            conv_out: Conv::load(weights, "conv_out")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let mut x = self.conv_in(x)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.conv_out.forward(&x)
    }

    fn conv_in(&self, x: &Tensor) -> Result<Tensor, tch::TchError> {
        let [first, second] = &self.conv_in;
        second.forward(&first.forward(x)?.f_gelu("none")?)
    }
}

/// Makes log-mel frames of hidden states or of features of codes, two for each.
pub struct MelDecoder {
    trunk: Trunk,
    out_conv: Conv,
    coef: Tensor,
}

/// Where a [`MelDecoder`] is in an utterance.
#[derive(Debug, Default)]
pub struct MelState {
    conv_in: [Context; 2],
    blocks: Vec<Context>,
    out_conv: Context,
}

impl MelDecoder {
    /// Loads `Decoder.safetensors`, or the decoder of `DVAE.safetensors`.
    ///
    /// # Errors
    /// Tensors are missing or don't fit.
    pub fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        Ok(Self {
            trunk: Trunk::load(&weights.part("decoder"))?,
            out_conv: Conv::load(weights, "out_conv")?,
            coef: weights.exact("coef")?,
        })
    }

    /// Numbers of a step.
    #[must_use]
    pub fn width(&self) -> i64 {
        2 * self.trunk.conv_in[0].inputs()
    }

    /// All at once: `[batch, width, steps]` to log-mel `[batch, mels, 2 · steps]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, ChatTtsError> {
        let mel = self.out_conv.forward(&self.trunk.forward(&frames(&x.f_transpose(1, 2)?)?)?)?;
        Ok(mel.f_mul(&self.coef)?)
    }

    /// The frames `[batch, mels, frames]` that the next steps `[batch, steps, width]` make final; none: not any yet.
    ///
    /// # Errors
    /// The device failed.
    pub fn push(
        &self,
        state: &mut MelState,
        x: Option<&Tensor>,
        is_last: bool,
    ) -> Result<Option<Tensor>, ChatTtsError> {
        state.blocks.resize_with(self.trunk.blocks.len(), Context::default);
        let [first, second] = &mut state.conv_in;
        let mut x = x.map(frames).transpose()?;
        x = self.trunk.conv_in[0].push(first, x, is_last)?.map(|x| x.f_gelu("none")).transpose()?;
        x = self.trunk.conv_in[1].push(second, x, is_last)?;
        for (block, context) in self.trunk.blocks.iter().zip(&mut state.blocks) {
            x = block.push(context, x, is_last)?;
        }
        x = x.map(|x| self.trunk.conv_out.forward(&x)).transpose()?;
        let mel = self.out_conv.push(&mut state.out_conv, x, is_last)?;
        Ok(mel.map(|mel| mel.f_mul(&self.coef)).transpose()?)
    }

    /// The two convolutions before the blocks.
    ///
    /// # Errors
    /// The device failed.
    pub fn conv_in(&self, x: &Tensor) -> Result<Tensor, ChatTtsError> {
        Ok(self.trunk.conv_in(x)?)
    }

    /// One block; none: there is no such.
    ///
    /// # Errors
    /// The device failed.
    pub fn block(&self, index: usize, x: &Tensor) -> Result<Option<Tensor>, ChatTtsError> {
        Ok(self.trunk.blocks.get(index).map(|block| block.forward(x)).transpose()?)
    }
}

/// Steps `[batch, steps, width]` as frames `[batch, width / 2, 2 · steps]`: the first half of a step's channels, then the second.
fn frames(x: &Tensor) -> Result<Tensor, tch::TchError> {
    x.f_reshape([size(x, 0), 2 * size(x, 1), size(x, 2) / 2])?.f_transpose(1, 2)
}

/// The autoencoder: codes of recordings, features of codes, and its own decoder.
pub struct Dvae {
    window: Tensor,
    filters: Tensor,
    coef: Tensor,
    downsample: [Conv; 2],
    encoder: Trunk,
    quantizer: Quantizer,
    decoder: MelDecoder,
}

impl Dvae {
    /// Loads `DVAE.safetensors`.
    ///
    /// # Errors
    /// Tensors are missing or don't fit.
    pub fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        let mel = weights.part("preprocessor_mel.mel_spec");
        Ok(Self {
            window: mel.exact("spectrogram.window")?,
            filters: mel.exact("mel_scale.fb")?,
            coef: weights.exact("coef")?,
            downsample: [
                Conv::load(weights, "downsample_conv.0")?,
                Conv::load(weights, "downsample_conv.2")?.strided(2),
            ],
            encoder: Trunk::load(&weights.part("encoder"))?,
            quantizer: Quantizer::load(&weights.part("vq_layer.quantizer"))?,
            decoder: MelDecoder::load(weights)?,
        })
    }

    /// The quantiser.
    #[must_use]
    pub fn quantizer(&self) -> &Quantizer {
        &self.quantizer
    }

    /// The decoder of the quantiser's features.
    #[must_use]
    pub fn decoder(&self) -> &MelDecoder {
        &self.decoder
    }

    /// Log-mel spectrum `[mels, frames]` of mono samples at 24 kHz.
    ///
    /// # Errors
    /// The device failed.
    pub fn mel(&self, samples: &[f32]) -> Result<Tensor, ChatTtsError> {
        let mut samples = samples.to_vec();
        // A sound shorter than half a frame can't be mirrored.
        samples.resize(samples.len().max(N_FFT as usize / 2 + 1), 0.0);
        let sound = Tensor::f_from_slice(&samples)?.f_to_device(self.window.device())?.f_unsqueeze(0)?;
        let frames = sound.f_reflection_pad1d([N_FFT / 2, N_FFT / 2])?.f_squeeze_dim(0)?.f_unfold(0, N_FFT, HOP)?;
        let magnitude = frames.f_mul(&self.window)?.f_fft_rfft(None, -1, "backward")?.f_abs()?;
        Ok(magnitude.f_matmul(&self.filters)?.f_clamp_min(FLOOR)?.f_log()?.f_transpose(0, 1)?)
    }

    /// Codes `[codebooks, steps]` of mono samples at 24 kHz.
    ///
    /// # Errors
    /// The device failed.
    pub fn encode(&self, samples: &[f32]) -> Result<Tensor, ChatTtsError> {
        let mut x = self.mel(samples)?.f_unsqueeze(0)?.f_div(&self.coef)?;
        for conv in &self.downsample {
            x = conv.forward(&x)?.f_gelu("none")?;
        }
        Ok(self.quantizer.encode(&self.encoder.forward(&x)?)?.f_squeeze_dim(0)?.f_to_kind(Kind::Int64)?)
    }
}
