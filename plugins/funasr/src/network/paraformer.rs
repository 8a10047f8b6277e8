//! Paraformer in two graphs, cut between the weights of frames and the tokens that they make ([`crate::asr::cif`]).

use std::path::Path;

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Dim, Element, Value};

use super::sanm::{LAYER_NORM_EPS, Layer};
use super::{Net, Weights};
use crate::config::{ModelConfig, PredictorConfig, RecognizerConfig};

/// What kind of Paraformer a checkpoint is, told by its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// It has the second head for time stamps (BiCif).
    pub has_timestamps: bool,
    /// Its decoder takes hot words (contextual).
    pub is_contextual: bool,
    /// It has a decoder of its own for hot words (SeACo).
    pub is_seaco: bool,
}

/// The weights of a Paraformer.
#[derive(Debug)]
pub struct Checkpoint {
    pub(super) weights: Weights,
    /// Its kind.
    pub kind: Kind,
    /// Width of the encoder's output.
    pub d_model: usize,
}

impl Checkpoint {
    /// Opens a `model.pt`.
    ///
    /// # Errors
    /// It can't be read or is no Paraformer.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let weights = Weights::open(path, "predictor.cif_output.weight")?;
        let kind = Kind {
            has_timestamps: weights.has("predictor.cif_output2.weight"),
            is_contextual: weights.has("decoder.bias_output.weight"),
            is_seaco: weights.has("hotword_output_layer.weight"),
        };
        let (shape, _) = weights.get("encoder.after_norm.weight")?;
        Ok(Self { weights, kind, d_model: shape[0] })
    }

    /// Features `speech` (positions added) and `mask` to `encoder_out` `[batch, frames, width]`, the frames' weights `alphas`
    /// `[batch, frames]` and, where the model has them, the time stamps' weights `us_alphas` `[batch, 3 · frames]`; both weights as
    /// they come out of the sigmoid.
    ///
    /// # Errors
    /// Weights are missing.
    pub fn encoder_graph(&self, config: &ModelConfig<RecognizerConfig>) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("paraformer-encoder", &self.weights);
        let (shape, _) = self.weights.get("encoder.encoders0.0.norm1.weight")?;
        let speech =
            net.graph.input("speech", Element::F32, &[Dim::Any("batch"), Dim::Any("frames"), Dim::Of(shape[0])]);
        let given = net.graph.input("mask", Element::F32, &[Dim::Any("batch"), Dim::Any("frames")]);
        let mask = net.mask(&given);
        let encoder = &config.encoder_conf;
        let layer = Layer { heads: encoder.attention_heads, shift: encoder.sanm_shfit, eps: LAYER_NORM_EPS };
        let encoded = net.encoder(&speech, &mask, layer)?;
        net.graph.output("encoder_out", Element::F32, &encoded);
        let masked = net.mul(&encoded, mask.column());
        let lengths = net.lengths(&given, config.predictor_conf.upsample_times);
        self.predictor(&mut net, &masked, Some(&lengths), &config.predictor_conf)?;
        Ok(net.graph.finish())
    }

    /// The predictor alone, over `encoder_out`.
    ///
    /// # Errors
    /// Weights are missing.
    pub fn predictor_graph(&self, config: &PredictorConfig) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("paraformer-predictor", &self.weights);
        let dims = [Dim::Any("batch"), Dim::Any("frames"), Dim::Of(self.d_model)];
        let encoded = net.graph.input("encoder_out", Element::F32, &dims);
        self.predictor(&mut net, &encoded, None, config)?;
        Ok(net.graph.finish())
    }

    /// Over `encoded`, which is 0 where no frame counts, so that a batch makes no difference; `lengths` are those of the finer frames.
    fn predictor(
        &self,
        net: &mut Net<'_>,
        encoded: &Value,
        lengths: Option<&Value>,
        config: &PredictorConfig,
    ) -> Result<(), CheckpointError> {
        let channels = net.transpose(encoded, &[0, 2, 1]);
        let weight = net.weight("predictor.cif_conv1d.weight")?;
        let bias = net.weight("predictor.cif_conv1d.bias")?;
        let pads = [config.l_order as i64, config.r_order as i64];
        let convolved = net.graph.op("Conv", &[&channels, &weight, &bias], &[("pads", Attribute::Ints(&pads))]);
        let convolved = net.relu(&convolved);
        let hidden = net.transpose(&convolved, &[0, 2, 1]);
        let alphas = net.linear(&hidden, "predictor.cif_output")?;
        let alphas = net.graph.op("Sigmoid", &[&alphas], &[]);
        let alphas = net.squeeze(&alphas, &[2]);
        net.graph.output("alphas", Element::F32, &alphas);
        if self.kind.has_timestamps {
            let weight = net.weight("predictor.upsample_cnn.weight")?;
            let bias = net.weight("predictor.upsample_cnn.bias")?;
            let strides = [config.upsample_times as i64];
            let up =
                net.graph.op("ConvTranspose", &[&channels, &weight, &bias], &[("strides", Attribute::Ints(&strides))]);
            let mut up = net.transpose(&up, &[0, 2, 1]);
            if self.weights.has("predictor.blstm.weight_ih_l0") {
                up = net.lstm(&up, lengths, "predictor.blstm", 0, true)?;
            }
            let alphas = net.linear(&up, "predictor.cif_output2")?;
            let alphas = net.graph.op("Sigmoid", &[&alphas], &[]);
            let alphas = net.squeeze(&alphas, &[2]);
            net.graph.output("us_alphas", Element::F32, &alphas);
        }
        Ok(())
    }

    /// `acoustic_embeds` `[batch, tokens, width]`, `token_mask`, `encoder_out` and `mask` to `logits` `[batch, tokens, vocabulary]`.
    /// Contextual models also take `bias_embed` `[batch, words, width]` and `clas_scale`; SeACo models take `bias_embed` and
    /// also give their last `states` `[batch, tokens, width]`, for [`Checkpoint::seaco_graph`].
    ///
    /// # Errors
    /// Weights are missing.
    pub fn decoder_graph(&self, config: &ModelConfig<RecognizerConfig>) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("paraformer-decoder", &self.weights);
        let wide = |name| [Dim::Any("batch"), Dim::Any(name), Dim::Of(self.d_model)];
        let embeds = net.graph.input("acoustic_embeds", Element::F32, &wide("tokens"));
        let token_mask = net.graph.input("token_mask", Element::F32, &[Dim::Any("batch"), Dim::Any("tokens")]);
        let encoded = net.graph.input("encoder_out", Element::F32, &wide("frames"));
        let mask = net.graph.input("mask", Element::F32, &[Dim::Any("batch"), Dim::Any("frames")]);
        let (token_mask, mask) = (net.mask(&token_mask), net.mask(&mask));
        let conf = &config.decoder_conf;
        let layer = Layer { heads: conf.attention_heads, shift: conf.sanm_shfit, eps: LAYER_NORM_EPS };
        let hidden = if self.kind.is_contextual {
            self.contextual(&mut net, &embeds, &token_mask, &encoded, &mask.bias, layer)?
        } else {
            net.decoder(&embeds, &token_mask, &encoded, &mask.bias, "decoder", layer)?
        };
        let logits = net.linear(&hidden, "decoder.output_layer")?;
        net.graph.output("logits", Element::F32, &logits);
        if self.kind.is_seaco {
            net.graph.output("states", Element::F32, &hidden);
        }
        Ok(net.graph.finish())
    }

    /// The decoder whose last layer looks at hot words, too.
    fn contextual(
        &self,
        net: &mut Net<'_>,
        embeds: &Value,
        token_mask: &super::sanm::Mask,
        encoded: &Value,
        memory_bias: &Value,
        layer: Layer,
    ) -> Result<Value, CheckpointError> {
        let words =
            net.graph.input("bias_embed", Element::F32, &[Dim::Any("batch"), Dim::Any("words"), Dim::Of(self.d_model)]);
        let scale = net.graph.input("clas_scale", Element::F32, &[Dim::Of(1)]);
        let mut x = embeds.clone();
        for number in 0..self.weights.layers("decoder.decoders", "norm1.weight") {
            let at = format!("decoder.decoders.{number}");
            x = net.decoder_self(&x, token_mask, &at, layer)?;
            let attended = net.decoder_cross(&x, encoded, memory_bias, &at, layer)?;
            x = net.add(&x, &attended);
        }
        let own = net.decoder_self(&x, token_mask, "decoder.last_decoder", layer)?;
        let heard = net.decoder_cross(&own, encoded, memory_bias, "decoder.last_decoder", layer)?;
        let all_words = net.graph.f32s("", &[1], &[0.0]);
        let wanted = net.decoder_cross(&own, &words, &all_words, "decoder.bias_decoder", layer)?;
        let wanted = net.mul(&wanted, &scale);
        let both = net.concat(&[&heard, &wanted], 2);
        let (shape, values) = self.weights.get("decoder.bias_output.weight")?; // [width, 2 · width, 1]
        let weight: Vec<f32> =
            (0..shape[1]).flat_map(|column| values.iter().skip(column).step_by(shape[1]).copied()).collect();
        let weight = net.graph.f32s("", &[shape[1], shape[0]], &weight);
        let mixed = net.graph.op("MatMul", &[&both, &weight], &[]);
        let x = net.add(&own, &mixed);
        net.decoder_end(&x, token_mask, "decoder", layer)
    }
}
