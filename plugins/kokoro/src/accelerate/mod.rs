//! Parts of a graph that our own kernels compute faster than ONNX Runtime: found by their shape in the graph, so in any export, and replaced
//! by operators of our own before the runtime sees the graph. What is not found stays as it is.
//!
//! - [`convolutions`]: `ConvInteger`, the bias, the conversion to float and the scale behind it, which are two thirds of the int8 exports'
//!   time. The sums are the same to the bit.
//! - [`norms`]: adaptive instance normalisation with the snake activation behind it, fourteen nodes that each go through memory.

mod convolutions;
mod norms;
mod operators;

use std::collections::HashSet;

use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node};
use syrinx_plugin_common::onnx::operator::OperatorDomain;

use crate::kernels::Isa;

/// Domain of the operators.
const DOMAIN: &str = "syrinx.kokoro";

/// A changed graph, and the operators that it needs.
pub struct Accelerated {
    /// File content.
    pub model: Vec<u8>,
    /// The operators.
    pub operators: OperatorDomain,
    /// How many convolutions and how many normalisations were replaced.
    pub replaced: (usize, usize),
}

/// Replaces what it can in the graph `bytes`. `None` when there is nothing to gain: no kernel for this processor, nothing that is known
/// in the graph, a runtime that takes no operators, or no graph at all (which the runtime says better).
#[must_use]
pub fn accelerate(bytes: &[u8]) -> Option<Accelerated> {
    let (isa, mut graph) = (Isa::detect()?, GraphModel::parse(bytes).ok()?);
    let links = graph.links();
    let mut changes = Changes::default();
    let convolutions = convolutions::replace(&graph, &links, isa, &mut changes);
    let norms = norms::replace(&graph, &links, &mut changes);
    if changes.replaced.is_empty() {
        return None;
    }
    let replaced = (convolutions.len(), norms.len());
    let operators = operators::domain(isa, convolutions, norms).ok()?;
    changes.apply(&mut graph);
    Some(Accelerated { model: graph.encode(DOMAIN), operators, replaced })
}

/// Groups of nodes that one new node each replaces.
#[derive(Default)]
struct Changes {
    replaced: HashSet<usize>,
    /// The last node of a group, in whose place the new one goes, and the new one.
    new: Vec<(usize, Node)>,
}

impl Changes {
    fn replace(&mut self, group: &[usize], node: Node) {
        self.replaced.extend(group);
        let last = group.iter().copied().max().unwrap_or_default();
        self.new.push((last, node));
    }

    fn apply(mut self, graph: &mut GraphModel<'_>) {
        self.new.sort_by_key(|(last, _)| *last);
        let mut new = self.new.into_iter().peekable();
        let old = std::mem::take(&mut graph.nodes);
        for (index, node) in old.into_iter().enumerate() {
            if let Some((_, node)) = new.next_if(|(last, _)| *last == index) {
                graph.nodes.push(node);
            } else if !self.replaced.contains(&index) {
                graph.nodes.push(node);
            }
        }
    }
}

/// The single consumer of a node's first output, if it is of the given operator.
fn next(graph: &GraphModel<'_>, links: &Links, node: usize, operator: &str) -> Option<usize> {
    let next = links.only_consumer(graph.nodes[node].outputs.first()?)?;
    (graph.nodes[next].operator == operator).then_some(next)
}

/// The node that makes a tensor, if it is of the given operator.
fn maker(graph: &GraphModel<'_>, links: &Links, tensor: &str, operator: &str) -> Option<usize> {
    links.producer(tensor).filter(|maker| graph.nodes[*maker].operator == operator)
}

/// The other input of a node with two.
fn other<'g>(graph: &'g GraphModel<'_>, node: usize, tensor: &str) -> Option<&'g str> {
    match graph.nodes[node].inputs.as_slice() {
        [a, b] if a == tensor => Some(b),
        [a, b] if b == tensor => Some(a),
        _ => None,
    }
}
