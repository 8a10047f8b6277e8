//! The network as an ONNX graph, whichever export it is.
//!
//! Exports differ in names and types: kokoro-onnx's older ones take `tokens` and give `audio`, onnx-community's take
//! `input_ids` and give `waveform`, the newer ones also tell how long each phoneme lasts (`duration`), and an old export
//! of v1.1-zh wants a whole number for `speed`. All of that is read off the graph.

use std::path::Path;

use syrinx_plugin_common::onnx::{self, Device, Input, OnnxError, Port, Runtime, SessionOptions, TensorElementType};

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
pub struct Session {
    session: onnx::Session,
    layout: Layout,
}

impl Session {
    /// Loads the graph at `path`.
    ///
    /// # Errors
    ///
    /// [`SessionError::Onnx`] when it can't be loaded, [`SessionError::Layout`] when it is something else than Kokoro.
    pub fn load(runtime: &Runtime, path: &Path, options: &SessionOptions) -> Result<Self, SessionError> {
        let accelerated = match options.device {
            Device::Cpu => accelerated(path),
            Device::Cuda(_) => None,
        };
        // An export that differs in a way that was not foreseen is run as it is.
        let session = accelerated
            .and_then(|changed| runtime.session_with_operators(path, &changed.model, changed.operators, options).ok())
            .map_or_else(|| runtime.session(path, options), Ok)?;
        let layout = Layout::detect(session.inputs(), session.outputs()).map_err(SessionError::Layout)?;
        Ok(Session { session, layout })
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
fn accelerated(path: &Path) -> Option<Accelerated> {
    accelerate(&std::fs::read(path).ok()?)
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
}
