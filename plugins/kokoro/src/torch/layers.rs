//! The layers that the network is made of, each under its names in the checkpoint. On the processor, in float32, convolutions and norms
//! run on our own kernels; everywhere else on candle's.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor};
use candle_nn::Module as _;
use rayon::prelude::*;

use super::TorchError;
use super::weights::Weights;
use crate::kernels::{ConvShape, FloatConv, Isa, Modulation, Snake, adaptive_norm, lstm};

/// `eps` of the norms but ALBERT's (torch's default).
pub(super) const NORM_EPSILON: f32 = 1e-5;

/// On the threads of the pool that the caller is in.
fn on_the_pool(count: usize, job: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().for_each(job);
}

fn fits<T>(result: std::result::Result<T, String>) -> Result<T> {
    result.map_err(candle_core::Error::msg)
}

/// The values of a contiguous float32 tensor.
fn slice<'s>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => Err(candle_core::Error::msg("the tensor is not contiguous")),
    }
}

/// `nn.Linear`
pub(super) struct Linear(candle_nn::Linear);

impl Linear {
    pub(super) fn load(weights: &Weights<'_>) -> std::result::Result<Self, TorchError> {
        let bias = if weights.has("bias") { Some(weights.tensor("bias")?) } else { None };
        Ok(Linear(candle_nn::Linear::new(weights.tensor("weight")?, bias)))
    }

    /// `[…, in]` → `[…, out]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.forward(x)
    }
}

/// `nn.Conv1d`, weight-normalised or not.
pub(super) struct Conv1d {
    kind: ConvKind,
}

enum ConvKind {
    /// Stride 1 on the processor.
    Kernel(FloatConv),
    /// Whatever candle has.
    Plain { weight: Tensor, bias: Option<Tensor>, padding: usize, stride: usize, dilation: usize },
}

impl Conv1d {
    pub(super) fn load(
        weights: &Weights<'_>,
        padding: usize,
        stride: usize,
        dilation: usize,
    ) -> std::result::Result<Self, TorchError> {
        let (shape, values) = weights.convolution()?;
        let bias = weights.bias()?;
        let &[outputs, inputs, taps] = shape.as_slice() else {
            return Err(weights.misshapen(&format!("{shape:?} are no weights of a convolution")));
        };
        let shape = ConvShape { outputs, inputs, taps, dilation, pads: (padding, padding) };
        Self::of(weights, shape, stride, &values, &bias)
    }

    fn of(
        weights: &Weights<'_>,
        shape: ConvShape,
        stride: usize,
        values: &[f32],
        bias: &[f32],
    ) -> std::result::Result<Self, TorchError> {
        let ConvShape { outputs, inputs, taps, dilation, pads } = shape;
        let kind = match weights.kernels().filter(|_| stride == 1) {
            Some(isa) => {
                let conv = FloatConv::new(isa, shape, values, bias);
                ConvKind::Kernel(conv.map_err(|reason| weights.misshapen(&reason))?)
            }
            None => {
                let tensor = |values: &[f32], shape: &[usize]| {
                    Tensor::from_slice(values, shape, weights.device)?.to_dtype(weights.dtype)
                };
                let weight = tensor(values, &[outputs, inputs, taps])?;
                let bias = if bias.is_empty() { None } else { Some(tensor(bias, &[1, outputs, 1])?) };
                ConvKind::Plain { weight, bias, padding: pads.0, stride, dilation }
            }
        };
        Ok(Conv1d { kind })
    }

    /// `[batch, in, time]` → `[batch, out, time']`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.kind {
            ConvKind::Kernel(conv) => x.contiguous()?.apply_op1_no_bwd(&ConvOp(conv)),
            ConvKind::Plain { weight, bias, padding, stride, dilation } => {
                let y = x.contiguous()?.conv1d(weight, *padding, *stride, *dilation, 1)?;
                match bias {
                    Some(bias) => y.broadcast_add(bias),
                    None => Ok(y),
                }
            }
        }
    }
}

struct ConvOp<'k>(&'k FloatConv);

