//! CAM++ as one graph: there is no official export.

use std::path::Path;

use syrinx_plugin_common::checkpoint::CheckpointError;
use syrinx_plugin_common::onnx::{Attribute, Dim, Element, Value};

use super::{Net, Weights};

/// Epsilon of batch normalisation. Source: torch's default.
const EPS: f32 = 1e-5;
/// Dilations of the three dense blocks. Source: FunASR `models/campplus/model.py`.
const DILATIONS: [i64; 3] = [1, 2, 2];

/// `feature` `[batch, frames, mels]`, `context` `[halved, halved]` and `unbias` `[1]` to `embedding` `[batch, width]`, where `halved` is
/// half of the frames; see [`crate::speakers::embedder`] for the two latter.
///
/// # Errors
/// Weights are missing.
pub fn graph(checkpoint: &Path) -> Result<Vec<u8>, CheckpointError> {
    let weights = Weights::open(checkpoint, "xvector.dense.linear.weight")?;
    let mut net = Net::new("campplus", &weights);
    let feature = net.graph.input("feature", Element::F32, &[Dim::Any("batch"), Dim::Any("frames"), Dim::Any("mels")]);
    let context = net.graph.input("context", Element::F32, &[Dim::Any("halved"), Dim::Any("halved")]);
    let unbias = net.graph.input("unbias", Element::F32, &[Dim::Of(1)]);

    let x = net.transpose(&feature, &[0, 2, 1]);
    let x = net.unsqueeze(&x, &[1]); // [batch, 1, mels, frames]
    let mut x = net.head(&x)?;
    x = net.convolve_1d(&x, "xvector.tdnn.linear", 2, 1)?;
    x = net.norm_relu(&x, "xvector.tdnn.nonlinear.batchnorm")?;
    for (block, dilation) in DILATIONS.into_iter().enumerate() {
        let name = format!("xvector.block{}", block + 1);
        for layer in (1..).take_while(|layer| weights.has(&format!("{name}.tdnnd{layer}.linear1.weight"))) {
            let grown = net.dense_layer(&x, &context, &format!("{name}.tdnnd{layer}"), dilation)?;
            x = net.concat(&[&x, &grown], 1);
        }
        let name = format!("xvector.transit{}", block + 1);
        x = net.norm_relu(&x, &format!("{name}.nonlinear.batchnorm"))?;
        x = net.convolve_1d(&x, &format!("{name}.linear"), 1, 1)?;
    }
    x = net.norm_relu(&x, "xvector.out_nonlinear.batchnorm")?;
    let pooled = net.statistics(&x, &unbias);
    let embedding = net.convolve_1d(&pooled, "xvector.dense.linear", 1, 1)?;
    let embedding = net.batch_norm(&embedding, "xvector.dense.nonlinear.batchnorm")?;
    let embedding = net.squeeze(&embedding, &[2]);
    net.graph.output("embedding", Element::F32, &embedding);
    Ok(net.graph.finish())
}

