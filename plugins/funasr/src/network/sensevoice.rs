//! SenseVoice as one graph.

use std::path::Path;

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Dim, Element};

use super::sanm::Layer;
use super::{Net, Weights};
use crate::config::{ModelConfig, RecognizerConfig};

/// Epsilon of layer normalisation. Source: FunASR `models/sense_voice/model.py: LayerNorm` (torch's default).
const EPS: f32 = 1e-5;

/// The graph with the query rows that go in front of features.
#[derive(Debug)]
pub struct SenseVoiceGraph {
    /// `speech` (positions added) `[batch, frames, dim]` and `mask` to `ctc_logits` `[batch, frames, vocabulary]`.
    pub model: Vec<u8>,
    /// Query rows: `[16, dim]`.
    pub queries: Vec<f32>,
    /// Width of the encoder.
    pub d_model: usize,
}

/// Makes the graph of a `model.pt`.
///
/// # Errors
/// Weights are missing.
pub fn graph(checkpoint: &Path, config: &ModelConfig<RecognizerConfig>) -> Result<SenseVoiceGraph, CheckpointError> {
    let weights = Weights::open(checkpoint, "ctc.ctc_lo.weight")?;
    let mut net = Net::new("sensevoice", &weights);
    let (shape, queries) = weights.get("embed.weight")?;
    let (width, _) = weights.get("encoder.after_norm.weight")?;
    let speech = net.graph.input("speech", Element::F32, &[Dim::Any("batch"), Dim::Any("frames"), Dim::Of(shape[1])]);
    let mask = net.graph.input("mask", Element::F32, &[Dim::Any("batch"), Dim::Any("frames")]);
    let mask = net.mask(&mask);
    let encoder = &config.encoder_conf;
    let layer = Layer { heads: encoder.attention_heads, shift: encoder.sanm_shfit, eps: EPS };
    let mut x = net.encoder(&speech, &mask, layer)?;
    for number in 0..weights.layers("encoder.tp_encoders", "norm1.weight") {
        x = net.encoder_layer(&x, &mask, &format!("encoder.tp_encoders.{number}"), layer)?;
    }
    let x = net.layer_norm(&x, "encoder.tp_norm", EPS)?;
    let logits = net.linear(&x, "ctc.ctc_lo")?;
    net.graph.output("ctc_logits", Element::F32, &logits);
    Ok(SenseVoiceGraph { model: net.graph.finish(), queries, d_model: width[0] })
}
