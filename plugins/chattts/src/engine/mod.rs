//! Continuous batching.

mod batch;

pub use batch::{Batch, Outcome, Prompt};
