//! Finds scaled dot-product attention of several heads around its `Softmax`. Keys that don't count have something added to their scores
//! (Paraformer), or are masked before and after the `Softmax` (SenseVoice).

use syrinx_plugin_common::kernels::Isa;
use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next, other};

use super::parts::{self, Part};
use super::{DOMAIN, axes, integers, scalar};
use crate::kernels::Attention;

/// Name of the operator: queries, keys, values and what is added to scores in.
pub(super) const ADDING: &str = "Attention";
/// The same with a mask, true for keys that don't count.
pub(super) const MASKING: &str = "MaskedAttention";
/// The attribute that says which heads.
pub(super) const HEADS: &str = "heads";

/// Heads before time.
const HEADS_FIRST: [i64; 4] = [0, 2, 1, 3];
/// The same of keys, transposed for the product.
const TRANSPOSED: [i64; 4] = [0, 2, 3, 1];

/// How a node attends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) attention: Attention,
    /// What queries, keys and values are of the tensors that are given.
    pub(super) parts: [Part; 3],
}

/// Replaces the attentions; returns their settings.
pub(super) fn replace(graph: &GraphModel<'_>, links: &Links, isa: Isa, changes: &mut Changes) -> Vec<Settings> {
    let mut attentions = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.operator != "Softmax" {
            continue;
        }
        let Some(found) = Found::at(graph, links, index) else { continue };
        let [(q, of_q), (k, of_k), (v, of_v)] = found.tensors.map(|tensor| parts::whole(graph, links, tensor));
        let inputs = [q, k, v, found.scores.added].map(str::to_owned).to_vec();
        let operator = if found.scores.is_masked { MASKING } else { ADDING };
        let new = Node::new(DOMAIN, operator, &node.name, inputs, vec![found.output]);
        changes.replace(&found.group, new.with_integer(HEADS, attentions.len() as i64));
        let attention = Attention { isa, heads: found.heads, scale: found.scale };
        attentions.push(Settings { attention, parts: [of_q, of_k, of_v] });
    }
    attentions
}

/// What goes into `Softmax` and comes out of it.
struct Scores<'g> {
    /// The scores before something is added or masked.
    plain: &'g str,
    /// What is added, or the mask.
    added: &'g str,
    is_masked: bool,
    /// The node that makes the probabilities.
    last: usize,
    group: Vec<usize>,
}

impl<'g> Scores<'g> {
    fn around(graph: &'g GraphModel<'_>, links: &Links, softmax: usize) -> Option<Self> {
        let nodes = &graph.nodes;
        let before = links.producer(nodes[softmax].inputs.first()?)?;
        links.only_consumer(&nodes[before].outputs[0])?;
        match (nodes[before].operator.as_str(), nodes[before].inputs.as_slice()) {
            ("Add", terms) => {
                // Scores are the term that comes from a product, perhaps scaled.
                let plain = terms.iter().find(|term| {
                    let made = links.producer(term);
                    let scaled = made.and_then(|at| maker(graph, links, nodes[at].inputs.first()?, "MatMul"));
                    maker(graph, links, term, "MatMul").or(scaled).is_some()
                })?;
                let added = other(graph, before, plain)?;
                Some(Self { plain, added, is_masked: false, last: softmax, group: vec![softmax, before] })
            }
            ("Where", [mask, lowest, plain]) => {
                let last = next(graph, links, softmax, "Where")?;
                let [again, zero, probabilities] = nodes[last].inputs.as_slice() else { return None };
                let fits = scalar(graph, lowest)? <= f32::MIN
                    && scalar(graph, zero)? == 0.0
                    && *probabilities == nodes[softmax].outputs[0]
                    && uncast(graph, links, mask) == uncast(graph, links, again);
                let group = vec![softmax, before, last];
                fits.then_some(Self { plain, added: mask, is_masked: true, last, group })
            }
            _ => None,
        }
    }
}

