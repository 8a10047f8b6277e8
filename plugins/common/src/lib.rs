//! What several model families share, each part behind a cargo feature:
//!
//! | feature | module | for |
//! |---|---|---|
//! | `checkpoint` | [`checkpoint`] | tensors out of safetensors, torch, CTranslate2, ggml, GGUF and ONNX files, under their own names |
//! | `cuda` | [`cuda`] | CUDA's libraries, opened when a card is asked for |
//! | `dsp` | [`dsp`] | short-time Fourier transform, mel filter banks, Kaldi features, resampling |
//! | `kernels` | [`kernels`] | inner loops of our own: written once over vectors, compiled for every instruction set; sharing work |
//! | `kits` | [`kits`] | replaying recorded reference results in a plugin's tests |
//! | `numbers` | [`numbers`] | numbers in words, English and Chinese |
//! | `options` | [`options`] | JSON Schemas of options, for the host |
//! | `onnx` | [`onnx`] | ONNX Runtime, its library named at run time; graphs changed before they are loaded; `onnx-cuda` adds NVIDIA cards |
//! | `testing` | [`testing`] | who listens to a model, recordings, checkpoints and costs in plugins' tests |

#[cfg(feature = "checkpoint")]
pub mod checkpoint;
#[cfg(all(feature = "cuda", unix))]
pub mod cuda;
#[cfg(feature = "dsp")]
pub mod dsp;
#[cfg(feature = "kernels")]
pub mod kernels;
#[cfg(feature = "kits")]
pub mod kits;
#[cfg(feature = "numbers")]
pub mod numbers;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "options")]
pub mod options;
#[cfg(any(feature = "checkpoint", feature = "onnx"))]
mod protobuf;
#[cfg(feature = "testing")]
pub mod testing;
