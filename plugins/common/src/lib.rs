//! What several model families share, each part behind a cargo feature:
//!
//! | feature | module | for |
//! |---|---|---|
//! | `checkpoint` | [`checkpoint`] | tensors out of safetensors, torch, CTranslate2, ggml, GGUF and ONNX files, under their own names |
//! | `dsp` | [`dsp`] | short-time Fourier transform, mel filter banks, Kaldi features, resampling |
//! | `kits` | [`kits`] | replaying recorded reference results in a plugin's tests |
//! | `numbers` | [`numbers`] | numbers in words, English and Chinese |
//! | `onnx` | [`onnx`] | ONNX Runtime, its library named at run time; graphs changed before they are loaded; `onnx-cuda` adds NVIDIA cards |

#[cfg(feature = "checkpoint")]
pub mod checkpoint;
#[cfg(feature = "dsp")]
pub mod dsp;
#[cfg(feature = "kits")]
pub mod kits;
#[cfg(feature = "numbers")]
pub mod numbers;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(any(feature = "checkpoint", feature = "onnx"))]
mod protobuf;
