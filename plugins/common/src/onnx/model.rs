//! A graph as data: read from a file's bytes, changed, and written again, so that parts of it can be replaced by operators of our own
//! before ONNX Runtime sees it.
//!
//! Only what a rewriter looks at is decoded (nodes, initializers, names of outputs); everything else is carried along as it is. Source:
//! `onnx/onnx.proto3` (messages `ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto`, `TensorProto`).

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::protobuf::{Fields, Value, WireError, put_bytes, put_number, varint};

/// Numbers of the fields that are read or written.
mod field {
    pub(super) const MODEL_GRAPH: u64 = 7;
    pub(super) const MODEL_OPSET: u64 = 8;
    pub(super) const OPSET_DOMAIN: u64 = 1;
    pub(super) const OPSET_VERSION: u64 = 2;
    pub(super) const GRAPH_NODE: u64 = 1;
    pub(super) const GRAPH_INITIALIZER: u64 = 5;
    pub(super) const GRAPH_OUTPUT: u64 = 12;
    pub(super) const PORT_NAME: u64 = 1;
    pub(super) const NODE_INPUT: u64 = 1;
    pub(super) const NODE_OUTPUT: u64 = 2;
    pub(super) const NODE_NAME: u64 = 3;
    pub(super) const NODE_OPERATOR: u64 = 4;
    pub(super) const NODE_ATTRIBUTE: u64 = 5;
    pub(super) const NODE_DOMAIN: u64 = 7;
    pub(super) const ATTRIBUTE_NAME: u64 = 1;
    pub(super) const ATTRIBUTE_INT: u64 = 3;
    pub(super) const ATTRIBUTE_TEXT: u64 = 4;
    pub(super) const ATTRIBUTE_INTS: u64 = 8;
    pub(super) const ATTRIBUTE_TYPE: u64 = 20;
    pub(super) const TENSOR_DIMS: u64 = 1;
    pub(super) const TENSOR_TYPE: u64 = 2;
    pub(super) const TENSOR_FLOATS: u64 = 4;
    pub(super) const TENSOR_INTS: u64 = 5;
    pub(super) const TENSOR_LONGS: u64 = 7;
    pub(super) const TENSOR_NAME: u64 = 8;
    pub(super) const TENSOR_RAW: u64 = 9;
}

/// `AttributeProto.AttributeType.INT`
const ATTRIBUTE_IS_INT: u64 = 2;

/// A node: which operator makes which tensors out of which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The operator's name.
    pub operator: String,
    /// The operator's domain; empty for ONNX's own.
    pub domain: String,
    /// Name of the node.
    pub name: String,
    /// Names of the tensors it takes; empty for an optional one that is left out.
    pub inputs: Vec<String>,
    /// Names of the tensors it makes.
    pub outputs: Vec<String>,
    /// The whole-number attributes, single ones as lists of one.
    pub integers: BTreeMap<String, Vec<i64>>,
    /// The text attributes that were read.
    pub texts: BTreeMap<String, String>,
    /// The node as it was read, for writing it unchanged; empty for a node that is new.
    encoded: Vec<u8>,
}

impl Node {
    /// A new node.
    #[must_use]
    pub fn new(domain: &str, operator: &str, name: &str, inputs: Vec<String>, outputs: Vec<String>) -> Self {
        let (operator, domain, name) = (operator.to_owned(), domain.to_owned(), name.to_owned());
        Node { operator, domain, name, inputs, outputs, ..Node::default() }
    }

    /// Adds a whole-number attribute to a new node.
    #[must_use]
    pub fn with_integer(mut self, name: &str, value: i64) -> Self {
        self.integers.insert(name.to_owned(), vec![value]);
        self
    }

    fn read(bytes: &[u8]) -> Result<Self, WireError> {
        let mut node = Node { encoded: bytes.to_vec(), ..Node::default() };
        for found in Fields::new(bytes, 0..bytes.len()) {
            let (number, Value::Bytes(place)) = found? else { continue };
            let content = &bytes[place];
            match number {
                field::NODE_INPUT => node.inputs.push(text(content)),
                field::NODE_OUTPUT => node.outputs.push(text(content)),
                field::NODE_NAME => node.name = text(content),
                field::NODE_OPERATOR => node.operator = text(content),
                field::NODE_DOMAIN => node.domain = text(content),
                field::NODE_ATTRIBUTE => {
                    let attribute = read_attribute(content)?;
                    match attribute.text {
                        Some(text) => drop(node.texts.insert(attribute.name, text)),
                        None => drop(node.integers.insert(attribute.name, attribute.integers)),
                    }
                }
                _ => {}
            }
        }
        Ok(node)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for input in &self.inputs {
            put_bytes(&mut out, field::NODE_INPUT, input.as_bytes());
        }
        for output in &self.outputs {
            put_bytes(&mut out, field::NODE_OUTPUT, output.as_bytes());
        }
        put_bytes(&mut out, field::NODE_NAME, self.name.as_bytes());
        put_bytes(&mut out, field::NODE_OPERATOR, self.operator.as_bytes());
        put_bytes(&mut out, field::NODE_DOMAIN, self.domain.as_bytes());
        for (name, values) in &self.integers {
            let mut attribute = Vec::new();
            put_bytes(&mut attribute, field::ATTRIBUTE_NAME, name.as_bytes());
            for &value in values {
                put_number(&mut attribute, field::ATTRIBUTE_INT, value as u64);
            }
            put_number(&mut attribute, field::ATTRIBUTE_TYPE, ATTRIBUTE_IS_INT);
            put_bytes(&mut out, field::NODE_ATTRIBUTE, &attribute);
        }
        out
    }
}

