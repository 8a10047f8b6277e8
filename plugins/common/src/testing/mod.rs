//! What the plugins' tests, benches and examples share: somebody who listens to a model, recordings, checkpoints that are made for a test, and what
//! a run costs. How a recorded reference result is replayed is in [`kits`](crate::kits).

mod cost;
mod listeners;
mod recordings;
mod torch;

pub use cost::{Memory, memory, processor_seconds};
pub use listeners::{HeardSpeech, HeardText};
pub use recordings::{recording, wav_file};
pub use torch::torch_file;
