//! Log-mel frames to audio features.

use candle_core::{Result, Tensor};

use super::layers::{Heads, Linear, Norm, Perceptron, Target, mix};
use crate::weights;

/// The encoder's weights.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Over three neighbouring frames each: a matrix product over frames laid side by side.
    conv1: Linear,
    conv2: Linear,
    /// `[n_audio_ctx, d_model]`
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

#[derive(Debug)]
struct Block {
    heads: Heads,
    norm: Norm,
    /// Queries (scaled), keys.
    query: Linear,
    key_value: Linear,
    out: Linear,
    perceptron: Perceptron,
}

impl Encoder {
    pub(super) fn new(target: &Target, weights: weights::Encoder, heads: usize) -> Result<Self> {
        let d = weights.conv1.rows();
        let heads = Heads::new(d, heads);
        // One block after the other leaves the host's memory.
        let blocks = weights.blocks.into_iter().map(|block| Block::new(target, &block, heads, d));
        Ok(Self {
            conv1: Linear::of(target, &weights.conv1, &weights.conv1_bias)?,
            conv2: Linear::of(target, &weights.conv2, &weights.conv2_bias)?,
            positions: target.tensor(&weights.positions, &[weights.positions.len() / d, d])?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: Norm::new(target, &weights.norm)?,
        })
    }

    /// Encodes `mel`, `[windows, n_mels, frames]` with an even number of frames: `[windows, frames / 2, d_model]`.
    pub(super) fn forward(&self, mel: &Tensor) -> Result<Tensor> {
        let (windows, _, frames) = mel.dims3()?;
        let half = frames / 2;

        // A frame of zeros at either end, then each frame beside its neighbours.
        let x = mel.transpose(1, 2)?.contiguous()?.pad_with_zeros(1, 1, 1)?; // [windows, 1 + frames + 1, n_mels]
        let x = Tensor::cat(&[x.narrow(1, 0, frames)?, x.narrow(1, 1, frames)?, x.narrow(1, 2, frames)?], 2)?;
        let x = self.conv1.forward(&x.flatten_to(1)?)?.gelu_erf()?;
        let d = x.dim(1)?;

        // Every second frame beside its neighbours: pairs of frames, and the first one of the next pair.
        let x = x.reshape((windows, frames, d))?.pad_with_zeros(1, 1, 1)?; // [windows, 1 + frames + 1, d]
        let pairs = x.reshape((windows, half + 1, 2 * d))?;
        let x = Tensor::cat(&[pairs.narrow(1, 0, half)?, pairs.narrow(1, 1, half)?.narrow(2, 0, d)?], 2)?;
        let x = self.conv2.forward(&x.flatten_to(1)?)?.gelu_erf()?;

        let x = x.reshape((windows, half, d))?.broadcast_add(&self.positions.narrow(0, 0, half)?)?;
        let mut x = x.flatten_to(1)?; // [windows · half, d]
        for block in &self.blocks {
            x = block.forward(&x, windows, half)?;
        }
        self.norm.forward(&x)?.reshape((windows, half, d))
    }
}

impl Block {
    fn new(target: &Target, block: &weights::Block, heads: Heads, d: usize) -> Result<Self> {
        Ok(Self {
            heads,
            norm: Norm::new(target, &block.attention_norm)?,
            query: Linear::rows(target, &block.qkv, 0..d, heads.scale())?,
            key_value: Linear::rows(target, &block.qkv, d..3 * d, 1.0)?,
            out: Linear::new(target, &block.out)?,
            perceptron: Perceptron::new(target, block)?,
        })
    }

    fn forward(&self, x: &Tensor, windows: usize, frames: usize) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        let queries = self.heads.split(&self.query.forward(&normed)?, windows, frames)?;
        let [keys, values] = keys_and_values(&self.key_value.forward(&normed)?, self.heads, windows, frames)?;
        let mixed = mix(&queries.matmul(&keys.t()?)?, &values)?;
        let x = (x + self.out.forward(&self.heads.join(&mixed)?)?)?;
        self.perceptron.forward(&x)
    }
}

/// `[windows · frames, 2 · width]`, keys left of values, to twice `[windows, heads, frames, size]`.
pub(super) fn keys_and_values(kv: &Tensor, heads: Heads, windows: usize, frames: usize) -> Result<[Tensor; 2]> {
    let kv = kv.reshape((windows, frames, 2, heads.count, heads.size))?;
    let kv = kv.permute((2, 0, 3, 1, 4))?.contiguous()?;
    Ok([kv.get(0)?, kv.get(1)?])
}
