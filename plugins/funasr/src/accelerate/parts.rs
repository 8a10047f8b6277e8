//! Parts of a tensor. Networks compute queries, keys and values as one tensor and `Split` it into copies; our operators take their part where
//! it lies.

use syrinx_plugin_common::onnx::model::{GraphModel, Links};

use super::integers;

/// One of several equal parts of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// The columns of rows of `width` values: the first one, and how many.
    pub(super) fn columns(self, width: usize) -> [usize; 2] {
        let count = width / self.of;
        [self.number * count, count]
    }
}

/// The tensor that a tensor of three dimensions is a part of, or the tensor itself.
pub(super) fn whole<'g>(graph: &'g GraphModel<'_>, links: &Links, tensor: &'g str) -> (&'g str, Part) {
    part_of(graph, links, tensor).unwrap_or((tensor, Part { number: 0, of: 1 }))
}

fn part_of<'g>(graph: &'g GraphModel<'_>, links: &Links, tensor: &str) -> Option<(&'g str, Part)> {
    let split = &graph.nodes[links.producer(tensor).filter(|at| graph.nodes[*at].operator == "Split")?];
    let is_by_columns = matches!(split.integers.get("axis").map(Vec::as_slice), Some([-1] | [2]));
    let sizes = match split.inputs.get(1) {
        Some(sizes) => integers(graph, sizes)?,
        None => split.integers.get("split")?.clone(),
    };
    let is_even = sizes.len() == split.outputs.len() && sizes.iter().all(|size| *size == sizes[0]);
    let number = split.outputs.iter().position(|output| output == tensor)?;
    (is_by_columns && is_even).then(|| (split.inputs[0].as_str(), Part { number, of: sizes.len() }))
}

/// Asks whole tensors for what parts of them are still asked for, their number of items or frames, so that no part needs to be made.
pub(super) fn ask_the_whole(graph: &mut GraphModel<'_>) {
    let links = graph.links();
    let asks_extent = |shape: usize| {
        let takers = links.consumers(&graph.nodes[shape].outputs[0]);
        !takers.is_empty()
            && takers.iter().all(|&taker| {
                let node = &graph.nodes[taker];
                node.operator == "Gather"
                    && node.inputs.get(1).and_then(|at| integers(graph, at)).is_some_and(|at| matches!(at[..], [0 | 1]))
            })
    };
    let found: Vec<(usize, String)> = (0..graph.nodes.len())
        .filter(|&at| graph.nodes[at].operator == "Shape" && graph.nodes[at].inputs.len() == 1 && asks_extent(at))
        .filter_map(|at| Some((at, part_of(graph, &links, &graph.nodes[at].inputs[0])?.0.to_owned())))
        .collect();
    for (at, tensor) in found {
        graph.nodes[at].set_inputs(vec![tensor]);
    }
}
