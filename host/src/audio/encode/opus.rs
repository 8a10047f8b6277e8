//! Opus in Ogg (RFC 7845).

use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead, OpusTags, RateControl};

use super::{Codec, EncodeError, Format};

/// The rate that every Opus stream is played at. Source: RFC 7845, 4.
pub(super) const PLAYED_RATE: u32 = 48_000; // Hz

/// Default bits per second for mono speech.
const BITRATE: u32 = 48_000;

/// Lowest and highest sensible bit rate. Source: RFC 6716, 2.1.1.
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// Packets per second: 20 ms each.
const PACKETS_PER_SECOND: u32 = 50;

/// Bytes after which a page is closed: about five packets, so that a listener waits for 100 ms at most.
const PAGE_BYTES: usize = 600;

pub(super) struct OggOpus {
    encoder: OpusEncoder,
    writer: Option<OggOpusWriter<Vec<u8>>>,
    /// Samples of one packet at the encoder's rate.
    frame: usize,
    /// Ticks at 48 kHz per sample at the encoder's rate.
    ticks: u64,
    pre_skip: u64,
    pending: Vec<f32>,
    samples: u64,
    /// The last packet made; it is written when the next is there, since the very last one tells the exact end.
    held: Option<Vec<u8>>,
}

impl OggOpus {
    pub(super) fn new(rate: u32, source_rate: u32, bitrate: Option<u32>) -> Result<Self, EncodeError> {
        let mut encoder = OpusEncoder::new(rate as i32, 1, Application::Audio).map_err(|e| failed(&e))?;
        encoder.bitrate_bps = bitrate.unwrap_or(BITRATE).clamp(*BITRATES.start(), *BITRATES.end()) as i32;
        encoder.rate_control = RateControl::Vbr;
        let head = OpusHead::for_encoder(&encoder, source_rate);
        let pre_skip = u64::from(head.pre_skip);
        let mut writer = OggOpusWriter::with_tags(Vec::new(), head, OpusTags::new()).map_err(|e| failed(&e))?;
        writer.set_page_target(PAGE_BYTES);
        Ok(Self {
            encoder,
            writer: Some(writer),
            frame: (rate / PACKETS_PER_SECOND) as usize,
            ticks: u64::from(PLAYED_RATE / rate),
            pre_skip,
            pending: Vec::new(),
            samples: 0,
            held: None,
        })
    }

    fn writer(&mut self) -> Result<&mut OggOpusWriter<Vec<u8>>, EncodeError> {
        self.writer.as_mut().ok_or(EncodeError::Finished)
    }

    /// Encodes whole frames out of `pending`.
    fn encode_pending(&mut self) -> Result<(), EncodeError> {
        let pending = std::mem::take(&mut self.pending);
        let mut frames = pending.chunks_exact(self.frame);
        for frame in &mut frames {
            let mut packet = vec![0; MAX_PACKET_BYTES];
            let size = self.encoder.encode(frame, self.frame, &mut packet).map_err(|e| failed(&e))?;
            packet.truncate(size);
            if let Some(previous) = self.held.replace(packet) {
                self.writer()?.write_packet(&previous).map_err(|e| failed(&e))?;
            }
        }
        self.pending = frames.remainder().to_vec();
        Ok(())
    }

    fn take_bytes(&mut self, out: &mut Vec<u8>) {
        if let Some(bytes) = self.writer.as_mut().and_then(OggOpusWriter::get_mut) {
            out.append(bytes);
        }
    }
}

impl Codec for OggOpus {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.samples += pcm.len() as u64;
        self.pending.extend_from_slice(pcm);
        self.encode_pending()?;
        self.take_bytes(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        // Silence pushes the last samples through the encoder's delay, and fills up the last frame.
        let delay = self.pre_skip.div_ceil(self.ticks);
        let frames = (self.samples + delay).div_ceil(self.frame as u64);
        let missing = frames * self.frame as u64 - self.samples;
        self.pending.resize(self.pending.len() + missing as usize % (2 * self.frame), 0.0);
        self.encode_pending()?;
        if let Some(last) = self.held.take() {
            let end = self.pre_skip + self.samples * self.ticks;
            let writer = self.writer()?;
            let duration = end.saturating_sub(writer.granule() as u64);
            writer.write_packet_with_duration(&last, duration as u32).map_err(|e| failed(&e))?;
        }
        if let Some(writer) = self.writer.take() {
            out.extend(writer.finish().map_err(|e| failed(&e))?);
        }
        Ok(None)
    }
}

fn failed(e: &dyn std::fmt::Display) -> EncodeError {
    EncodeError::Codec { format: Format::Opus, reason: e.to_string() }
}
