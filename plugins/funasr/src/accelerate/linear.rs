//! Finds products with constant matrices: `MatMul`, or `DynamicQuantizeLinear` → `MatMulInteger` → `Cast` → `Mul` by the scales as ONNX
//! Runtime's dynamic quantiser writes it; then perhaps `Add` of a bias, then perhaps `Relu`.

use syrinx_plugin_common::kernels::Parallel;
use syrinx_plugin_common::onnx::model::{GraphModel, Links, Node, Values};
use syrinx_plugin_common::onnx::rewrite::{Changes, maker, next, other};

use super::{DOMAIN, Precision, Weights, floats};
use crate::kernels::{ByteMatrix, Finish, FloatMatrix};

/// Name of the operator: floats in, floats out.
pub(super) const OPERATOR: &str = "Linear";
/// The attribute that says which weights.
pub(super) const WEIGHTS: &str = "weights";

/// Narrower products are not worth it.
const LEAST_OUTPUTS: usize = 8;
/// `TensorProto.DataType.FLOAT`
const FLOAT: i64 = 1;

/// `y = x Wᵀ + b`, perhaps rectified.
#[derive(Debug)]
pub(super) struct Linear {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
    relu: bool,
}

#[derive(Debug)]
enum Matrix {
    Float(FloatMatrix),
    Bytes(ByteMatrix),
}

impl Linear {
    pub(super) fn inputs(&self) -> usize {
        match &self.matrix {
            Matrix::Float(matrix) => matrix.inputs(),
            Matrix::Bytes(matrix) => matrix.inputs(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        match &self.matrix {
            Matrix::Float(matrix) => matrix.outputs(),
            Matrix::Bytes(matrix) => matrix.outputs(),
        }
    }

    /// `y`, `[rows, outputs]`, of `x`, `[rows, inputs]`.
    pub(super) fn run(&self, x: &[f32], y: &mut [f32], parallel: &Parallel<'_>) -> Result<(), String> {
        let finish = Finish { bias: self.bias.as_deref(), relu: self.relu };
        match &self.matrix {
            Matrix::Float(matrix) => matrix.product(x, y, finish, parallel),
            Matrix::Bytes(matrix) => matrix.product(x, y, finish, parallel),
        }
    }
}

/// Replaces the products; returns their weights.
pub(super) fn replace(
    graph: &GraphModel<'_>,
    links: &Links,
    weights: &Weights<'_>,
    changes: &mut Changes,
) -> Vec<Linear> {
    let mut linears = Vec::new();
    for index in 0..graph.nodes.len() {
        if changes.has(index) {
            continue;
        }
        let Some(found) = Found::at(graph, links, index) else { continue };
        let Some(matrix) = found.matrix(graph, weights) else { continue };
        let mut group = found.group;
        let mut last = found.last;
        let mut linear = Linear { matrix, bias: None, relu: false };
        if let Some((add, bias)) = next(graph, links, last, "Add")
            .and_then(|add| Some((add, bias_of(graph, add, &graph.nodes[last].outputs[0], linear.outputs())?)))
        {
            linear.bias = Some(bias);
            group.push(add);
            last = add;
            if let Some(relu) = next(graph, links, last, "Relu") {
                linear.relu = true;
                group.push(relu);
                last = relu;
            }
        }
        let node = &graph.nodes[index];
        let outputs = graph.nodes[last].outputs.clone();
        let new = Node::new(DOMAIN, OPERATOR, &node.name, vec![found.x.to_owned()], outputs);
        changes.replace(&group, new.with_integer(WEIGHTS, linears.len() as i64));
        linears.push(linear);
    }
    linears
}

/// The product that makes `output`, up to a bias and `LogSoftmax`, and the tensor that goes into it.
pub(super) fn behind(
    graph: &GraphModel<'_>,
    links: &Links,
    weights: &Weights<'_>,
    output: &str,
) -> Option<(Linear, String)> {
    let nodes = &graph.nodes;
    let mut last = links.producer(output)?;
    if nodes[last].operator == "Identity" || nodes[last].operator == "LogSoftmax" {
        last = links.producer(&nodes[last].inputs[0])?;
    }
    let mut biases = None;
    if nodes[last].operator == "Add" {
        let [a, b] = nodes[last].inputs.as_slice() else { return None };
        let (bias, product) = if floats(graph, a).is_some() { (a, b) } else { (b, a) };
        biases = Some(floats(graph, bias)?.1);
        last = links.producer(product)?;
    }
    let product = match nodes[last].operator.as_str() {
        "MatMul" => last,
        "Mul" => nodes[last]
            .inputs
            .iter()
            .filter_map(|input| maker(graph, links, input, "Cast"))
            .find_map(|cast| maker(graph, links, &nodes[cast].inputs[0], "MatMulInteger"))?,
        _ => return None,
    };
    let found = Found::at(graph, links, product)?;
    let matrix = found.matrix(graph, weights)?;
    let linear = Linear { matrix, bias: biases, relu: false };
    let fits = linear.bias.as_ref().is_none_or(|bias| bias.len() == linear.outputs());
    fits.then(|| (linear, found.x.to_owned()))
}

/// The bias that a node adds.
fn bias_of(graph: &GraphModel<'_>, add: usize, product: &str, outputs: usize) -> Option<Vec<f32>> {
    let (shape, bias) = floats(graph, other(graph, add, product)?)?;
    (shape == [outputs]).then_some(bias)
}

/// A product without its bias.
struct Found<'g> {
    /// What is multiplied.
    x: &'g str,
    weights: &'g str,
    /// Zero points and scales of bytes.
    bytes: Option<(Option<&'g str>, &'g str)>,
    group: Vec<usize>,
    last: usize,
}

impl<'g> Found<'g> {
    fn at(graph: &'g GraphModel<'_>, links: &Links, index: usize) -> Option<Self> {
        let node = &graph.nodes[index];
        match node.operator.as_str() {
            "MatMul" => {
                let [x, weights] = node.inputs.as_slice() else { return None };
                graph.is_constant(weights).then_some(Found { x, weights, bytes: None, group: vec![index], last: index })
            }
            "MatMulInteger" => Self::quantized(graph, links, index),
            _ => None,
        }
    }

