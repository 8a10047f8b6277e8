//! The voice activity detector's network, with the inputs and outputs of its official export.

use std::path::Path;

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Dim, Element};

use super::{Net, Weights};
use crate::config::EncoderConfig;

/// The graph: features and caches to probabilities and caches.
///
/// # Errors
/// Weights are missing.
pub fn graph(checkpoint: &Path, config: &EncoderConfig) -> Result<Vec<u8>, CheckpointError> {
    let weights = Weights::open(checkpoint, "encoder.in_linear1.linear.weight")?;
    let mut net = Net::new("fsmn-vad", &weights);
    let (shape, _) = weights.get("encoder.in_linear1.linear.weight")?;
    let features = shape[1];
    let frames = config.lorder.saturating_sub(1) * config.lstride;
    let mut x = net.graph.input("speech", Element::F32, &[Dim::Of(1), Dim::Any("frames"), Dim::Of(features)]);
    x = net.linear(&x, "encoder.in_linear1.linear")?;
    x = net.linear(&x, "encoder.in_linear2.linear")?;
    x = net.relu(&x);
    let mut caches = Vec::new();
    for layer in 0..config.fsmn_layers {
        let name = format!("encoder.fsmn.{layer}");
        let cache_dims = [Dim::Of(1), Dim::Of(config.proj_dim), Dim::Of(frames), Dim::Of(1)];
        let cache = net.graph.input(&format!("in_cache{layer}"), Element::F32, &cache_dims);
        let projected = net.linear(&x, &format!("{name}.linear.linear"))?;
        let channels = net.transpose(&projected, &[0, 2, 1]);
        let channels = net.unsqueeze(&channels, &[3]); // [1, width, frames, 1]
        let padded = net.concat(&[&cache, &channels], 2);
        caches.push(net.slice(&padded, 2, -(frames as i64), i64::MAX));
        let weight = net.weight(&format!("{name}.fsmn_block.conv_left.weight"))?; // [width, 1, order, 1]
        let attributes = [
            ("group", Attribute::Int(config.proj_dim as i64)),
            ("kernel_shape", Attribute::Ints(&[config.lorder as i64, 1])),
            ("dilations", Attribute::Ints(&[config.lstride as i64, 1])),
        ];
        let remembered = net.graph.op("Conv", &[&padded, &weight], &attributes);
        let sum = net.add(&channels, &remembered);
        let sum = net.squeeze(&sum, &[3]);
        let sum = net.transpose(&sum, &[0, 2, 1]);
        x = net.linear(&sum, &format!("{name}.affine.linear"))?;
        x = net.relu(&x);
    }
    x = net.linear(&x, "encoder.out_linear1.linear")?;
    x = net.linear(&x, "encoder.out_linear2.linear")?;
    let scores = net.graph.op("Softmax", &[&x], &[("axis", Attribute::Int(-1))]);
    net.graph.output("logits", Element::F32, &scores);
    for (layer, cache) in caches.iter().enumerate() {
        net.graph.output(&format!("out_cache{layer}"), Element::F32, cache);
    }
    Ok(net.graph.finish())
}
