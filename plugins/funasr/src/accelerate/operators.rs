//! The operators as ONNX Runtime calls them.

use std::sync::Arc;

use syrinx_plugin_common::onnx::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use syrinx_plugin_common::onnx::operators::{element_of, input, output, run_parallel, three};
use syrinx_plugin_common::onnx::{RuntimeError, TensorElementType};

use super::linear::Linear;
use super::table::Table;
use super::{DOMAIN, attention, linear, loops, memory, table};
use crate::asr::cif;
use crate::asr::timestamps::FIRING;
use crate::kernels::{Attention, Keys, Memory};

/// What tensors are.
const EXTENTS: &str = "[batch, time, channels]";

/// Makes the operators of a graph.
pub(super) fn domain(
    linears: Vec<Linear>,
    memories: Vec<Memory>,
    attentions: Vec<Attention>,
    tables: Vec<Table>,
) -> Result<OperatorDomain, RuntimeError> {
    OperatorDomain::new(DOMAIN)?
        .add(LinearOperator(linears.into_iter().map(Arc::new).collect()))?
        .add(MemoryOperator(memories.into_iter().map(Arc::new).collect()))?
        .add(AttentionOperator(attentions))?
        .add(TableOperator(tables.into_iter().map(Arc::new).collect()))?
        .add(TokensOperator)?
        .add(PeaksOperator)
}

fn floats(count: usize) -> impl Iterator<Item = OperatorInput> {
    (0..count).map(|_| OperatorInput::required(TensorElementType::Float32))
}

/// [`Linear`] over the last dimension.
struct LinearOperator(Vec<Arc<Linear>>);

struct LinearKernel(Arc<Linear>);

impl Operator for LinearOperator {
    type Kernel<'attr> = LinearKernel;

    fn name(&self) -> &str {
        linear::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        floats(1)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<LinearKernel, RuntimeError> {
        Ok(LinearKernel(Arc::clone(element_of(&self.0, context.get(linear::WEIGHTS))?)))
    }
}

// The runtime may run one kernel from several threads. Nothing is changed through `self`; so for all kernels here.
impl Kernel for LinearKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let x = input(context, 0)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let linear = &*self.0;
        let mut shape: Vec<i64> = shape.to_vec();
        match shape.last_mut() {
            Some(width) if *width as usize == linear.inputs() => *width = linear.outputs() as i64,
            width => return Err(RuntimeError::new(format!("rows of {width:?} instead of {} values", linear.inputs()))),
        }
        let mut output = output(context, &shape)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        linear.run(x, output, &parallel).map_err(RuntimeError::new)
    }
}

/// [`Memory`] of `[batch, time, channels]` and a mask `[batch, time, 1]`.
struct MemoryOperator(Vec<Arc<Memory>>);

struct MemoryKernel(Arc<Memory>);

impl Operator for MemoryOperator {
    type Kernel<'attr> = MemoryKernel;

    fn name(&self) -> &str {
        memory::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        floats(2)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<MemoryKernel, RuntimeError> {
        Ok(MemoryKernel(Arc::clone(element_of(&self.0, context.get(memory::FILTERS))?)))
    }
}

impl Kernel for MemoryKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let (x, mask) = (input(context, 0)?, input(context, 1)?);
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, mask) = mask.try_extract_tensor::<f32>()?;
        let [batch, frames, channels] = three(shape, EXTENTS)?;
        if mask.len() != batch * frames {
            return Err(RuntimeError::new(format!("a mask of {} for {batch} · {frames} frames", mask.len())));
        }
        let mut output = output(context, shape)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        let size = (frames * channels).max(1);
        let items = x.chunks(size).zip(mask.chunks(frames.max(1))).zip(output.chunks_mut(size));
        for ((x, mask), output) in items {
            self.0.run(x, mask, output, &parallel).map_err(RuntimeError::new)?;
        }
        Ok(())
    }
}

/// [`Attention`] of `[batch, time, channels]`, with something added to scores that is of one dimension, or of four: batch (or 1), 1,
/// queries (or 1), keys (or 1).
struct AttentionOperator(Vec<Attention>);

struct AttentionKernel(Attention);

impl Operator for AttentionOperator {
    type Kernel<'attr> = AttentionKernel;