impl CustomOp1 for ConvOp<'_> {
    fn name(&self) -> &'static str {
        "conv1d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (batch, channels, length) = layout.shape().dims3()?;
        let shape = self.0.shape();
        if channels != shape.inputs {
            return Err(candle_core::Error::msg(format!("{channels} channels instead of {}", shape.inputs)));
        }
        let x = slice(storage, layout)?;
        let output_length = shape.output_length(length).unwrap_or(0);
        let mut out = vec![0.0; batch * shape.outputs * output_length];
        for (x, out) in x.chunks(channels * length).zip(out.chunks_mut(shape.outputs * output_length.max(1))) {
            fits(self.0.run(x, out, &on_the_pool))?;
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, shape.outputs, output_length))))
    }
}

/// `nn.ConvTranspose1d` as a plain convolution whose output channels are the phases of the stride.
pub(super) struct ConvTranspose1d {
    conv: Conv1d,
    outputs: usize,
    stride: usize,
    padding: usize,
    kernel: usize,
}

impl ConvTranspose1d {
    pub(super) fn load(weights: &Weights<'_>, padding: usize, stride: usize) -> std::result::Result<Self, TorchError> {
        let (shape, values) = weights.convolution()?;
        let bias = weights.bias()?;
        let &[inputs, outputs, kernel] = shape.as_slice() else {
            return Err(weights.misshapen(&format!("{shape:?} are no weights of a convolution")));
        };
        if stride == 0 || kernel <= 2 * padding {
            return Err(weights.misshapen(&format!("kernel size {kernel} with stride {stride} and padding {padding}")));
        }
        // y[o, t·stride + phase] = Σ x[c, t - tap] · w[c, o, phase + tap·stride]
        let taps = kernel.div_ceil(stride);
        let mut phases = vec![0.0; outputs * stride * inputs * taps];
        for output in 0..outputs {
            for phase in 0..stride {
                for input in 0..inputs {
                    for tap in 0..taps {
                        let at = phase + tap * stride;
                        if at < kernel {
                            let row = (output * stride + phase) * inputs + input;
                            phases[row * taps + taps - 1 - tap] = values[(input * outputs + output) * kernel + at];
                        }
                    }
                }
            }
        }
        let bias: Vec<f32> = bias.iter().flat_map(|bias| std::iter::repeat_n(*bias, stride)).collect();
        let shape = ConvShape { outputs: outputs * stride, inputs, taps, dilation: 1, pads: (taps - 1, taps - 1) };
        let conv = Conv1d::of(weights, shape, 1, &phases, &bias)?;
        Ok(ConvTranspose1d { conv, outputs, stride, padding, kernel })
    }

    /// `[batch, in, time]` → `[batch, out, (time - 1) · stride + kernel - 2 · padding]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let length = (x.dim(2)? - 1) * self.stride + self.kernel - 2 * self.padding;
        let phases = self.conv.forward(x)?; // [batch, out · stride, time + taps - 1]
        let (batch, _, steps) = phases.dims3()?;
        let phases = phases.reshape((batch, self.outputs, self.stride, steps))?.transpose(2, 3)?;
        phases.reshape((batch, self.outputs, steps * self.stride))?.narrow(2, self.padding, length)?.contiguous()
    }
}

/// The depth-wise `nn.ConvTranspose1d` that doubles the time (kernel 3, stride 2, padding 1, output padding 1).
pub(super) struct DoublingPool {
    /// Each `[1, channels, 1]`.
    taps: [Tensor; 3],
    bias: Tensor,
}

impl DoublingPool {
    pub(super) fn load(weights: &Weights<'_>) -> std::result::Result<Self, TorchError> {
        let (shape, values) = weights.convolution()?;
        let &[channels, 1, 3] = shape.as_slice() else {
            return Err(weights.misshapen(&format!("{shape:?} instead of [channels, 1, 3]")));
        };
        let tensor =
            |values: Vec<f32>| Tensor::from_vec(values, (1, channels, 1), weights.device)?.to_dtype(weights.dtype);
        let tap = |tap: usize| tensor(values.iter().skip(tap).step_by(3).copied().collect());
        let bias = if weights.has("bias") { weights.values("bias")?.1 } else { vec![0.0; channels] };
        Ok(DoublingPool { taps: [tap(0)?, tap(1)?, tap(2)?], bias: tensor(bias)? })
    }

