//! Samples without a container: 16-bit, little-endian.

use super::{Codec, EncodeError, to_s16};

pub(super) struct Pcm;

impl Codec for Pcm {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.reserve(pcm.len() * 2);
        out.extend(pcm.iter().flat_map(|&x| to_s16(x).to_le_bytes()));
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        Ok(None)
    }
}
