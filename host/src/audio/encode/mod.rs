//! From PCM to the bytes of one audio file, as the PCM is made.
//!
//! [`encoder`] gives an [`Encoder`] for a [`Format`]. What it returns from [`push`](Encoder::push) and
//! [`finish`](Encoder::finish), one after the other, is one valid file, fit for a chunked response: sizes that can't be
//! known yet are written as unknown. When the file is sent in one piece, [`WholeFile`] puts the real ones in.
//!
//! Samples outside of [-1, 1] are clipped, NaN becomes silence. Integer formats use `round(x · 32767)`, halves away from
//! zero, without dither ([`to_s16`]): silence stays silence, ±1 are the same distance from zero.

mod aac;
mod flac;
mod format;
mod m4a;
mod mp3;
mod opus;
mod pcm;
mod wav;

pub use format::{Format, UnknownFormat};

use crate::audio::{
    resample::{ResampleError, StreamResampler},
    stretch::{StretchError, TimeStretcher},
};

/// Rates in Hz that a caller may ask for.
pub const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;

/// What a caller may choose; the defaults are right for speech.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EncodeOptions {
    /// Rate of the file in Hz, within [`SAMPLE_RATES`]. `None` = the rate of the PCM. A format that doesn't have a rate
    /// (mp3, aac and opus have few) takes the next higher one that it has.
    pub sample_rate: Option<u32>,
    /// Bits per second of mp3, aac, m4a and opus. `None` = transparent for speech at that rate.
    pub bitrate: Option<u32>,
    /// How much faster than the PCM the file is, at the same pitch, within [`SPEEDS`](crate::audio::stretch::SPEEDS).
    /// `None` = as it is.
    pub speed: Option<f32>,
}

/// Why PCM can't be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A sample rate outside of [`SAMPLE_RATES`].
    #[error("a sample rate of {rate} Hz is not possible; choose one from {} to {} Hz", SAMPLE_RATES.start(), SAMPLE_RATES.end())]
    Rate {
        /// What was asked for, in Hz.
        rate: u32,
    },
    /// The rate of the PCM itself can't be converted.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// A speed that isn't possible.
    #[error(transparent)]
    Stretch(#[from] StretchError),
    /// The encoder was used after its end; a fault of the caller.
    #[error("the audio file is finished already")]
    Finished,
    /// The codec refused; a fault of this module.
    #[error("{format} encoding failed: {reason}")]
    Codec {
        /// The format that was being made.
        format: Format,
        /// The codec's own words.
        reason: String,
    },
}

/// The end of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// The last bytes.
    pub tail: Vec<u8>,
    /// The first bytes of the file as they would have been, had its length been known from the start. They replace as many
    /// bytes at the beginning of the file, for whoever still can.
    pub head: Option<Vec<u8>>,
}

/// Makes one audio file out of mono PCM.
pub trait Encoder: Send {
    /// The media type of the file.
    fn content_type(&self) -> &'static str;

    /// Rate in Hz that a player of the file runs at.
    fn sample_rate(&self) -> u32;

    /// Takes PCM and gives the bytes that it completes (with the first of them the file's header). May be none.
    ///
    /// # Errors
    /// [`EncodeError::Finished`] after the end; else only on faults of the codec.
    fn push(&mut self, pcm: &[f32]) -> Result<Vec<u8>, EncodeError>;

    /// Ends the file.
    ///
    /// # Errors
    /// [`EncodeError::Finished`] after the end; else only on faults of the codec.
    fn finish(&mut self) -> Result<Ending, EncodeError>;
}

/// An encoder for PCM at `source_rate` Hz.
///
/// # Errors
/// When a rate in the options or of the PCM is impossible.
pub fn encoder(format: Format, source_rate: u32, options: &EncodeOptions) -> Result<Box<dyn Encoder>, EncodeError> {
    let wanted = options.sample_rate.unwrap_or(source_rate);
    if options.sample_rate.is_some() && !SAMPLE_RATES.contains(&wanted) {
        return Err(EncodeError::Rate { rate: wanted });
    }
    let rate = format.codec_rate(wanted);
    let resampler = StreamResampler::new(source_rate, rate)?;
    let stretcher = options.speed.map(|speed| TimeStretcher::new(source_rate, speed)).transpose()?;
    let bitrate = options.bitrate;
    let codec: Box<dyn Codec> = match format {
        Format::Wav => Box::new(wav::Wav::new(rate)),
        Format::Pcm => Box::new(pcm::Pcm),
        Format::Mp3 => Box::new(mp3::Mp3::new(rate, bitrate)?),
        Format::Flac => Box::new(flac::Flac::new(rate)?),
        Format::Opus => Box::new(opus::OggOpus::new(rate, source_rate, bitrate)?),
        Format::Aac => Box::new(aac::Adts::new(rate, bitrate)?),
        Format::M4a => Box::new(m4a::FragmentedMp4::new(rate, bitrate)?),
    };
    let played_rate = if format == Format::Opus { opus::PLAYED_RATE } else { rate };
    let (stretched, pcm) = (Vec::new(), Vec::new());
    Ok(Box::new(Pipeline { format, played_rate, stretcher, resampler, codec, stretched, pcm, finished: false }))
}

