//! The network as an ONNX graph, whichever export it is.
//!
//! Exports differ in names and types: kokoro-onnx's older ones take `tokens` and give `audio`, onnx-community's take
//! `input_ids` and give `waveform`, the newer ones also tell how long each phoneme lasts (`duration`), and an old export
//! of v1.1-zh wants a whole number for `speed`. All of that is read off the graph.

use std::path::{Path, PathBuf};

use syrinx_plugin_common::onnx::{Device, Input, OnnxError, Port, Runtime, Session, SessionOptions, TensorElementType};

use crate::accelerate::{Accelerated, accelerate};
use crate::vocab::MAX_PHONEMES;
use crate::voices::STYLE_WIDTH;

/// Samples per second of every Kokoro model.
pub const SAMPLE_RATE: u32 = 24_000;

/// Metadata key of newer kokoro-onnx exports: the official `config.json` as text.
const CONFIG_METADATA: &str = "kokoro_config";

/// A graph that can't be used or a run that failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No file of the directory is a graph.
    #[error(
        "no ONNX graph in `{}`: `*.onnx` and `onnx/*.onnx` are looked for{hint}", directory.display()
    )]
    NoGraph {
        /// The model's directory.
        directory: PathBuf,
        /// More, where the directory's content explains it.
        hint: &'static str,
    },
    /// The launch option names a graph that isn't there.
    #[error("`{wanted}` matches no graph of the model; there are: {found}")]
    NoSuchGraph {
        /// The option's value.
        wanted: String,
        /// Files that are there.
        found: String,
    },
    /// The graph's inputs or outputs are not those of a Kokoro export.
    #[error("the graph is no export of Kokoro that is known here: {0}")]
    Layout(String),
    /// The input is longer than the model's context.
    #[error("{0} phonemes are more than the {MAX_PHONEMES} that fit into one run")]
    TooLong(usize),
    /// ONNX Runtime's error.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

/// What one run makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// Mono samples at [`SAMPLE_RATE`], about -0.5…0.5 (peaks slightly above 1 occur).
    pub samples: Vec<f32>,
    /// Frames of 25 ms per input id, pads included; only from exports that tell.
    pub durations: Option<Vec<i64>>,
}

/// Element type of the `speed` input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpeedType {
    F32,
    I32,
    I64,
}

/// How an export names its inputs and outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    ids: String,
    ids_are_32_bit: bool,
    style: String,
    speed: String,
    speed_type: SpeedType,
    audio: String,
    duration: Option<String>,
}

/// A loaded graph. Runs from several threads share it.
#[derive(Debug)]
pub struct Network {
    session: Session,
    layout: Layout,
}

impl Network {
    /// Loads the graph at `path`.
    ///
    /// # Errors
    ///
    /// [`SessionError::Onnx`] when it can't be loaded, [`SessionError::Layout`] when it is something else than Kokoro.
    pub fn load(runtime: &Runtime, path: &Path, options: &SessionOptions) -> Result<Self, SessionError> {
        let accelerated = match options.device {
            Device::Cpu => accelerated(path)?,
            Device::Cuda(_) => None,
        };
        let session = match accelerated {
            Some(Accelerated { model, operators, .. }) => runtime.session_of(path, &model, operators, options)?,
            None => runtime.session(path, options)?,
        };
        let layout = Layout::detect(session.inputs(), session.outputs()).map_err(SessionError::Layout)?;
        Ok(Network { session, layout })
    }

    /// The config that the graph carries, if it does.
    #[must_use]
    pub fn embedded_config(&self) -> Option<&str> {
        self.session.metadata(CONFIG_METADATA)
    }

    /// Whether runs tell durations.
    #[must_use]
    pub fn tells_durations(&self) -> bool {
        self.layout.duration.is_some()
    }