struct Found<'g> {
    /// Queries, keys, values.
    tensors: [&'g str; 3],
    scores: Scores<'g>,
    output: String,
    heads: usize,
    scale: f32,
    group: Vec<usize>,
}

impl<'g> Found<'g> {
    fn at(graph: &'g GraphModel<'_>, links: &Links, softmax: usize) -> Option<Self> {
        let nodes = &graph.nodes;
        let is_last_axis = nodes[softmax].integers.get("axis").is_none_or(|axis| axis == &[-1] || axis == &[3]);
        let scores = Scores::around(graph, links, softmax)?;
        let mut group = scores.group.clone();
        let mut scale = 1.0;
        let mut product = links.producer(scores.plain)?;
        if nodes[product].operator != "MatMul" {
            let factor = scalar(graph, nodes[product].inputs.get(1)?)?;
            scale = match nodes[product].operator.as_str() {
                "Div" => factor.recip(),
                "Mul" => factor,
                _ => return None,
            };
            links.only_consumer(&nodes[product].outputs[0])?;
            group.push(product);
            product = maker(graph, links, nodes[product].inputs.first()?, "MatMul")?;
        }
        links.only_consumer(&nodes[product].outputs[0])?;
        group.push(product);
        let [queries, keys] = nodes[product].inputs.as_slice() else { return None };
        let mut queries = queries.as_str();
        if let Some(scaled) = maker(graph, links, queries, "Mul") {
            let [of, by] = nodes[scaled].inputs.as_slice() else { return None };
            scale *= scalar(graph, by)?;
            queries = of;
        }
        let (q, heads) = split(graph, links, queries, HEADS_FIRST)?;
        let (k, key_heads) = split(graph, links, keys, TRANSPOSED)?;
        let mix = next(graph, links, scores.last, "MatMul")?;
        let (v, value_heads) = split(graph, links, other(graph, mix, &nodes[scores.last].outputs[0])?, HEADS_FIRST)?;
        let back = next(graph, links, mix, "Transpose").filter(|at| axes(&nodes[*at]) == Some(&HEADS_FIRST))?;
        // The exporter asks the transposed tensor for its shape, too.
        let takers = links.consumers(&nodes[back].outputs[0]);
        let last = *takers.iter().find(|taker| nodes[**taker].operator == "Reshape")?;
        let fits = is_last_axis
            && heads == key_heads
            && heads == value_heads
            && heads > 0
            && takers.iter().all(|taker| *taker == last || nodes[*taker].operator == "Shape");
        group.extend([mix, back, last]);
        let (tensors, output) = ([q, k, v], nodes[last].outputs[0].clone());
        fits.then_some(Self { tensors, scores, output, heads: heads as usize, scale, group })
    }
}

/// A tensor before it was cast; the exporter casts a mask to what it is for each use.
fn uncast<'g>(graph: &'g GraphModel<'_>, links: &Links, tensor: &'g str) -> &'g str {
    maker(graph, links, tensor, "Cast").map_or(tensor, |cast| &graph.nodes[cast].inputs[0])
}

/// What a tensor was before it was split into heads and transposed, and the number of heads.
fn split<'g>(graph: &'g GraphModel<'_>, links: &Links, tensor: &str, order: [i64; 4]) -> Option<(&'g str, i64)> {
    let transpose = links.producer(tensor).filter(|at| axes(&graph.nodes[*at]) == Some(&order))?;
    let reshape = &graph.nodes[maker(graph, links, &graph.nodes[transpose].inputs[0], "Reshape")?];
    let [whole, shape] = reshape.inputs.as_slice() else { return None };
    let heads = match integers(graph, shape) {
        Some(shape) => *shape.get(2)?,
        None => {
            let concat = &graph.nodes[maker(graph, links, shape, "Concat")?];
            if concat.inputs.len() != 4 {
                return None;
            }
            *integers(graph, &concat.inputs[2])?.first()?
        }
    };
    Some((whole, heads))
}