/// What a format implements: PCM at its own rate, finite and within [-1, 1], to bytes.
trait Codec: Send {
    /// Encodes `pcm` and appends what is complete to `out`. The first call (`pcm` may be empty) brings the header.
    fn push(&mut self, pcm: &[f32], out: &mut Vec<u8>) -> Result<(), EncodeError>;

    /// Appends the rest to `out`; gives the final header if it differs from the one that was written.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Option<Vec<u8>>, EncodeError>;
}

/// Stretch → resample → clip → encode.
struct Pipeline {
    format: Format,
    played_rate: u32,
    stretcher: Option<TimeStretcher>,
    resampler: StreamResampler,
    codec: Box<dyn Codec>,
    /// What comes from the stretcher, and from the resampler.
    stretched: Vec<f32>,
    pcm: Vec<f32>,
    finished: bool,
}

impl Pipeline {
    /// Stretches and resamples into `pcm`. The samples must be finite.
    fn convert(&mut self, samples: &[f32]) -> Result<(), EncodeError> {
        match &mut self.stretcher {
            Some(stretcher) => {
                self.stretched.clear();
                stretcher.push(samples, &mut self.stretched);
                self.resampler.push(&self.stretched, &mut self.pcm)?;
            }
            None => self.resampler.push(samples, &mut self.pcm)?,
        }
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        for x in &mut self.pcm {
            *x = if x.is_nan() { 0.0 } else { x.clamp(-1.0, 1.0) };
        }
        self.codec.push(&self.pcm, out)
    }
}

impl Encoder for Pipeline {
    fn content_type(&self) -> &'static str {
        self.format.content_type()
    }

    fn sample_rate(&self) -> u32 {
        self.played_rate
    }

    fn push(&mut self, pcm: &[f32]) -> Result<Vec<u8>, EncodeError> {
        if self.finished {
            return Err(EncodeError::Finished);
        }
        self.pcm.clear();
        if pcm.iter().all(|x| x.is_finite()) {
            self.convert(pcm)?;
        } else {
            // One NaN would spread over a whole block of the resampler.
            let finite: Vec<f32> = pcm.iter().map(|&x| if x.is_nan() { 0.0 } else { x.clamp(-1.0, 1.0) }).collect();
            self.convert(&finite)?;
        }
        let mut out = Vec::new();
        self.encode(&mut out)?;
        Ok(out)
    }

    fn finish(&mut self) -> Result<Ending, EncodeError> {
        if std::mem::replace(&mut self.finished, true) {
            return Err(EncodeError::Finished);
        }
        self.pcm.clear();
        if let Some(stretcher) = &mut self.stretcher {
            self.stretched.clear();
            stretcher.finish(&mut self.stretched);
            self.resampler.push(&self.stretched, &mut self.pcm)?;
        }
        self.resampler.finish(&mut self.pcm)?;
        let mut tail = Vec::new();
        self.encode(&mut tail)?;
        let head = self.codec.finish(&mut tail)?;
        Ok(Ending { tail, head })
    }
}

/// Collects the bytes of an encoder, to be sent in one piece with true sizes in the header.
pub struct WholeFile {
    encoder: Box<dyn Encoder>,
    bytes: Vec<u8>,
}

impl WholeFile {
    /// Collects what `encoder` makes.
    pub fn new(encoder: Box<dyn Encoder>) -> Self {
        Self { encoder, bytes: Vec::new() }
    }

    /// The encoder, for its content type and rate.
    pub fn encoder(&self) -> &dyn Encoder {
        self.encoder.as_ref()
    }

    /// Takes PCM.
    ///
    /// # Errors
    /// See [`Encoder::push`].
    pub fn push(&mut self, pcm: &[f32]) -> Result<(), EncodeError> {
        self.bytes.append(&mut self.encoder.push(pcm)?);
        Ok(())
    }

    /// Ends the file and gives all of it.
    ///
    /// # Errors
    /// See [`Encoder::finish`].
    pub fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        let Ending { mut tail, head } = self.encoder.finish()?;
        self.bytes.append(&mut tail);
        if let Some(head) = head
            && let Some(begin) = self.bytes.get_mut(..head.len())
        {
            begin.copy_from_slice(&head);
        }
        Ok(self.bytes)
    }
}

/// One sample as 16-bit integer: clipped, times 32767, rounded to the nearest (halves away from zero), no dither.
pub fn to_s16(x: f32) -> i16 {
    // The cast takes NaN to 0.
    (x.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16
}