    /// `[batch, channels, time]` → `[batch, channels, 2 · time]`
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, channels, length) = x.dims3()?;
        let following = x.narrow(2, 1, length - 1)?.pad_with_zeros(2, 0, 1)?;
        let even = x.broadcast_mul(&self.taps[1])?;
        let odd = (x.broadcast_mul(&self.taps[2])? + following.broadcast_mul(&self.taps[0])?)?;
        let both = Tensor::stack(&[even, odd], 3)?; // [batch, channels, time, 2]
        both.reshape((batch, channels, 2 * length))?.broadcast_add(&self.bias)
    }
}

/// α of the snake activation, per channel.
pub(super) struct SnakeAlpha {
    alpha: Vec<f32>,
    inverse: Vec<f32>,
    /// `[1, channels, 1]`
    tensors: (Tensor, Tensor),
}

impl SnakeAlpha {
    pub(super) fn load(weights: &Weights<'_>, name: &str) -> std::result::Result<Self, TorchError> {
        let (_, alpha) = weights.values(name)?;
        let inverse: Vec<f32> = alpha.iter().map(|alpha| 1.0 / alpha).collect();
        let tensor = |values: &[f32]| Tensor::from_slice(values, (1, values.len(), 1), weights.device);
        let tensors = (tensor(&alpha)?, tensor(&inverse)?);
        Ok(SnakeAlpha { alpha, inverse, tensors })
    }
}

/// `AdaIN1d`: instance normalisation over time, gain and offset by the style.
pub(super) struct AdaIn {
    fc: Linear,
    /// The instance norm's own `weight` and `bias`, which the releases don't have; `[1, channels]`.
    own: Option<(Tensor, Tensor)>,
    channels: usize,
    kernels: Option<Isa>,
}

impl AdaIn {
    pub(super) fn load(weights: &Weights<'_>) -> std::result::Result<Self, TorchError> {
        // Gains and offsets are few and steer all: always in float32.
        let exact = weights.in_dtype(DType::F32);
        let fc = Linear::load(&exact.part("fc"))?;
        let channels = exact.part("fc").values("bias")?.1.len() / 2;
        let norm = exact.part("norm");
        let own = if norm.has("weight") {
            let row = |name: &str| Ok::<_, TorchError>(norm.tensor(name)?.reshape((1, channels))?);
            Some((row("weight")?, row("bias")?))
        } else {
            None
        };
        Ok(AdaIn { fc, own, channels, kernels: weights.kernels() })
    }

    /// `x` is `[batch, channels, time]`, `style` `[batch, style]` in float32; the snake follows where `snake` is given.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor, snake: Option<&SnakeAlpha>) -> Result<Tensor> {
        let both = self.fc.forward(style)?;
        let mut gain = (both.narrow(1, 0, self.channels)? + 1.0)?;
        let mut offset = both.narrow(1, self.channels, self.channels)?;
        if let Some((weight, bias)) = &self.own {
            offset = (offset + gain.broadcast_mul(bias)?)?;
            gain = gain.broadcast_mul(weight)?;
        }
        if let Some(isa) = self.kernels {
            let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
            return x.contiguous()?.apply_op1_no_bwd(&NormOp {
                isa,
                gain: flat(&gain)?,
                offset: flat(&offset)?,
                snake,
            });
        }
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let centred = x.broadcast_sub(&x.mean_keepdim(2)?)?;
        let deviation = (centred.sqr()?.mean_keepdim(2)? + f64::from(NORM_EPSILON))?.sqrt()?;
        let scaled = centred.broadcast_mul(&gain.unsqueeze(2)?.broadcast_div(&deviation)?)?;
        let y = scaled.broadcast_add(&offset.unsqueeze(2)?)?;
        let y = match snake {
            Some(SnakeAlpha { tensors: (alpha, inverse), .. }) => {
                (&y + y.broadcast_mul(alpha)?.sin()?.sqr()?.broadcast_mul(inverse)?)?
            }
            None => y,
        };
        y.to_dtype(dtype)
    }
}

