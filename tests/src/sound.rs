//! Reading and measuring sound, enough for the tests. What only real decoders understand is left to
//! [`python::probe`](crate::python::probe).

use std::{fs, path::Path};
use syrinx_plugin_common::testing::wav_file;

/// Mono 16-bit sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// In Hz.
    pub sample_rate: u32,
    /// -1…1.
    pub samples: Vec<f32>,
}

impl Sound {
    /// Reads a RIFF file of 16-bit mono PCM. Streamed ones, whose sizes are unknown, are read to the end.
    ///
    /// # Errors
    /// When it is another kind of file; says which.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, String> {
        let word = |at: usize| -> Result<u16, String> {
            let pair = bytes.get(at..at + 2).ok_or("the header is cut short")?;
            Ok(u16::from_le_bytes([pair[0], pair[1]]))
        };
        let long = |at: usize| -> Result<u32, String> { Ok(u32::from(word(at)?) | u32::from(word(at + 2)?) << 16) };
        if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
            return Err(format!("no RIFF WAVE: {:?}", &bytes[..bytes.len().min(12)]));
        }
        let mut sample_rate = 0;
        let mut at = 12;
        loop {
            let name = bytes.get(at..at + 4).ok_or("there is no chunk called data")?;
            let size = long(at + 4)? as usize;
            let body = at + 8;
            match name {
                b"fmt " => {
                    let (channels, bits) = (word(body + 2)?, word(body + 14)?);
                    if (channels, bits) != (1, 16) {
                        return Err(format!("{channels} channels of {bits} bits"));
                    }
                    sample_rate = long(body + 4)?;
                }
                b"data" => {
                    let end = body.saturating_add(size).min(bytes.len());
                    return Ok(Self { sample_rate, samples: from_pcm16(&bytes[body..end]) });
                }
                _ => {}
            }
            at = body.saturating_add(size).saturating_add(size % 2);
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`from_wav`](Self::from_wav).
    pub fn open(path: &Path) -> Result<Self, String> {
        Self::from_wav(&fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// A RIFF file.
    pub fn to_wav(&self) -> Vec<u8> {
        let samples: Vec<i16> = self.samples.iter().map(|sample| (sample * 32767.0) as i16).collect();
        wav_file(&samples, self.sample_rate)
    }

    /// Length.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }

    /// Root mean square, 0…1.
    pub fn loudness(&self) -> f32 {
        (self.samples.iter().map(|sample| sample * sample).sum::<f32>() / self.samples.len().max(1) as f32).sqrt()
    }

    /// Pitch of a pure tone in Hz, by its zero crossings.
    pub fn pitch(&self) -> f64 {
        let rises = self.samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        rises as f64 / self.seconds()
    }
}

/// Samples out of signed 16-bit little-endian bytes.
pub fn from_pcm16(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(2).map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wav_is_read_as_written_and_measured() {
        let samples = (0..24_000).map(|n| (std::f32::consts::TAU * 440.0 * n as f32 / 24_000.0).sin() * 0.5).collect();
        let sound = Sound { sample_rate: 24_000, samples };
        let mut bytes = sound.to_wav();
        let read = Sound::from_wav(&bytes).expect("it reads");
        assert_eq!((read.sample_rate, read.samples.len()), (24_000, 24_000));
        assert!((read.pitch() - 440.0).abs() < 2.0 && (read.loudness() - 0.3535).abs() < 0.001);
        bytes[40..44].fill(0xff);
        assert_eq!(Sound::from_wav(&bytes).expect("a streamed one reads").samples.len(), 24_000);
        assert!(Sound::from_wav(b"RIFFxxxxWAVE").is_err());
    }
}
