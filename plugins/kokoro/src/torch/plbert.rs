//! PL-BERT, an ALBERT whose twelve layers share their weights (`kokoro.modules:CustomAlbert`, `transformers` `AlbertModel`).

use candle_core::{D, DType, Tensor};
use candle_nn::{LayerNorm, Module as _};

use super::TorchError;
use super::layers::Linear;
use super::weights::Weights;
use crate::config::PlBertConfig;

/// `layer_norm_eps` of ALBERT's configuration.
const EPSILON: f64 = 1e-12;

/// What positions behind an item's length are given before the softmax.
const MASKED: f32 = -1e30;

/// The encoder of phonemes.
pub struct PlBert {
    word: Tensor,
    position: Tensor,
    /// Of the first token type, the only one used.
    token_type: Tensor,
    norm: LayerNorm,
    mapping: Linear,
    layer: Layer,
    layers: usize,
}

/// The layer that all share.
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    dense: Linear,
    attention_norm: LayerNorm,
    ffn: Linear,
    ffn_output: Linear,
    full_norm: LayerNorm,
    heads: usize,
}

impl PlBert {
    /// Loads the part `bert` of the checkpoint.
    pub fn load(weights: &Weights<'_>, config: &PlBertConfig) -> Result<Self, TorchError> {
        let embeddings = weights.part("embeddings");
        let encoder = weights.part("encoder");
        let layer = encoder.part("albert_layer_groups.0.albert_layers.0");
        let attention = layer.part("attention");
        let norm = |weights: Weights<'_>| {
            Ok::<_, TorchError>(LayerNorm::new(weights.tensor("weight")?, weights.tensor("bias")?, EPSILON))
        };
        let linear = |weights: &Weights<'_>, name: &str| Linear::load(&weights.part(name));
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            return Err(weights.misshapen("hidden_size is no multiple of num_attention_heads"));
        }
        Ok(PlBert {
            word: embeddings.part("word_embeddings").tensor("weight")?,
            position: embeddings.part("position_embeddings").tensor("weight")?,
            token_type: embeddings.part("token_type_embeddings").tensor("weight")?.narrow(0, 0, 1)?,
            norm: norm(embeddings.part("LayerNorm"))?,
            mapping: linear(&encoder, "embedding_hidden_mapping_in")?,
            layer: Layer {
                query: linear(&attention, "query")?,
                key: linear(&attention, "key")?,
                value: linear(&attention, "value")?,
                dense: linear(&attention, "dense")?,
                attention_norm: norm(attention.part("LayerNorm"))?,
                ffn: linear(&layer, "ffn")?,
                ffn_output: linear(&layer, "ffn_output")?,
                full_norm: norm(layer.part("full_layer_layer_norm"))?,
                heads: config.num_attention_heads,
            },
            layers: config.num_hidden_layers,
        })
    }

    /// Most positions that it knows.
    pub fn positions(&self) -> usize {
        self.position.dims()[0]
    }

    /// `ids` `[batch, time]` → the last hidden states `[batch, time, hidden]`.
    pub fn forward(&self, ids: &Tensor, lengths: &[usize]) -> candle_core::Result<Tensor> {
        let (batch, time) = ids.dims2()?;
        let words = self.word.index_select(&ids.flatten_all()?, 0)?.reshape((batch, time, ()))?;
        let positions = self.position.narrow(0, 0, time)?.broadcast_add(&self.token_type)?;
        let embeddings = self.norm.forward(&words.broadcast_add(&positions)?)?;
        let mask = mask(lengths, batch, time, ids.device())?;
        let mut hidden = self.mapping.forward(&embeddings)?;
        for _ in 0..self.layers {
            hidden = self.layer.forward(&hidden, mask.as_ref())?;
        }
        Ok(hidden)
    }
}

/// `[batch, 1, 1, time]`: what is added to the scores; `None` where nothing is masked.
fn mask(
    lengths: &[usize],
    batch: usize,
    time: usize,
    device: &candle_core::Device,
) -> candle_core::Result<Option<Tensor>> {
    if lengths.iter().all(|length| *length >= time) {
        return Ok(None);
    }
    let row = |length: usize| (0..time).map(move |at| if at < length { 0.0 } else { MASKED });
    let values: Vec<f32> = lengths.iter().flat_map(|length| row(*length)).collect();
    Tensor::from_vec(values, (batch, 1, 1, time), device).map(Some)
}

impl Layer {
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>) -> candle_core::Result<Tensor> {
        let (batch, time, hidden) = x.dims3()?;
        let width = hidden / self.heads;
        // [batch, heads, time, width]
        let split = |linear: &Linear| {
            linear.forward(x)?.reshape((batch, time, self.heads, width))?.transpose(1, 2)?.contiguous()
        };
        let (query, key, value) = (split(&self.query)?, split(&self.key)?, split(&self.value)?);
        let scores = (query.matmul(&key.t()?)? / (width as f64).sqrt())?; // [batch, heads, time, time]
        let scores = match mask {
            Some(mask) => scores.broadcast_add(&mask.to_dtype(scores.dtype())?)?,
            None => scores,
        };
        let attended = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&value)?;
        let attended = attended.transpose(1, 2)?.reshape((batch, time, hidden))?;
        let x = self.attention_norm.forward(&(self.dense.forward(&attended)? + x)?)?;
        // "gelu_new", the tanh form, is candle's `gelu`.
        let wide = self.ffn.forward(&x)?.gelu()?;
        self.full_norm.forward(&(self.ffn_output.forward(&wide)? + x)?)
    }
}

/// `ids` of equal length as a tensor.
pub fn ids_tensor(ids: &[i64], batch: usize, device: &candle_core::Device) -> candle_core::Result<Tensor> {
    Tensor::from_slice(ids, (batch, ids.len() / batch.max(1)), device)?.to_dtype(DType::U32)
}
