//! Self attention with memory: the encoder and decoder layers of Paraformer, SenseVoice and the punctuation models.

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Value};

use super::Net;

/// Epsilon of layer normalisation in Paraformer and the punctuation models. Source: FunASR `models/transformer/layer_norm.py`.
pub const LAYER_NORM_EPS: f32 = 1e-12;
/// What keeps attention away from padding: far below every score.
const MASKED: f32 = -1e9;

/// Which frames count, in the forms that layers need.
pub(super) struct Mask {
    /// `[batch, frames, 1]`, 1 where a frame counts.
    column: Value,
    /// `[batch, 1, 1, frames]`, added to scores.
    pub(super) bias: Value,
}

/// Where a layer's memory looks, and how many heads its attention has.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    pub(super) heads: usize,
    pub(super) shift: usize,
    pub(super) eps: f32,
}

/// Scales features and adds the sinusoids of their positions, row by row: `x · sqrt(d_model) + pe`. The sinusoids are as wide as the
/// features and count from 1.
///
/// Source: FunASR `models/sanm/encoder.py: SANMEncoder.forward`, `models/transformer/embedding.py: SinusoidalPositionEncoder`.
pub fn add_positions(rows: &mut [f32], dim: usize, d_model: usize) {
    let scale = (d_model as f32).sqrt();
    let half = dim / 2;
    let step = 10_000_f32.ln() / (half as f32 - 1.0);
    let inverse: Vec<f32> = (0..half).map(|i| (i as f32 * -step).exp()).collect();
    for (row, values) in rows.chunks_exact_mut(dim).enumerate() {
        let position = (row + 1) as f32;
        let (sines, cosines) = values.split_at_mut(half);
        for ((sine, cosine), inverse) in sines.iter_mut().zip(cosines).zip(&inverse) {
            let (s, c) = (position * inverse).sin_cos();
            *sine = *sine * scale + s;
            *cosine = *cosine * scale + c;
        }
    }
}

impl Mask {
    /// `[batch, frames, 1]`, 1 where a frame counts.
    pub(super) fn column(&self) -> &Value {
        &self.column
    }
}

