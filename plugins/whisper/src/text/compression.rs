//! How repetitive a text is.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

/// Deflate level of Python's `zlib.compress`. Source: openai/whisper `whisper/utils.py: compression_ratio`.
const LEVEL: u32 = 6;

/// Bytes of the text over bytes of its zlib stream (header and checksum included); 0 for an empty text.
#[must_use]
pub fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
    // Writing into memory doesn't fail; if it did, a text that can't be compressed is not repetitive.
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).unwrap_or_default();
    if compressed.is_empty() { 0.0 } else { text.len() as f64 / compressed.len() as f64 }
}
