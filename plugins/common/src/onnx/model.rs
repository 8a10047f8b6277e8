//! A graph as data: read from a file's bytes, changed, and written again, so that parts of it can be replaced by operators of our own
//! before ONNX Runtime sees it.
//!
//! Only what a rewriter looks at is decoded (nodes, initializers, names of outputs); everything else is carried along as it is. Source:
//! `onnx/onnx.proto3` (messages `ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto`, `TensorProto`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::graph::{Attribute, Element};
use super::proto::{self, NodeFields, field};
use crate::protobuf::{Fields, Value, WireError, put_bytes, varint};

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
    /// Names that the graphs inside of it (branches, bodies of loops) take, theirs and those from around.
    pub captured: Vec<String>,
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

    /// Gives it other inputs; all else stays as it was read.
    pub fn set_inputs(&mut self, inputs: Vec<String>) {
        let mut encoded = Vec::with_capacity(self.encoded.len());
        inputs.iter().for_each(|input| put_bytes(&mut encoded, field::NODE_INPUT, input.as_bytes()));
        let mut fields = Fields::new(&self.encoded, 0..self.encoded.len());
        let mut start = 0;
        // What was read once can be read again.
        while let Some(Ok((number, _))) = fields.next() {
            if number != field::NODE_INPUT {
                encoded.extend_from_slice(&self.encoded[start..fields.position()]);
            }
            start = fields.position();
        }
        self.inputs = inputs;
        self.encoded = if self.encoded.is_empty() { Vec::new() } else { encoded };
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
                    node.captured.extend(attribute.captured);
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
        let fields = NodeFields { operator: &self.operator, domain: &self.domain, name: &self.name };
        let attributes = self.integers.iter().map(|(name, values)| {
            let attribute = match values.as_slice() {
                [value] => Attribute::Int(*value),
                values => Attribute::Ints(values),
            };
            (name.as_str(), attribute)
        });
        let inputs = self.inputs.iter().map(String::as_str);
        proto::node(&fields, inputs, self.outputs.iter().map(String::as_str), attributes)
    }

    /// Names of all tensors that it needs.
    fn needs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().chain(&self.captured).map(String::as_str)
    }
}

/// An attribute; without whole numbers and text it is of another type.
#[derive(Default)]
struct ReadAttribute<'a> {
    name: String,
    integers: Vec<i64>,
    text: Option<String>,
    tensor: Option<&'a [u8]>,
    captured: Vec<String>,
}

fn read_attribute(bytes: &[u8]) -> Result<ReadAttribute<'_>, WireError> {
    let mut attribute = ReadAttribute::default();
    for found in Fields::new(bytes, 0..bytes.len()) {
        match found? {
            (field::ATTRIBUTE_NAME, Value::Bytes(place)) => attribute.name = text(&bytes[place]),
            (field::ATTRIBUTE_INT | field::ATTRIBUTE_INTS, Value::Number(number)) => {
                attribute.integers.push(number as i64);
            }
            (field::ATTRIBUTE_INTS, Value::Bytes(packed)) => attribute.integers.extend(read_packed(bytes, packed)?),
            (field::ATTRIBUTE_TEXT, Value::Bytes(place)) => attribute.text = Some(text(&bytes[place])),
            (field::ATTRIBUTE_TENSOR, Value::Bytes(place)) => attribute.tensor = Some(&bytes[place]),
            (field::ATTRIBUTE_GRAPH, Value::Bytes(place)) => read_captured(&bytes[place], &mut attribute.captured)?,
            _ => {}
        }
    }
    Ok(attribute)
}