    /// Speaks `ids` (pads included, at most 512) in the style row `style` (256 values).
    ///
    /// `speed` divides durations; exports with a whole-number speed get the nearest one that is at least 1.
    ///
    /// # Errors
    ///
    /// [`SessionError::TooLong`], [`SessionError::Onnx`].
    pub fn speak(&self, ids: &[i64], style: &[f32], speed: f32) -> Result<Utterance, SessionError> {
        if ids.len() > MAX_PHONEMES + 2 {
            return Err(SessionError::TooLong(ids.len().saturating_sub(2)));
        }
        let layout = &self.layout;
        let ids_shape = [1, ids.len()]; // [batch, phonemes + 2]
        let narrow_ids: Vec<i32>;
        let ids = if layout.ids_are_32_bit {
            // Vocabulary ids are below 200.
            narrow_ids = ids.iter().map(|&id| id as i32).collect();
            Input::I32 { shape: &ids_shape, data: &narrow_ids }
        } else {
            Input::I64 { shape: &ids_shape, data: ids }
        };
        let style = Input::F32 { shape: &[1, STYLE_WIDTH], data: style }; // [batch, style]
        let whole_speed = speed.round().max(1.0);
        let (speed_f32, speed_i32, speed_i64) = ([speed], [whole_speed as i32], [whole_speed as i64]);
        let speed = match layout.speed_type {
            SpeedType::F32 => Input::F32 { shape: &[1], data: &speed_f32 },
            SpeedType::I32 => Input::I32 { shape: &[1], data: &speed_i32 },
            SpeedType::I64 => Input::I64 { shape: &[1], data: &speed_i64 },
        };
        let inputs = [(layout.ids.as_str(), ids), (layout.style.as_str(), style), (layout.speed.as_str(), speed)];
        let mut wanted = vec![layout.audio.as_str()];
        wanted.extend(layout.duration.as_deref());
        let outputs = self.session.run(&inputs, &wanted)?;
        let samples = outputs.f32(&layout.audio)?.to_vec();
        let durations = layout.duration.as_deref().map(|name| outputs.integers(name)).transpose()?;
        Ok(Utterance { samples, durations })
    }
}

/// The graph with what our own kernels do faster; `None` when that is nothing, or when the file can't be read, which the runtime says
/// better.
fn accelerated(path: &Path) -> Result<Option<Accelerated>, SessionError> {
    let Ok(bytes) = std::fs::read(path) else { return Ok(None) };
    accelerate(&bytes).map_err(|error| SessionError::Onnx(OnnxError::Setup(error.message().to_owned())))
}

impl Layout {
    fn detect(inputs: &[Port], outputs: &[Port]) -> Result<Self, String> {
        let find = |names: &[&str]| inputs.iter().find(|port| names.contains(&port.name.as_str()));
        let listing = |ports: &[Port]| ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
        let missing = |what: &str| format!("it has no input {what}, but {}", listing(inputs));
        let ids = find(&["tokens", "input_ids"]).ok_or_else(|| missing("`tokens` or `input_ids`"))?;
        let style = find(&["style"]).ok_or_else(|| missing("`style`"))?;
        let speed = find(&["speed"]).ok_or_else(|| missing("`speed`"))?;
        let ids_are_32_bit = match ids.element {
            Some(TensorElementType::Int64) => false,
            Some(TensorElementType::Int32) => true,
            other => return Err(format!("its input `{}` is of type {other:?}", ids.name)),
        };
        if style.element != Some(TensorElementType::Float32) {
            return Err(format!("its input `style` is of type {:?}", style.element));
        }
        let speed_type = match speed.element {
            Some(TensorElementType::Float32) => SpeedType::F32,
            Some(TensorElementType::Int32) => SpeedType::I32,
            Some(TensorElementType::Int64) => SpeedType::I64,
            other => return Err(format!("its input `speed` is of type {other:?}")),
        };
        let output = |names: &[&str]| outputs.iter().find(|port| names.contains(&port.name.as_str()));
        let audio = output(&["audio", "waveform"])
            .ok_or_else(|| format!("it has no output `audio` or `waveform`, but {}", listing(outputs)))?;
        if audio.element != Some(TensorElementType::Float32) {
            return Err(format!("its output `{}` is of type {:?}", audio.name, audio.element));
        }
        Ok(Layout {
            ids: ids.name.clone(),
            ids_are_32_bit,
            style: style.name.clone(),
            speed: speed.name.clone(),
            speed_type,
            audio: audio.name.clone(),
            duration: output(&["duration", "durations", "pred_dur"]).map(|port| port.name.clone()),
        })
    }
}

