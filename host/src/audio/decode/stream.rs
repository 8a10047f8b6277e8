//! Decoding block by block.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, ReadOnlySource};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::mp4::Edit;
use super::opus::{self, OpusStream};
use super::source::{MemorySource, StreamSource};
use super::trim::Trim;
use super::{DecodeError, Limits, SourceInfo};

/// Packets in a row that may pass without giving a single sample. A container can list billions of empty packets in a
/// few bytes.
const MAX_IDLE_PACKETS: u32 = 1_000_000;

/// Samples beyond this are taken for damage and clipped (24 dB over full scale; float files have a little headroom).
const LOUDEST: f32 = 16.0;

/// A piece of decoded audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block<'a> {
    /// Mono PCM.
    pub samples: &'a [f32],
    /// Rate in Hz; in rare files it changes from one block to the next.
    pub rate: u32,
}

/// A file being decoded.
pub struct Decoder {
    format: Box<dyn FormatReader>,
    track: u32,
    codec: Codec,
    trim: Trim,
    edit: Option<Edit>,
    limits: Limits,
    info: SourceInfo,
    /// The current packet, interleaved and as mono.
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    /// Packets that could and that couldn't be decoded.
    good: u64,
    bad: u64,
    last_fault: Option<String>,
    ended: bool,
}

enum Codec {
    /// No track chosen yet.
    None,
    Symphonia(Box<dyn AudioDecoder>),
    Opus(OpusStream),
}

/// A file in memory that is opened twice.
struct Shared<B>(Arc<B>);

impl<B: AsRef<[u8]>> AsRef<[u8]> for Shared<B> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

/// What one packet brought.
enum Step {
    /// `mono` holds audio at this rate.
    Audio(u32),
    Nothing,
    End,
}

impl Decoder {
    /// Opens a file that is in memory.
    ///
    /// # Errors
    /// When it is no audio, or audio that isn't supported.
    pub fn open(bytes: impl AsRef<[u8]> + Send + Sync + 'static, limits: &Limits) -> Result<Self, DecodeError> {
        let file = bytes.as_ref();
        if file.is_empty() {
            return Err(DecodeError::Empty);
        }
        let name = magic(file);
        let edit = Edit::find(file);
        let bytes = Arc::new(bytes);
        let seekable = MemorySource::new(Shared(bytes.clone()));
        match Self::start(Box::new(seekable), name, edit, limits) {
            // Some readers refuse a file that they can see the end of, and that isn't where it should be.
            Err(DecodeError::Damaged { .. }) => {
                let forward = ReadOnlySource::new(MemorySource::new(Shared(bytes)));
                Self::start(Box::new(forward), name, edit, limits)
            }
            result => result,
        }
    }

    /// Opens a file that is still arriving. `reader` may block until there is more. Formats that need their end first (mp4
    /// files with the index behind the data) fail with [`DecodeError::Damaged`].
    ///
    /// # Errors
    /// When it is no audio, or audio that isn't supported.
    pub fn open_stream(reader: impl Read + Send + Sync + 'static, limits: &Limits) -> Result<Self, DecodeError> {
        let source = StreamSource::new(reader)
            .map_err(|e| DecodeError::Damaged { container: "incoming".into(), reason: e.to_string() })?;
        if source.is_empty() {
            return Err(DecodeError::Empty);
        }
        Self::start(Box::new(ReadOnlySource::new(source)), None, None, limits)
    }

    fn start(
        source: Box<dyn MediaSource>,
        name: Option<&str>,
        edit: Option<Edit>,
        limits: &Limits,
    ) -> Result<Self, DecodeError> {
        contained(|| {
            let stream = MediaSourceStream::new(source, Default::default());
            let format = symphonia::default::get_probe()
                .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
                .map_err(|e| unreadable(name, &e.to_string()))?;
            let container = format.format_info().short_name.to_owned();
            let mut decoder = Self {
                track: 0,
                codec: Codec::None,
                trim: Trim::NONE,
                edit,
                limits: limits.clone(),
                info: SourceInfo {
                    container,
                    codec: String::new(),
                    rate: 0,
                    channels: 0,
                    seconds: 0.0,
                    truncated: false,
                },
                interleaved: Vec::new(),
                mono: Vec::new(),
                good: 0,
                bad: 0,
                last_fault: None,
                ended: false,
                format,
            };
            decoder.select_track()?;
            Ok(decoder)
        })
        .unwrap_or_else(|| Err(unreadable(name, "its header makes no sense")))
    }

