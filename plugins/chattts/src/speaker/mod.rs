//! Speakers: vectors, the statistics they are drawn from, and the strings that they and audio prompts are passed on as.
//!
//! Source: ChatTTS `model/speaker.py`, Xinference `model/audio/chattts.py` (named voices).

mod base16384;
mod error;
mod lzma;
mod normal;
mod prompt;
mod statistics;
mod vector;
mod voice;

pub use base16384::{decode as decode_base16384, encode as encode_base16384};
pub use error::{Problem, SpeakerError};
pub use normal::draw;
pub use prompt::{AudioPrompt, CODEBOOKS};
pub use statistics::Statistics;
pub use vector::Speaker;
pub use voice::{Voice, parse_voice, seed};
