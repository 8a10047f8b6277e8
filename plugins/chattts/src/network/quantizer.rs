//! Grouped residual finite scalar quantisation, in the arithmetic that vector_quantize_pytorch had while the weights were trained (1.12.5 to
//! 1.18): the bounding function is applied to the residual at every stage, and so twice at the first. Later versions compute otherwise, and
//! give other codes.

use tch::{Kind, TchError, Tensor};

use super::weights::{Weights, size};
use crate::error::ChatTtsError;

/// Values of a digit.
const LEVELS: i64 = 5;
/// Residual stages of a group.
const STAGES: i64 = 2;
/// What bounds a number before it is rounded: `(levels − 1) · (1 + 0.001) / 2`. Source: `vector_quantize_pytorch/finite_scalar_quantization.py:bound`.
const BOUND: f64 = (LEVELS - 1) as f64 * 1.001 / 2.0;

/// The quantiser.
pub struct Quantizer {
    groups: Vec<Group>,
}

struct Group {
    project_in: (Tensor, Tensor),
    project_out: (Tensor, Tensor),
}

impl Quantizer {
    /// # Errors
    /// Tensors are missing.
    pub(super) fn load(weights: &Weights<'_>) -> Result<Self, ChatTtsError> {
        let group = |index: usize| -> Result<Group, ChatTtsError> {
            let part = weights.part(format_args!("rvqs.{index}"));
            let pair = |name: &str| -> Result<(Tensor, Tensor), ChatTtsError> {
                Ok((part.exact(&format!("{name}.weight"))?, part.exact(&format!("{name}.bias"))?))
            };
            Ok(Group { project_in: pair("project_in")?, project_out: pair("project_out")? })
        };
        Ok(Self { groups: (0..weights.count("rvqs")).map(group).collect::<Result<_, _>>()? })
    }

    /// `[batch, channels, steps]` to codes `[batch, codebooks, steps]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn encode(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let mut codes = Vec::new();
        for (group, x) in self.groups.iter().zip(x.f_chunk(self.groups.len() as i64, 1)?) {
            let (weight, bias) = &group.project_in;
            let z = x.f_transpose(1, 2)?.f_linear(weight, Some(bias))?;
            let digits = size(&z, 2);
            let place_values: Vec<f32> = (0..digits).map(|digit| LEVELS.pow(digit as u32) as f32).collect();
            let place_values = Tensor::f_from_slice(&place_values)?.f_to_device(z.device())?;
            let mut residual = bounded(&z)?;
            for stage in 0..STAGES {
                let scale = scale(stage);
                // -2 … 2
                let level = bounded(&residual.f_div_scalar(scale)?)?.f_round()?;
                residual = residual.f_sub(&level.f_mul_scalar(scale / HALF_RANGE)?)?;
                let index = level.f_add_scalar(HALF_RANGE)?.f_mul(&place_values)?;
                codes.push(index.f_sum_dim_intlist(-1_i64, false, Kind::Float)?.f_to_kind(Kind::Int64)?);
            }
        }
        Tensor::f_stack(&codes, 1)
    }

    /// Codes `[batch, codebooks, steps]` to features `[batch, channels, steps]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn decode(&self, codes: &Tensor) -> Result<Tensor, TchError> {
        let mut features = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            let (weight, bias) = &group.project_out;
            let digits = size(weight, 1);
            let mut sum = None;
            for stage in 0..STAGES {
                // [batch, steps, digits]
                let code = codes.f_select(1, index as i64 * STAGES + stage)?.f_unsqueeze(-1)?;
                let digit = |place: i64| {
                    code.f_floor_divide_scalar(LEVELS.pow(place as u32))?.f_remainder(LEVELS)?.f_to_kind(Kind::Float)
                };
                let levels = (0..digits).map(digit).collect::<Result<Vec<_>, TchError>>()?;
                let level =
                    Tensor::f_cat(&levels, -1)?.f_sub_scalar(HALF_RANGE)?.f_mul_scalar(scale(stage) / HALF_RANGE)?;
                sum = Some(match sum {
                    None => level,
                    Some(sum) => level.f_add(&sum)?,
                });
            }
            if let Some(sum) = sum {
                features.push(sum.f_linear(weight, Some(bias))?.f_transpose(1, 2)?);
            }
        }
        Tensor::f_cat(&features, 1)
    }
}

/// Levels on each side of the middle one.
const HALF_RANGE: f64 = (LEVELS - 1) as f64 / 2.0;

/// What the levels of a stage are multiplied by.
fn scale(stage: i64) -> f64 {
    ((LEVELS - 1) as f64).powi(-(stage as i32))
}

fn bounded(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_tanh()?.f_mul_scalar(BOUND)
}
