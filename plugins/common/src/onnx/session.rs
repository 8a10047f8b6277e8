//! A graph, ready to run from any thread.

use std::fmt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use ort::AsPointer;
use ort::ep;
use ort::memory::Allocator;
use ort::operator::OperatorDomain;
use ort::session::SharedSessionInner;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynValue, PrimitiveTensorElementType, TensorElementType, TensorRef};

use super::{OnnxError, Runtime};

/// Where a graph runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by index; needs the cargo feature `onnx-cuda` and a library built with CUDA.
    Cuda(u32),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "cpu" => Ok(Device::Cpu),
            "cuda" | "gpu" => Ok(Device::Cuda(0)),
            other => match other.strip_prefix("cuda:").and_then(|index| index.parse().ok()) {
                Some(index) => Ok(Device::Cuda(index)),
                None => Err(format!("`{text}` is no device: `cpu`, `cuda` and `cuda:N` are")),
            },
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// How a session is made. The defaults suit a server with few cores and inputs of changing length; what each choice
/// costs was measured with Kokoro (see `plugins/kokoro/README.md`).
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Where to run.
    pub device: Device,
    /// Threads of one run, the caller's included; 0 lets the runtime choose.
    pub threads: usize,
    /// Let idle pool threads spin for work: a little faster for one run on an idle machine, at the price of processor
    /// time that other requests need.
    pub spinning: bool,
    /// Keep freed tensors in the session's arena. It only ever grows to the need of the longest input so far; given back after
    /// every run, the process grows with each where the C library can't use again all of what it has aligned (glibc up to 2.37).
    pub arena: bool,
    /// Plan one block per input shape. It helps only where shapes repeat.
    pub memory_pattern: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        SessionOptions { device: Device::Cpu, threads: 1, spinning: false, arena: true, memory_pattern: false }
    }
}

/// Name and element type of an input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name in the graph.
    pub name: String,
    /// Element type; `None` when it is no tensor.
    pub element: Option<TensorElementType>,
}

/// An input tensor, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// 32-bit floats.
    F32 {
        /// Extent of each dimension.
        shape: &'a [usize],
        /// Row-major values.
        data: &'a [f32],
    },
    /// 64-bit integers.
    I64 {
        /// Extent of each dimension.
        shape: &'a [usize],
        /// Row-major values.
        data: &'a [i64],
    },
    /// 32-bit integers.
    I32 {
        /// Extent of each dimension.
        shape: &'a [usize],
        /// Row-major values.
        data: &'a [i32],
    },
}

/// A loaded graph. [`Session::run`] takes `&self` and may be called from several threads at once: on the processor the
/// runs share the weights, the arena and the pool threads; on other devices they take turns.
pub struct Session {
    inner: Arc<SharedSessionInner>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    metadata: std::collections::BTreeMap<String, String>,
    /// Held during a run on a device whose runs must not overlap; `None` on the processor.
    turn: Option<Mutex<()>>,
}

impl Session {
    /// Loads the file at `path`, or the bytes that stand for it, with operators of its own.
    pub(super) fn load(
        runtime: &Runtime,
        path: &Path,
        model: Option<&[u8]>,
        operators: Option<OperatorDomain>,
        options: &SessionOptions,
    ) -> Result<Session, OnnxError> {
        let graph_error =
            |error: ort::Error| OnnxError::Graph { path: path.to_owned(), reason: error.message().to_owned() };
        let builder = ort::session::Session::builder(&runtime.environment).map_err(OnnxError::setup)?;
        let builder = builder
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(OnnxError::setup)?
            .with_intra_threads(options.threads)
            .map_err(OnnxError::setup)?
            .with_intra_op_spinning(options.spinning)
            .map_err(OnnxError::setup)?
            .with_memory_pattern(options.memory_pattern)
            .map_err(OnnxError::setup)?;
        let builder = match options.device {
            Device::Cpu => builder,
            Device::Cuda(index) => with_cuda(builder, index)?,
        };
        let mut builder = builder
            .with_execution_providers([ep::CPU::default().with_arena_allocator(options.arena).build()])
            .map_err(OnnxError::setup)?;
        if let Some(operators) = operators {
            builder = builder.with_operators(operators).map_err(OnnxError::setup)?;
        }
        let session = match model {
            Some(model) => builder.commit_from_memory(model),
            None => builder.commit_from_file(path),
        };
        let session = session.map_err(graph_error)?;
        let ports = |outlets: &[ort::value::Outlet]| {
            outlets
                .iter()
                .map(|outlet| Port { name: outlet.name().to_owned(), element: outlet.dtype().tensor_type() })
                .collect()
        };
        let metadata = session.metadata().map_err(graph_error)?;
        let metadata = metadata
            .custom_keys()
            .map_err(graph_error)?
            .into_iter()
            .filter_map(|key| metadata.custom(&key).map(|value| (key, value)))
            .collect();
        Ok(Session {
            inner: session.inner(),
            inputs: ports(session.inputs()),
            outputs: ports(session.outputs()),
            metadata,
            turn: (options.device != Device::Cpu).then(|| Mutex::new(())),
        })
    }

