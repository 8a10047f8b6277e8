//! The operators as ONNX Runtime calls them.

use std::sync::Arc;

use syrinx_plugin_common::onnx::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use syrinx_plugin_common::onnx::operators::{element_of, input, output, run_parallel, three};
use syrinx_plugin_common::onnx::{RuntimeError, TensorElementType};

use super::{DOMAIN, convolutions, norms};
use crate::kernels::{Isa, Modulation, QuantizedConv, Snake, adaptive_norm};

/// What tensors are.
const EXTENTS: &str = "[batch, channels, time]";

/// Makes the operators of a graph.
pub(super) fn domain(
    isa: Isa,
    convolutions: Vec<QuantizedConv>,
    epsilons: Vec<f32>,
) -> Result<OperatorDomain, RuntimeError> {
    let weights = convolutions.into_iter().map(Arc::new).collect();
    OperatorDomain::new(DOMAIN)?.add(ConvOperator { weights })?.add(NormOperator { isa, epsilons })
}

/// [`QuantizedConv`] on `[batch, channels, time]`.
struct ConvOperator {
    weights: Vec<Arc<QuantizedConv>>,
}

struct ConvKernel(Arc<QuantizedConv>);

impl Operator for ConvOperator {
    type Kernel<'attr> = ConvKernel;

    fn name(&self) -> &str {
        convolutions::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [
            OperatorInput::required(TensorElementType::Uint8),
            OperatorInput::required(TensorElementType::Uint8),
            OperatorInput::required(TensorElementType::Float32),
            OperatorInput::optional(TensorElementType::Int32),
        ]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<ConvKernel, RuntimeError> {
        let weights = element_of(&self.weights, context.get(convolutions::WEIGHTS))?;
        Ok(ConvKernel(Arc::clone(weights)))
    }
}

// The runtime may run one kernel from several threads. Nothing is changed through `self`.
impl Kernel for ConvKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let (x, x_zero, scale) = (input(context, 0)?, input(context, 1)?, input(context, 2)?);
        let (shape, x) = x.try_extract_tensor::<u8>()?;
        let (_, x_zero) = x_zero.try_extract_tensor::<u8>()?;
        let (_, scale) = scale.try_extract_tensor::<f32>()?;
        let bias = if context.num_inputs()? > 3 { context.input(3)? } else { None };
        let bias = bias.as_ref().map(|bias| bias.try_extract_tensor::<i32>()).transpose()?.map(|(_, bias)| bias);
        let conv = &*self.0;
        let [batch, channels, length] = three(shape, EXTENTS)?;
        if channels != conv.shape().inputs {
            return Err(RuntimeError::new(format!("{channels} channels instead of {}", conv.shape().inputs)));
        }
        let output_length = conv.shape().output_length(length).unwrap_or(0);
        let output_shape = [batch as i64, conv.shape().outputs as i64, output_length as i64];
        let mut output = output(context, &output_shape)?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        let x_zero = x_zero.first().copied().unwrap_or(0);
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        let items = x.chunks(channels * length).zip(output.chunks_mut(conv.shape().outputs * output_length));
        for (x, output) in items {
            conv.run(x, x_zero, scale, bias, output, &parallel).map_err(RuntimeError::new)?;
        }
        Ok(())
    }
}

/// [`adaptive_norm`] on `[batch, channels, time]`.
struct NormOperator {
    isa: Isa,
    epsilons: Vec<f32>,
}

struct NormKernel {
    isa: Isa,
    epsilon: f32,
}

impl Operator for NormOperator {
    type Kernel<'attr> = NormKernel;

    fn name(&self) -> &str {
        norms::OPERATOR
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let required = || OperatorInput::required(TensorElementType::Float32);
        let optional = || OperatorInput::optional(TensorElementType::Float32);
        [required(), required(), required(), optional(), optional()]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> Result<NormKernel, RuntimeError> {
        let epsilon = *element_of(&self.epsilons, context.get(norms::EPSILON))?;
        Ok(NormKernel { isa: self.isa, epsilon })
    }
}

impl Kernel for NormKernel {
    fn compute(&mut self, context: &ComputeContext) -> Result<(), RuntimeError> {
        let inputs = (0..context.num_inputs()?).map(|index| input(context, index)).collect::<Result<Vec<_>, _>>()?;
        let values = inputs.iter().map(|input| input.try_extract_tensor::<f32>()).collect::<Result<Vec<_>, _>>()?;
        let [(shape, x), (_, gain), (_, offset), rest @ ..] = values.as_slice() else {
            return Err(RuntimeError::new("three inputs at least"));
        };
        let snake = match rest {
            [(_, alpha), (_, inverse)] => Some(Snake { alpha, inverse }),
            _ => None,
        };
        let [batch, channels, length] = three(shape, EXTENTS)?;
        let mut output = output(context, &[batch as i64, channels as i64, length as i64])?;
        let (_, output) = output.try_extract_tensor_mut::<f32>()?;
        // Gain and offset are of each item (they come from its style) or the same for all.
        if channels == 0 || gain.len() != offset.len() || (gain.len() != channels && gain.len() != batch * channels) {
            return Err(RuntimeError::new(format!("{} gains for {channels} channels", gain.len())));
        }
        let parallel = |count: usize, job: &(dyn Fn(usize) + Sync)| run_parallel(context, count, job);
        for (item, (x, output)) in x.chunks(channels * length).zip(output.chunks_mut(channels * length)).enumerate() {
            let own = (item * channels) % gain.len()..(item * channels) % gain.len() + channels;
            let modulation =
                Modulation { gain: &gain[own.clone()], offset: &offset[own], epsilon: self.epsilon, snake };
            adaptive_norm(self.isa, x, &modulation, output, &parallel).map_err(RuntimeError::new)?;
        }
        Ok(())
    }
}
