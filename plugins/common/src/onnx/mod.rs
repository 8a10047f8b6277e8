//! ONNX Runtime for the families that run on it.
//!
//! The library is never linked: its file is named at run time ([`Runtime::load`]), so that one plugin file works with
//! the CPU wheel, a GPU build or the user's own library, and a missing library is an error of one model instead of a
//! program that does not start.
//!
//! ```no_run
//! use std::path::Path;
//! use syrinx_plugin_common::onnx::{Input, Runtime, SessionOptions, find_library};
//!
//! # fn main() -> Result<(), syrinx_plugin_common::onnx::OnnxError> {
//! let library = find_library(None, None)?;
//! let runtime = Runtime::load(&library)?;
//! let session = runtime.session(Path::new("model.onnx"), &SessionOptions::default())?;
//! let outputs = session.run(&[("x", Input::F32 { shape: &[1, 3], data: &[1.0, 2.0, 3.0] })], &["y"])?;
//! let y: &[f32] = outputs.f32("y")?;
//! # let _ = y;
//! # Ok(())
//! # }
//! ```

mod error;
mod graph;
pub mod model;
pub mod operators;
mod proto;
pub mod rewrite;
mod runtime;
mod session;

pub use error::OnnxError;
pub use graph::{Attribute, Dim, Element, GraphBuilder, Value};
pub use ort::Error as RuntimeError;
pub use ort::operator;
pub use ort::value::{TensorElementType, ValueRef, ValueRefMut};
pub use runtime::{LIBRARY_PATH_VARIABLE, MINIMUM_VERSION, Runtime, Severity, find_library};
pub use session::{Device, Input, Outputs, Port, Session, SessionOptions};
