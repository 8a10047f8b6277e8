//! The runner of reference kits: recorded inputs and outputs of a reference implementation, replayed against ours.
//!
//! A kit is a folder `DIR/<family>/{models,cases,…}`. Each case names an *op*; a plugin's test binary brings a table that
//! maps ops to functions, and the runner does the rest: it loads cases, calls the op, compares, reports.
//!
//! ```no_run
//! use syrinx_plugin_common::kits::{self, Case, Got, Op};
//!
//! fn double(case: &Case) -> Result<Got, String> {
//!     let x = case.tensor("in.x")?;
//!     let y = x.to_f32().iter().map(|v| v * 2.0).collect();
//!     Ok(Got::new().f32("out.y", x.shape(), y))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     kits::main("demo", &[Op::new("demo.double", double)], &[])
//! }
//! ```
//!
//! Command line (everything after `--` of `cargo test --test kit`): `[--dir DIR] [--op GLOB] [--case GLOB]`.
//! `DIR` defaults to `$SYRINX_KITS`, then to the nearest `tests/kits` above the working directory.
//!
//! What counts as equal is written in [`compare`](self::compare); what a tolerance may say in [`tolerance`](self::tolerance).

mod case;
mod compare;
mod glob;
mod run;
mod tensor;
mod tolerance;

use std::path::PathBuf;
use std::process::ExitCode;

pub use case::Case;
pub use compare::{Difference, compare};
pub use tensor::Tensor;

use serde_json::Value;

/// One entry of a plugin's table: how cases of an op are run.
#[derive(Clone, Copy)]
pub struct Op {
    name: &'static str,
    run: fn(&Case) -> Result<Got, String>,
    remarks: &'static [&'static str],
}

impl Op {
    /// `run` computes everything the case expects; an `Err` fails the case with that reason.
    pub const fn new(name: &'static str, run: fn(&Case) -> Result<Got, String>) -> Self {
        Self { name, run, remarks: &[] }
    }

    /// Names outputs that are remarks about the reference rather than results (globs over paths such as
    /// `expect.min_greedy_margin` or `out.top_ids`): they are not compared and need not be computed.
    pub const fn remarks(mut self, paths: &'static [&'static str]) -> Self {
        self.remarks = paths;
        self
    }
}

/// What an op computed: tensors under their names in the case (`out.x`, `mid.x`), other results under `expect`.
#[derive(Debug, Default)]
pub struct Got {
    tensors: std::collections::BTreeMap<String, Tensor>,
    expect: serde_json::Map<String, Value>,
    measures: std::collections::BTreeMap<(String, String), f64>,
}

impl Got {
    /// Nothing computed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor (`name` includes its prefix: `out.hidden`).
    pub fn tensor(mut self, name: &str, tensor: Tensor) -> Self {
        self.tensors.insert(name.to_owned(), tensor);
        self
    }

    /// Adds a float tensor.
    pub fn f32(self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        self.tensor(name, Tensor::float(shape, values))
    }

    /// Adds an integer tensor.
    pub fn i64(self, name: &str, shape: &[usize], values: Vec<i64>) -> Self {
        self.tensor(name, Tensor::int(shape, values))
    }

    /// Adds an entry of `expect` (`name` without the prefix `expect.`).
    pub fn value(mut self, name: &str, value: impl serde::Serialize) -> Self {
        // Only maps with keys that aren't strings fail to become JSON; null then differs from what is expected.
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.expect.insert(name.to_owned(), value);
        self
    }

    /// Adds a family's own measure of an output, for tolerances such as `"out.audio": {"max_dtw_logmel": 0.32}`:
    /// `measure("out.audio", "dtw_logmel", 0.17)` answers `max_dtw_logmel` and `min_dtw_logmel`.
    pub fn measure(mut self, output: &str, name: &str, value: f64) -> Self {
        self.measures.insert((output.to_owned(), name.to_owned()), value);
        self
    }
}

/// The kit of `family` that a run without `--dir` takes.
///
/// # Errors
/// There is none around here.
pub fn folder(family: &str) -> Result<PathBuf, String> {
    Ok(run::default_dir()?.join(family))
}

/// Runs the cases of `family` that the command line selects and prints the report; to be returned from a test's `main`.
///
/// An op that is not in `ops` fails its cases, unless it matches a glob of `informative` (over `op`, or `op/case`), which says why
/// such cases describe something that the plugin does not do.
pub fn main(family: &str, ops: &[Op], informative: &[(&str, &str)]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    run::main(family, ops, informative, &arguments)
}
