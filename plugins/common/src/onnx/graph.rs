//! Writing ONNX graphs, for networks whose release is only a checkpoint of another framework: the weights become a graph that the
//! same runtime executes.
//!
//! Source: `onnx/onnx.proto3` (messages `ModelProto`, `GraphProto`, `NodeProto`, `TensorProto`) and the protocol buffers' wire format.
//!
//! ```
//! use syrinx_plugin_common::onnx::{Dim, Element, GraphBuilder};
//!
//! let mut graph = GraphBuilder::new("linear");
//! let x = graph.input("x", Element::F32, &[Dim::Any("rows"), Dim::Of(3)]);
//! let w = graph.f32s("w", &[3, 1], &[1.0, 2.0, 3.0]);
//! let y = graph.op("MatMul", &[&x, &w], &[]);
//! graph.output("y", Element::F32, &y);
//! let model: Vec<u8> = graph.finish();
//! # assert!(!model.is_empty());
//! ```

use super::proto::{self, NodeFields, field};
use crate::protobuf::{put_bytes, put_number};

/// Version of the operator set that graphs are written in; the first with `LayerNormalization`.
const OPSET: u64 = 17;
/// Version of the file format that goes with it. Source: onnx `docs/Versioning.md`.
const IR_VERSION: u64 = 8;

/// Element type of inputs and outputs (`TensorProto.DataType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32 = 1,
    /// Bytes without sign.
    U8 = 2,
    /// 32-bit integers.
    I32 = 6,
    /// 64-bit integers.
    I64 = 7,
}

/// Extent of an input's dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Fixed.
    Of(usize),
    /// Any, the same wherever the name is the same.
    Any(&'static str),
}

/// An attribute of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attribute<'a> {
    /// A number.
    Float(f32),
    /// A whole number.
    Int(i64),
    /// Whole numbers.
    Ints(&'a [i64]),
    /// A text.
    Text(&'a str),
}

/// A value in a graph: an input, a constant, or what a node computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

/// A graph in the making.
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    /// The fields of `GraphProto` so far.
    graph: Vec<u8>,
    /// Values that have been named.
    values: usize,
}

impl GraphBuilder {
    /// An empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut graph = Vec::new();
        put_bytes(&mut graph, field::GRAPH_NAME, name.as_bytes());
        Self { graph, values: 0 }
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, element: Element, dims: &[Dim]) -> Value {
        let info = proto::value_info(name, element, Some(dims));
        put_bytes(&mut self.graph, field::GRAPH_INPUT, &info);
        Value(name.to_owned())
    }

    /// Adds a constant of floats, row-major. Names must differ; an empty one is filled in.
    pub fn f32s(&mut self, name: &str, shape: &[usize], values: &[f32]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, Element::F32, shape, &raw)
    }

    /// Adds a constant of integers, row-major. Names must differ; an empty one is filled in.
    pub fn i64s(&mut self, name: &str, shape: &[usize], values: &[i64]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(name, Element::I64, shape, &raw)
    }

    fn initializer(&mut self, name: &str, element: Element, shape: &[usize], raw: &[u8]) -> Value {
        let name = if name.is_empty() { self.fresh() } else { name.to_owned() };
        let tensor = proto::tensor(&name, element, shape, raw);
        put_bytes(&mut self.graph, field::GRAPH_INITIALIZER, &tensor);
        Value(name)
    }

    /// Adds a node with one output.
    pub fn op(&mut self, kind: &str, inputs: &[&Value], attributes: &[(&str, Attribute<'_>)]) -> Value {
        let inputs: Vec<Option<&Value>> = inputs.iter().copied().map(Some).collect();
        let name = self.fresh();
        self.node(kind, &inputs, &[&name], attributes);
        Value(name)
    }

    /// Adds a node with several outputs; inputs may be left out.
    pub fn op_with<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[Option<&Value>],
        attributes: &[(&str, Attribute<'_>)],
    ) -> [Value; N] {
        let names: [String; N] = std::array::from_fn(|_| self.fresh());
        self.node(kind, inputs, &names.each_ref().map(String::as_str), attributes);
        names.map(Value)
    }

    /// Makes `value` an output under `name`.
    pub fn output(&mut self, name: &str, element: Element, value: &Value) {
        self.node("Identity", &[Some(value)], &[name], &[]);
        let info = proto::value_info(name, element, None);
        put_bytes(&mut self.graph, field::GRAPH_OUTPUT, &info);
    }

    fn node(&mut self, kind: &str, inputs: &[Option<&Value>], outputs: &[&str], attributes: &[(&str, Attribute<'_>)]) {
        let fields = NodeFields { operator: kind, domain: "", name: "" };
        let inputs = inputs.iter().map(|input| input.map_or("", |value| value.0.as_str()));
        let node = proto::node(&fields, inputs, outputs.iter().copied(), attributes.iter().copied());
        put_bytes(&mut self.graph, field::GRAPH_NODE, &node);
    }

    fn fresh(&mut self) -> String {
        self.values += 1;
        format!("#{}", self.values)
    }

    /// The model file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut model = Vec::with_capacity(self.graph.len() + 64);
        put_number(&mut model, field::MODEL_IR_VERSION, IR_VERSION);
        put_bytes(&mut model, field::MODEL_PRODUCER, b"syrinx");
        put_bytes(&mut model, field::MODEL_GRAPH, &self.graph);
        put_bytes(&mut model, field::MODEL_OPSET, &proto::opset("", OPSET));
        model
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_wire_format_wants() {
        let mut out = Vec::new();
        put_number(&mut out, 1, 300);
        put_bytes(&mut out, 2, b"ab");
        assert_eq!(out, [0x08, 0xAC, 0x02, 0x12, 0x02, b'a', b'b']);
    }

    #[test]
    fn values_have_names_of_their_own() {
        let mut graph = GraphBuilder::new("test");
        let a = graph.f32s("", &[1], &[1.0]);
        let b = graph.op("Neg", &[&a], &[]);
        assert_ne!(a, b);
        graph.output("y", Element::F32, &b);
        let model = graph.finish();
        assert!(model.windows(3).any(|window| window == b"Neg"));
    }
}
