//! Checkpoint files as one thing: tensors under the names they have in the file, read in place.
//!
//! [`Tensors`] opens safetensors files, torch pickles (`.pt`, `.pth`, `pytorch_model.bin`), shards of both, CTranslate2's
//! `model.bin`, whisper.cpp's ggml files, GGUF files and the weights of ONNX graphs. Files are memory-mapped; data is converted when a tensor is asked for, so a loader's peak is one tensor, not one file.
//!
//! ```no_run
//! use syrinx_plugin_common::checkpoint::Tensors;
//!
//! let tensors = Tensors::safetensors(&["model.safetensors"])?;
//! let weight = tensors.get("model.encoder.conv1.weight")?;
//! println!("{:?} {:?}", weight.dtype(), weight.shape());
//! let values: Vec<f32> = weight.to_f32()?;
//! # Ok::<(), syrinx_plugin_common::checkpoint::CheckpointError>(())
//! ```

mod blocks;
mod container;
pub mod ctranslate2;
mod error;
pub mod ggml;
mod gguf;
mod onnx;
mod pickle;
mod safetensors;
mod super_blocks;
#[cfg(test)]
mod tests;
mod torch;
mod view;

pub use container::Tensors;
pub use error::CheckpointError;
pub use view::{DType, TensorView};