impl Net<'_> {
    fn batch_norm(&mut self, x: &Value, name: &str) -> Result<Value, CheckpointError> {
        let (shape, _) = self.weights.get(&format!("{name}.running_mean"))?;
        let mut affine = |leaf: &str, neutral: f32| -> Result<Value, CheckpointError> {
            let full = format!("{name}.{leaf}");
            if self.weights.has(&full) {
                self.weight(&full)
            } else {
                Ok(self.graph.f32s("", &shape, &vec![neutral; shape[0]]))
            }
        };
        let (scale, bias) = (affine("weight", 1.0)?, affine("bias", 0.0)?);
        let mean = self.weight(&format!("{name}.running_mean"))?;
        let variance = self.weight(&format!("{name}.running_var"))?;
        let inputs = [x, &scale, &bias, &mean, &variance];
        Ok(self.graph.op("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(EPS))]))
    }

    fn norm_relu(&mut self, x: &Value, name: &str) -> Result<Value, CheckpointError> {
        let x = self.batch_norm(x, name)?;
        Ok(self.relu(&x))
    }

    /// Convolution over time, padded to keep its length (before the stride).
    fn convolve_1d(&mut self, x: &Value, name: &str, stride: i64, dilation: i64) -> Result<Value, CheckpointError> {
        let (shape, values) = self.weights.get(&format!("{name}.weight"))?;
        let weight = self.graph.f32s("", &shape, &values);
        let padding = (shape.last().copied().unwrap_or(1) as i64 - 1) / 2 * dilation;
        let attributes = [
            ("strides", Attribute::Ints(&[stride])),
            ("dilations", Attribute::Ints(&[dilation])),
            ("pads", Attribute::Ints(&[padding, padding])),
        ];
        let bias = format!("{name}.bias");
        if self.weights.has(&bias) {
            let bias = self.weight(&bias)?;
            return Ok(self.graph.op("Conv", &[x, &weight, &bias], &attributes));
        }
        Ok(self.graph.op("Conv", &[x, &weight], &attributes))
    }

    /// Convolution over mels and time; only mels are strided.
    fn convolve_2d(&mut self, x: &Value, name: &str, stride: i64) -> Result<Value, CheckpointError> {
        let (shape, values) = self.weights.get(&format!("{name}.weight"))?;
        let weight = self.graph.f32s("", &shape, &values);
        let padding = (shape.last().copied().unwrap_or(1) as i64 - 1) / 2;
        let attributes = [("strides", Attribute::Ints(&[stride, 1])), ("pads", Attribute::Ints(&[padding; 4]))];
        Ok(self.graph.op("Conv", &[x, &weight], &attributes))
    }

    /// The two-dimensional front: `[batch, channels · mels / 8, frames]`.
    fn head(&mut self, x: &Value) -> Result<Value, CheckpointError> {
        let x = self.convolve_2d(x, "head.conv1", 1)?;
        let mut x = self.norm_relu(&x, "head.bn1")?;
        for stage in ["head.layer1", "head.layer2"] {
            for block in 0..self.weights.layers(stage, "conv1.weight") {
                let name = format!("{stage}.{block}");
                let stride = if block == 0 { 2 } else { 1 };
                let hidden = self.convolve_2d(&x, &format!("{name}.conv1"), stride)?;
                let hidden = self.norm_relu(&hidden, &format!("{name}.bn1"))?;
                let hidden = self.convolve_2d(&hidden, &format!("{name}.conv2"), 1)?;
                let hidden = self.batch_norm(&hidden, &format!("{name}.bn2"))?;
                if self.weights.has(&format!("{name}.shortcut.0.weight")) {
                    x = self.convolve_2d(&x, &format!("{name}.shortcut.0"), stride)?;
                    x = self.batch_norm(&x, &format!("{name}.shortcut.1"))?;
                }
                let sum = self.add(&hidden, &x);
                x = self.relu(&sum);
            }
        }
        let x = self.convolve_2d(&x, "head.conv2", 2)?;
        let x = self.norm_relu(&x, "head.bn2")?;
        let shape = self.graph.op("Shape", &[&x], &[]);
        let batch = self.slice(&shape, 0, 0, 1);
        let time = self.slice(&shape, 0, 3, 4);
        let rest = self.graph.i64s("", &[1], &[-1]);
        let shape = self.concat(&[&batch, &rest, &time], 0);
        Ok(self.graph.op("Reshape", &[&x, &shape], &[]))
    }

    /// A layer of a dense block: a local convolution, masked by what is heard around it.
    fn dense_layer(&mut self, x: &Value, context: &Value, name: &str, dilation: i64) -> Result<Value, CheckpointError> {
        let x = self.norm_relu(x, &format!("{name}.nonlinear1.batchnorm"))?;
        let x = self.convolve_1d(&x, &format!("{name}.linear1"), 1, 1)?;
        let x = self.norm_relu(&x, &format!("{name}.nonlinear2.batchnorm"))?;
        let local = self.convolve_1d(&x, &format!("{name}.cam_layer.linear_local"), 1, dilation)?;
        let around = self.graph.op("MatMul", &[&x, context], &[]);
        let around = self.convolve_1d(&around, &format!("{name}.cam_layer.linear1"), 1, 1)?;
        let around = self.relu(&around);
        let around = self.convolve_1d(&around, &format!("{name}.cam_layer.linear2"), 1, 1)?;
        let mask = self.graph.op("Sigmoid", &[&around], &[]);
        Ok(self.mul(&local, &mask))
    }

    /// Mean and standard deviation over time: `[batch, 2 · channels, 1]`.
    fn statistics(&mut self, x: &Value, unbias: &Value) -> Value {
        let over_time = [("axes", Attribute::Ints(&[2])), ("keepdims", Attribute::Int(1))];
        let mean = self.graph.op("ReduceMean", &[x], &over_time);
        let centred = self.graph.op("Sub", &[x, &mean], &[]);
        let squares = self.mul(&centred, &centred);
        let variance = self.graph.op("ReduceMean", &[&squares], &over_time);
        let variance = self.mul(&variance, unbias);
        let deviation = self.graph.op("Sqrt", &[&variance], &[]);
        self.concat(&[&mean, &deviation], 1)
    }
}