/// Chooses the graph of a model's directory: the one whose file name contains `wanted`; else the int8 one, which is the
/// fastest on a processor; else the plain one, else the first by name.
///
/// # Errors
///
/// [`SessionError::NoGraph`], [`SessionError::NoSuchGraph`].
pub fn find_graph(model_dir: &Path, wanted: Option<&str>) -> Result<PathBuf, SessionError> {
    let mut graphs = Vec::new();
    for directory in [model_dir.to_owned(), model_dir.join("onnx")] {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
        graphs.extend(files.filter(|path| path.extension().is_some_and(|extension| extension == "onnx")));
    }
    graphs.sort();
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if graphs.is_empty() {
        let torch = std::fs::read_dir(model_dir)
            .is_ok_and(|entries| entries.flatten().any(|e| e.path().extension().is_some_and(|e| e == "pth")));
        let hint = if torch { " (this plugin does not run torch checkpoints)" } else { "" };
        return Err(SessionError::NoGraph { directory: model_dir.to_owned(), hint });
    }
    if let Some(wanted) = wanted {
        return graphs.iter().find(|path| name(path).contains(wanted)).cloned().ok_or_else(|| {
            SessionError::NoSuchGraph {
                wanted: wanted.to_owned(),
                found: graphs.iter().map(name).collect::<Vec<_>>().join(", "),
            }
        });
    }
    let preferred = |path: &&PathBuf| {
        let name = name(path);
        name.contains("int8") || name.contains("quantized")
    };
    let plain =
        |path: &&PathBuf| ["model.onnx", "kokoro-v1.0.onnx", "kokoro-v1.1-zh.onnx"].contains(&name(path).as_str());
    let choice = graphs.iter().find(preferred).or_else(|| graphs.iter().find(plain)).or_else(|| graphs.first());
    choice.cloned().ok_or_else(|| SessionError::NoGraph { directory: model_dir.to_owned(), hint: "" })
}

/// The arithmetic that a graph's file name tells: `int8`, `float16`, … or `float32`.
#[must_use]
pub fn dtype_of(graph: &Path) -> &'static str {
    let name = graph.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
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

    fn port(name: &str, element: TensorElementType) -> Port {
        Port { name: name.to_owned(), element: Some(element) }
    }

    #[test]
    fn layouts_are_told_apart() {
        use TensorElementType::{Float32, Int32, Int64};
        let old = Layout::detect(
            &[port("tokens", Int64), port("style", Float32), port("speed", Float32)],
            &[port("audio", Float32)],
        )
        .unwrap();
        assert_eq!((old.ids.as_str(), old.speed_type, old.duration), ("tokens", SpeedType::F32, None));
        let new = Layout::detect(
            &[port("input_ids", Int64), port("style", Float32), port("speed", Int32)],
            &[port("waveform", Float32), port("duration", Int64)],
        )
        .unwrap();
        assert_eq!((new.audio.as_str(), new.speed_type), ("waveform", SpeedType::I32));
        assert_eq!(new.duration.as_deref(), Some("duration"));
        let other = Layout::detect(&[port("pixels", Float32)], &[]).unwrap_err();
        assert!(other.contains("pixels"), "{other}");
    }

    #[test]
    fn the_int8_graph_is_preferred_and_options_choose() {
        let directory = std::env::temp_dir().join(format!("syrinx-kokoro-graphs-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("onnx")).unwrap();
        assert!(matches!(find_graph(&directory, None), Err(SessionError::NoGraph { .. })));
        for name in ["model.onnx", "model_fp16.onnx", "model_quantized.onnx"] {
            std::fs::write(directory.join("onnx").join(name), b"").unwrap();
        }
        assert!(find_graph(&directory, None).unwrap().ends_with("model_quantized.onnx"));
        assert!(find_graph(&directory, Some("fp16")).unwrap().ends_with("model_fp16.onnx"));
        let error = find_graph(&directory, Some("q4")).unwrap_err().to_string();
        assert!(error.contains("model_fp16.onnx"), "{error}");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
