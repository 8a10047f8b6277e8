//! What can go wrong between a plugin and ONNX Runtime.

use std::path::PathBuf;

/// An error of the runtime library, of a graph, or of one run.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// Nobody said where the library is.
    #[error(
        "ONNX Runtime's shared library was not found: name it with the launch option `onnxruntime` or the environment \
         variable ORT_DYLIB_PATH, or let the server provide it (`syrinx doctor` says how)"
    )]
    NoLibrary,
    /// The path that was given names nothing.
    #[error("there is no ONNX Runtime library at `{}` (given by {source_name})", path.display())]
    LibraryMissing {
        /// The path.
        path: PathBuf,
        /// Who gave the path.
        source_name: &'static str,
    },
    /// The file exists, but the system's loader refuses it.
    #[error("`{}` can't be loaded as ONNX Runtime's shared library: {reason}", path.display())]
    LibraryBroken {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// The library is ONNX Runtime, but too old.
    #[error(
        "`{}` is ONNX Runtime {found}, but version {minimum} or later is needed", path.display()
    )]
    LibraryTooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The oldest version that works.
        minimum: &'static str,
    },
    /// The graph file can't be made a session.
    #[error("`{}` can't be loaded as an ONNX graph: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// The runtime's words.
        reason: String,
    },
    /// The device is not available in this build or in this library.
    #[error("ONNX Runtime can't run on {device}: {reason}")]
    Device {
        /// The device that was asked for.
        device: String,
        /// Why not.
        reason: String,
    },
    /// A run failed.
    #[error("ONNX Runtime failed while running the graph: {0}")]
    Run(String),
    /// The graph lacks an output, or it has another type than its caller expects.
    #[error("the graph's output `{name}`: {reason}")]
    Output {
        /// Name of the output.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The runtime itself failed (options, environment).
    #[error("ONNX Runtime failed during set-up: {0}")]
    Setup(String),
}

impl OnnxError {
    /// Wraps an error of `ort` that happened while options or the environment were made.
    pub(super) fn setup<R>(error: ort::Error<R>) -> Self {
        OnnxError::Setup(error.message().to_owned())
    }
}