/// An attribute; without whole numbers and text it is of another type.
#[derive(Default)]
struct Attribute {
    name: String,
    integers: Vec<i64>,
    text: Option<String>,
}

fn read_attribute(bytes: &[u8]) -> Result<Attribute, WireError> {
    let mut attribute = Attribute::default();
    for found in Fields::new(bytes, 0..bytes.len()) {
        match found? {
            (field::ATTRIBUTE_NAME, Value::Bytes(place)) => attribute.name = text(&bytes[place]),
            (field::ATTRIBUTE_INT | field::ATTRIBUTE_INTS, Value::Number(number)) => {
                attribute.integers.push(number as i64);
            }
            (field::ATTRIBUTE_INTS, Value::Bytes(packed)) => attribute.integers.extend(read_packed(bytes, packed)?),
            (field::ATTRIBUTE_TEXT, Value::Bytes(place)) => attribute.text = Some(text(&bytes[place])),
            _ => {}
        }
    }
    Ok(attribute)
}

fn read_packed(bytes: &[u8], mut packed: std::ops::Range<usize>) -> Result<Vec<i64>, WireError> {
    let mut numbers = Vec::new();
    while !packed.is_empty() {
        let (number, after) = varint(bytes, packed.clone())?;
        numbers.push(number as i64);
        packed.start = after;
    }
    Ok(numbers)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Values of an initializer, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// `FLOAT`
    F32(Vec<f32>),
    /// `UINT8`
    U8(Vec<u8>),
    /// `INT8`
    I8(Vec<i8>),
    /// `INT64`
    I64(Vec<i64>),
}

/// A constant tensor of a graph.
#[derive(Clone, Copy, Debug)]
struct Initializer<'a> {
    encoded: &'a [u8],
}

/// A graph that can be changed. Borrows the constants from the bytes it was read from.
#[derive(Debug)]
pub struct GraphModel<'a> {
    /// The model's other fields, encoded.
    model_rest: Vec<u8>,
    /// The graph's other fields, encoded.
    graph_rest: Vec<u8>,
    initializers: BTreeMap<String, Initializer<'a>>,
    outputs: Vec<String>,
    /// The nodes, each after those whose outputs it takes.
    pub nodes: Vec<Node>,
}

