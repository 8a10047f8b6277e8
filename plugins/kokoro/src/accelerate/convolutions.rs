//! Finds `ConvInteger` (+ bias) → `Cast` → `Mul` by the scale, as ONNX Runtime's dynamic quantiser writes it.

use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node, Values};
use syrinx_plugin_common::onnx::rewrite::{Changes, next, other};

use super::DOMAIN;
use crate::kernels::{ConvShape, Isa, QuantizedConv};

/// Name of the operator: bytes, zero point, scale and perhaps bias in, floats out.
pub(super) const OPERATOR: &str = "QuantizedConv";

/// The attribute that says which weights.
pub(super) const WEIGHTS: &str = "weights";

/// `TensorProto.DataType.FLOAT`
const FLOAT: i64 = 1;

pub(super) fn replace(graph: &GraphModel<'_>, links: &Links, isa: Isa, changes: &mut Changes) -> Vec<QuantizedConv> {
    let mut weights = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.operator != "ConvInteger" {
            continue;
        }
        let Some(found) = Found::at(graph, links, index) else { continue };
        let Some(conv) = found.weights(graph, isa) else { continue };
        let mut inputs = vec![node.inputs[0].clone(), node.inputs[2].clone(), found.scale.to_owned()];
        inputs.extend(found.bias.map(str::to_owned));
        let output = graph.nodes[found.last].outputs.clone();
        let new = Node::new(DOMAIN, OPERATOR, &node.name, inputs, output).with_integer(WEIGHTS, weights.len() as i64);
        weights.push(conv);
        changes.replace(&found.group, new);
    }
    weights
}

/// A group of nodes that is one convolution.
struct Found<'g> {
    conv: &'g Node,
    group: Vec<usize>,
    last: usize,
    scale: &'g str,
    bias: Option<&'g str>,
}

impl<'g> Found<'g> {
    fn at(graph: &'g GraphModel<'_>, links: &Links, index: usize) -> Option<Self> {
        let conv = &graph.nodes[index];
        let mut group = vec![index];
        let mut bias = None;
        let mut at = index;
        if let Some(add) = next(graph, links, at, "Add") {
            bias = Some(other(graph, add, &conv.outputs[0])?);
            group.push(add);
            at = add;
        }
        let cast = next(graph, links, at, "Cast")?;
        let last = next(graph, links, cast, "Mul")?;
        let scale = other(graph, last, &graph.nodes[cast].outputs[0])?;
        let to_float = graph.nodes[cast].integers.get("to").is_some_and(|to| to == &[FLOAT]);
        group.extend([cast, last]);
        // The zero point of the input is an input of ours.
        let has_zero = conv.inputs.get(2).is_some_and(|zero| !zero.is_empty());
        (to_float && has_zero).then_some(Found { conv, group, last, scale, bias })
    }

    /// The weights, if they are constants of a convolution over one dimension that the kernel can do.
    fn weights(&self, graph: &GraphModel<'_>, isa: Isa) -> Option<QuantizedConv> {
        let attribute =
            |name: &str| self.conv.integers.get(name).map(Vec::as_slice).filter(|values| !values.is_empty());
        let is_one = |name: &str| attribute(name).is_none_or(|values| values == [1]);
        let dilation = match attribute("dilations") {
            None => 1,
            Some([dilation]) => usize::try_from(*dilation).ok()?,
            Some(_) => return None,
        };
        let pads = match attribute("pads") {
            None => (0, 0),
            Some([before, after]) => (usize::try_from(*before).ok()?, usize::try_from(*after).ok()?),
            Some(_) => return None,
        };
        let (shape, values) = graph.constant(&self.conv.inputs[1])?;
        let zero_points = match self.conv.inputs.get(3).filter(|name| !name.is_empty()) {
            Some(name) => Some(graph.constant(name)?.1),
            None => None,
        };
        // Signed weights are unsigned ones with another zero point.
        let shifted = |values: Vec<i8>| values.into_iter().map(|value| value as u8 ^ 0x80).collect::<Vec<u8>>();
        let (weights, zero_points) = match (values, zero_points) {
            (Values::U8(weights), Some(Values::U8(zeros))) => (weights, zeros),
            (Values::U8(weights), None) => (weights, vec![0]),
            (Values::I8(weights), Some(Values::I8(zeros))) => (shifted(weights), shifted(zeros)),
            (Values::I8(weights), None) => (shifted(weights), vec![0x80]),
            _ => return None,
        };
        let [outputs, inputs, taps] = shape[..] else { return None };
        if !is_one("group") || !is_one("strides") || self.is_padded_automatically() {
            return None;
        }
        let shape = ConvShape { outputs, inputs, taps, dilation, pads };
        QuantizedConv::new(isa, shape, &weights, &zero_points).ok()
    }

    /// Exporters write `NOTSET` or nothing, and then the pads.
    fn is_padded_automatically(&self) -> bool {
        self.conv.texts.get("auto_pad").is_some_and(|how| how != "NOTSET")
    }
}
