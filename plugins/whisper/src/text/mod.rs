//! What is done with finished text: statistics, times, files, scoring.

mod compression;
mod deflate;
pub mod normalize;
mod score;
mod strip;
mod timestamp;
pub mod writer;

pub use compression::compression_ratio;
pub use score::{ErrorRate, character_errors, word_errors};
pub use strip::strip;
pub use timestamp::format_timestamp;