/// Names that a graph inside of a node takes or gives out.
fn read_captured(graph: &[u8], names: &mut Vec<String>) -> Result<(), WireError> {
    for found in Fields::new(graph, 0..graph.len()) {
        match found? {
            (field::GRAPH_NODE, Value::Bytes(place)) => {
                let node = Node::read(&graph[place])?;
                names.extend(node.inputs);
                names.extend(node.captured);
            }
            (field::GRAPH_OUTPUT, Value::Bytes(place)) => {
                names.push(message_name(&graph[place], field::VALUE_NAME)?);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The tensor of a node `Constant`.
fn node_constant(bytes: &[u8]) -> Result<Option<&[u8]>, WireError> {
    for found in Fields::new(bytes, 0..bytes.len()) {
        if let (field::NODE_ATTRIBUTE, Value::Bytes(place)) = found?
            && let Some(tensor) = read_attribute(&bytes[place])?.tensor
        {
            return Ok(Some(tensor));
        }
    }
    Ok(None)
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

/// Bytes of a constant from which on it is left where it lies. Smaller ones are copied: they lie between the large ones, and to read them again
/// would get what is around them into memory, too, where the bytes are those of a mapped file.
const LEFT_FROM: usize = 64 << 10;

/// A constant tensor of a graph.
#[derive(Clone, Debug)]
struct Initializer<'a> {
    encoded: Cow<'a, [u8]>,
}

/// A graph that can be changed. Borrows the large constants from the bytes it was read from.
#[derive(Debug)]
pub struct GraphModel<'a> {
    /// The model's other fields, encoded.
    model_rest: Vec<u8>,
    /// The graph's other fields, encoded.
    graph_rest: Vec<u8>,
    initializers: BTreeMap<String, Initializer<'a>>,
    /// Constants that nodes make.
    made: HashMap<String, Initializer<'a>>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The nodes, each after those whose outputs it takes.
    pub nodes: Vec<Node>,
}

/// An input or an output.
#[derive(Clone, Debug)]
struct Port {
    name: String,
    encoded: Vec<u8>,
}

impl Port {
    fn new((name, element): &(&str, Element)) -> Self {
        Self { name: (*name).to_owned(), encoded: proto::value_info(name, *element, None) }
    }

    fn read(bytes: &[u8]) -> Result<Self, WireError> {
        Ok(Self { name: message_name(bytes, field::VALUE_NAME)?, encoded: bytes.to_vec() })
    }
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
            made: HashMap::new(),
            inputs: Vec::new(),
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
                (field::GRAPH_NODE, Value::Bytes(place)) => {
                    let node = Node::read(&bytes[place.clone()])?;
                    if node.operator == "Constant"
                        && let (Some(name), Some(encoded)) = (node.outputs.first(), node_constant(&bytes[place])?)
                    {
                        self.made.insert(name.clone(), Initializer::at(encoded));
                    }
                    self.nodes.push(node);
                }
                (field::GRAPH_INITIALIZER, Value::Bytes(tensor)) => {
                    let encoded = &bytes[tensor];
                    self.initializers.insert(message_name(encoded, field::TENSOR_NAME)?, Initializer::at(encoded));
                }
                (field::GRAPH_INPUT, Value::Bytes(port)) => self.inputs.push(Port::read(&bytes[port])?),
                (field::GRAPH_OUTPUT, Value::Bytes(port)) => self.outputs.push(Port::read(&bytes[port])?),
                // What is noted about tensors in between may no longer be there; the runtime finds it out itself.
                (field::GRAPH_VALUE_INFO, _) => {}
                _ => self.graph_rest.extend_from_slice(&bytes[start..fields.position()]),
            }
            start = fields.position();
        }
        Ok(())
    }

    /// Shape and values of the constant `name`, be it an initializer or the output of a node `Constant`. `None` when there is none of that
    /// name, or of a type that [`Values`] doesn't have, or stored outside of the file.
    #[must_use]
    pub fn constant(&self, name: &str) -> Option<(Vec<usize>, Values)> {
        self.initializers.get(name).or_else(|| self.made.get(name))?.read().ok().flatten()
    }

    /// Shape and bytes of the constant `name`, whose values are 32-bit floats, where they lie in the file. `None` also for a small one.
    #[must_use]
    pub fn float_bytes(&self, name: &str) -> Option<(Vec<usize>, &'a [u8])> {
        let Cow::Borrowed(bytes) = self.initializers.get(name)?.encoded else { return None };
        let (mut shape, mut is_float, mut raw) = (Vec::new(), false, None);
        for found in Fields::new(bytes, 0..bytes.len()) {
            match found.ok()? {
                (field::TENSOR_DIMS, Value::Number(size)) => shape.push(size as usize),
                (field::TENSOR_DIMS, Value::Bytes(packed)) => {
                    shape.extend(read_packed(bytes, packed).ok()?.into_iter().map(|size| size as usize));
                }
                (field::TENSOR_TYPE, Value::Number(element)) => is_float = element == Element::F32 as u64,
                (field::TENSOR_RAW, Value::Bytes(place)) => raw = Some(&bytes[place]),
                _ => {}
            }
        }
        let raw = raw.filter(|_| is_float)?;
        let count = shape.iter().try_fold(size_of::<f32>(), |product, size| product.checked_mul(*size))?;
        (count == raw.len()).then_some((shape, raw))
    }

    /// Whether there is a constant of that name.
    #[must_use]
    pub fn is_constant(&self, name: &str) -> bool {
        self.initializers.contains_key(name) || self.made.contains_key(name)
    }

    /// The names of the initializers, sorted.
    pub fn constant_names(&self) -> impl Iterator<Item = &str> {
        self.initializers.keys().map(String::as_str)
    }

    /// The names of the inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|port| port.name.as_str())
    }

    /// The names of the outputs.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|port| port.name.as_str())
    }

    /// Puts `output` in the place of the output `old`.
    pub fn replace_output(&mut self, old: &str, output: (&str, Element)) {
        if let Some(port) = self.outputs.iter_mut().find(|port| port.name == old) {
            *port = Port::new(&output);
        }
    }

    /// Drops what no output needs; inputs stay.
    pub fn prune(&mut self) {
        let outputs = self.outputs.iter().map(|port| port.name.clone()).collect();
        self.keep_needed(outputs, &HashSet::new());
    }

    /// Whether all that the nodes and outputs take is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let mut there: HashSet<&str> = self.inputs().chain(self.constant_names()).chain([""]).collect();
        let nodes = self.nodes.iter().all(|node| {
            let has_inputs = node.inputs.iter().all(|input| there.contains(input.as_str()));
            there.extend(node.outputs.iter().map(String::as_str));
            has_inputs
        });
        nodes && self.outputs().all(|output| there.contains(output))
    }

    /// Drops the nodes that `needed` doesn't need when `given` is given; returns all that is needed.
    fn keep_needed(&mut self, mut needed: HashSet<String>, given: &HashSet<&str>) -> HashSet<String> {
        let mut kept: Vec<bool> = self
            .nodes
            .iter()
            .rev()
            .map(|node| {
                let is_needed = |name: &String| needed.contains(name) && !given.contains(name.as_str());
                let keeps = node.outputs.iter().any(is_needed);
                if keeps {
                    needed.extend(node.needs().map(str::to_owned));
                }
                keeps
            })
            .collect();
        self.nodes.retain(|_| kept.pop().unwrap_or(false));
        needed
    }

    /// Cuts a part out: what makes `outputs` of `inputs`, and of the graph's own inputs where it takes more than those.
    pub fn cut(&mut self, inputs: &[(&str, Element)], outputs: &[(&str, Element)]) {
        let given: HashSet<&str> = inputs.iter().map(|(name, _)| *name).collect();
        let needed = self.keep_needed(outputs.iter().map(|(name, _)| (*name).to_owned()).collect(), &given);
        self.inputs.retain(|port| needed.contains(&port.name) && !given.contains(port.name.as_str()));
        self.inputs.extend(inputs.iter().filter(|(name, _)| needed.contains(*name)).map(Port::new));
        self.outputs = outputs.iter().map(Port::new).collect();
    }

    /// Who makes and who takes each tensor.
    #[must_use]
    pub fn links(&self) -> Links {
        let outputs = self.outputs.iter().map(|port| port.name.clone()).collect();
        let mut links = Links { outputs, ..Links::default() };
        for (index, node) in self.nodes.iter().enumerate() {
            for output in &node.outputs {
                links.producers.insert(output.clone(), index);
            }
            for input in node.needs() {
                let takers = links.consumers.entry(input.to_owned()).or_default();
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
        let used: HashSet<&str> =
            self.nodes.iter().flat_map(Node::needs).chain(self.outputs.iter().map(|port| port.name.as_str())).collect();
        let mut graph = self.graph_rest.clone();
        for (number, ports) in [(field::GRAPH_INPUT, &self.inputs), (field::GRAPH_OUTPUT, &self.outputs)] {
            ports.iter().for_each(|port| put_bytes(&mut graph, number, &port.encoded));
        }
        for node in &self.nodes {
            if node.encoded.is_empty() {
                put_bytes(&mut graph, field::GRAPH_NODE, &node.encode());
            } else if node.operator != "Constant" || node.outputs.iter().any(|output| used.contains(output.as_str())) {
                put_bytes(&mut graph, field::GRAPH_NODE, &node.encoded);
            }
        }
        for (name, initializer) in &self.initializers {
            if used.contains(name.as_str()) {
                put_bytes(&mut graph, field::GRAPH_INITIALIZER, &initializer.encoded);
            }
        }
        let mut model = Vec::with_capacity(graph.len() + self.model_rest.len() + 64);
        model.extend_from_slice(&self.model_rest);
        put_bytes(&mut model, field::MODEL_OPSET, &proto::opset(domain, 1));
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

impl<'a> Initializer<'a> {
    fn at(encoded: &'a [u8]) -> Self {
        let is_left = encoded.len() >= LEFT_FROM;
        Self { encoded: if is_left { Cow::Borrowed(encoded) } else { Cow::Owned(encoded.to_vec()) } }
    }

    fn read(&self) -> Result<Option<(Vec<usize>, Values)>, WireError> {
        let bytes = &*self.encoded;
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
    use crate::protobuf::put_number;

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
            let tensor = proto::tensor(name, Element::U8, &[1, 2], &[7, 9]);
            put_bytes(&mut graph, field::GRAPH_INITIALIZER, &tensor);
        }
        put_bytes(&mut graph, field::GRAPH_INPUT, &proto::value_info("x", Element::U8, None));
        put_bytes(&mut graph, field::GRAPH_OUTPUT, &proto::value_info("z", Element::U8, None));
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
        let mut convolution = GraphModel::parse(&bytes).unwrap().nodes.remove(0);
        convolution.set_inputs(vec!["other".into(), "w".into()]);
        let changed = Node::read(&convolution.encoded).unwrap();
        assert_eq!((changed.inputs, &changed.integers["pads"]), (convolution.inputs, &vec![1, -1]));
        assert_eq!(again.outputs().collect::<Vec<_>>(), ["z"]);
    }

    #[test]
    fn parts_are_cut_out() {
        let bytes = file();
        let mut graph = GraphModel::parse(&bytes).unwrap();
        graph.cut(&[("y", Element::F32)], &[("z", Element::F32)]);
        assert_eq!(graph.nodes.iter().map(|node| node.operator.as_str()).collect::<Vec<_>>(), ["Mul"]);
        assert_eq!(graph.inputs().collect::<Vec<_>>(), ["y"]);
        let mut graph = GraphModel::parse(&bytes).unwrap();
        graph.cut(&[], &[("y", Element::F32)]);
        assert_eq!(graph.nodes.iter().map(|node| node.operator.as_str()).collect::<Vec<_>>(), ["Conv"]);
        assert_eq!((graph.inputs().collect::<Vec<_>>(), graph.outputs().collect::<Vec<_>>()), (vec!["x"], vec!["y"]));
    }

    #[test]
    fn graphs_inside_of_nodes_take_tensors_from_around() {
        let inner = Node::new("", "Neg", "inner", vec!["y".into()], vec!["n".into()]).encode();
        let mut branch = Vec::new();
        put_bytes(&mut branch, field::GRAPH_NODE, &inner);
        let mut attribute = Vec::new();
        put_bytes(&mut attribute, field::ATTRIBUTE_NAME, b"then_branch");
        put_bytes(&mut attribute, field::ATTRIBUTE_GRAPH, &branch);
        let mut node = Node::new("", "If", "branch", vec!["is".into()], vec!["o".into()]).encode();
        put_bytes(&mut node, field::NODE_ATTRIBUTE, &attribute);
        assert_eq!(Node::read(&node).unwrap().captured, ["y"]);
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
