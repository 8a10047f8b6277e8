//! Audio containers: what comes in is decoded to mono PCM, what goes out is encoded as it is made.
//!
//! Models see one kind of audio only: mono `f32` at the rate they ask for. Everything else ends here.
//!
//! * [`decode()`] turns the bytes of an upload into PCM; [`decode::Decoder`] does the same block by block, for input that
//!   is still arriving.
//! * [`encode::encoder`] makes an [`encode::Encoder`] for one of the [`encode::Format`]s; PCM goes in as the model makes it,
//!   bytes of one valid file come out. [`encode::WholeFile`] collects them when the answer is sent in one piece.
//! * [`resample::StreamResampler`] is used by both; [`stretch::TimeStretcher`] changes the speed of what goes out.
//!
//! ```
//! use syrinx::audio::{self, encode::{EncodeOptions, Format, WholeFile, encoder}};
//!
//! // One second of a 440 Hz tone at 24 kHz, as a flac file …
//! let tone: Vec<f32> = (0..24_000).map(|n| 0.5 * (n as f32 * 440.0 / 24_000.0 * std::f32::consts::TAU).sin()).collect();
//! let mut file = WholeFile::new(encoder(Format::Flac, 24_000, &EncodeOptions::default())?);
//! file.push(&tone)?;
//! let bytes = file.finish()?;
//!
//! // … and back, at the rate that a recogniser wants.
//! let heard = audio::decode(bytes, 16_000, &audio::decode::Limits::default())?;
//! assert_eq!(heard.samples.len(), 16_000);
//! assert_eq!(heard.source.container, "flac");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod decode;
pub mod encode;
pub mod resample;
pub mod stretch;

pub use decode::{Decoded, decode};
