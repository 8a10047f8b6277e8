//! Weights on a device, and what is done with one layer of them.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use half::f16;

use crate::weights::{self, Block, Matrix, Values};

/// Added to the variance. Source: torch's `LayerNorm`.
const NORM_EPSILON: f32 = 1e-5;

/// Where weights go, and in which type.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) device: Device,
    pub(super) dtype: DType,
}

impl Target {
    /// A tensor of numbers that are in the host's memory.
    pub(super) fn tensor(&self, values: &[f32], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?.to_device(&self.device)
    }

    /// Some rows of a matrix, times `scale`.
    fn matrix(&self, matrix: &Matrix, rows: Range<usize>, scale: f32) -> Result<Tensor> {
        let cols = matrix.cols();
        let shape = [rows.len(), cols];
        match matrix.values() {
            Values::F16(values) if self.dtype == DType::F16 && scale == 1.0 => {
                let values: &[f16] = &values[rows.start * cols..rows.end * cols];
                Tensor::from_slice(values, &shape[..], &self.device)
            }
            _ => {
                let mut values = vec![0.0; rows.len() * cols];
                for (row, values) in rows.zip(values.chunks_exact_mut(cols)) {
                    matrix.row(row, values);
                    values.iter_mut().for_each(|value| *value *= scale);
                }
                self.tensor(&values, &shape)
            }
        }
    }

    /// All of a matrix.
    pub(super) fn whole(&self, matrix: &Matrix) -> Result<Tensor> {
        self.matrix(matrix, 0..matrix.rows(), 1.0)
    }
}

/// `y = x Wᵀ + b`
#[derive(Debug)]
pub(super) struct Linear {
    /// `[out, in]`
    weight: Tensor,
    /// `[out]`
    bias: Tensor,
}

impl Linear {
    pub(super) fn new(target: &Target, linear: &weights::Linear) -> Result<Self> {
        Self::rows(target, linear, 0..linear.weight.rows(), 1.0)
    }

    /// Some of the outputs, times `scale`.
    pub(super) fn rows(target: &Target, linear: &weights::Linear, rows: Range<usize>, scale: f32) -> Result<Self> {
        let bias: Vec<f32> = linear.bias[rows.clone()].iter().map(|bias| bias * scale).collect();
        Ok(Self { weight: target.matrix(&linear.weight, rows, scale)?, bias: target.tensor(&bias, &[bias.len()])? })
    }

    pub(super) fn of(target: &Target, weight: &Matrix, bias: &[f32]) -> Result<Self> {
        Ok(Self { weight: target.whole(weight)?, bias: target.tensor(bias, &[bias.len()])? })
    }

    /// `x` is `[rows, in]`, the result `[rows, out]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

/// Layer norm, with its statistics in single precision.
#[derive(Debug)]
pub(super) struct Norm {
    weight: Tensor,
    bias: Tensor,
}

impl Norm {
    pub(super) fn new(target: &Target, norm: &weights::Norm) -> Result<Self> {
        let tensor = |values: &[f32]| target.tensor(values, &[values.len()]);
        Ok(Self { weight: tensor(&norm.weight)?, bias: tensor(&norm.bias)? })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::layer_norm(x, &self.weight, &self.bias, NORM_EPSILON)
    }
}

/// The perceptron at the end of a block.
#[derive(Debug)]
pub(super) struct Perceptron {
    norm: Norm,
    fc1: Linear,
    fc2: Linear,
}

impl Perceptron {
    pub(super) fn new(target: &Target, block: &Block) -> Result<Self> {
        Ok(Self {
            norm: Norm::new(target, &block.mlp_norm)?,
            fc1: Linear::new(target, &block.fc1)?,
            fc2: Linear::new(target, &block.fc2)?,
        })
    }

    /// Adds to the residual stream `x`, `[rows, d_model]`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.fc1.forward(&self.norm.forward(x)?)?.gelu_erf()?;
        x + self.fc2.forward(&inner)?
    }
}

/// How a residual stream is divided among heads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    pub(super) count: usize,
    /// Dimensions of one.
    pub(super) size: usize,
}

impl Heads {
    pub(super) fn new(width: usize, count: usize) -> Self {
        Self { count, size: width / count }
    }

    /// Factor of the scores, 1 / √size; it is in the weights of the queries.
    pub(super) fn scale(self) -> f32 {
        (self.size as f32).sqrt().recip()
    }

    /// `[groups · rows, width]` to `[groups, heads, rows, size]`.
    pub(super) fn split(self, x: &Tensor, groups: usize, rows: usize) -> Result<Tensor> {
        if rows == 1 {
            // The same numbers in the same order.
            return x.reshape((groups, self.count, 1, self.size));
        }
        x.reshape((groups, rows, self.count, self.size))?.transpose(1, 2)?.contiguous()
    }

    /// The way back.
    pub(super) fn join(self, x: &Tensor) -> Result<Tensor> {
        let (groups, _, rows, _) = x.dims4()?;
        let x = if rows == 1 { x.clone() } else { x.transpose(1, 2)? };
        x.reshape((groups * rows, self.count * self.size))
    }
}

/// Softmax of the scores, times values: `[groups, heads, rows, seen]` and `[groups, heads, seen, size]`.
pub(super) fn mix(scores: &Tensor, values: &Tensor) -> Result<Tensor> {
    candle_nn::ops::softmax_last_dim(scores)?.matmul(values)
}
