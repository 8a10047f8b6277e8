//! The punctuation models as one graph, with the inputs and outputs of their official export.

use std::path::Path;

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Dim, Element, Value};

use super::sanm::{LAYER_NORM_EPS, Layer, add_positions};
use super::{Net, Weights};
use crate::config::{ModelConfig, PunctuationConfig};

/// Most words that are classified at a time: what is carried (up to 200 and a window) and a mini-sentence.
const MOST_WORDS: usize = 4096;

/// `inputs` `[1, words]` to `logits` `[1, words, classes]`; real-time models take `vad_masks` and `sub_masks` `[1, 1, words, words]`
/// too.
///
/// # Errors
/// Weights are missing.
pub fn graph(
    checkpoint: &Path,
    config: &ModelConfig<PunctuationConfig>,
    is_realtime: bool,
) -> Result<Vec<u8>, CheckpointError> {
    let weights = Weights::open(checkpoint, "embed.weight")?;
    let mut net = Net::new("ct-transformer", &weights);
    let ids = net.graph.input("inputs", Element::I32, &[Dim::Of(1), Dim::Any("words")]);
    let (shape, _) = weights.get("embed.weight")?;
    let (width, _) = weights.get("encoder.after_norm.weight")?;
    let table = net.weight("embed.weight")?;
    let x = net.graph.op("Gather", &[&table, &ids], &[]);
    let x = net.scaled(&x, (width[0] as f32).sqrt());
    let mut positions = vec![0.0; MOST_WORDS * shape[1]];
    add_positions(&mut positions, shape[1], 0);
    let positions = net.graph.f32s("", &[1, MOST_WORDS, shape[1]], &positions);
    let count = net.graph.op("Shape", &[&ids], &[]);
    let count = net.slice(&count, 0, 1, 2);
    let (zero, one) = (net.graph.i64s("", &[1], &[0]), net.graph.i64s("", &[1], &[1]));
    let positions = net.graph.op("Slice", &[&positions, &zero, &count, &one], &[]);
    let mut x = net.add(&x, &positions);

    // Nothing is padded: every word counts.
    let ones = net.graph.op("Equal", &[&ids, &ids], &[]);
    let ones = net.graph.op("Cast", &[&ones], &[("to", Attribute::Int(Element::F32 as i64))]);
    let mut mask = net.mask(&ones);
    let mut last_bias = None;
    if is_realtime {
        let words = Dim::Any("words");
        let square = [Dim::Of(1), Dim::Of(1), words, words];
        let corner = net.graph.input("vad_masks", Element::F32, &square);
        let causal = net.graph.input("sub_masks", Element::F32, &square);
        mask.bias = absent(&mut net, &causal);
        last_bias = Some(absent(&mut net, &corner));
    }
    let encoder = &config.encoder_conf;
    let layer = Layer { heads: encoder.attention_heads, shift: encoder.sanm_shfit, eps: LAYER_NORM_EPS };
    x = net.encoder_layer(&x, &mask, "encoder.encoders0.0", layer)?;
    let layers = weights.layers("encoder.encoders", "norm1.weight");
    for number in 0..layers {
        if number + 1 == layers
            && let Some(bias) = last_bias.take()
        {
            mask.bias = bias;
        }
        x = net.encoder_layer(&x, &mask, &format!("encoder.encoders.{number}"), layer)?;
    }
    let x = net.layer_norm(&x, "encoder.after_norm", LAYER_NORM_EPS)?;
    let logits = net.linear(&x, "decoder")?;
    net.graph.output("logits", Element::F32, &logits);
    Ok(net.graph.finish())
}

/// What is added to scores where a mask is 0.
fn absent(net: &mut Net<'_>, mask: &Value) -> Value {
    let one = net.graph.f32s("", &[], &[1.0]);
    let absent = net.graph.op("Sub", &[&one, mask], &[]);
    net.scaled(&absent, -1e9)
}