    fn name(&self) -> &str {
        attention::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        floats(4)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<AttentionKernel, RuntimeError> {
        Ok(AttentionKernel(*element_of(&self.0, context.get(attention::HEADS))?))
    }
}

impl Kernel for AttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let inputs = (0..4).map(|index| input(context, index)).collect::<Result<Vec<_>, _>>()?;
        let values = inputs.iter().map(|input| input.try_extract_tensor::<f32>()).collect::<Result<Vec<_>, _>>()?;
        let [(shape, q), (key_shape, k), (_, v), (bias_shape, bias)] = values.as_slice() else {
            return Err(RuntimeError::new("four inputs are expected"));
        };
        let ([batch, queries, width], [key_batch, keys, _]) = (three(shape, EXTENTS)?, three(key_shape, EXTENTS)?);
        let (bias_batch, bias_rows, bias_width) = match bias_shape[..] {
            [width] => (1, 1, width as usize),
            [batch, 1, rows, width] => (batch as usize, rows as usize, width as usize),
            _ => return Err(RuntimeError::new(format!("{bias_shape:?} can't be added to scores"))),
        };
        let item = bias_rows * bias_width;
        if key_batch != batch || (bias_batch != 1 && bias_batch != batch) || bias.len() != bias_batch * item {
            return Err(RuntimeError::new("batches of queries, keys and what is added to scores differ"));
        }
        let mut output = output(context, shape)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        for number in 0..batch {
            let of =
                |values: &'static str, tensor: &[f32], rows: usize| -> Result<std::ops::Range<usize>, RuntimeError> {
                    let range = number * rows * width..(number + 1) * rows * width;
                    if range.end > tensor.len() {
                        return Err(RuntimeError::new(format!("{values} are too few")));
                    }
                    Ok(range)
                };
            let bias = &bias[(number % bias_batch) * item..][..item];
            let added = Keys { bias, width: bias_width, rows: bias_rows };
            let parts = [&q[of("queries", q, queries)?], &k[of("keys", k, keys)?], &v[of("values", v, keys)?]];
            let out = &mut output[number * queries * width..(number + 1) * queries * width];
            self.0.run(parts, width, added, out, &parallel).map_err(RuntimeError::new)?;
        }
        Ok(())
    }
}

/// Rows of a [`Table`], one for each id.
struct TableOperator(Vec<Arc<Table>>);

struct TableKernel(Arc<Table>);

impl Operator for TableOperator {
    type Kernel<'attr> = TableKernel;

    fn name(&self) -> &str {
        table::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [OperatorInput::required(TensorElementType::Int32)]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<TableKernel, RuntimeError> {
        Ok(TableKernel(Arc::clone(element_of(&self.0, context.get(table::TABLE))?)))
    }
}

impl Kernel for TableKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let ids = input(context, 0)?;
        let (shape, ids) = ids.try_extract_tensor::<i32>()?;
        let width = self.0.width();
        let shape: Vec<i64> = shape.iter().copied().chain([width as i64]).collect();
        let mut output = output(context, &shape)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        for (id, row) in ids.iter().zip(output.chunks_exact_mut(width.max(1))) {
            let copied = self.0.copy(*id, row);
            copied.ok_or_else(|| RuntimeError::new(format!("{id} is no row of the table")))?;
        }
        Ok(())
    }
}

/// [`cif::by_steps`] of hidden states `[batch, frames, width]`, weights `[batch, frames]` and numbers of tokens `[batch]`:
/// `[batch, most tokens, width]`.
struct TokensOperator;

impl Operator for TokensOperator {
    type Kernel<'attr> = TokensOperator;

    fn name(&self) -> &str {
        loops::TOKENS
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        floats(3)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> Result<TokensOperator, RuntimeError> {
        Ok(TokensOperator)
    }
}

impl Kernel for TokensOperator {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let (hidden, weights, counts) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (shape, hidden) = hidden.try_extract_tensor::<f32>()?;
        let (_, weights) = weights.try_extract_tensor::<f32>()?;
        let (_, counts) = counts.try_extract_tensor::<f32>()?;
        let [batch, frames, width] = three(shape, EXTENTS)?;
        if weights.len() != batch * frames || counts.len() != batch || frames * width == 0 {
            return Err(RuntimeError::new(format!("{} weights for {batch} · {frames} frames", weights.len())));
        }
        let most = counts.iter().map(|count| *count as usize).max().unwrap_or(0);
        let mut output = output(context, &[batch as i64, most as i64, width as i64])?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let items = hidden.chunks(frames * width).zip(weights.chunks(frames)).zip(counts);
        for (((hidden, weights), count), output) in items.zip(output.chunks_mut((most * width).max(1))) {
            let fired = cif::by_steps(hidden, width, weights, 1.0);
            let length = fired.tokens.len().min(*count as usize * width);
            output[..length].copy_from_slice(&fired.tokens[..length]);
            output[length..].fill(0.0);
        }
        Ok(())
    }
}

/// [`cif::peaks`] of `[batch, frames]`.
struct PeaksOperator;

impl Operator for PeaksOperator {
    type Kernel<'attr> = PeaksOperator;

    fn name(&self) -> &str {
        loops::PEAKS
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        floats(1)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> Result<PeaksOperator, RuntimeError> {
        Ok(PeaksOperator)
    }
}

impl Kernel for PeaksOperator {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let weights = input(context, 0)?;
        let (shape, weights) = weights.try_extract_tensor::<f32>()?;
        let [batch, frames] = shape[..] else {
            return Err(RuntimeError::new("weights of [batch, frames] are expected"));
        };
        let mut output = output(context, &[batch, frames])?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let frames = (frames as usize).max(1);
        for (weights, output) in weights.chunks(frames).zip(output.chunks_mut(frames)) {
            output.copy_from_slice(&cif::peaks(weights, FIRING));
        }
        Ok(())
    }
}
