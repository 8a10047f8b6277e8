//! Opus packets to PCM, for every container that carries them.

use opus_pure::{MAX_PACKET_SAMPLES, OpusDecoder, OpusMSDecoder};

/// Opus decodes to this rate whatever it was made from. Source: RFC 7845, 5.1.
pub(super) const RATE: u32 = 48_000; // Hz

/// Decodes the packets of one Opus stream.
pub(super) struct OpusStream {
    codec: Codec,
    channels: usize,
    /// Linear factor of the header's output gain.
    gain: f32,
    /// One decoded packet, interleaved.
    block: Vec<f32>,
}

/// One or two channels are one stream; surround is several in one packet.
enum Codec {
    Plain(Box<OpusDecoder>),
    Surround(Box<OpusMSDecoder>),
}

/// The fields of an `OpusHead` that decoding needs. Layout: RFC 7845, 5.1.
pub(super) struct Head {
    channels: usize,
    /// Samples at 48 kHz that the decoder makes before the audio begins.
    pub(super) pre_skip: u64,
    gain_q8: i16,
    family: u8,
    /// Streams and coupled streams of a surround header.
    streams: Option<(usize, usize)>,
}

impl Head {
    /// Reads the header as Ogg and Matroska carry it: with the magic `OpusHead`, little-endian. (Symphonia gives the `dOps`
    /// box of mp4 with the magic in front, but leaves it big-endian with version 0.)
    pub(super) fn parse(data: &[u8]) -> Option<Self> {
        if data.get(..8)? != b"OpusHead" {
            return None;
        }
        let big_endian = *data.get(8)? == 0;
        let u16_at = |at: usize| -> Option<u16> {
            let two = [*data.get(at)?, *data.get(at + 1)?];
            Some(if big_endian { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
        };
        Some(Self {
            channels: usize::from(*data.get(9)?),
            pre_skip: u64::from(u16_at(10)?),
            gain_q8: u16_at(16)? as i16,
            family: *data.get(18)?,
            streams: data.get(19).zip(data.get(20)).map(|(&s, &c)| (usize::from(s), usize::from(c))),
        })
    }
}

impl OpusStream {
    /// A decoder for the stream that `head` describes.
    ///
    /// # Errors
    /// A text when the header asks for something that isn't supported.
    pub(super) fn new(head: &Head) -> Result<Self, String> {
        let refuse = |e: opus_pure::Error| e.to_string();
        let codec = match (head.family, head.channels) {
            (_, 0) => return Err("opus header without channels".into()),
            (0, n @ 1..=2) => Codec::Plain(Box::new(OpusDecoder::new(RATE as i32, n).map_err(refuse)?)),
            (family, n) => {
                let decoder = OpusMSDecoder::new(RATE as i32, n, family).map_err(refuse)?;
                let layout = decoder.layout();
                // The mean of all channels doesn't care for their order, only for how packets are divided.
                if head.streams.is_some_and(|s| s != (layout.nb_streams, layout.nb_coupled_streams)) {
                    return Err("unusual arrangement of opus streams".into());
                }
                Codec::Surround(Box::new(decoder))
            }
        };
        Ok(Self {
            codec,
            channels: head.channels,
            gain: 10f32.powf(f32::from(head.gain_q8) / (20.0 * 256.0)),
            block: vec![0.0; MAX_PACKET_SAMPLES * head.channels],
        })
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// Decodes one packet to interleaved PCM.
    ///
    /// # Errors
    /// A text when the packet is damaged; the next one may be fine.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Result<&[f32], String> {
        if packet.is_empty() {
            // To the decoder an empty packet is a lost one, to be invented; a file has no lost packets.
            return Ok(&[]);
        }
        let frames = match &mut self.codec {
            Codec::Plain(decoder) => decoder.decode(packet, MAX_PACKET_SAMPLES, &mut self.block),
            Codec::Surround(decoder) => decoder.decode(packet, MAX_PACKET_SAMPLES, &mut self.block),
        }
        .map_err(|e| e.to_string())?;
        let pcm = &mut self.block[..frames * self.channels];
        if self.gain != 1.0 {
            pcm.iter_mut().for_each(|x| *x *= self.gain);
        }
        Ok(pcm)
    }
}
