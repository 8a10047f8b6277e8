//! Voice activity: where in a file somebody speaks, and times in the joined speech back to times in the file.
//!
//! Data flow: [`Silero`] (probability of speech, 512 samples a frame) → [`speech`] (stretches) → [`join`] (pieces) → … → [`TimeMap`].

mod joined;
mod silero;
mod speech;

pub use joined::{Joined, TimeMap, join};
pub use silero::{Silero, SileroError};
pub use speech::{VadOptions, speech};

/// Samples per probability.
pub const FRAME_SAMPLES: usize = 512;
/// Samples per second.
const SAMPLE_RATE: f64 = 16_000.0;
