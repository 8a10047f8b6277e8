//! The operators as ONNX Runtime calls them.

use std::sync::Arc;

use syrinx_plugin_common::onnx::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use syrinx_plugin_common::onnx::operators::{element_of, input, output, run_parallel, three};
use syrinx_plugin_common::onnx::{RuntimeError, TensorElementType};

use super::linear::Linear;
use super::{DOMAIN, attention, linear, memory};
use crate::kernels::{Attention, Keys, Memory};

/// What tensors are.
const EXTENTS: &str = "[batch, time, channels]";

/// Makes the operators of a graph.
pub(super) fn domain(
    linears: Vec<Linear>,
    memories: Vec<Memory>,
    attentions: Vec<Attention>,
) -> Result<OperatorDomain, RuntimeError> {
    OperatorDomain::new(DOMAIN)?
        .add(LinearOperator(linears.into_iter().map(Arc::new).collect()))?
        .add(MemoryOperator(memories.into_iter().map(Arc::new).collect()))?
        .add(AttentionOperator(attentions))
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
