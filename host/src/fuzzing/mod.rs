//! A door for fuzzers: every parser that a stranger reaches, behind one function that takes any bytes and panics when the
//! parser breaks a promise. Not part of the product: it exists under the feature `fuzzing` and in tests.
//!
//! The fuzz targets in `tests/fuzz` call these functions for as long as one likes; the tests in `tests.rs` call the same
//! functions with proptest's inputs, and with every input that ever broke a promise (`tests/fuzz/found`).

mod forms;
mod json;
mod names;
mod sound;
#[cfg(test)]
mod tests;

pub use forms::{base64, kwargs, multipart};
pub use json::lenient_json;
pub use names::{launch_request, names};
pub use sound::{decode, streamed, wav};

/// Hands out an input piece by piece; zeros when it is used up. What is left over is data.
struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Up to `most` bytes.
    fn take(&mut self, most: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        piece
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