impl<'a> GraphModel<'a> {
    /// Reads the file content `bytes`.
    ///
    /// # Errors
    ///
    /// Says what is wrong with bytes that are no ONNX model.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        Self::read(bytes).map_err(|error| error.to_string())
    }

    fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut model = GraphModel {
            model_rest: Vec::new(),
            graph_rest: Vec::new(),
            initializers: BTreeMap::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
        };
        let mut fields = Fields::new(bytes, 0..bytes.len());
        let mut start = 0;
        while let Some(found) = fields.next() {
            match found? {
                (field::MODEL_GRAPH, Value::Bytes(graph)) => model.read_graph(&bytes[graph])?,
                _ => model.model_rest.extend_from_slice(&bytes[start..fields.position()]),
            }
            start = fields.position();
        }
        Ok(model)
    }

    fn read_graph(&mut self, bytes: &'a [u8]) -> Result<(), WireError> {
        let mut fields = Fields::new(bytes, 0..bytes.len());
        let mut start = 0;
        while let Some(found) = fields.next() {
            match found? {
                (field::GRAPH_NODE, Value::Bytes(node)) => self.nodes.push(Node::read(&bytes[node])?),
                (field::GRAPH_INITIALIZER, Value::Bytes(tensor)) => {
                    let encoded = &bytes[tensor];
                    self.initializers.insert(message_name(encoded, field::TENSOR_NAME)?, Initializer { encoded });
                }
                (number, value) => {
                    if let (field::GRAPH_OUTPUT, Value::Bytes(port)) = (number, value) {
                        self.outputs.push(message_name(&bytes[port], field::PORT_NAME)?);
                    }
                    self.graph_rest.extend_from_slice(&bytes[start..fields.position()]);
                }
            }
            start = fields.position();
        }
        Ok(())
    }

    /// Shape and values of the constant `name`. `None` when there is none of that name, or of a type that [`Values`] doesn't have, or
    /// stored outside of the file.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<(Vec<usize>, Values)> {
        self.initializers.get(name)?.read().ok().flatten()
    }

    /// The names of the constants, sorted.
    pub fn constant_names(&self) -> impl Iterator<Item = &str> {
        self.initializers.keys().map(String::as_str)
    }

    /// Who makes and who takes each tensor.
    #[must_use]
    pub fn links(&self) -> Links {
        let mut links = Links { outputs: self.outputs.iter().cloned().collect(), ..Links::default() };
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                links.producers.insert(output.clone(), index);
            }
            for input in &node.inputs {
                let takers = links.consumers.entry(input.clone()).or_default();
                // A node that takes a tensor twice (x·x) is one taker.
                if takers.last() != Some(&index) {
                    takers.push(index);
                }
            }
        }
        links
    }

    /// The file content of the changed graph, which imports version 1 of `domain`. Constants that no node takes any more are left out.
    #[must_use]
    pub fn encode(&self, domain: &str) -> Vec<u8> {
        let used: HashSet<&str> = self.nodes.iter().flat_map(|node| &node.inputs).map(String::as_str).collect();
        let mut graph = self.graph_rest.clone();
        for node in &self.nodes {
            if node.encoded.is_empty() {
                put_bytes(&mut graph, field::GRAPH_NODE, &node.encode());
            } else {
                put_bytes(&mut graph, field::GRAPH_NODE, &node.encoded);
            }
        }
        for (name, initializer) in &self.initializers {
            if used.contains(name.as_str()) || self.outputs.contains(name) {
                put_bytes(&mut graph, field::GRAPH_INITIALIZER, initializer.encoded);
            }
        }
        let mut opset = Vec::new();
        put_bytes(&mut opset, field::OPSET_DOMAIN, domain.as_bytes());
        put_number(&mut opset, field::OPSET_VERSION, 1);
        let mut model = Vec::with_capacity(graph.len() + self.model_rest.len() + 64);
        model.extend_from_slice(&self.model_rest);
        put_bytes(&mut model, field::MODEL_OPSET, &opset);
        put_bytes(&mut model, field::MODEL_GRAPH, &graph);
        model
    }
}

/// The text in field `number` of a message.
fn message_name(bytes: &[u8], number: u64) -> Result<String, WireError> {
    for found in Fields::new(bytes, 0..bytes.len()) {
        if let (found, Value::Bytes(place)) = found?
            && found == number
        {
            return Ok(text(&bytes[place]));
        }
    }
    Ok(String::new())
}

impl Initializer<'_> {
    fn read(&self) -> Result<Option<(Vec<usize>, Values)>, WireError> {
        let bytes = self.encoded;
        let (mut shape, mut element, mut raw) = (Vec::new(), 0, None);
        let (mut integers, mut floats) = (Vec::new(), Vec::new());
        for found in Fields::new(bytes, 0..bytes.len()) {
            match found? {
                (field::TENSOR_DIMS, Value::Number(size)) => shape.push(size as usize),
                (field::TENSOR_DIMS, Value::Bytes(packed)) => {
                    shape.extend(read_packed(bytes, packed)?.into_iter().map(|size| size as usize));
                }
                (field::TENSOR_TYPE, Value::Number(number)) => element = number,
                (field::TENSOR_RAW, Value::Bytes(place)) => raw = Some(&bytes[place]),
                (field::TENSOR_FLOATS, Value::Bytes(place)) => floats.extend(floats_of(&bytes[place])),
                (field::TENSOR_INTS | field::TENSOR_LONGS, Value::Number(number)) => integers.push(number as i64),
                (field::TENSOR_INTS | field::TENSOR_LONGS, Value::Bytes(packed)) => {
                    integers.extend(read_packed(bytes, packed)?);
                }
                _ => {}
            }
        }
        let (values, length) = match (element, raw) {
            (1, Some(raw)) => (Values::F32(floats_of(raw).collect()), raw.len() / 4),
            (1, None) => (Values::F32(floats.clone()), floats.len()),
            (2, Some(raw)) => (Values::U8(raw.to_vec()), raw.len()),
            (2, None) => (Values::U8(integers.iter().map(|&value| value as u8).collect()), integers.len()),
            (3, Some(raw)) => (Values::I8(raw.iter().map(|&byte| byte as i8).collect()), raw.len()),
            (3, None) => (Values::I8(integers.iter().map(|&value| value as i8).collect()), integers.len()),
            (7, Some(raw)) => {
                let values: Vec<i64> = raw.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
                let length = values.len();
                (Values::I64(values), length)
            }
            (7, None) => (Values::I64(integers.clone()), integers.len()),
            _ => return Ok(None),
        };
        let complete = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)) == Some(length);
        Ok(complete.then_some((shape, values)))
    }
}

