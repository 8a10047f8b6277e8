//! AAC-LC, as bare access units and in ADTS.

use syom::{EncodeContainer, EncodeOptions};

use super::{Codec, EncodeError, Format};

/// Samples of one access unit. Source: ISO/IEC 14496-3, 4.5.2.1.1 (frame length 1024).
pub(super) const FRAME: usize = 1_024;

/// Default bits per sample; 72 kbit/s at 24 kHz.
const BITS_PER_SAMPLE: u32 = 3;

/// Most bits per sample that a mono frame can hold: 6144 per frame. Source: ISO/IEC 14496-3, 4.5.3.1.
const MOST_BITS_PER_SAMPLE: u32 = 6;

/// An AAC-LC encoder for mono.
pub(super) struct Lc {
    encoder: syom::Encoder,
    format: Format,
    /// Whether any sample came.
    fed: bool,
}

impl Lc {
    pub(super) fn new(format: Format, rate: u32, bitrate: Option<u32>) -> Result<Self, EncodeError> {
        let container = if format == Format::M4a { EncodeContainer::Raw } else { EncodeContainer::Adts };
        let bits = bitrate.unwrap_or(rate * BITS_PER_SAMPLE).clamp(8_000, rate * MOST_BITS_PER_SAMPLE);
        let options = EncodeOptions::default().with_container(container).with_bitrate_bps(bits);
        let encoder = syom::Encoder::new(rate, 1, &options).map_err(|e| failed(format, &e))?;
        Ok(Self { encoder, format, fed: false })
    }

    /// The AudioSpecificConfig, for mp4.
    pub(super) fn config(&self) -> &[u8] {
        self.encoder.asc()
    }

    /// Encodes `pcm`; `unit` gets every access unit that is complete.
    pub(super) fn push(&mut self, pcm: &[f32], mut unit: impl FnMut(&[u8])) -> Result<(), EncodeError> {
        if pcm.is_empty() {
            return Ok(());
        }
        self.fed = true;
        self.encoder
            .feed(&[pcm], |frame| {
                unit(frame.au);
                Ok(())
            })
            .map_err(|e| failed(self.format, &e))?;
        Ok(())
    }

    /// Ends the stream: `unit` gets the rest.
    pub(super) fn finish(&mut self, mut unit: impl FnMut(&[u8])) -> Result<(), EncodeError> {
        if !self.fed {
            // The encoder has no notion of an empty stream.
            return Ok(());
        }
        self.encoder
            .finish(|frame| {
                unit(frame.au);
                Ok(())
            })
            .map_err(|e| failed(self.format, &e))?;
        Ok(())
    }
}

/// AAC-LC frames with ADTS headers, one after the other.
pub(super) struct Adts(Lc);

impl Adts {
    pub(super) fn new(rate: u32, bitrate: Option<u32>) -> Result<Self, EncodeError> {
        Lc::new(Format::Aac, rate, bitrate).map(Self)
    }
}

impl Codec for Adts {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.0.push(pcm, |unit| out.extend_from_slice(unit))
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        self.0.finish(|unit| out.extend_from_slice(unit))?;
        Ok(None)
    }
}

fn failed(format: Format, e: &dyn std::fmt::Display) -> EncodeError {
    EncodeError::Codec { format, reason: e.to_string() }
}
