//! Parts of a graph that our own kernels compute faster than ONNX Runtime: found by their shape in the graph, so in any export, and replaced
//! by operators of our own before the runtime sees the graph. What is not found stays as it is.
//!
//! - [`convolutions`]: `ConvInteger`, the bias, the conversion to float and the scale behind it, which are two thirds of the int8 exports'
//!   time. The sums are the same to the bit.
//! - [`norms`]: adaptive instance normalisation with the snake activation behind it, fourteen nodes that each go through memory.

mod convolutions;
mod norms;
mod operators;

use syrinx_plugin_common::onnx::model::GraphModel;
use syrinx_plugin_common::onnx::operator::OperatorDomain;
use syrinx_plugin_common::onnx::rewrite::Changes;

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

/// Replaces in the graph `bytes` what kernels do faster on this processor. `None` when there is nothing to gain: no vectors, nothing that
/// is known in the graph, a runtime that takes no operators, or no graph at all (which the runtime says better).
#[must_use]
pub fn accelerate(bytes: &[u8]) -> Option<Accelerated> {
    let isa = Some(Isa::best()).filter(|isa| isa.has_vectors())?;
    let mut graph = GraphModel::parse(bytes).ok()?;
    let links = graph.links();
    let mut changes = Changes::default();
    let convolutions = match isa.multiplies_bytes() {
        true => convolutions::replace(&graph, &links, isa, &mut changes),
        false => Vec::new(),
    };
    let norms = norms::replace(&graph, &links, &mut changes);
    if changes.is_empty() {
        return None;
    }
    let replaced = (convolutions.len(), norms.len());
    let operators = operators::domain(isa, convolutions, norms).ok()?;
    changes.apply(&mut graph);
    Some(Accelerated { model: graph.encode(DOMAIN), operators, replaced })
}