fn floats_of(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

/// Who makes and who takes the tensors of a graph; nodes by index.
#[derive(Clone, Debug, Default)]
pub struct Links {
    producers: HashMap<String, usize>,
    consumers: HashMap<String, Vec<usize>>,
    outputs: HashSet<String>,
}

impl Links {
    /// The node that makes a tensor.
    #[must_use]
    pub fn producer(&self, tensor: &str) -> Option<usize> {
        self.producers.get(tensor).copied()
    }

    /// The nodes that take a tensor, in order; empty also for a tensor that the graph gives out, since that has takers outside.
    #[must_use]
    pub fn consumers(&self, tensor: &str) -> &[usize] {
        match self.consumers.get(tensor) {
            Some(takers) if !self.outputs.contains(tensor) => takers,
            _ => &[],
        }
    }

    /// The only node that takes a tensor.
    #[must_use]
    pub fn only_consumer(&self, tensor: &str) -> Option<usize> {
        match self.consumers(tensor) {
            [taker] => Some(*taker),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `y = Conv(x, w)`, `z = y · y`; `unused` is taken by nobody.
    fn file() -> Vec<u8> {
        let mut convolution = Vec::new();
        for input in ["x", "w"] {
            put_bytes(&mut convolution, field::NODE_INPUT, input.as_bytes());
        }
        put_bytes(&mut convolution, field::NODE_OUTPUT, b"y");
        put_bytes(&mut convolution, field::NODE_OPERATOR, b"Conv");
        let mut pads = Vec::new();
        put_bytes(&mut pads, field::ATTRIBUTE_NAME, b"pads");
        put_bytes(&mut pads, field::ATTRIBUTE_INTS, &[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        put_bytes(&mut convolution, field::NODE_ATTRIBUTE, &pads);
        let square = Node::new("", "Mul", "square", vec!["y".into(), "y".into()], vec!["z".into()]).encode();
        let mut graph = Vec::new();
        put_bytes(&mut graph, field::GRAPH_NODE, &convolution);
        put_bytes(&mut graph, field::GRAPH_NODE, &square);
        for name in ["w", "unused"] {
            let mut tensor = Vec::new();
            for size in [1, 2] {
                put_number(&mut tensor, field::TENSOR_DIMS, size);
            }
            put_number(&mut tensor, field::TENSOR_TYPE, 2);
            put_bytes(&mut tensor, field::TENSOR_NAME, name.as_bytes());
            put_bytes(&mut tensor, field::TENSOR_RAW, &[7, 9]);
            put_bytes(&mut graph, field::GRAPH_INITIALIZER, &tensor);
        }
        let mut port = Vec::new();
        put_bytes(&mut port, field::PORT_NAME, b"z");
        put_bytes(&mut graph, field::GRAPH_OUTPUT, &port);
        let mut model = Vec::new();
        put_number(&mut model, 1, 9); // ir_version
        put_bytes(&mut model, field::MODEL_GRAPH, &graph);
        model
    }

    #[test]
    fn a_graph_is_read_changed_and_written() {
        let bytes = file();
        let mut graph = GraphModel::parse(&bytes).unwrap();
        assert_eq!(graph.nodes[0].integers["pads"], [1, -1]);
        assert_eq!(graph.constant("w"), Some((vec![1, 2], Values::U8(vec![7, 9]))));
        assert_eq!(graph.constant("x"), None);
        let links = graph.links();
        assert_eq!((links.producer("y"), links.only_consumer("y"), links.producer("x")), (Some(0), Some(1), None));
        assert!(links.consumers("z").is_empty());

        let new = Node::new("ours", "Better", "new", vec!["x".into(), "w".into()], vec!["y".into()]);
        graph.nodes[0] = new.with_integer("number", -3);
        let written = graph.encode("ours");
        let again = GraphModel::parse(&written).unwrap();
        assert_eq!((again.nodes[0].operator.as_str(), again.nodes[0].domain.as_str()), ("Better", "ours"));
        assert_eq!(again.nodes[0].integers["number"], [-3]);
        assert_eq!(again.nodes[1], graph.nodes[1]);
        assert_eq!(again.constant_names().collect::<Vec<_>>(), ["w"]);
        assert_eq!(again.outputs, ["z"]);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = file();
        for length in [1, 3, bytes.len() / 2, bytes.len() - 1] {
            assert!(GraphModel::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(GraphModel::parse(&[]).unwrap().nodes.is_empty());
    }
}