    /// What is known of the file so far; complete after the last block.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// Decodes on to the next piece of audio; `None` at the end of the file.
    ///
    /// # Errors
    /// When a limit is exceeded, or when the file ends without having given any audio, or was damaged for the most part.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>, DecodeError> {
        let mut idle = 0;
        while !self.ended {
            match contained(|| self.step()).unwrap_or_else(|| Ok(self.cut_off("a part of it makes no sense"))) {
                Ok(Step::Audio(rate)) => {
                    self.count(rate)?;
                    return Ok(Some(Block { samples: &self.mono, rate }));
                }
                Ok(Step::Nothing) if idle < MAX_IDLE_PACKETS => idle += 1,
                Ok(Step::Nothing | Step::End) => self.ended = true,
                Err(e) => {
                    self.ended = true;
                    return Err(e);
                }
            }
        }
        self.verdict().map(|()| None)
    }

    /// Whether what came can be called a readable file.
    fn verdict(&self) -> Result<(), DecodeError> {
        let container = self.info.container.clone();
        match &self.last_fault {
            Some(reason) if self.info.seconds == 0.0 || self.bad > self.good => {
                Err(DecodeError::Damaged { container, reason: reason.clone() })
            }
            None if self.info.seconds == 0.0 => Err(DecodeError::NoSamples { container }),
            _ => Ok(()),
        }
    }

    fn count(&mut self, rate: u32) -> Result<(), DecodeError> {
        self.info.seconds += self.mono.len() as f64 / f64::from(rate);
        if self.info.seconds > self.limits.max_seconds {
            self.ended = true;
            return Err(DecodeError::TooLong { limit_seconds: self.limits.max_seconds });
        }
        Ok(())
    }

    /// The file ends here, before it should.
    fn cut_off(&mut self, reason: &str) -> Step {
        self.info.truncated = true;
        self.last_fault.get_or_insert_with(|| reason.to_owned());
        Step::End
    }

    /// Reads and decodes one packet.
    fn step(&mut self) -> Result<Step, DecodeError> {
        let packet = match self.format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(Step::End),
            Err(SymphoniaError::ResetRequired) => {
                // The next of several files in one (chained Ogg).
                self.select_track()?;
                return Ok(Step::Nothing);
            }
            Err(e) => return Ok(self.cut_off(&e.to_string())),
        };
        if packet.track_id != self.track {
            return Ok(Step::Nothing);
        }
        match self.decode_packet(&packet) {
            Ok(Some((rate, channels))) => {
                self.good += 1;
                self.check(rate, channels)?;
                mix(&self.interleaved, channels, &mut self.mono);
                let range = self.trim.range(self.mono.len());
                self.mono.truncate(range.end);
                self.mono.drain(..range.start);
                Ok(if self.mono.is_empty() { Step::Nothing } else { Step::Audio(rate) })
            }
            Ok(None) => Ok(Step::Nothing),
            Err(reason) => {
                self.bad += 1;
                self.last_fault = Some(reason);
                Ok(Step::Nothing)
            }
        }
    }

    /// Decodes a packet to `interleaved`; gives rate and channels, or the text of what is wrong with the packet.
    fn decode_packet(&mut self, packet: &Packet) -> Result<Option<(u32, usize)>, String> {
        match &mut self.codec {
            Codec::None => Ok(None),
            Codec::Symphonia(decoder) => {
                let pcm = decoder.decode(packet).map_err(|e| e.to_string())?;
                let (rate, channels) = (pcm.spec().rate(), pcm.spec().channels().count());
                pcm.copy_to_vec_interleaved(&mut self.interleaved);
                if self.interleaved.is_empty() || channels == 0 {
                    return Ok(None);
                }
                if let Some(edit) = self.edit.take() {
                    self.trim = edit.trim(rate);
                }
                Ok(Some((rate, channels)))
            }
            Codec::Opus(decoder) => {
                let channels = decoder.channels();
                let pcm = decoder.decode(&packet.data)?;
                let frames = pcm.len() / channels.max(1);
                let start = (packet.trim_start.get() as usize).min(frames);
                let end = frames.saturating_sub(packet.trim_end.get() as usize).max(start);
                self.interleaved.clear();
                self.interleaved.extend_from_slice(&pcm[start * channels..end * channels]);
                Ok((end > start).then_some((opus::RATE, channels)))
            }
        }
    }

    fn check(&mut self, rate: u32, channels: usize) -> Result<(), DecodeError> {
        if channels > self.limits.max_channels {
            return Err(DecodeError::Channels { channels, limit: self.limits.max_channels });
        }
        if !self.limits.rates.contains(&rate) {
            return Err(DecodeError::Rate {
                rate,
                lowest: *self.limits.rates.start(),
                highest: *self.limits.rates.end(),
            });
        }
        if self.info.rate == 0 {
            (self.info.rate, self.info.channels) = (rate, channels);
        }
        Ok(())
    }

    /// Chooses the first audio track that can be decoded.
    fn select_track(&mut self) -> Result<(), DecodeError> {
        let container = self.info.container.clone();
        let mut refused = None;
        for track in self.format.tracks() {
            let Some(CodecParameters::Audio(params)) = &track.codec_params else { continue };
            match make_codec(params) {
                Ok((codec, name, pre_skip)) => {
                    self.trim = match (&codec, self.edit) {
                        (Codec::Opus(_), Some(edit)) => edit.trim(opus::RATE),
                        _ => Trim::new(pre_skip, None),
                    };
                    if matches!(codec, Codec::Opus(_)) {
                        self.edit = None;
                    }
                    self.track = track.id;
                    self.codec = codec;
                    self.info.codec = name;
                    return Ok(());
                }
                Err(codec) => {
                    refused.get_or_insert(codec);
                }
            }
        }
        Err(match refused {
            Some(codec) => DecodeError::Codec { container, codec },
            None => DecodeError::NoTrack { container },
        })
    }
}

