//! Replacing groups of nodes by one node each, and finding such groups.

use std::collections::HashSet;

use super::model::{GraphModel, Links, Node};

/// Groups of nodes that one new node each replaces.
#[derive(Debug, Default)]
pub struct Changes {
    replaced: HashSet<usize>,
    /// The last node of a group, in whose place the new one goes, and the new one.
    new: Vec<(usize, Node)>,
}

impl Changes {
    /// Plans to replace `group` by `node`.
    pub fn replace(&mut self, group: &[usize], node: Node) {
        self.replaced.extend(group);
        let last = group.iter().copied().max().unwrap_or_default();
        self.new.push((last, node));
    }

    /// Whether a node is replaced already.
    #[must_use]
    pub fn has(&self, node: usize) -> bool {
        self.replaced.contains(&node)
    }

    /// Whether there is nothing to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Changes the graph.
    pub fn apply(mut self, graph: &mut GraphModel<'_>) {
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
#[must_use]
pub fn next(graph: &GraphModel<'_>, links: &Links, node: usize, operator: &str) -> Option<usize> {
    let next = links.only_consumer(graph.nodes[node].outputs.first()?)?;
    (graph.nodes[next].operator == operator).then_some(next)
}

/// The node that makes a tensor, if it is of the given operator.
#[must_use]
pub fn maker(graph: &GraphModel<'_>, links: &Links, tensor: &str, operator: &str) -> Option<usize> {
    links.producer(tensor).filter(|maker| graph.nodes[*maker].operator == operator)
}

/// The other input of a node with two.
#[must_use]
pub fn other<'g>(graph: &'g GraphModel<'_>, node: usize, tensor: &str) -> Option<&'g str> {
    match graph.nodes[node].inputs.as_slice() {
        [a, b] if a == tensor => Some(b),
        [a, b] if b == tensor => Some(a),
        _ => None,
    }
}
