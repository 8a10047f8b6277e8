//! RIFF wave, 16-bit mono.

use super::pcm::Pcm;
use super::{Codec, EncodeError};

/// A size that isn't known yet; what players and Xinference's clients take for "until the end of the stream".
const UNKNOWN_SIZE: u32 = u32::MAX;

/// Length of the header in bytes: RIFF, fmt and the beginning of the data chunk.
const HEADER_BYTES: u32 = 44;

/// Bytes per mono sample.
const SAMPLE_BYTES: u32 = 2;

pub(super) struct Wav {
    rate: u32,
    started: bool,
    data_bytes: u64,
}

impl Wav {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, started: false, data_bytes: 0 }
    }

    fn header(&self, data_bytes: Option<u32>) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES as usize);
        let mut put = |bytes: &[u8]| header.extend_from_slice(bytes);
        put(b"RIFF");
        put(&data_bytes.map_or(UNKNOWN_SIZE, |n| n + HEADER_BYTES - 8).to_le_bytes());
        put(b"WAVEfmt ");
        put(&16u32.to_le_bytes());
        put(&1u16.to_le_bytes()); // PCM
        put(&1u16.to_le_bytes()); // channels
        put(&self.rate.to_le_bytes());
        put(&(self.rate * SAMPLE_BYTES).to_le_bytes());
        put(&(SAMPLE_BYTES as u16).to_le_bytes());
        put(&(8 * SAMPLE_BYTES as u16).to_le_bytes());
        put(b"data");
        put(&data_bytes.unwrap_or(UNKNOWN_SIZE).to_le_bytes());
        header
    }
}

impl Codec for Wav {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !std::mem::replace(&mut self.started, true) {
            out.extend(self.header(None));
        }
        self.data_bytes += pcm.len() as u64 * u64::from(SAMPLE_BYTES);
        Pcm.push(pcm, out)
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        // A file over 4 GiB keeps its unknown sizes.
        let size = u32::try_from(self.data_bytes).ok().filter(|n| n.checked_add(HEADER_BYTES).is_some());
        Ok(size.map(|n| self.header(Some(n))))
    }
}
