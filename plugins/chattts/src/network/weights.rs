//! Tensors of a checkpoint, by the names that they have there.

use std::path::Path;

use syrinx_plugin_common::checkpoint::{CheckpointError, DType, Tensors};
use tch::{Device, Kind, Tensor};

use super::{Linear, Place};
use crate::error::ChatTtsError;

/// An open checkpoint.
pub struct Checkpoint(Tensors);

impl Checkpoint {
    /// Opens a safetensors file.
    ///
    /// # Errors
    /// The file can't be read or is none.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Tensors::safetensors(&[path]).map(Self)
    }

    /// All of it, for a network at `place`.
    #[must_use]
    pub fn weights(&self, place: Place) -> Weights<'_> {
        Weights { tensors: &self.0, prefix: String::new(), place }
    }
}

/// A part of a checkpoint, by prefix.
#[derive(Clone)]
pub struct Weights<'c> {
    tensors: &'c Tensors,
    prefix: String,
    /// Where the network computes.
    pub place: Place,
}

impl Weights<'_> {
    /// The part below `name`.
    pub(super) fn part(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// How many parts `stem.0`, `stem.1`, … there are.
    pub(super) fn count(&self, stem: &str) -> usize {
        let stem = format!("{}{stem}.", self.prefix);
        let number = |name: &str| name.strip_prefix(&stem)?.split('.').next()?.parse::<usize>().ok();
        self.tensors.names().filter_map(number).max().map_or(0, |last| last + 1)
    }

    /// A tensor as it is stored, in float32, on the processor.
    pub(super) fn stored(&self, name: &str) -> Result<Tensor, ChatTtsError> {
        let view = self.tensors.get(&format!("{}{name}", self.prefix))?;
        let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
        let tensor = match (view.dtype(), view.bytes()) {
            (DType::F32, Some(bytes)) => Tensor::f_from_data_size(bytes, &shape, Kind::Float)?,
            _ => Tensor::f_from_slice(&view.to_f32()?)?.f_reshape(&shape)?,
        };
        Ok(tensor)
    }

    /// A tensor of float32 where the network computes.
    pub(super) fn exact(&self, name: &str) -> Result<Tensor, ChatTtsError> {
        Ok(self.place.bring(&self.stored(name)?, Kind::Float)?)
    }

    /// A tensor of the type that flows between the layers.
    pub(super) fn flowing(&self, name: &str) -> Result<Tensor, ChatTtsError> {
        Ok(self.place.bring(&self.stored(name)?, self.place.flow())?)
    }

    /// The rows of several matrices `[out, in]`, one below the other.
    pub(super) fn stacked(&self, names: &[&str]) -> Result<Tensor, ChatTtsError> {
        let tensors = names.iter().map(|name| self.stored(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Tensor::f_cat(&tensors, 0)?)
    }

    /// A product with the matrix `name` and no bias.
    pub(super) fn linear(&self, name: &str) -> Result<Linear, ChatTtsError> {
        Ok(Linear::new(&self.stored(name)?, self.place)?)
    }

    /// A matrix under weight normalisation (`torch.nn.utils.parametrizations.weight_norm`, per row): magnitude times direction, folded.
    pub(super) fn weight_normed(&self, name: &str) -> Result<Tensor, ChatTtsError> {
        let part = self.part(format_args!("{name}.parametrizations.weight"));
        let (magnitude, direction) = (part.stored("original0")?, part.stored("original1")?);
        let norm = direction.f_square()?.f_sum_dim_intlist(1_i64, true, Kind::Float)?.f_sqrt()?;
        Ok(direction.f_mul(&magnitude.f_div(&norm)?)?)
    }
}

/// Dimension `axis` of a tensor.
pub(super) fn size(tensor: &Tensor, axis: usize) -> i64 {
    tensor.size().get(axis).copied().unwrap_or(0)
}

/// Values of a tensor in row-major order, on the processor.
///
/// # Errors
/// The device failed.
pub fn values(tensor: &Tensor) -> Result<Vec<f32>, tch::TchError> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?;
    let mut values = vec![0.0; tensor.numel()];
    tensor.f_copy_data(&mut values, tensor.numel())?;
    Ok(values)
}