struct NormOp<'s> {
    isa: Isa,
    /// `[batch, channels]`
    gain: Vec<f32>,
    offset: Vec<f32>,
    snake: Option<&'s SnakeAlpha>,
}

impl CustomOp1 for NormOp<'_> {
    fn name(&self) -> &'static str {
        "adaptive-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, channels, length) = layout.shape().dims3()?;
        let x = slice(storage, layout)?;
        let mut out = vec![0.0; x.len()];
        let items = x.chunks(channels * length).zip(out.chunks_mut(channels * length));
        let styles = self.gain.chunks(channels).zip(self.offset.chunks(channels));
        for ((x, out), (gain, offset)) in items.zip(styles) {
            let snake = self.snake.map(|snake| Snake { alpha: &snake.alpha, inverse: &snake.inverse });
            let modulation = Modulation { gain, offset, epsilon: NORM_EPSILON, snake };
            fits(adaptive_norm(self.isa, x, &modulation, out, &on_the_pool))?;
        }
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// A bidirectional `nn.LSTM` of one layer. Its input is projected where the network runs; the recurrence, a chain of small products, runs on
/// the processor wherever that is.
pub(super) struct BiLstm {
    directions: [Direction; 2],
    hidden: usize,
}

struct Direction {
    input: candle_nn::Linear,
    /// `[4 · hidden, hidden]`
    recurrent: Vec<f32>,
}

impl BiLstm {
    pub(super) fn load(weights: &Weights<'_>) -> std::result::Result<Self, TorchError> {
        let weights = weights.in_dtype(DType::F32);
        let direction = |suffix: &str| {
            let name = |what: &str| format!("{what}_l0{suffix}");
            let bias = (weights.tensor(&name("bias_ih"))? + weights.tensor(&name("bias_hh"))?)?;
            let input = candle_nn::Linear::new(weights.tensor(&name("weight_ih"))?, Some(bias));
            let (shape, recurrent) = weights.values(&name("weight_hh"))?;
            match shape.as_slice() {
                [rows, hidden] if *rows == lstm::GATES * hidden => Ok((Direction { input, recurrent }, *hidden)),
                _ => Err(weights.misshapen(&format!("{shape:?} are no recurrent weights"))),
            }
        };
        let ((forward, hidden), (backward, _)) = (direction("")?, direction("_reverse")?);
        Ok(BiLstm { directions: [forward, backward], hidden })
    }

    /// `[batch, time, in]` → `[batch, time, 2 · hidden]`; zeros behind each item's length.
    pub(super) fn forward(&self, x: &Tensor, lengths: &[usize]) -> Result<Tensor> {
        let (batch, time, _) = x.dims3()?;
        let hidden = self.hidden;
        let project = |direction: &Direction| direction.input.forward(x)?.flatten_all()?.to_vec1::<f32>();
        let projected = [project(&self.directions[0])?, project(&self.directions[1])?];
        let isa = Isa::best();
        let states: Vec<Vec<f32>> = (0..2 * batch)
            .into_par_iter()
            .map(|job| {
                let (item, direction) = (job / 2, job % 2);
                let length = lengths.get(item).map_or(time, |length| (*length).min(time));
                let mut states = vec![0.0; time * hidden];
                let width = lstm::GATES * hidden;
                let projected = &projected[direction][item * time * width..][..length * width];
                let recurrent = &self.directions[direction].recurrent;
                lstm::recur(isa, projected, recurrent, hidden, direction == 1, &mut states[..length * hidden]);
                states
            })
            .collect();
        let direction = |number: usize| {
            let values = states.iter().skip(number).step_by(2).flatten().copied().collect::<Vec<f32>>();
            Tensor::from_vec(values, (batch, time, hidden), x.device())
        };
        Tensor::cat(&[direction(0)?, direction(1)?], 2)
    }
}

/// Leaky rectification.
pub(super) fn leaky_relu(x: &Tensor, slope: f64) -> Result<Tensor> {
    candle_nn::ops::leaky_relu(x, slope)
}