impl Net<'_> {
    /// How many frames count, times `factor`, of a mask `[batch, frames]`: `[batch]`.
    pub(super) fn lengths(&mut self, mask: &Value, factor: usize) -> Value {
        let axes = self.graph.i64s("", &[1], &[1]);
        let sum = self.graph.op("ReduceSum", &[mask, &axes], &[("keepdims", Attribute::Int(0))]);
        let sum = self.scaled(&sum, factor as f32);
        self.graph.op("Cast", &[&sum], &[("to", Attribute::Int(syrinx_plugin_common::onnx::Element::I32 as i64))])
    }

    /// Makes a mask of an input `[batch, frames]` of ones and zeros.
    pub(super) fn mask(&mut self, mask: &Value) -> Mask {
        let column = self.unsqueeze(mask, &[2]);
        let one = self.graph.f32s("", &[], &[1.0]);
        let absent = self.graph.op("Sub", &[&one, mask], &[]);
        let bias = self.scaled(&absent, MASKED);
        let bias = self.unsqueeze(&bias, &[1, 2]);
        Mask { column, bias }
    }

    /// A layer of the encoder. The first one changes the width and has no residual around its attention.
    pub(super) fn encoder_layer(
        &mut self,
        x: &Value,
        mask: &Mask,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let norm = self.layer_norm(x, &format!("{name}.norm1"), layer.eps)?;
        let qkv = self.linear(&norm, &format!("{name}.self_attn.linear_q_k_v"))?;
        let (shape, _) = self.weights.get(&format!("{name}.self_attn.linear_q_k_v.weight"))?;
        let [width, input] = super::matrix(name, &shape)?;
        let width = width / 3;
        let part = |net: &mut Self, i: usize| net.slice(&qkv, 2, (i * width) as i64, ((i + 1) * width) as i64);
        let (q, k, v) = (part(self, 0), part(self, 1), part(self, 2));

        let memory = self.memory(&v, mask, &format!("{name}.self_attn"), layer.shift)?;
        let attended = self.attend(&q, &k, &v, &mask.bias, width, layer.heads);
        let attended = self.linear(&attended, &format!("{name}.self_attn.linear_out"))?;
        let mut x_next = self.add(&attended, &memory);
        if input == width {
            x_next = self.add(x, &x_next);
        }
        let norm = self.layer_norm(&x_next, &format!("{name}.norm2"), layer.eps)?;
        let hidden = self.linear(&norm, &format!("{name}.feed_forward.w_1"))?;
        let hidden = self.relu(&hidden);
        let hidden = self.linear(&hidden, &format!("{name}.feed_forward.w_2"))?;
        Ok(self.add(&x_next, &hidden))
    }

    /// The memory: a depthwise convolution over time, plus what it is over; both only where the mask says so.
    fn memory(&mut self, x: &Value, mask: &Mask, name: &str, shift: usize) -> Result<Value, CheckpointError> {
        let (shape, values) = self.weights.get(&format!("{name}.fsmn_block.weight"))?; // [width, 1, kernel]
        let (width, kernel) = (shape[0], shape.last().copied().unwrap_or(1));
        let weight = self.graph.f32s("", &shape, &values);
        let left = (kernel - 1) / 2 + shift;
        let pads = [left as i64, (kernel - 1).saturating_sub(left) as i64];
        let masked = self.mul(x, &mask.column);
        let channels = self.transpose(&masked, &[0, 2, 1]);
        let attributes = [
            ("group", Attribute::Int(width as i64)),
            ("kernel_shape", Attribute::Ints(&[kernel as i64])),
            ("pads", Attribute::Ints(&pads)),
        ];
        let convolved = self.graph.op("Conv", &[&channels, &weight], &attributes);
        let convolved = self.transpose(&convolved, &[0, 2, 1]);
        let sum = self.add(&convolved, &masked);
        Ok(self.mul(&sum, &mask.column))
    }

    /// Scaled dot-product attention of `heads` heads.
    fn attend(&mut self, q: &Value, k: &Value, v: &Value, bias: &Value, width: usize, heads: usize) -> Value {
        let scores = self.scores(q, k, bias, width, heads);
        let v = self.heads(v, width, heads, &[0, 2, 1, 3]);
        let mixed = self.graph.op("MatMul", &[&scores, &v], &[]); // [batch, heads, queries, width / heads]
        let mixed = self.transpose(&mixed, &[0, 2, 1, 3]);
        self.reshape(&mixed, &[0, 0, width as i64])
    }

    /// Weights of attention: `[batch, heads, queries, keys]`.
    fn scores(&mut self, q: &Value, k: &Value, bias: &Value, width: usize, heads: usize) -> Value {
        let q = self.heads(q, width, heads, &[0, 2, 1, 3]);
        let q = self.scaled(&q, ((width / heads) as f32).powf(-0.5));
        let k = self.heads(k, width, heads, &[0, 2, 3, 1]);
        let scores = self.graph.op("MatMul", &[&q, &k], &[]);
        let scores = self.add(&scores, bias);
        self.graph.op("Softmax", &[&scores], &[("axis", Attribute::Int(-1))])
    }

    fn heads(&mut self, x: &Value, width: usize, heads: usize, axes: &[i64]) -> Value {
        let split = self.reshape(x, &[0, 0, heads as i64, (width / heads) as i64]);
        self.transpose(&split, axes)
    }

    /// The decoder's feed-forward part, with a normalisation in its middle.
    fn decoder_feed_forward(&mut self, x: &Value, name: &str, eps: f32) -> Result<Value, CheckpointError> {
        let norm = self.layer_norm(x, &format!("{name}.norm1"), eps)?;
        let hidden = self.linear(&norm, &format!("{name}.feed_forward.w_1"))?;
        let hidden = self.relu(&hidden);
        let hidden = self.layer_norm(&hidden, &format!("{name}.feed_forward.norm"), eps)?;
        self.linear(&hidden, &format!("{name}.feed_forward.w_2"))
    }

    /// The part of a decoder layer before its cross attention: the residual stream, `[batch, tokens, width]`.
    pub(super) fn decoder_self(
        &mut self,
        x: &Value,
        mask: &Mask,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let hidden = self.decoder_feed_forward(x, name, layer.eps)?;
        let norm = self.layer_norm(&hidden, &format!("{name}.norm2"), layer.eps)?;
        let memory = self.memory(&norm, mask, &format!("{name}.self_attn"), layer.shift)?;
        Ok(self.add(x, &memory))
    }

    /// Cross attention of a decoder layer, without its residual.
    pub(super) fn decoder_cross(
        &mut self,
        x: &Value,
        memory: &Value,
        memory_bias: &Value,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let (q, k, v, width) = self.cross_projections(x, memory, name, layer.eps)?;
        let attended = self.attend(&q, &k, &v, memory_bias, width, layer.heads);
        self.linear(&attended, &format!("{name}.src_attn.linear_out"))
    }

    /// Weights of that attention: `[batch, heads, tokens, frames]`.
    pub(super) fn decoder_cross_scores(
        &mut self,
        x: &Value,
        memory: &Value,
        memory_bias: &Value,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let (q, k, _, width) = self.cross_projections(x, memory, name, layer.eps)?;
        Ok(self.scores(&q, &k, memory_bias, width, layer.heads))
    }

    fn cross_projections(
        &mut self,
        x: &Value,
        memory: &Value,
        name: &str,
        eps: f32,
    ) -> Result<(Value, Value, Value, usize), CheckpointError> {
        let norm = self.layer_norm(x, &format!("{name}.norm3"), eps)?;
        let q = self.linear(&norm, &format!("{name}.src_attn.linear_q"))?;
        let kv = self.linear(memory, &format!("{name}.src_attn.linear_k_v"))?;
        let (shape, _) = self.weights.get(&format!("{name}.src_attn.linear_q.weight"))?;
        let width = shape[0];
        let k = self.slice(&kv, 2, 0, width as i64);
        let v = self.slice(&kv, 2, width as i64, 2 * width as i64);
        Ok((q, k, v, width))
    }

    /// All layers of a decoder up to its last norm: `[batch, tokens, width]`.
    pub(super) fn decoder(
        &mut self,
        tokens: &Value,
        mask: &Mask,
        memory: &Value,
        memory_bias: &Value,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let mut x = tokens.clone();
        for number in 0..self.weights.layers(&format!("{name}.decoders"), "norm1.weight") {
            let at = format!("{name}.decoders.{number}");
            x = self.decoder_self(&x, mask, &at, layer)?;
            let attended = self.decoder_cross(&x, memory, memory_bias, &at, layer)?;
            x = self.add(&x, &attended);
        }
        self.decoder_end(&x, mask, name, layer)
    }

    /// What follows the layers with cross attention.
    pub(super) fn decoder_end(
        &mut self,
        x: &Value,
        mask: &Mask,
        name: &str,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let mut x = x.clone();
        for number in 0..self.weights.layers(&format!("{name}.decoders2"), "norm1.weight") {
            let at = format!("{name}.decoders2.{number}");
            x = self.decoder_self(&x, mask, &at, Layer { shift: 0, ..layer })?;
        }
        let x = self.decoder_feed_forward(&x, &format!("{name}.decoders3.0"), layer.eps)?;
        self.layer_norm(&x, &format!("{name}.after_norm"), layer.eps)
    }

    /// All layers of an encoder, its `after_norm` included.
    pub(super) fn encoder(&mut self, features: &Value, mask: &Mask, layer: Layer) -> Result<Value, CheckpointError> {
        let mut x = self.encoder_layer(features, mask, "encoder.encoders0.0", layer)?;
        for number in 0..self.weights.layers("encoder.encoders", "norm1.weight") {
            x = self.encoder_layer(&x, mask, &format!("encoder.encoders.{number}"), layer)?;
        }
        self.layer_norm(&x, "encoder.after_norm", layer.eps)
    }
}
