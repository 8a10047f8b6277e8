//! Normal forms of text, so that word errors are errors of recognition and not of spelling.
//!
//! Source: openai/whisper `whisper/normalizers`.

mod basic;
mod english;
mod numbers;
mod spelling;

pub use basic::{Basic, basic};
pub use english::English;