    fn quantized(graph: &'g GraphModel<'_>, links: &Links, index: usize) -> Option<Self> {
        let node = &graph.nodes[index];
        let [x, weights, x_zero, rest @ ..] = node.inputs.as_slice() else { return None };
        let quantize = &graph.nodes[maker(graph, links, x, "DynamicQuantizeLinear")?];
        let [q, x_scale, zero] = quantize.outputs.as_slice() else { return None };
        let cast = next(graph, links, index, "Cast")?;
        let last = next(graph, links, cast, "Mul")?;
        let scales = maker(graph, links, other(graph, last, &graph.nodes[cast].outputs[0])?, "Mul")?;
        let fits = x == q
            && x_zero == zero
            && graph.is_constant(weights)
            && graph.nodes[cast].integers.get("to").is_some_and(|to| to == &[FLOAT]);
        let scale = other(graph, scales, x_scale)?;
        fits.then_some(Found {
            x: &quantize.inputs[0],
            weights,
            bytes: Some((rest.first().map(String::as_str).filter(|name| !name.is_empty()), scale)),
            group: vec![index, cast, last],
            last,
        })
    }

    /// The weights, if they are a matrix that the kernels can do, and faster than the runtime.
    fn matrix(&self, graph: &GraphModel<'_>, weights: &Weights<'_>) -> Option<Matrix> {
        let is_faster = if self.bytes.is_some() { weights.isa.multiplies_bytes() } else { weights.isa.has_vectors() };
        is_faster.then_some(())?;
        // Weights of floats are laid out from where they lie in the file, most of them.
        if self.bytes.is_none()
            && weights.precision == Precision::Kept
            && let Some((shape, bytes)) = graph.float_bytes(self.weights)
            && let [_, outputs] = shape[..]
            && outputs >= LEAST_OUTPUTS
        {
            let matrix = FloatMatrix::of_column_bytes(weights.isa, bytes, outputs);
            weights.has_read(bytes.len());
            return Some(Matrix::Float(matrix));
        }
        let (shape, values) = graph.constant(self.weights)?;
        let [_, outputs] = shape[..] else { return None };
        if outputs < LEAST_OUTPUTS {
            return None;
        }
        let Some((zeros, scales)) = self.bytes else {
            let Values::F32(values) = values else { return None };
            let matrix = match weights.precision {
                Precision::Kept => Matrix::Float(FloatMatrix::of_columns(weights.isa, &values, outputs)),
                Precision::Int8 => Matrix::Bytes(ByteMatrix::quantized(weights.isa, &values, outputs).ok()?),
            };
            weights.has_read(values.len() * size_of::<f32>());
            return Some(matrix);
        };
        let zeros = match zeros {
            Some(name) => Some(graph.constant(name)?.1),
            None => None,
        };
        // Signed weights are unsigned ones with another zero point.
        let shifted = |values: Vec<i8>| values.into_iter().map(|value| value as u8 ^ 0x80).collect::<Vec<u8>>();
        let (values, zeros) = match (values, zeros) {
            (Values::U8(values), Some(Values::U8(zeros))) => (values, zeros),
            (Values::U8(values), None) => (values, vec![0]),
            (Values::I8(values), Some(Values::I8(zeros))) => (shifted(values), shifted(zeros)),
            (Values::I8(values), None) => (shifted(values), vec![0x80]),
            _ => return None,
        };
        let (_, scales) = floats(graph, scales)?;
        let matrix = ByteMatrix::of_columns(weights.isa, &values, outputs, &zeros, &scales).ok()?;
        weights.has_read(values.len());
        Some(Matrix::Bytes(matrix))
    }
}
