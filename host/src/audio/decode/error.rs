//! What can be wrong with audio that somebody sent.

/// The formats that [`decode`](super::decode) reads, as error messages name them.
pub const READABLE: &str =
    "wav, mp3, flac, ogg (opus, vorbis, flac), m4a/mp4 (aac, alac, opus), aac, webm/mkv, aiff, caf";

/// Why audio could not be decoded. The texts are meant for the person who sent the file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a single byte.
    #[error("file is empty")]
    Empty,
    /// No known audio format in the content.
    #[error("file is not audio that this server can read ({READABLE})")]
    NotAudio,
    /// A known container without sound in it.
    #[error("the {container} file has no audio track")]
    NoTrack {
        /// Short name of the container.
        container: String,
    },
    /// A known container with a codec that isn't supported.
    #[error(
        "the {container} file holds audio in a codec that this server can't decode ({codec}); readable are {READABLE}"
    )]
    Codec {
        /// Short name of the container.
        container: String,
        /// What is known of the codec.
        codec: String,
    },
    /// The format is clear, but nothing of it could be decoded.
    #[error("the {container} file is damaged or cut off before any audio: {reason}")]
    Damaged {
        /// Short name of the container.
        container: String,
        /// What the reader stumbled on.
        reason: String,
    },
    /// A well-formed file of length zero.
    #[error("the {container} file holds no audio samples")]
    NoSamples {
        /// Short name of the container.
        container: String,
    },
    /// More audio than [`Limits::max_seconds`](super::Limits::max_seconds).
    #[error("the audio is longer than this server accepts ({limit_seconds} s)")]
    TooLong {
        /// The limit in seconds.
        limit_seconds: f64,
    },
    /// More channels than [`Limits::max_channels`](super::Limits::max_channels).
    #[error("the audio has {channels} channels; this server accepts up to {limit}")]
    Channels {
        /// Channels of the file.
        channels: usize,
        /// The limit.
        limit: usize,
    },
    /// A sample rate outside of [`Limits::rates`](super::Limits::rates).
    #[error("the audio has a sample rate of {rate} Hz; this server accepts {lowest} to {highest} Hz")]
    Rate {
        /// Rate of the file in Hz.
        rate: u32,
        /// Lowest accepted rate in Hz.
        lowest: u32,
        /// Highest accepted rate in Hz.
        highest: u32,
    },
    /// Whoever asked for it didn't want the rest any more.
    #[error("decoding was stopped")]
    Stopped,
    /// The rate that the caller wants can't be made; a fault of the server's configuration, not of the file.
    #[error("audio can't be converted for this model: {0}")]
    Resample(String),
}

impl From<crate::audio::resample::ResampleError> for DecodeError {
    fn from(e: crate::audio::resample::ResampleError) -> Self {
        Self::Resample(e.to_string())
    }
}
