//! Finds instance normalisation written out (`ReduceMean`, `Sub`, square, `ReduceMean`, `Add`, `Sqrt`, `Div`) with a gain and an offset per
//! channel, and the snake activation behind it.

use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node, Values};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next, other};

use super::DOMAIN;

/// Name of the operator: input, gain, offset, and perhaps α and 1/α in.
pub(super) const OPERATOR: &str = "AdaptiveNorm";

/// The attribute that says which epsilon.
pub(super) const EPSILON: &str = "epsilon";

/// Replaces the normalisations; returns the epsilons.
pub(super) fn replace(graph: &GraphModel<'_>, links: &Links, changes: &mut Changes) -> Vec<f32> {
    let mut epsilons = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        if node.operator != "Sqrt" {
            continue;
        }
        for norm in Norm::around(graph, links, index).unwrap_or_default() {
            let mut inputs = vec![norm.x.to_owned(), norm.gain.to_owned(), norm.offset.to_owned()];
            let mut group = norm.group;
            let mut output = norm.output;
            if let Some(snake) = Snake::behind(graph, links, norm.output) {
                inputs.extend([snake.alpha.to_owned(), snake.inverse.to_owned()]);
                group.extend(snake.group);
                output = snake.output;
            }
            let name = format!("{}/{}", node.name, epsilons.len());
            let new = Node::new(DOMAIN, OPERATOR, &name, inputs, vec![output.to_owned()])
                .with_integer(EPSILON, epsilons.len() as i64);
            epsilons.push(norm.epsilon);
            changes.replace(&group, new);
        }
    }
    epsilons
}

struct Norm<'g> {
    x: &'g str,
    gain: &'g str,
    offset: &'g str,
    epsilon: f32,
    group: Vec<usize>,
    output: &'g str,
}

impl<'g> Norm<'g> {
    /// The normalisation whose square root is node `root`; several where the same input is given several gains and offsets.
    fn around(graph: &'g GraphModel<'_>, links: &Links, root: usize) -> Option<Vec<Self>> {
        let nodes = &graph.nodes;
        let out = |node: usize| nodes[node].outputs[0].as_str();
        let add_epsilon = maker(graph, links, &nodes[root].inputs[0], "Add")?;
        let (epsilon, variance) = constant_and_other(graph, add_epsilon)?;
        let variance = maker(graph, links, variance, "ReduceMean")?;
        let square = links.producer(nodes[variance].inputs.first()?)?;
        let centred = maker(graph, links, squared(graph, square)?, "Sub")?;
        let [x, mean] = nodes[centred].inputs.as_slice() else { return None };
        let mean = maker(graph, links, mean, "ReduceMean")?;
        let divide = next(graph, links, root, "Div")?;
        let over_time = |node: usize| is_mean_over_time(graph, node);
        let fits = nodes[mean].inputs.first() == Some(x)
            && nodes[divide].inputs == [out(centred), out(root)]
            && over_time(mean)
            && over_time(variance)
            // Nothing else takes what lies between.
            && links.consumers(out(centred)).len() == 2
            && [mean, square, variance, add_epsilon].iter().all(|node| links.only_consumer(out(*node)).is_some());
        if !fits {
            return None;
        }
        let scaled = links.consumers(out(divide)).iter().map(|&scale| {
            let shift = (nodes[scale].operator == "Mul").then(|| next(graph, links, scale, "Add"))??;
            Some(Norm {
                x,
                gain: other(graph, scale, out(divide))?,
                offset: other(graph, shift, out(scale))?,
                epsilon,
                group: vec![mean, centred, square, variance, add_epsilon, root, divide, scale, shift],
                output: out(shift),
            })
        });
        scaled.collect()
    }
}

struct Snake<'g> {
    alpha: &'g str,
    inverse: &'g str,
    group: [usize; 5],
    output: &'g str,
}

impl<'g> Snake<'g> {
    /// `y + inverse · sin(alpha · y)²`
    fn behind(graph: &'g GraphModel<'_>, links: &Links, y: &str) -> Option<Self> {
        let nodes = &graph.nodes;
        let out = |node: usize| nodes[node].outputs[0].as_str();
        let [a, b] = links.consumers(y) else { return None };
        let multiply = *[a, b].into_iter().find(|node| nodes[**node].operator == "Mul")?;
        let sum = *[a, b].into_iter().find(|node| nodes[**node].operator == "Add")?;
        let sine = next(graph, links, multiply, "Sin")?;
        let square = links.only_consumer(out(sine))?;
        squared(graph, square).filter(|of| *of == out(sine))?;
        let weigh = next(graph, links, square, "Mul")?;
        (next(graph, links, weigh, "Add")? == sum).then_some(())?;
        let (alpha, inverse) = (other(graph, multiply, y)?, other(graph, weigh, out(square))?);
        // Of one value per channel, which constants tell.
        (graph.constant(alpha).is_some() && graph.constant(inverse).is_some()).then_some(Snake {
            alpha,
            inverse,
            group: [multiply, sine, square, weigh, sum],
            output: out(sum),
        })
    }
}

/// What a node squares, be it a product with itself or a power.
fn squared<'g>(graph: &'g GraphModel<'_>, node: usize) -> Option<&'g str> {
    let node = &graph.nodes[node];
    let [base, by] = node.inputs.as_slice() else { return None };
    let is_square = match node.operator.as_str() {
        "Mul" => base == by,
        "Pow" => scalar(graph, by) == Some(2.0),
        _ => false,
    };
    is_square.then_some(base)
}

fn constant_and_other<'g>(graph: &'g GraphModel<'_>, node: usize) -> Option<(f32, &'g str)> {
    let [a, b] = graph.nodes[node].inputs.as_slice() else { return None };
    scalar(graph, b).map(|value| (value, a.as_str())).or_else(|| scalar(graph, a).map(|value| (value, b.as_str())))
}

fn scalar(graph: &GraphModel<'_>, name: &str) -> Option<f32> {
    match graph.constant(name)?.1 {
        Values::F32(values) if values.len() == 1 => Some(values[0]),
        _ => None,
    }
}

/// Whether a `ReduceMean` is one over the last of `[item, channel, time]` that keeps the dimension.
fn is_mean_over_time(graph: &GraphModel<'_>, node: usize) -> bool {
    let node = &graph.nodes[node];
    let axes = match node.inputs.get(1) {
        Some(name) => match graph.constant(name) {
            Some((_, Values::I64(axes))) => Some(axes),
            _ => None,
        },
        None => node.integers.get("axes").cloned(),
    };
    let keeps = node.integers.get("keepdims").is_none_or(|keeps| keeps == &[1]);
    keeps && axes.is_some_and(|axes| axes == [2] || axes == [-1])
}
