//! The formats that speech can be asked for in.

use std::fmt;
use std::str::FromStr;

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// RIFF wave, 16-bit.
    Wav,
    /// 16-bit little-endian samples without any header.
    Pcm,
    /// MPEG layer III.
    Mp3,
    /// FLAC, 16-bit.
    Flac,
    /// Opus in Ogg.
    Opus,
    /// AAC-LC in ADTS.
    Aac,
    /// AAC-LC in fragmented mp4.
    M4a,
}

/// A name that is none of [`Format::NAMES`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown audio format {name:?}; possible are {}", Format::NAMES.join(", "))]
pub struct UnknownFormat {
    /// What was asked for.
    pub name: String,
}

/// Layer III of MPEG-1, MPEG-2 and MPEG-2.5.
const MP3_RATES: &[u32] = &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]; // Hz

/// ISO/IEC 14496-3, table 1.18, as far as it makes sense for speech.
const AAC_RATES: &[u32] = &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]; // Hz

/// What an Opus encoder takes; the stream is 48 kHz to the outside in any case (RFC 6716, 2).
const OPUS_RATES: &[u32] = &[8_000, 12_000, 16_000, 24_000, 48_000]; // Hz

impl Format {
    /// The names that are understood, for error messages.
    pub const NAMES: &'static [&'static str] = &["mp3", "opus", "aac", "flac", "wav", "pcm", "ogg", "m4a"];

    /// The media type of a file of this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::Opus => "audio/ogg",
            Self::Aac => "audio/aac",
            Self::M4a => "audio/mp4",
        }
    }

    /// The rate that the codec runs at when a file of `wanted` Hz is asked for: the next that it has.
    pub(super) fn codec_rate(self, wanted: u32) -> u32 {
        let rates = match self {
            Self::Wav | Self::Pcm | Self::Flac => return wanted,
            Self::Mp3 => MP3_RATES,
            Self::Aac | Self::M4a => AAC_RATES,
            Self::Opus => OPUS_RATES,
        };
        let highest = rates[rates.len() - 1];
        rates.iter().copied().find(|&rate| rate >= wanted).unwrap_or(highest)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    /// Names in any case; `ogg` is Opus in Ogg.
    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name.trim().to_ascii_lowercase().as_str() {
            "wav" => Ok(Self::Wav),
            "pcm" => Ok(Self::Pcm),
            "mp3" => Ok(Self::Mp3),
            "flac" => Ok(Self::Flac),
            "opus" | "ogg" => Ok(Self::Opus),
            "aac" => Ok(Self::Aac),
            "m4a" => Ok(Self::M4a),
            _ => Err(UnknownFormat { name: name.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wav => "wav",
            Self::Pcm => "pcm",
            Self::Mp3 => "mp3",
            Self::Flac => "flac",
            Self::Opus => "opus",
            Self::Aac => "aac",
            Self::M4a => "m4a",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood() {
        for name in Format::NAMES {
            let format: Format = name.parse().unwrap();
            assert!(*name == "ogg" || format.to_string() == *name);
        }
        assert_eq!("OGG".parse(), Ok(Format::Opus));
        let error = "wma".parse::<Format>().unwrap_err().to_string();
        assert!(error.contains("wma") && error.contains("mp3, opus, aac, flac, wav, pcm"), "{error}");
    }

    #[test]
    fn codecs_get_a_rate_that_they_have() {
        assert_eq!(Format::Mp3.codec_rate(24_000), 24_000);
        assert_eq!(Format::Opus.codec_rate(22_050), 24_000);
        assert_eq!(Format::Aac.codec_rate(16_001), 22_050);
        assert_eq!(Format::Mp3.codec_rate(96_000), 48_000);
        assert_eq!(Format::Wav.codec_rate(12_345), 12_345);
    }
}