    /// The graph's inputs, in its order.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The graph's outputs, in its order.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// A value of the graph's custom metadata.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Runs the graph on `inputs` and returns the outputs named in `outputs`.
    ///
    /// # Errors
    ///
    /// [`OnnxError::Run`] with the runtime's words: an unknown name, a shape that does not fit, no memory left.
    pub fn run(&self, inputs: &[(&str, Input<'_>)], outputs: &[&str]) -> Result<Outputs, OnnxError> {
        let input_values = inputs.iter().map(|(_, input)| input.to_value()).collect::<Result<Vec<_>, _>>()?;
        let input_names = c_strings(inputs.iter().map(|(name, _)| *name))?;
        let output_names = c_strings(outputs.iter().copied())?;
        let input_pointers: Vec<*const ort::sys::OrtValue> = input_values.iter().map(InputValue::pointer).collect();
        let input_name_pointers: Vec<_> = input_names.iter().map(|name| name.as_ptr()).collect();
        let output_name_pointers: Vec<_> = output_names.iter().map(|name| name.as_ptr()).collect();
        let mut output_pointers: Vec<*mut ort::sys::OrtValue> = vec![ptr::null_mut(); outputs.len()];

        let turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: every pointer lives until the call returns, each list has the length that is passed with it, and the
        // status is consumed once. `ort` offers a run only behind `&mut` because some execution providers are not
        // thread-safe; the processor's is (`InferenceSession::Run` in core/session/inference_session.h: "Multiple
        // threads are allowed to run this function; hence its thread-safe."), and for the others `turn` is held.
        let status = unsafe {
            let status = (ort::api().Run)(
                self.inner.ptr().cast_mut(),
                ptr::null(), // a run's options: the runtime's own
                input_name_pointers.as_ptr(),
                input_pointers.as_ptr(),
                input_pointers.len(),
                output_name_pointers.as_ptr(),
                output_name_pointers.len(),
                output_pointers.as_mut_ptr(),
            );
            ort::Error::result_from_status(status)
        };
        drop(turn);

        let values =
            output_pointers.into_iter().map(|pointer| NonNull::new(pointer).map(own_value)).collect::<Vec<_>>();
        status.map_err(|error| OnnxError::Run(error.message().to_owned()))?;
        let mut named = Vec::with_capacity(outputs.len());
        for (name, value) in outputs.iter().zip(values) {
            let value = value.ok_or_else(|| OnnxError::Run(format!("output `{name}` was not produced")))?;
            named.push(((*name).to_owned(), value));
        }
        Ok(Outputs { values: named, _session: Arc::clone(&self.inner) })
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("inputs", &self.inputs).field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// The outputs of one run. Their memory belongs to the session's arena and goes back to it on drop.
#[derive(Debug)]
pub struct Outputs {
    // Declared before the session, so dropped before it.
    values: Vec<(String, DynValue)>,
    _session: Arc<SharedSessionInner>,
}

impl Outputs {
    /// Values of a float output, row-major.
    ///
    /// # Errors
    ///
    /// [`OnnxError::Output`] when there is no such output or it is not made of 32-bit floats.
    pub fn f32(&self, name: &str) -> Result<&[f32], OnnxError> {
        self.tensor(name)
    }

    /// Extents of an output's dimensions.
    ///
    /// # Errors
    ///
    /// [`OnnxError::Output`] when there is no such output or it is no tensor.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, OnnxError> {
        match self.value(name)?.dtype().tensor_shape() {
            Some(shape) => Ok(shape.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect()),
            None => Err(OnnxError::Output { name: name.to_owned(), reason: "is no tensor".to_owned() }),
        }
    }

    /// Values of an integer output, row-major, widened to 64 bits where the graph has 32.
    ///
    /// # Errors
    ///
    /// [`OnnxError::Output`] when there is no such output or it is made of something else.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, OnnxError> {
        match self.value(name)?.dtype().tensor_type() {
            Some(TensorElementType::Int32) => {
                Ok(self.tensor::<i32>(name)?.iter().map(|&value| i64::from(value)).collect())
            }
            _ => Ok(self.tensor::<i64>(name)?.to_vec()),
        }
    }

    fn value(&self, name: &str) -> Result<&DynValue, OnnxError> {
        match self.values.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value),
            None => Err(OnnxError::Output { name: name.to_owned(), reason: "was not asked for".to_owned() }),
        }
    }

