//! How repetitive a text is.

use super::deflate::zlib_length;

/// Bytes of the text over bytes of its zlib stream (header and checksum included); 0 for an empty text.
/// Source: openai/whisper `whisper/utils.py: compression_ratio`.
#[must_use]
pub fn compression_ratio(text: &str) -> f64 {
    text.len() as f64 / zlib_length(text.as_bytes()) as f64
}
