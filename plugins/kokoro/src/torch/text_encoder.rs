//! The text encoder: what the phonemes sound like (`kokoro.modules:TextEncoder`).

use candle_core::{DType, Device, Tensor};

use super::TorchError;
use super::layers::{BiLstm, Conv1d, NORM_EPSILON, leaky_relu};
use super::weights::Weights;

/// Slope of the leaky rectifiers here and in the style-modulated blocks.
pub(super) const SLOPE: f64 = 0.2;

/// Embedding, convolutions with channel norm, LSTM.
pub struct TextEncoder {
    embedding: Tensor,
    cnn: Vec<(Conv1d, ChannelNorm)>,
    lstm: BiLstm,
}

/// `kokoro.modules:LayerNorm`, over the channels of `[batch, channels, time]`; `[1, channels, 1]` each.
struct ChannelNorm {
    gamma: Tensor,
    beta: Tensor,
}

impl ChannelNorm {
    fn load(weights: &Weights<'_>) -> Result<Self, TorchError> {
        let column = |name: &str| Ok::<_, TorchError>(weights.tensor(name)?.reshape((1, (), 1))?);
        Ok(ChannelNorm { gamma: column("gamma")?, beta: column("beta")? })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(1)? + f64::from(NORM_EPSILON))?.sqrt()?;
        centred.broadcast_div(&deviation)?.broadcast_mul(&self.gamma)?.broadcast_add(&self.beta)
    }
}

impl TextEncoder {
    /// Loads the part `text_encoder` of the checkpoint.
    pub fn load(weights: &Weights<'_>, layers: usize, kernel_size: usize) -> Result<Self, TorchError> {
        let cnn = (0..layers)
            .map(|layer| {
                let layer = weights.part("cnn").part(layer);
                let conv = Conv1d::load(&layer.part(0), kernel_size.saturating_sub(1) / 2, 1, 1)?;
                Ok((conv, ChannelNorm::load(&layer.part(1))?))
            })
            .collect::<Result<_, TorchError>>()?;
        let embedding = weights.part("embedding").tensor("weight")?;
        Ok(TextEncoder { embedding, cnn, lstm: BiLstm::load(&weights.part("lstm"))? })
    }

    /// `ids` `[batch, time]` → `t_en` `[batch, hidden, time]`; zeros behind each item's length.
    pub fn forward(&self, ids: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
        let (batch, time) = ids.dims2()?;
        let mask = mask(lengths, batch, time, ids.device())?;
        let masked = |x: Tensor| match &mask {
            Some(mask) => x.broadcast_mul(mask),
            None => Ok(x),
        };
        let embedded = self.embedding.index_select(&ids.flatten_all()?, 0)?.reshape((batch, time, ()))?;
        let mut x = masked(embedded.transpose(1, 2)?.contiguous()?)?; // [batch, hidden, time]
        for (conv, norm) in &self.cnn {
            x = masked(leaky_relu(&norm.forward(&conv.forward(&x)?)?, SLOPE)?)?;
        }
        self.lstm.forward(&x.transpose(1, 2)?.contiguous()?, lengths)?.transpose(1, 2)?.contiguous()
    }
}

/// `[batch, 1, time]`: one within each item, zero behind it; `None` where all are as long as the batch.
fn mask(lengths: &[usize], batch: usize, time: usize, device: &Device) -> candle_core::Result<Option<Tensor>> {
    if lengths.iter().all(|length| *length >= time) {
        return Ok(None);
    }
    let row = |length: usize| (0..time).map(move |at| u8::from(at < length));
    let values: Vec<u8> = lengths.iter().flat_map(|length| row(*length)).collect();
    Tensor::from_vec(values, (batch, 1, time), device)?.to_dtype(DType::F32).map(Some)
}
