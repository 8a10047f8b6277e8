//! The Syrinx speech server.
//!
//! The way of a request, one direction, no callbacks back up the stairs:
//!
//! 1. [`http`] parses the dialect (OpenAI or Xinference, JSON or multipart) into one typed request.
//! 2. [`audio`] decodes and resamples input to what the model asked for.
//! 3. [`models`] finds the running model and admits the job to its bounded queue.
//! 4. An [executor](models::Executor) runs the job: it calls the plugin that [`plugins`] has loaded, or has a process of its
//!    own do so (`worker`).
//! 5. The plugin pushes results; the job's channel slows it down to the reader's speed, or stops it.
//! 6. [`audio`] encodes samples as they arrive; [`http`] sends them.

pub mod audio;
pub mod auth;
mod callers;
pub mod cli;
pub mod config;
mod connection;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod log;
mod look;
pub mod machine;
mod memory;
pub mod metrics;
pub mod models;
pub mod plugins;
#[cfg(unix)]
mod program;
pub mod schema;
pub mod server;
mod stall;
pub mod voices;
#[cfg(unix)]
mod worker;
