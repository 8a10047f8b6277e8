//! The byte alphabet of GPT-2: every byte has a printable character, so that token files can be JSON.
//!
//! Source: openai/gpt-2 `src/encoder.py: bytes_to_unicode`. Printable bytes stand for themselves, the others are moved to
//! U+0100 and up in byte order.

/// First code point of the moved bytes.
const MOVED: u32 = 0x100;

/// Whether a byte is its own character in the alphabet.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The two directions of the alphabet.
pub(super) struct Alphabet {
    /// Byte for the code points 0..0x144, or `None` where no byte has that character.
    byte_of: [Option<u8>; 0x144],
}

impl Alphabet {
    /// Builds the table.
    pub(super) fn new() -> Self {
        let mut byte_of = [None; 0x144];
        let mut moved = MOVED;
        for byte in 0..=u8::MAX {
            if is_printable(byte) {
                byte_of[usize::from(byte)] = Some(byte);
            } else {
                byte_of[moved as usize] = Some(byte);
                moved += 1;
            }
        }
        Self { byte_of }
    }

    /// The bytes that a written token stands for; `None` if it has a character outside of the alphabet.
    pub(super) fn bytes(&self, written: &str) -> Option<Vec<u8>> {
        written.chars().map(|c| self.byte_of.get(c as usize).copied().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_and_printable_bytes() {
        let alphabet = Alphabet::new();
        assert_eq!(alphabet.bytes("Ġthe"), Some(b" the".to_vec()));
        assert_eq!(alphabet.bytes("Ċ"), Some(b"\n".to_vec()));
        assert_eq!(alphabet.bytes("Ń"), Some(vec![0xAD]));
        assert_eq!(alphabet.bytes("希"), None);
        assert_eq!(alphabet.byte_of.iter().flatten().count(), 256);
    }
}
