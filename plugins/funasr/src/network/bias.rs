//! Graphs of hot words: their embeddings, and SeACo's decoder over them.

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Dim, Element};

use super::Net;
use super::paraformer::Checkpoint;
use super::sanm::{LAYER_NORM_EPS, Layer};
use crate::config::{ModelConfig, RecognizerConfig};

/// Layer of SeACo's decoder whose attention tells which words matter. Source: FunASR `models/paraformer/decoder.py: forward_asf6`.
const FILTER_LAYER: usize = 5;

impl Checkpoint {
    /// `hotword` `[words, ids]` to `hw_embed` `[ids, words, width]`, as the official `model_eb.onnx`.
    ///
    /// # Errors
    /// Weights are missing.
    pub fn hotword_graph(&self) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("hotwords", &self.weights);
        let ids = net.graph.input("hotword", Element::I32, &[Dim::Any("words"), Dim::Any("ids")]);
        let table = if self.weights.has("bias_embed.weight") { "bias_embed.weight" } else { "decoder.embed.0.weight" };
        let table = net.weight(table)?;
        let mut x = net.graph.op("Gather", &[&table, &ids], &[]); // [words, ids, width]
        let layers = (0..).take_while(|layer| self.weights.has(&format!("bias_encoder.weight_ih_l{layer}"))).count();
        for layer in 0..layers {
            x = net.lstm(&x, None, "bias_encoder", layer, false)?;
        }
        let x = net.transpose(&x, &[1, 0, 2]);
        net.graph.output("hw_embed", Element::F32, &x);
        Ok(net.graph.finish())
    }

    /// SeACo: `acoustic_embeds`, the decoder's `hidden`, `token_mask` and `bias_embed` `[batch, words, width]` to `hotword_logits`
    /// `[batch, tokens, vocabulary]`.
    ///
    /// # Errors
    /// Weights are missing.
    pub fn seaco_graph(&self, config: &ModelConfig<RecognizerConfig>) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("seaco", &self.weights);
        let wide = |name| [Dim::Any("batch"), Dim::Any(name), Dim::Of(self.d_model)];
        let embeds = net.graph.input("acoustic_embeds", Element::F32, &wide("tokens"));
        let hidden = net.graph.input("hidden", Element::F32, &wide("tokens"));
        let mask = net.graph.input("token_mask", Element::F32, &[Dim::Any("batch"), Dim::Any("tokens")]);
        let words = net.graph.input("bias_embed", Element::F32, &wide("words"));
        let mask = net.mask(&mask);
        let all_words = net.graph.f32s("", &[1], &[0.0]);
        let layer = self.seaco_layer(config);
        let by_sound = net.decoder(&embeds, &mask, &words, &all_words, "seaco_decoder", layer)?;
        let by_text = net.decoder(&hidden, &mask, &words, &all_words, "seaco_decoder", layer)?;
        let merged = net.add(&by_sound, &by_text);
        let logits = net.linear(&merged, "hotword_output_layer")?;
        net.graph.output("hotword_logits", Element::F32, &logits);
        Ok(net.graph.finish())
    }

    /// SeACo: the decoder's `hidden`, `token_mask` and `bias_embed` to `scores` `[batch, words]`: how much attention each word gets.
    ///
    /// # Errors
    /// Weights are missing.
    pub fn filter_graph(&self, config: &ModelConfig<RecognizerConfig>) -> Result<Vec<u8>, CheckpointError> {
        let mut net = Net::new("seaco-filter", &self.weights);
        let wide = |name| [Dim::Any("batch"), Dim::Any(name), Dim::Of(self.d_model)];
        let mut x = net.graph.input("hidden", Element::F32, &wide("tokens"));
        let mask = net.graph.input("token_mask", Element::F32, &[Dim::Any("batch"), Dim::Any("tokens")]);
        let words = net.graph.input("bias_embed", Element::F32, &wide("words"));
        let column = net.unsqueeze(&mask, &[1, 3]); // [batch, 1, tokens, 1]
        let mask = net.mask(&mask);
        let all_words = net.graph.f32s("", &[1], &[0.0]);
        let layer = self.seaco_layer(config);
        for number in 0..FILTER_LAYER {
            let at = format!("seaco_decoder.decoders.{number}");
            x = net.decoder_self(&x, &mask, &at, layer)?;
            let attended = net.decoder_cross(&x, &words, &all_words, &at, layer)?;
            x = net.add(&x, &attended);
        }
        let at = format!("seaco_decoder.decoders.{FILTER_LAYER}");
        x = net.decoder_self(&x, &mask, &at, layer)?;
        let scores = net.decoder_cross_scores(&x, &words, &all_words, &at, layer)?; // [batch, heads, tokens, words]
        let scores = net.mul(&scores, &column);
        let axes = net.graph.i64s("", &[2], &[1, 2]);
        let scores = net.graph.op("ReduceSum", &[&scores, &axes], &[("keepdims", Attribute::Int(0))]);
        net.graph.output("scores", Element::F32, &scores);
        Ok(net.graph.finish())
    }

    fn seaco_layer(&self, config: &ModelConfig<RecognizerConfig>) -> Layer {
        let conf = &config.seaco_decoder_conf;
        Layer { heads: conf.attention_heads, shift: conf.sanm_shfit, eps: LAYER_NORM_EPS }
    }
}
