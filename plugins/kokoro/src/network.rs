//! The network of a model, whichever file it comes in: an ONNX graph or the official torch checkpoint.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use syrinx_plugin_common::onnx::{Device as OnnxDevice, OnnxError, Runtime, SessionOptions};

use crate::session::{Session, SessionError, Utterance};
use crate::torch::{TorchError, TorchNetwork, TorchOptions};

/// Endings of the files that a network comes in.
const GRAPH: &str = "onnx";
const CHECKPOINTS: [&str; 2] = ["pth", "safetensors"];

/// A network that can't be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// No file of the directory is a network.
    #[error(
        "no network in `{}`: `*.onnx`, `onnx/*.onnx`, `*.pth` and `*.safetensors` are looked for", .0.display()
    )]
    None(PathBuf),
    /// The launch option names a file that isn't there.
    #[error("`{wanted}` matches no network of the model; there are: {found}")]
    NoSuch {
        /// The option's value.
        wanted: String,
        /// Files that are there.
        found: String,
    },
    /// The device can't be used for this file or by this build.
    #[error("{0}")]
    Device(String),
    /// A graph's error.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A checkpoint's error.
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Where a network runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by index.
    Cuda(u32),
    /// An Apple GPU, by index; torch checkpoints only.
    Metal(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.trim().to_ascii_lowercase();
        if let Some(index) = lower.strip_prefix("metal").map(|rest| rest.strip_prefix(':').unwrap_or(rest)) {
            let index = if index.is_empty() { Ok(0) } else { index.parse() };
            return index.map(Device::Metal).map_err(|_| format!("`{text}` is no device: `metal` and `metal:N` are"));
        }
        match text.parse::<OnnxDevice>() {
            Ok(OnnxDevice::Cpu) => Ok(Device::Cpu),
            Ok(OnnxDevice::Cuda(index)) => Ok(Device::Cuda(index)),
            Err(reason) => Err(format!("{reason}, and `metal`")),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
            Device::Metal(index) => write!(f, "metal:{index}"),
        }
    }
}

impl Device {
    /// As candle has it.
    ///
    /// # Errors
    /// It isn't there, this build lacks it, or what drives it isn't there.
    pub fn candle(self) -> Result<candle_core::Device, NetworkError> {
        #[cfg(all(feature = "cuda", unix))]
        if let Device::Cuda(_) = self {
            let version = candle_core::cuda_backend::cudarc::driver::sys::CUDA_VERSION;
            syrinx_plugin_common::cuda::load(version)
                .map_err(|error| NetworkError::Device(format!("`{self}` can't be used: {error}")))?;
        }
        let device = match self {
            Device::Cpu => Ok(candle_core::Device::Cpu),
            // A stream of its own: candle's default one is another for each thread, and requests move between threads.
            Device::Cuda(index) => candle_core::Device::new_cuda_with_stream(index as usize),
            Device::Metal(index) => candle_core::Device::new_metal(index as usize),
        };
        device.map_err(|error| NetworkError::Device(format!("`{self}` can't be used: {error}")))
    }

    /// As ONNX Runtime has it.
    fn onnx(self) -> Result<OnnxDevice, NetworkError> {
        match self {
            Device::Cpu => Ok(OnnxDevice::Cpu),
            Device::Cuda(index) => Ok(OnnxDevice::Cuda(index)),
            Device::Metal(_) => Err(NetworkError::Device(
                "graphs run on `cpu` and `cuda:N`; `metal` is for torch checkpoints".to_owned(),
            )),
        }
    }
}

/// What a torch checkpoint computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// float32
    #[default]
    F32,
    /// float16
    F16,
    /// bfloat16
    BF16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "float32" | "f32" | "fp32" | "auto" | "default" => Ok(Precision::F32),
            "float16" | "f16" | "fp16" | "half" => Ok(Precision::F16),
            "bfloat16" | "bf16" => Ok(Precision::BF16),
            _ => Err(format!("`{text}` is no type: float32, float16 and bfloat16 are")),
        }
    }
}

impl Precision {
    fn candle(self) -> candle_core::DType {
        match self {
            Precision::F32 => candle_core::DType::F32,
            Precision::F16 => candle_core::DType::F16,
            Precision::BF16 => candle_core::DType::BF16,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::F16 => "float16",
            Precision::BF16 => "bfloat16",
        }
    }
}

/// A loaded network. Runs from several threads share it.
pub enum Network {
    /// On ONNX Runtime.
    Graph(Box<Session>),
    /// On candle.
    Torch(Box<TorchNetwork>),
}

impl Network {
    /// Loads the graph at `path`.
    ///
    /// # Errors
    ///
    /// As [`Session::load`]; [`NetworkError::Device`].
    pub fn graph(runtime: &Runtime, path: &Path, device: Device, threads: usize) -> Result<Self, NetworkError> {
        let options = SessionOptions { device: device.onnx()?, threads, ..SessionOptions::default() };
        let session = Session::load(runtime, path, &options).map_err(|error| match error {
            SessionError::Onnx(error @ OnnxError::Device { .. }) => NetworkError::Device(error.to_string()),
            other => NetworkError::Session(other),
        })?;
        Ok(Network::Graph(Box::new(session)))
    }

    /// Loads the checkpoint at `path`, of which `threads` is for the processor.
    ///
    /// # Errors
    ///
    /// As [`TorchNetwork::load`]; [`NetworkError::Device`].
    pub fn torch(path: &Path, device: Device, precision: Precision, threads: usize) -> Result<Self, NetworkError> {
        if device == Device::Cpu && precision != Precision::F32 {
            let name = precision.name();
            return Err(NetworkError::Device(format!(
                "{name} needs an accelerator; the processor computes in float32"
            )));
        }
        let options =
            TorchOptions { device: device.candle()?, dtype: precision.candle(), threads, ..TorchOptions::default() };
        Ok(Network::Torch(Box::new(TorchNetwork::load(path, options)?)))
    }