    fn tensor<T: PrimitiveTensorElementType>(&self, name: &str) -> Result<&[T], OnnxError> {
        match self.value(name)?.try_extract_tensor::<T>() {
            Ok((_, data)) => Ok(data),
            Err(error) => Err(OnnxError::Output { name: name.to_owned(), reason: error.message().to_owned() }),
        }
    }
}

/// An input as the runtime sees it: a view of the caller's memory.
enum InputValue<'a> {
    F32(TensorRef<'a, f32>),
    I64(TensorRef<'a, i64>),
    I32(TensorRef<'a, i32>),
}

impl InputValue<'_> {
    fn pointer(&self) -> *const ort::sys::OrtValue {
        match self {
            InputValue::F32(tensor) => tensor.ptr(),
            InputValue::I64(tensor) => tensor.ptr(),
            InputValue::I32(tensor) => tensor.ptr(),
        }
    }
}

impl<'a> Input<'a> {
    fn to_value(self) -> Result<InputValue<'a>, OnnxError> {
        let value = match self {
            Input::F32 { shape, data } => TensorRef::from_array_view((shape.to_vec(), data)).map(InputValue::F32),
            Input::I64 { shape, data } => TensorRef::from_array_view((shape.to_vec(), data)).map(InputValue::I64),
            Input::I32 { shape, data } => TensorRef::from_array_view((shape.to_vec(), data)).map(InputValue::I32),
        };
        value.map_err(|error| OnnxError::Run(error.message().to_owned()))
    }
}

/// Takes ownership of an output that a run returned.
fn own_value(pointer: NonNull<ort::sys::OrtValue>) -> DynValue {
    // SAFETY: the run handed the value over to us, valid and owned once. Outputs of a session are tensors in ordinary
    // memory, which the default allocator describes; releasing the value returns the memory to where it came from.
    unsafe { DynValue::from_ptr(pointer, Some(&Allocator::default())) }
}

fn c_strings<'n>(names: impl Iterator<Item = &'n str>) -> Result<Vec<std::ffi::CString>, OnnxError> {
    names
        .map(|name| {
            std::ffi::CString::new(name)
                .map_err(|_| OnnxError::Run(format!("`{name}` is no name of an input or output")))
        })
        .collect()
}

#[cfg(feature = "onnx-cuda")]
fn with_cuda(
    builder: ort::session::builder::SessionBuilder,
    index: u32,
) -> Result<ort::session::builder::SessionBuilder, OnnxError> {
    let provider = ep::CUDA::default().with_device_id(index as i32).build().error_on_failure();
    builder.with_execution_providers([provider]).map_err(|error| OnnxError::Device {
        device: Device::Cuda(index).to_string(),
        reason: error.message().to_owned(),
    })
}

#[cfg(not(feature = "onnx-cuda"))]
fn with_cuda(
    _builder: ort::session::builder::SessionBuilder,
    index: u32,
) -> Result<ort::session::builder::SessionBuilder, OnnxError> {
    Err(OnnxError::Device {
        device: Device::Cuda(index).to_string(),
        reason: "this plugin was built without the cargo feature `cuda`".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_refused() {
        assert_eq!("CPU".parse(), Ok(Device::Cpu));
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        assert_eq!("cuda:3".parse(), Ok(Device::Cuda(3)));
        assert!("cuda:x".parse::<Device>().is_err());
        assert!("tpu".parse::<Device>().is_err());
        assert_eq!(Device::Cuda(1).to_string(), "cuda:1");
    }
}
