//! Finds the FSMN memory: what is masked is transposed, perhaps padded, convolved channel by channel, transposed back, added to itself and
//! masked again.

use syrinx_plugin_common::kernels::Isa;
use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next, other};

use super::parts::{self, Part};
use super::{DOMAIN, axes, floats, integers, scalar};
use crate::kernels::Memory;

/// Name of the operator: the signal and its mask in.
pub(super) const OPERATOR: &str = "Memory";
/// The attribute that says which filters.
pub(super) const FILTERS: &str = "filters";

/// Time and channels exchanged.
const EXCHANGED: [i64; 3] = [0, 2, 1];

/// A memory, and what the signal is of the tensor that is given.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) memory: Memory,
    pub(super) part: Part,
}

/// Replaces the memories; returns their filters.
pub(super) fn replace(graph: &GraphModel<'_>, links: &Links, isa: Isa, changes: &mut Changes) -> Vec<Settings> {
    let mut memories = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.operator != "Conv" {
            continue;
        }
        let Some(found) = Found::at(graph, links, index, isa) else { continue };
        let [x, mask] = &found.inputs;
        let (x, part) = parts::whole(graph, links, x);
        let new = Node::new(DOMAIN, OPERATOR, &node.name, vec![x.to_owned(), mask.clone()], vec![found.output]);
        changes.replace(&found.group, new.with_integer(FILTERS, memories.len() as i64));
        memories.push(Settings { memory: found.memory, part });
    }
    memories
}

struct Found {
    memory: Memory,
    inputs: [String; 2],
    output: String,
    group: Vec<usize>,
}

impl Found {
    fn at(graph: &GraphModel<'_>, links: &Links, conv: usize, isa: Isa) -> Option<Self> {
        let nodes = &graph.nodes;
        let node = &nodes[conv];
        let [input, filters] = node.inputs.as_slice() else { return None };
        let (shape, filters) = floats(graph, filters)?;
        let [channels, 1, taps] = shape[..] else { return None };
        let is = |name: &str, value: &[i64]| node.integers.get(name).is_none_or(|found| found == value);
        let is_plain = is("strides", &[1]) && is("dilations", &[1]) && is("group", &[channels as i64]);
        let is_padded_automatically = node.texts.get("auto_pad").is_some_and(|how| how != "NOTSET");
        if !is_plain || is_padded_automatically {
            return None;
        }
        let mut group = vec![conv];
        let mut pads = node.integers.get("pads").cloned().unwrap_or_else(|| vec![0, 0]);
        let mut transposed = input;
        if let Some(pad) = maker(graph, links, input, "Pad") {
            if pads != [0, 0] || nodes[pad].texts.get("mode").is_some_and(|mode| mode != "constant") {
                return None;
            }
            let value = nodes[pad].inputs.get(2).filter(|name| !name.is_empty());
            if value.is_some_and(|name| scalar(graph, name) != Some(0.0)) {
                return None;
            }
            pads = torch_pads(graph, links, nodes[pad].inputs.get(1)?)?;
            links.only_consumer(input)?;
            group.push(pad);
            transposed = &nodes[pad].inputs[0];
        }
        let [left, right] = pads[..] else { return None };
        let before = links.producer(transposed).filter(|at| axes(&nodes[*at]) == Some(&EXCHANGED))?;
        links.only_consumer(transposed)?;
        let mask = maker(graph, links, &nodes[before].inputs[0], "Mul")?;
        let masked = &nodes[mask].outputs[0];
        let after = next(graph, links, conv, "Transpose").filter(|at| axes(&nodes[*at]) == Some(&EXCHANGED))?;
        let add = next(graph, links, after, "Add")?;
        let last = next(graph, links, add, "Mul")?;
        let by = other(graph, last, &nodes[add].outputs[0])?;
        let x = other(graph, mask, by)?;
        let itself = other(graph, add, &nodes[after].outputs[0])?;
        if (itself != masked && itself != x) || left < 0 || left + right + 1 != taps as i64 {
            return None;
        }
        group.extend([before, after, add, last]);
        Some(Self {
            memory: Memory::new(isa, &filters, channels, left as usize).ok()?,
            inputs: [x.to_owned(), by.to_owned()],
            output: nodes[last].outputs[0].clone(),
            group,
        })
    }
}

/// What is put before and after the last dimension. The exporter writes torch's list, filled up with zeros, turned around and cast.
fn torch_pads(graph: &GraphModel<'_>, links: &Links, pads: &str) -> Option<Vec<i64>> {
    if let Some(values) = integers(graph, pads) {
        let [0, 0, left, 0, 0, right] = values[..] else { return None };
        return Some(vec![left, right]);
    }
    let mut at = links.producer(pads)?;
    for operator in ["Cast", "Reshape", "Transpose", "Slice", "Reshape", "Concat"] {
        if graph.nodes[at].operator != operator {
            return None;
        }
        if operator != "Concat" {
            at = links.producer(&graph.nodes[at].inputs[0])?;
        }
    }
    integers(graph, graph.nodes[at].inputs.first()?).filter(|pads| pads.len() == 2)
}