/// A decoder for the codec, its name, and the frames that it makes before the audio begins. The error names the codec.
fn make_codec(params: &AudioCodecParameters) -> Result<(Codec, String, u64), String> {
    if params.codec == CODEC_ID_OPUS {
        let data = params.extra_data.as_deref().unwrap_or_default();
        let head = opus::Head::parse(data).ok_or("opus without a header")?;
        return Ok((Codec::Opus(OpusStream::new(&head)?), "opus".into(), head.pre_skip));
    }
    match symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default()) {
        Ok(decoder) => {
            let name = decoder.codec_info().short_name.to_owned();
            Ok((Codec::Symphonia(decoder), name, 0))
        }
        Err(e) => Err(format!("{}: {e}", params.codec)),
    }
}

/// Mixes interleaved channels to their mean.
fn mix(interleaved: &[f32], channels: usize, mono: &mut Vec<f32>) {
    let sound = |x: f32| if x.is_finite() { x.clamp(-LOUDEST, LOUDEST) } else { 0.0 };
    mono.clear();
    match channels {
        1 => mono.extend(interleaved.iter().map(|&x| sound(x))),
        n => mono.extend(interleaved.chunks_exact(n).map(|frame| sound(frame.iter().sum::<f32>() / n as f32))),
    }
}

/// Runs a piece of somebody else's parser over a stranger's bytes. `None` if it panicked: that is a damaged file, not a
/// fault of the server.
fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

fn unreadable(name: Option<&str>, reason: &str) -> DecodeError {
    match name {
        Some(name) => DecodeError::Damaged { container: name.into(), reason: reason.into() },
        None => DecodeError::NotAudio,
    }
}

/// The name of the format that a file's first bytes claim, for messages about files that can't be opened.
fn magic(file: &[u8]) -> Option<&'static str> {
    let at = |at: usize, what: &[u8]| file.get(at..).is_some_and(|rest| rest.starts_with(what));
    match () {
        () if (at(0, b"RIFF") || at(0, b"RF64") || at(0, b"BW64")) && at(8, b"WAVE") => Some("wav"),
        () if at(0, b"fLaC") => Some("flac"),
        () if at(0, b"OggS") => Some("ogg"),
        () if at(4, b"ftyp") => Some("mp4"),
        () if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) => Some("webm"),
        () if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) => Some("aiff"),
        () if at(0, b"caff") => Some("caf"),
        () if at(0, b"ID3") => Some("mp3"),
        () => None,
    }
}
