//! The official checkpoint: a torch file of five dictionaries (`bert`, `bert_encoder`, `predictor`, `decoder`, `text_encoder`).

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use syrinx_plugin_common::checkpoint::{CheckpointError, Tensors};

use super::TorchError;
use crate::kernels::Isa;

/// What each key of a dictionary starts with in the releases, a trace of `DataParallel`.
const PREFIX: &str = "module.";

/// Names that newer torch gives to the two parts of a weight-normalised convolution, and the older ones.
const NEWER_NAMES: [(&str, &str); 2] =
    [("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")];

/// An open checkpoint.
pub struct Checkpoint {
    tensors: Tensors,
    /// Name without prefix and in the older form, to the name in the file.
    names: HashMap<String, String>,
}

impl Checkpoint {
    /// Opens the file at `path`: torch's, or a safetensors file with the same names, prefixed by dictionary.
    ///
    /// # Errors
    ///
    /// The file can't be read or is none of these.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let is_safetensors = path.extension().is_some_and(|ending| ending == "safetensors");
        let tensors = if is_safetensors { Tensors::safetensors(&[path])? } else { Tensors::torch(path)? };
        let plain = |name: &str| {
            let (part, rest) = name.split_once('.').unwrap_or((name, ""));
            let mut rest = rest.strip_prefix(PREFIX).unwrap_or(rest).to_owned();
            for (newer, older) in NEWER_NAMES {
                if let Some(stem) = rest.strip_suffix(newer) {
                    rest = format!("{stem}{older}");
                }
            }
            format!("{part}.{rest}")
        };
        let names = tensors.names().map(|name| (plain(name), name.to_owned())).collect();
        Ok(Checkpoint { tensors, names })
    }

    /// All of it, for a network on `device` that computes in `dtype`, on our own `kernels` where they can.
    #[must_use]
    pub fn weights<'c>(&'c self, device: &'c Device, dtype: DType, kernels: bool) -> Weights<'c> {
        Weights { checkpoint: self, prefix: String::new(), device, dtype, kernels }
    }
}

/// A part of the checkpoint, by prefix.
#[derive(Clone)]
pub struct Weights<'c> {
    checkpoint: &'c Checkpoint,
    prefix: String,
    /// Where the network runs.
    pub device: &'c Device,
    /// What it computes in.
    pub dtype: DType,
    kernels: bool,
}

/// Shape and values of a tensor.
pub(super) type Values = (Vec<usize>, Vec<f32>);

impl<'c> Weights<'c> {
    /// The part below `name`.
    #[must_use]
    pub fn part(&self, name: impl std::fmt::Display) -> Weights<'c> {
        Weights { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The same part for a network that computes in `dtype`.
    #[must_use]
    pub fn in_dtype(&self, dtype: DType) -> Weights<'c> {
        Weights { dtype, ..self.clone() }
    }

    /// What our own kernels run on, where they do the work.
    pub(super) fn kernels(&self) -> Option<Isa> {
        let fits = self.kernels && self.device.is_cpu() && self.dtype == DType::F32;
        Some(Isa::best()).filter(|isa| fits && isa.has_vectors())
    }

    /// Whether there is a tensor `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.names.contains_key(&format!("{}{name}", self.prefix))
    }

    /// Shape and values of the tensor `name`.
    ///
    /// # Errors
    ///
    /// There is none, or it isn't made of floats.
    pub(super) fn values(&self, name: &str) -> Result<Values, TorchError> {
        let name = format!("{}{name}", self.prefix);
        let stored = self.checkpoint.names.get(&name).ok_or(CheckpointError::Missing { name })?;
        let view = self.checkpoint.tensors.get(stored)?;
        Ok((view.shape().to_vec(), view.to_f32()?))
    }

    /// The tensor `name` on the device.
    ///
    /// # Errors
    ///
    /// As [`Weights::values`].
    pub fn tensor(&self, name: &str) -> Result<Tensor, TorchError> {
        let (shape, values) = self.values(name)?;
        Ok(Tensor::from_vec(values, shape, self.device)?.to_dtype(self.dtype)?)
    }

    /// The weights of a convolution, of which a weight-normalised one is stored in two parts: `g · v / ‖v‖`, the norm over all but the
    /// first dimension.
    ///
    /// # Errors
    ///
    /// As [`Weights::values`]; also when the parts don't fit.
    pub(super) fn convolution(&self) -> Result<Values, TorchError> {
        if self.has("weight") {
            return self.values("weight");
        }
        let (_, gains) = self.values("weight_g")?;
        let (shape, mut directions) = self.values("weight_v")?;
        let rows = shape.first().copied().unwrap_or(0);
        if rows == 0 || gains.len() != rows || directions.is_empty() {
            return Err(TorchError::Shape(format!(
                "{}weight_g has {} values, weight_v {shape:?}",
                self.prefix,
                gains.len()
            )));
        }
        let width = directions.len() / rows;
        for (row, gain) in directions.chunks_exact_mut(width).zip(gains) {
            let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            // A filter of zeros has no direction.
            let scale = if norm > 0.0 { (f64::from(gain) / norm) as f32 } else { 0.0 };
            row.iter_mut().for_each(|v| *v *= scale);
        }
        Ok((shape, directions))
    }

    /// The bias, empty where there is none.
    ///
    /// # Errors
    ///
    /// As [`Weights::values`].
    pub fn bias(&self) -> Result<Vec<f32>, TorchError> {
        if self.has("bias") { Ok(self.values("bias")?.1) } else { Ok(Vec::new()) }
    }

    /// The error of a tensor that has not the shape it should.
    #[must_use]
    pub fn misshapen(&self, what: &str) -> TorchError {
        TorchError::Shape(format!("{}: {what}", self.prefix.trim_end_matches('.')))
    }
}
