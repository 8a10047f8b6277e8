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
use crate::kernels::{Columns, Keys};

/// What tensors are.
const EXTENTS: &str = "[batch, time, channels]";

/// Makes the operators of a graph.
pub(super) fn domain(
    linears: Vec<Linear>,
    memories: Vec<memory::Settings>,
    attentions: Vec<attention::Settings>,
    tables: Vec<Table>,
) -> Result<OperatorDomain, RuntimeError> {
    OperatorDomain::new(DOMAIN)?
        .add(LinearOperator(linears.into_iter().map(Arc::new).collect()))?
        .add(MemoryOperator(memories.into_iter().map(Arc::new).collect()))?
        .add(AttentionOperator { settings: attentions.clone(), is_masked: false })?
        .add(AttentionOperator { settings: attentions, is_masked: true })?
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

/// [`memory`] of `[batch, time, channels]` and a mask `[batch, time, 1]`.
struct MemoryOperator(Vec<Arc<memory::Settings>>);

struct MemoryKernel(Arc<memory::Settings>);

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
        let [batch, frames, stride] = three(shape, EXTENTS)?;
        if mask.len() != batch * frames {
            return Err(RuntimeError::new(format!("a mask of {} for {batch} · {frames} frames", mask.len())));
        }
        let [first, width] = self.0.part.columns(stride);
        let mut output = output(context, &[batch as i64, frames as i64, width as i64])?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        let items = x.chunks((frames * stride).max(1)).zip(mask.chunks(frames.max(1)));
        for ((values, mask), output) in items.zip(output.chunks_mut((frames * width).max(1))) {
            let x = Columns { values, stride, first, width };
            self.0.memory.run(x, mask, output, &parallel).map_err(RuntimeError::new)?;
        }
        Ok(())
    }
}

/// [`attention`] of `[batch, time, channels]`. What is added to scores is of one dimension, or, as a mask is, of four: batch (or 1), 1,
/// queries (or 1), keys (or 1).
struct AttentionOperator {
    settings: Vec<attention::Settings>,
    is_masked: bool,
}

struct AttentionKernel {
    settings: attention::Settings,
    is_masked: bool,
}

impl Operator for AttentionOperator {
    type Kernel<'attr> = AttentionKernel;

    fn name(&self) -> &str {
        if self.is_masked { attention::MASKING } else { attention::ADDING }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let added = if self.is_masked { TensorElementType::Bool } else { TensorElementType::Float32 };
        floats(3).chain([OperatorInput::required(added)])
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<AttentionKernel, RuntimeError> {
        let settings = *element_of(&self.settings, context.get(attention::HEADS))?;
        Ok(AttentionKernel { settings, is_masked: self.is_masked })
    }
}

impl Kernel for AttentionKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let inputs = (0..3).map(|index| input(context, index)).collect::<Result<Vec<_>, _>>()?;
        let mut tensors = Vec::with_capacity(inputs.len());
        for (input, part) in inputs.iter().zip(self.settings.parts) {
            let (shape, values) = input.try_extract_tensor::<f32>()?;
            let [batch, rows, stride] = three(shape, EXTENTS)?;
            tensors.push((values, batch, rows, stride, part.columns(stride)));
        }
        let added = input(context, 3)?;
        let (shape, mask);
        let bias = if self.is_masked {
            let values;
            (shape, values) = added.try_extract_tensor::<bool>()?;
            mask = values.iter().map(|is_masked| if *is_masked { f32::NEG_INFINITY } else { 0.0 }).collect::<Vec<_>>();
            &mask[..]
        } else {
            let values;
            (shape, values) = added.try_extract_tensor::<f32>()?;
            values
        };
        let (bias_batch, bias_rows, bias_width) = match shape[..] {
            [width] => (1, 1, width as usize),
            [batch, 1, rows, width] => (batch as usize, rows as usize, width as usize),
            _ => return Err(RuntimeError::new(format!("{shape:?} can't be added to scores"))),
        };
        let &(_, batch, queries, _, [_, width]) = &tensors[0];
        let size = bias_rows * bias_width;
        let fits = tensors.iter().all(|tensor| tensor.1 == batch)
            && (bias_batch == 1 || bias_batch == batch)
            && bias.len() == bias_batch * size;
        if !fits {
            return Err(RuntimeError::new("batches of queries, keys, values and what is added to scores differ"));
        }
        let mut output = output(context, &[batch as i64, queries as i64, width as i64])?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        for (number, output) in output.chunks_mut((queries * width).max(1)).enumerate() {
            let of_item = |tensor: usize| {
                let (values, _, rows, stride, [first, width]) = tensors[tensor];
                Columns { values: &values[number * rows * stride..][..rows * stride], stride, first, width }
            };
            let bias = &bias[(number % bias_batch) * size..][..size];
            let added = Keys { bias, width: bias_width, rows: bias_rows };
            let run = self.settings.attention.run([0, 1, 2].map(of_item), added, output, &parallel);
            run.map_err(RuntimeError::new)?;
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
