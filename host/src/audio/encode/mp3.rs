//! MPEG layer III.

use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig, vbr_quality_index};

use super::{Codec, EncodeError, Format};

/// Lowest rate in Hz of MPEG-1; below are MPEG-2 and 2.5.
const MPEG1_RATE: u32 = 32_000;

/// Default bits per sample of the constant rate; 96 kbit/s at 24 kHz.
const BITS_PER_SAMPLE: u32 = 4;

/// Quality of the variable rate of MPEG-1 on LAME's scale, 0 best to 9 smallest; some 100 kbit/s for mono speech.
const VBR_QUALITY: f32 = 2.0;

/// Layer III frames, constant rate for MPEG-2 and 2.5, variable rate for MPEG-1.
///
/// The encoder's constant rate for MPEG-1 uses a bit reservoir and gives no frame before the end of the stream; its variable
/// rate gives each one as soon as it is full (26 ms at 44.1 kHz). So does the constant rate below MPEG-1.
///
/// The encoder begins with a frame that tells the length of the stream. As long as that is unknown it says zero, and some
/// players believe it; so it is sent as a frame of silence, and only a whole file gets the real one.
pub(super) struct Mp3 {
    encoder: Mp3Encoder,
    rate: u32,
    started: bool,
}

/// Bytes of a frame header. A frame with nothing but zeros behind it is silence.
const FRAME_HEADER_BYTES: usize = 4;

impl Mp3 {
    pub(super) fn new(rate: u32, bitrate: Option<u32>) -> Result<Self, EncodeError> {
        let bits = bitrate.unwrap_or(rate * BITS_PER_SAMPLE);
        // Transparent speech needs some 100 kbit/s at 44.1 kHz; half of it is three steps on the scale.
        let quality = bitrate.map_or(VBR_QUALITY, |bits| {
            (VBR_QUALITY + 3.0 * (100_000.0 / bits.max(8_000) as f32).log2()).clamp(0.0, 9.0)
        });
        let mut encoder = Mp3Encoder::new(Mp3EncoderConfig {
            bitrate_kbps: bits / 1_000,
            vbr_quality: (rate >= MPEG1_RATE).then(|| vbr_quality_index(quality)),
        });
        // Fixes the format; without it an empty file would be no file.
        encoder.push_pcm_f32(&[], 1, rate).map_err(|e| failed(&e))?;
        Ok(Self { encoder, rate, started: false })
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        // Ends with `Again` or, after the end, with `Eof`.
        while let Ok(mut frame) = self.encoder.next_packet() {
            if !std::mem::replace(&mut self.started, true) {
                frame.iter_mut().skip(FRAME_HEADER_BYTES).for_each(|byte| *byte = 0);
            }
            out.extend(frame);
        }
    }
}

impl Codec for Mp3 {
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encoder.push_pcm_f32(pcm, 1, self.rate).map_err(|e| failed(&e))?;
        self.drain(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError> {
        self.encoder.finish();
        self.drain(out);
        // The first frame tells the length and what to cut off.
        Ok(self.encoder.lame_tag_frame().map(<[u8]>::to_vec))
    }
}

fn failed(e: &dyn std::fmt::Display) -> EncodeError {
    EncodeError::Codec { format: Format::Mp3, reason: e.to_string() }
}
