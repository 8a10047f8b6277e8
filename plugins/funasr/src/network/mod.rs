//! Graphs of the torch releases: the weights of a `model.pt` written as an ONNX graph, cut where the reference's own export loops.
//!
//! Names in the code are names in the state dict. Source of the layers: FunASR `models/sanm`, `models/paraformer`,
//! `models/bicif_paraformer`, `models/contextual_paraformer`, `models/seaco_paraformer`, `models/sense_voice`, `models/campplus`.

pub mod bias;
pub mod campplus;
pub mod fsmn;
pub mod paraformer;
pub mod punctuation;
mod recurrent;
mod sanm;
pub mod sensevoice;

pub use sanm::{LAYER_NORM_EPS, add_positions};

use std::path::Path;

use syrinx_plugin_common::checkpoint::{CheckpointError, Tensors};
use syrinx_plugin_common::onnx::{Attribute, GraphBuilder, Value};

/// A checkpoint's tensors under the names of the state dict, whatever they are wrapped in.
#[derive(Debug)]
pub struct Weights {
    tensors: Tensors,
    prefix: String,
}

impl Weights {
    /// Opens a checkpoint in which there is a tensor `known` (maybe behind `state_dict.` or `module.`).
    ///
    /// # Errors
    /// It can't be read, or has no such tensor.
    pub fn open(path: &Path, known: &str) -> Result<Self, CheckpointError> {
        let tensors = Tensors::torch(path)?;
        let prefix = tensors
            .names()
            .find_map(|name| name.strip_suffix(known).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')))
            .map(str::to_owned);
        match prefix {
            Some(prefix) => Ok(Self { tensors, prefix }),
            None => Err(CheckpointError::Missing { name: known.to_owned() }),
        }
    }

    /// Whether there is a tensor.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.find(&self.full(name)).is_some()
    }

    /// Shape and values of a tensor.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), CheckpointError> {
        let view = self.tensors.get(&self.full(name))?;
        Ok((view.shape().to_vec(), view.to_f32()?))
    }

    /// How many layers `prefix.0`, `prefix.1`, … there are, told by their tensors called `leaf`.
    #[must_use]
    pub fn layers(&self, prefix: &str, leaf: &str) -> usize {
        (0..).take_while(|layer| self.has(&format!("{prefix}.{layer}.{leaf}"))).count()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// A graph in the making together with the weights that go into it.
struct Net<'a> {
    graph: GraphBuilder,
    weights: &'a Weights,
}

impl<'a> Net<'a> {
    fn new(name: &str, weights: &'a Weights) -> Self {
        Self { graph: GraphBuilder::new(name), weights }
    }

    /// A tensor as it is.
    fn weight(&mut self, name: &str) -> Result<Value, CheckpointError> {
        let (shape, values) = self.weights.get(name)?;
        Ok(self.graph.f32s("", &shape, &values))
    }

    /// A matrix `[out, in]`, transposed for products from the right.
    fn transposed(&mut self, name: &str) -> Result<Value, CheckpointError> {
        let (shape, values) = self.weights.get(name)?;
        let [rows, columns] = matrix(name, &shape)?;
        let values: Vec<f32> =
            (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect();
        Ok(self.graph.f32s("", &[columns, rows], &values))
    }

    /// `x · weightᵀ + bias`, without the bias if there is none.
    fn linear(&mut self, x: &Value, name: &str) -> Result<Value, CheckpointError> {
        let weight = self.transposed(&format!("{name}.weight"))?;
        let product = self.graph.op("MatMul", &[x, &weight], &[]);
        let bias = format!("{name}.bias");
        if !self.weights.has(&bias) {
            return Ok(product);
        }
        let bias = self.weight(&bias)?;
        Ok(self.graph.op("Add", &[&product, &bias], &[]))
    }

    /// Normalisation over the last axis.
    fn layer_norm(&mut self, x: &Value, name: &str, eps: f32) -> Result<Value, CheckpointError> {
        let scale = self.weight(&format!("{name}.weight"))?;
        let bias = self.weight(&format!("{name}.bias"))?;
        let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(eps))];
        Ok(self.graph.op("LayerNormalization", &[x, &scale, &bias], &attributes))
    }

    fn relu(&mut self, x: &Value) -> Value {
        self.graph.op("Relu", &[x], &[])
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Add", &[a, b], &[])
    }

    fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.graph.op("Mul", &[a, b], &[])
    }

    fn scaled(&mut self, x: &Value, factor: f32) -> Value {
        let factor = self.graph.f32s("", &[], &[factor]);
        self.mul(x, &factor)
    }

    fn transpose(&mut self, x: &Value, axes: &[i64]) -> Value {
        self.graph.op("Transpose", &[x], &[("perm", Attribute::Ints(axes))])
    }

    /// A new shape; 0 keeps an extent, −1 takes what is left.
    fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.graph.i64s("", &[shape.len()], shape);
        self.graph.op("Reshape", &[x, &shape], &[])
    }

    fn unsqueeze(&mut self, x: &Value, axes: &[i64]) -> Value {
        let axes = self.graph.i64s("", &[axes.len()], axes);
        self.graph.op("Unsqueeze", &[x, &axes], &[])
    }

    fn squeeze(&mut self, x: &Value, axes: &[i64]) -> Value {
        let axes = self.graph.i64s("", &[axes.len()], axes);
        self.graph.op("Squeeze", &[x, &axes], &[])
    }

    /// `x[start..end]` along an axis; negative numbers count from the end.
    fn slice(&mut self, x: &Value, axis: i64, start: i64, end: i64) -> Value {
        let [start, end, axis] = [start, end, axis].map(|number| self.graph.i64s("", &[1], &[number]));
        self.graph.op("Slice", &[x, &start, &end, &axis], &[])
    }

    fn concat(&mut self, parts: &[&Value], axis: i64) -> Value {
        self.graph.op("Concat", parts, &[("axis", Attribute::Int(axis))])
    }
}

fn matrix(name: &str, shape: &[usize]) -> Result<[usize; 2], CheckpointError> {
    shape.try_into().map_err(|_| CheckpointError::Missing { name: format!("{name} of two dimensions") })
}
