//! The decoder: from aligned text, pitch and energy to the features that the generator sounds (`kokoro.istftnet:Decoder`).

use candle_core::Tensor;

use super::TorchError;
use super::layers::{AdaIn, Conv1d, DoublingPool, leaky_relu};
use super::text_encoder::SLOPE;
use super::weights::Weights;

/// A residual block whose norms the style modulates (`kokoro.istftnet:AdainResBlk1d`).
pub(super) struct AdainResBlock {
    conv1: Conv1d,
    conv2: Conv1d,
    norm1: AdaIn,
    norm2: AdaIn,
    /// Where the width changes.
    conv1x1: Option<Conv1d>,
    /// In blocks that double the time.
    pool: Option<DoublingPool>,
}

impl AdainResBlock {
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self, TorchError> {
        let optional = |name: &str| {
            let part = weights.part(name);
            (part.has("weight") || part.has("weight_v")).then_some(part)
        };
        Ok(AdainResBlock {
            conv1: Conv1d::load(&weights.part("conv1"), 1, 1, 1)?,
            conv2: Conv1d::load(&weights.part("conv2"), 1, 1, 1)?,
            norm1: AdaIn::load(&weights.part("norm1"))?,
            norm2: AdaIn::load(&weights.part("norm2"))?,
            conv1x1: optional("conv1x1").map(|part| Conv1d::load(&part, 0, 1, 1)).transpose()?,
            pool: optional("pool").map(|part| DoublingPool::load(&part)).transpose()?,
        })
    }

    /// `[1, in, time]` → `[1, out, time]`, or twice the time.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut inner = leaky_relu(&self.norm1.forward(x, style, None)?, SLOPE)?;
        if let Some(pool) = &self.pool {
            inner = pool.forward(&inner)?;
        }
        let inner = leaky_relu(&self.norm2.forward(&self.conv1.forward(&inner)?, style, None)?, SLOPE)?;
        let inner = self.conv2.forward(&inner)?;
        let mut shortcut = x.clone();
        if self.pool.is_some() {
            let (batch, channels, length) = x.dims3()?;
            let twice = x.unsqueeze(3)?.broadcast_as((batch, channels, length, 2))?;
            shortcut = twice.reshape((batch, channels, 2 * length))?;
        }
        if let Some(conv) = &self.conv1x1 {
            shortcut = conv.forward(&shortcut)?;
        }
        (inner + shortcut)? * std::f64::consts::FRAC_1_SQRT_2
    }
}

/// The decoder without its generator.
pub struct Decoder {
    encode: AdainResBlock,
    decode: Vec<AdainResBlock>,
    f0_conv: Conv1d,
    n_conv: Conv1d,
    asr_res: Conv1d,
}

impl Decoder {
    /// Loads the part `decoder` of the checkpoint.
    pub fn load(weights: &Weights<'_>) -> Result<Self, TorchError> {
        let decode = (0..)
            .map(|block| weights.part("decode").part(block))
            .take_while(|part| part.has("conv1.weight_v") || part.has("conv1.weight"))
            .map(|part| AdainResBlock::load(&part))
            .collect::<Result<_, _>>()?;
        Ok(Decoder {
            encode: AdainResBlock::load(&weights.part("encode"))?,
            decode,
            f0_conv: Conv1d::load(&weights.part("F0_conv"), 1, 2, 1)?,
            n_conv: Conv1d::load(&weights.part("N_conv"), 1, 2, 1)?,
            asr_res: Conv1d::load(&weights.part("asr_res.0"), 0, 1, 1)?,
        })
    }

    /// `asr` `[1, hidden, frames]`, `f0` and `n` `[1, 2 · frames]`, all in the decoder's type; `style` the decoder half of the style row →
    /// the generator's input, `[1, channels, 2 · frames]`.
    pub fn forward(&self, asr: &Tensor, f0: &Tensor, n: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        // At frame rate again, `[1, 1, frames]`.
        let f0 = self.f0_conv.forward(&f0.unsqueeze(1)?)?;
        let n = self.n_conv.forward(&n.unsqueeze(1)?)?;
        let asr_res = self.asr_res.forward(asr)?;
        let mut x = self.encode.forward(&Tensor::cat(&[asr, &f0, &n], 1)?, style)?;
        for block in &self.decode {
            x = block.forward(&Tensor::cat(&[&x, &asr_res, &f0, &n], 1)?, style)?;
        }
        Ok(x)
    }
}
