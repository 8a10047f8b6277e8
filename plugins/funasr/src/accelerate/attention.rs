//! Finds scaled dot-product attention of several heads around its `Softmax`.

use syrinx_plugin_common::kernels::Isa;
use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next, other};

use super::{DOMAIN, axes, integers, scalar};
use crate::kernels::Attention;

/// Name of the operator: queries, keys, values and what is added to scores in.
pub(super) const OPERATOR: &str = "Attention";
/// The attribute that says which heads.
pub(super) const HEADS: &str = "heads";

/// Heads before time.
const HEADS_FIRST: [i64; 4] = [0, 2, 1, 3];
/// The same of keys, transposed for the product.
const TRANSPOSED: [i64; 4] = [0, 2, 3, 1];

/// Replaces the attentions; returns their settings.
pub(super) fn replace(graph: &GraphModel<'_>, links: &Links, isa: Isa, changes: &mut Changes) -> Vec<Attention> {
    let mut attentions = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.operator != "Softmax" {
            continue;
        }
        let Some(found) = Found::at(graph, links, index) else { continue };
        let new = Node::new(DOMAIN, OPERATOR, &node.name, found.inputs.to_vec(), vec![found.output]);
        changes.replace(&found.group, new.with_integer(HEADS, attentions.len() as i64));
        attentions.push(Attention { isa, heads: found.heads, scale: found.scale });
    }
    attentions
}

struct Found {
    inputs: [String; 4],
    output: String,
    heads: usize,
    scale: f32,
    group: Vec<usize>,
}

impl Found {
    fn at(graph: &GraphModel<'_>, links: &Links, softmax: usize) -> Option<Self> {
        let nodes = &graph.nodes;
        let is_last_axis = nodes[softmax].integers.get("axis").is_none_or(|axis| axis == &[-1] || axis == &[3]);
        let add = maker(graph, links, nodes[softmax].inputs.first()?, "Add")?;
        links.only_consumer(&nodes[add].outputs[0])?;
        let mut group = vec![softmax, add];
        let mut scale = 1.0;
        // Scores are the term that comes from a product.
        let (scores, bias, product) = nodes[add].inputs.iter().find_map(|term| {
            let bias = other(graph, add, term)?;
            if let Some(product) = maker(graph, links, term, "MatMul") {
                return Some((product, bias, product));
            }
            let scaled = links.producer(term)?;
            let product = maker(graph, links, nodes[scaled].inputs.first()?, "MatMul")?;
            Some((scaled, bias, product))
        })?;
        if scores != product {
            let factor = scalar(graph, nodes[scores].inputs.get(1)?)?;
            scale = match nodes[scores].operator.as_str() {
                "Div" => factor.recip(),
                "Mul" => factor,
                _ => return None,
            };
            links.only_consumer(&nodes[product].outputs[0])?;
            group.push(scores);
        }
        links.only_consumer(&nodes[scores].outputs[0])?;
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
        let mix = next(graph, links, softmax, "MatMul")?;
        let (v, value_heads) = split(graph, links, other(graph, mix, &nodes[softmax].outputs[0])?, HEADS_FIRST)?;
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
        fits.then(|| Self {
            inputs: [q, k, v, bias].map(str::to_owned),
            output: nodes[last].outputs[0].clone(),
            heads: heads as usize,
            scale,
            group,
        })
    }
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
