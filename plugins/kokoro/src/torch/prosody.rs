//! The prosody predictor: how long each phoneme lasts, and pitch and energy over time (`kokoro.modules:ProsodyPredictor`).

use candle_core::{DType, Tensor};

use super::TorchError;
use super::decoder::AdainResBlock;
use super::layers::{BiLstm, Conv1d, Linear, NORM_EPSILON};
use super::weights::Weights;

/// Style-modulated LSTMs, durations, pitch and energy.
pub struct ProsodyPredictor {
    text_encoder: DurationEncoder,
    lstm: BiLstm,
    duration_proj: Linear,
    shared: BiLstm,
    f0: Contour,
    n: Contour,
}

/// LSTMs with style-modulated layer norms between (`kokoro.modules:DurationEncoder`).
struct DurationEncoder {
    lstms: Vec<(BiLstm, AdaLayerNorm)>,
}

/// Layer norm over the channels whose gain and offset come from the style.
struct AdaLayerNorm {
    fc: Linear,
}

/// Three residual blocks and a projection to one value per half frame.
struct Contour {
    blocks: Vec<AdainResBlock>,
    proj: Conv1d,
}

/// What the duration half gives.
pub struct Durations {
    /// Encoded text with the style beside it, `[1, time, hidden + style]`.
    pub d: Tensor,
    /// The LSTM behind it, `[1, time, hidden]`.
    pub lstm: Tensor,
    /// Before the sigmoid, `[1, time, max_dur]`.
    pub logits: Tensor,
    /// Frames of each phoneme, not rounded.
    pub duration: Vec<f32>,
    /// Whole frames of each phoneme, at least one.
    pub frames: Vec<i64>,
}

impl ProsodyPredictor {
    /// Loads the part `predictor` of the checkpoint.
    pub fn load(weights: &Weights<'_>, layers: usize) -> Result<Self, TorchError> {
        let contour = |blocks: &str, proj: &str| {
            let blocks =
                (0..3).map(|block| AdainResBlock::load(&weights.part(blocks).part(block))).collect::<Result<_, _>>()?;
            Ok::<_, TorchError>(Contour { blocks, proj: Conv1d::load(&weights.part(proj), 0, 1, 1)? })
        };
        let lstms = (0..layers)
            .map(|layer| {
                let lstms = weights.part("text_encoder.lstms");
                let norm = AdaLayerNorm { fc: Linear::load(&lstms.part(2 * layer + 1).part("fc"))? };
                Ok((BiLstm::load(&lstms.part(2 * layer))?, norm))
            })
            .collect::<Result<_, TorchError>>()?;
        Ok(ProsodyPredictor {
            text_encoder: DurationEncoder { lstms },
            lstm: BiLstm::load(&weights.part("lstm"))?,
            duration_proj: Linear::load(&weights.part("duration_proj.linear_layer"))?,
            shared: BiLstm::load(&weights.part("shared"))?,
            f0: contour("F0", "F0_proj")?,
            n: contour("N", "N_proj")?,
        })
    }

    /// `d_en` is `[1, hidden, time]`, `style` the prosody half of the style row, `[1, style]`.
    pub fn durations(&self, d_en: &Tensor, style: &Tensor, speed: f32) -> candle_core::Result<Durations> {
        let d = self.text_encoder.forward(d_en, style)?;
        let lstm = self.lstm.forward(&d, &[])?;
        let logits = self.duration_proj.forward(&lstm)?;
        let total = candle_nn::ops::sigmoid(&logits)?.sum(2)?.to_dtype(DType::F32)?;
        let duration: Vec<f32> = total.flatten_all()?.to_vec1::<f32>()?.iter().map(|frames| frames / speed).collect();
        let frames = duration.iter().map(|frames| (frames.round_ties_even() as i64).max(1)).collect();
        Ok(Durations { d, lstm, logits, duration, frames })
    }

    /// Pitch (Hz) and energy per half frame, `[1, 2 · frames]` each, of `en` `[1, hidden + style, frames]`.
    pub fn contours(&self, en: &Tensor, style: &Tensor) -> candle_core::Result<(Tensor, Tensor)> {
        let shared = self.shared.forward(&en.transpose(1, 2)?.contiguous()?, &[])?.transpose(1, 2)?.contiguous()?;
        Ok((self.f0.forward(&shared, style)?, self.n.forward(&shared, style)?))
    }
}

impl Contour {
    fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, style)?;
        }
        self.proj.forward(&x)?.squeeze(1)
    }
}

impl DurationEncoder {
    /// `[1, hidden, time]` → `[1, time, hidden + style]`
    fn forward(&self, d_en: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let (batch, _, time) = d_en.dims3()?;
        let styles = style.unsqueeze(1)?.broadcast_as((batch, time, style.dim(1)?))?;
        let with_style = |x: Tensor| Tensor::cat(&[&x, &styles.to_dtype(x.dtype())?], 2)?.contiguous();
        let mut x = with_style(d_en.transpose(1, 2)?.contiguous()?)?;
        for (lstm, norm) in &self.lstms {
            x = with_style(norm.forward(&lstm.forward(&x, &[])?, style)?)?;
        }
        Ok(x)
    }
}

impl AdaLayerNorm {
    fn forward(&self, x: &Tensor, style: &Tensor) -> candle_core::Result<Tensor> {
        let channels = x.dim(2)?;
        let both = self.fc.forward(style)?.unsqueeze(1)?; // [1, 1, 2 · channels]
        let gain = (both.narrow(2, 0, channels)? + 1.0)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(2)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(2)? + f64::from(NORM_EPSILON))?.sqrt()?;
        centred.broadcast_div(&deviation)?.broadcast_mul(&gain)?.broadcast_add(&both.narrow(2, channels, channels)?)
    }
}

/// Repeats position `i` of `x` along dimension `dim` `frames[i]` times.
pub fn align(x: &Tensor, frames: &[i64], dim: usize) -> candle_core::Result<Tensor> {
    let repeated = |(position, count): (usize, &i64)| std::iter::repeat_n(position as u32, (*count).max(0) as usize);
    let indices: Vec<u32> = frames.iter().enumerate().flat_map(repeated).collect();
    let length = indices.len();
    x.contiguous()?.index_select(&Tensor::from_vec(indices, length, x.device())?, dim)
}