    /// The configuration that a graph carries, if it does.
    #[must_use]
    pub fn embedded_config(&self) -> Option<&str> {
        match self {
            Network::Graph(session) => session.embedded_config(),
            Network::Torch(_) => None,
        }
    }

    /// Speaks `ids` (pads included, at most 512) in the style row `style` (256 values). `seed` draws the noise of checkpoints; graphs draw
    /// theirs themselves, if they have any.
    ///
    /// # Errors
    ///
    /// As [`Session::speak`] and [`TorchNetwork::speak`].
    pub fn speak(&self, ids: &[i64], style: &[f32], speed: f32, seed: u64) -> Result<Utterance, NetworkError> {
        match self {
            Network::Graph(session) => Ok(session.speak(ids, style, speed)?),
            Network::Torch(network) => Ok(network.speak(ids, style, speed, seed)?),
        }
    }
}

/// Whether a file is a torch checkpoint.
#[must_use]
pub fn is_checkpoint(path: &Path) -> bool {
    path.extension().is_some_and(|ending| CHECKPOINTS.iter().any(|known| ending == *known))
}

/// Chooses the network of a model's directory: the file whose name contains `wanted`; else on a processor the int8 graph, which is the
/// fastest there, then the plain one, then the first graph by name, then a checkpoint; on an accelerator a checkpoint first.
///
/// # Errors
///
/// [`NetworkError::None`], [`NetworkError::NoSuch`].
pub fn find_network(model_dir: &Path, wanted: Option<&str>, device: Device) -> Result<PathBuf, NetworkError> {
    let mut files = Vec::new();
    for directory in [model_dir.to_owned(), model_dir.join("onnx")] {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        files
            .extend(paths.filter(|path| is_checkpoint(path) || path.extension().is_some_and(|ending| ending == GRAPH)));
    }
    files.sort();
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(wanted) = wanted.filter(|_| !files.is_empty()) {
        return files.iter().find(|path| name(path).contains(wanted)).cloned().ok_or_else(|| NetworkError::NoSuch {
            wanted: wanted.to_owned(),
            found: files.iter().map(name).collect::<Vec<_>>().join(", "),
        });
    }
    let rank = |path: &PathBuf| {
        let name = name(path);
        if is_checkpoint(path) {
            if device == Device::Cpu { 3 } else { -1 }
        } else if name.contains("int8") || name.contains("quantized") {
            0
        } else if ["model.onnx", "kokoro-v1.0.onnx", "kokoro-v1.1-zh.onnx"].contains(&name.as_str()) {
            1
        } else {
            2
        }
    };
    files.into_iter().min_by_key(rank).ok_or_else(|| NetworkError::None(model_dir.to_owned()))
}

/// The arithmetic of a file: of graphs their name tells it, `int8`, `float16`, … or `float32`; checkpoints compute in `precision`.
#[must_use]
pub fn dtype_of(file: &Path, precision: Precision) -> &'static str {
    if is_checkpoint(file) {
        return precision.name();
    }
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    const NAMES: [(&str, &str); 7] = [
        ("q4f16", "q4f16"),
        ("q8f16", "q8f16"),
        ("uint8f16", "uint8f16"),
        ("uint8", "uint8"),
        ("int8", "int8"),
        ("quantized", "int8"),
        ("q4", "q4"),
    ];
    match NAMES.iter().find(|(part, _)| name.contains(part)) {
        Some((_, dtype)) => dtype,
        None if name.contains("fp16") => "float16",
        None => "float32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_int8_graph_is_preferred_and_options_choose() {
        let directory = std::env::temp_dir().join(format!("syrinx-kokoro-graphs-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("onnx")).unwrap();
        let find = |wanted, device| find_network(&directory, wanted, device);
        assert!(matches!(find(Some("fp16"), Device::Cpu), Err(NetworkError::None(_))));
        std::fs::write(directory.join("kokoro-v1_0.pth"), b"").unwrap();
        assert!(find(None, Device::Cpu).unwrap().ends_with("kokoro-v1_0.pth"));
        for name in ["model.onnx", "model_fp16.onnx", "model_quantized.onnx"] {
            std::fs::write(directory.join("onnx").join(name), b"").unwrap();
        }
        assert!(find(None, Device::Cpu).unwrap().ends_with("model_quantized.onnx"));
        assert!(find(None, Device::Cuda(0)).unwrap().ends_with("kokoro-v1_0.pth"));
        assert!(find(Some("fp16"), Device::Cpu).unwrap().ends_with("model_fp16.onnx"));
        assert!(find(Some("pth"), Device::Cpu).unwrap().ends_with("kokoro-v1_0.pth"));
        let error = find(Some("q4"), Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("model_fp16.onnx"), "{error}");
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn devices_and_types_are_read_and_refused() {
        assert_eq!("Metal".parse(), Ok(Device::Metal(0)));
        assert_eq!("cuda:1".parse(), Ok(Device::Cuda(1)));
        for wrong in ["metal:x", "tpu"] {
            assert!(wrong.parse::<Device>().unwrap_err().contains(wrong));
        }
        assert_eq!("FP16".parse(), Ok(Precision::F16));
        assert!("int3".parse::<Precision>().is_err());
        let half_on_cpu = Network::torch(Path::new("nowhere.pth"), Device::Cpu, Precision::F16, 1);
        assert!(matches!(half_on_cpu.err(), Some(NetworkError::Device(reason)) if reason.contains("float16")));
    }
}
