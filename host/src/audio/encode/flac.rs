//! FLAC, 16-bit mono.

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};

use super::{Codec, EncodeError, Format, to_s16};

/// Samples per frame: 85 ms at 24 kHz. Twice as many would make files 1 % smaller.
const BLOCK: usize = 2_048;

/// Bits of a sample.
const DEPTH: usize = 16;

/// The shortest block that `flacenc` encodes; a shorter one, the last of a stream, is written by [`verbatim_frame`].
const SHORTEST_BLOCK: usize = 32;

pub(super) struct Flac {
    config: Verified<config::Encoder>,
    info: StreamInfo,
    /// Checksum of the samples, for the final header.
    checksum: Context,
    pending: Vec<i32>,
    frames: usize,
    samples: u64,
    /// Smallest and largest frame in bytes.
    frame_bytes: Option<(u32, u32)>,
    rate: u32,
    started: bool,
}

impl Flac {
    pub(super) fn new(rate: u32) -> Result<Self, EncodeError> {
        let mut config = config::Encoder::default();
        config.block_size = BLOCK;
        Ok(Self {
            config: config.into_verified().map_err(|(_, e)| failed(&e))?,
            info: StreamInfo::new(rate as usize, 1, DEPTH).map_err(|e| failed(&e))?,
            checksum: Context::new(DEPTH, 1),
            pending: Vec::with_capacity(BLOCK),
            frames: 0,
            samples: 0,
            frame_bytes: None,
            rate,
            started: false,
        })
    }

    /// Marker and STREAMINFO block (RFC 9639, 8.2). Sizes, number of samples and checksum are zero as long as they are
    /// unknown.
    fn header(&self, complete: bool) -> Vec<u8> {
        let mut header = b"fLaC".to_vec();
        header.extend([0x80, 0, 0, 34]); // last metadata block, STREAMINFO, its length
        let block = BLOCK as u16;
        header.extend(block.to_be_bytes());
        header.extend(block.to_be_bytes());
        let (smallest, largest) = self.frame_bytes.filter(|_| complete).unwrap_or((0, 0));
        header.extend(&smallest.to_be_bytes()[1..]);
        header.extend(&largest.to_be_bytes()[1..]);
        // Rate 20 bits, channels - 1 3 bits, depth - 1 5 bits, samples 36 bits.
        let samples = if complete { self.samples & 0xf_ffff_ffff } else { 0 };
        let packed = (u64::from(self.rate) << 44) | ((DEPTH as u64 - 1) << 36) | samples;
        header.extend(packed.to_be_bytes());
        header.extend(if complete { self.checksum.md5_digest() } else { [0; 16] });
        header
    }

    fn block(&mut self, samples: &[i32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let bytes = if samples.len() < SHORTEST_BLOCK {
            verbatim_frame(samples, self.frames as u32)
        } else {
            self.compress(samples)?
        };
        let size = bytes.len() as u32;
        self.frame_bytes = Some(self.frame_bytes.map_or((size, size), |(a, b)| (a.min(size), b.max(size))));
        self.frames += 1;
        out.extend(bytes);
        Ok(())
    }

    fn compress(&self, samples: &[i32]) -> Result<Vec<u8>, EncodeError> {
        let mut frame_of = FrameBuf::with_size(1, samples.len()).map_err(|e| failed(&e))?;
        frame_of.fill_interleaved(samples).map_err(|e| failed(&e))?;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &frame_of, self.frames, &self.info)
            .map_err(|e| failed(&e))?;
        let mut sink = ByteSink::new();
        frame.write(&mut sink).map_err(|e| failed(&e))?;
        Ok(sink.into_inner())
    }
}

impl Codec for Flac {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !std::mem::replace(&mut self.started, true) {
            out.extend(self.header(false));
        }
        let start = self.pending.len();
        self.pending.extend(pcm.iter().map(|&x| i32::from(to_s16(x))));
        self.checksum.fill_interleaved(&self.pending[start..]).map_err(|e| failed(&e))?;
        self.samples += pcm.len() as u64;
        let pending = std::mem::take(&mut self.pending);
        let mut blocks = pending.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.block(block, out)?;
        }
        self.pending = blocks.remainder().to_vec();
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        let rest = std::mem::take(&mut self.pending);
        if !rest.is_empty() {
            self.block(&rest, out)?;
        }
        Ok(Some(self.header(true)))
    }
}

/// A frame of at most 256 samples as they are. Layout: RFC 9639, 9.1 to 9.3.
fn verbatim_frame(samples: &[i32], number: u32) -> Vec<u8> {
    // Sync code with fixed block size; size in 8 bits and rate as in STREAMINFO; mono and 16 bits.
    let mut frame = vec![0xff, 0xf8, 0x60, 0x08];
    frame.extend(coded_number(number));
    frame.push((samples.len() - 1) as u8);
    frame.push(crc(&frame, 8, 0x07) as u8);
    frame.push(0x02); // subframe: verbatim
    frame.extend(samples.iter().flat_map(|&x| (x as i16).to_be_bytes()));
    let check = crc(&frame, 16, 0x8005);
    frame.extend(check.to_be_bytes());
    frame
}

/// A frame number in the extended UTF-8 of RFC 9639, 9.1.5: up to 31 bits in 1 to 6 bytes.
fn coded_number(number: u32) -> Vec<u8> {
    if number < 0x80 {
        return vec![number as u8];
    }
    let mut bytes = Vec::new();
    let (mut rest, mut room) = (number, 6u32);
    // Six bits per following byte, until the rest fits in the first one beside its length mark.
    loop {
        bytes.push(0x80 | (rest & 0x3f) as u8);
        rest >>= 6;
        room -= 1;
        if rest < 1 << room {
            break;
        }
    }
    let mark = 0xffu8 << (room + 1);
    bytes.push(mark | rest as u8);
    bytes.reverse();
    bytes
}

/// Cyclic redundancy check of 8 or 16 bits, highest bit first, starting from zero.
fn crc(data: &[u8], bits: u32, polynomial: u16) -> u16 {
    let top = 1u16 << (bits - 1);
    let mut value = 0u16;
    for &byte in data {
        value ^= u16::from(byte) << (bits - 8);
        for _ in 0..8 {
            value = if value & top != 0 { (value << 1) ^ polynomial } else { value << 1 };
        }
    }
    if bits == 16 { value } else { value & 0xff }
}

fn failed(e: &dyn std::fmt::Display) -> EncodeError {
    EncodeError::Codec { format: Format::Flac, reason: e.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_like_utf8() {
        for c in ['a', '\u{7f}', '\u{80}', '\u{7ff}', '\u{800}', '\u{ffff}', '\u{10000}', '\u{10ffff}'] {
            assert_eq!(coded_number(c as u32), c.to_string().into_bytes(), "{c:?}");
        }
        assert_eq!(coded_number(0x7fff_ffff), [0xfd, 0xbf, 0xbf, 0xbf, 0xbf, 0xbf]);
    }

    #[test]
    fn checks_have_their_known_values() {
        // CRC-8/SMBUS and CRC-16/UMTS of "123456789", from the catalogue of parametrised CRC algorithms.
        assert_eq!(crc(b"123456789", 8, 0x07), 0xf4);
        assert_eq!(crc(b"123456789", 16, 0x8005), 0xfee8);
    }
}
