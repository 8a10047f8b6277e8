//! From the bytes of any common audio file to mono PCM.
//!
//! The content decides what a file is, never its name or declared type. Containers and most codecs come from Symphonia,
//! Opus from `opus-pure`. What this module adds:
//!
//! * headers that writers left unfinished (a wav of size 0 or 0xFFFFFFFF) are read to the end of the data ([`source`]);
//! * encoder delay and padding are cut off where the container tells them ([`trim`]);
//! * channels are mixed to mono by their mean, and the result is resampled to the rate asked for;
//! * limits on duration, channels and rates hold *while* decoding, so that a small file can't become a huge buffer.

pub mod error;
mod mp4;
mod opus;
mod source;
mod stream;
mod trim;

use std::ops::RangeInclusive;

pub use error::{DecodeError, READABLE};
pub use stream::{Block, Decoder};

use crate::audio::resample::StreamResampler;

/// What is accepted from strangers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest audio in seconds. Four hours of mono at 16 kHz are 920 MB in memory.
    pub max_seconds: f64,
    /// Most channels.
    pub max_channels: usize,
    /// Accepted sample rates in Hz.
    pub rates: RangeInclusive<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_seconds: 4.0 * 3600.0, max_channels: 32, rates: 1_000..=384_000 }
    }
}

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// Container, e.g. `wave`, `mp3`, `flac`, `ogg`, `isomp4`, `matroska`.
    pub container: String,
    /// Codec, e.g. `pcm_s16le`, `mp3`, `aac`, `opus`.
    pub codec: String,
    /// Sample rate in Hz (of the first part, should it change).
    pub rate: u32,
    /// Channels (of the first part, should they change).
    pub channels: usize,
    /// Length of the decoded audio in seconds.
    pub seconds: f64,
    /// Whether the file ended before its own header said, or in the middle of a frame.
    pub truncated: bool,
}

/// A decoded file.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Mono PCM, nominally within [-1, 1].
    pub samples: Vec<f32>,
    /// Rate of `samples` in Hz.
    pub rate: u32,
    /// What the file was.
    pub source: SourceInfo,
}

/// How often the sample rate of one file may change. Each time a filter has to be made, which takes as long as decoding a
/// minute of audio; a small file made for it could keep a CPU busy for days.
const MOST_RATE_CHANGES: usize = 64;

/// Decodes a whole file to mono PCM at `target_rate` Hz.
///
/// A file of `n` samples per channel at rate `r` gives exactly `ceil(n · target_rate / r)` samples. A file that was cut off
/// gives what could be decoded, and says so in [`SourceInfo::truncated`].
///
/// # Errors
/// See [`DecodeError`]; its texts are fit to be shown to whoever sent the file. Never panics.
pub fn decode(
    bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    target_rate: u32,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    decode_while(bytes, Some(target_rate), limits, |_| true)
}

/// The same at the file's own rate if `target_rate` is none, and only as long as `go_on` says so: it is asked after every
/// block, with the bytes of memory that the samples take so far.
///
/// # Errors
/// As for [`decode`], and [`DecodeError::Stopped`].
pub fn decode_while(
    bytes: impl AsRef<[u8]> + Send + Sync + 'static,
    target_rate: Option<u32>,
    limits: &Limits,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::open(bytes, limits)?;
    let mut samples = Vec::new();
    let mut resampler: Option<(u32, StreamResampler)> = None;
    let mut target = target_rate;
    let mut changes = 0;
    while let Some(block) = decoder.next_block()? {
        let target = *target.get_or_insert(block.rate);
        match &mut resampler {
            Some((rate, resampler)) if *rate == block.rate => resampler.push(block.samples, &mut samples)?,
            previous => {
                // The first block, or the rate changes within the file: the old stretch ends, a new one begins.
                changes += 1;
                if changes > MOST_RATE_CHANGES {
                    let container = decoder.info().container.clone();
                    return Err(DecodeError::Damaged { container, reason: "its sample rate keeps changing".into() });
                }
                if let Some((_, old)) = previous {
                    old.finish(&mut samples)?;
                }
                let mut new = StreamResampler::new(block.rate, target)?;
                new.push(block.samples, &mut samples)?;
                *previous = Some((block.rate, new));
            }
        }
        if !go_on((samples.capacity() * size_of::<f32>()) as u64) {
            return Err(DecodeError::Stopped);
        }
    }
    if let Some((_, resampler)) = &mut resampler {
        resampler.finish(&mut samples)?;
    }
    samples.shrink_to_fit();
    let source = decoder.info().clone();
    Ok(Decoded { samples, rate: target.unwrap_or(source.rate), source })
}
