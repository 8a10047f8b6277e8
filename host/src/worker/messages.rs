//! What host and worker say to each other.

use super::frame::{self, Frame};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{borrow::Cow, collections::BTreeMap, io, path::PathBuf};
use syrinx_plugin_api::{
    Device, Error, LoadRequest, ModelCard, SpeechEvent, SpeechSettings, TranscribeSettings, TranscriptEvent,
};

/// The model that a worker is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Assignment {
    /// The plugin's file.
    pub(super) plugin: PathBuf,
    /// What to load.
    pub(super) request: LoadRequest,
    /// Native runtimes by name.
    pub(super) runtimes: BTreeMap<String, PathBuf>,
    /// The plugin's own directory.
    pub(super) cache_dir: PathBuf,
    /// What there is to compute on.
    pub(super) devices: Vec<Device>,
}

/// A job without its samples, which follow in frames of their own: the input, then the clips in order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JobHead {
    /// What to do.
    pub(super) task: JobTask,
    /// Samples of the input.
    pub(super) input: usize,
    /// The clips.
    pub(super) clips: Vec<ClipHead>,
}

impl JobHead {
    /// Samples that follow.
    pub(super) fn samples(&self) -> usize {
        self.clips.iter().fold(self.input, |sum, clip| sum.saturating_add(clip.samples))
    }
}

/// The two kinds of jobs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum JobTask {
    Transcribe(TranscribeSettings),
    Synthesize(SpeechSettings),
}

/// A clip without its samples.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClipHead {
    pub(super) name: String,
    pub(super) samples: usize,
    pub(super) sample_rate: u32,
}

/// A line for the log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LogLine {
    /// 1 (error) … 5 (trace).
    pub(super) level: u8,
    pub(super) message: String,
}

/// A measurement.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measurement {
    /// 0 counter, 1 gauge, 2 histogram.
    pub(super) kind: u8,
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// How far the load is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LoadProgress {
    pub(super) fraction: f32,
    pub(super) stage: String,
}

/// Told to a worker.
#[derive(Debug)]
pub(super) enum Order {
    /// First of all, once.
    Load(Box<Assignment>),
    /// The load is no longer wanted.
    CancelLoad,
    /// A job begins.
    Begin(JobHead),
    /// Its samples, piece by piece.
    Samples(Vec<f32>),
    /// The host has taken so many pushes of it: as many more may come.
    Taken(u32),
    /// Nobody wants the rest.
    Stop,
}

/// Told by a worker.
#[derive(Debug)]
pub(super) enum Word {
    Log(LogLine),
    Metric(Measurement),
    Progress(LoadProgress),
    /// How the load ended.
    Loaded(Result<Box<ModelCard>, Error>),
    /// A push of a transcription job.
    Transcript(TranscriptEvent),
    /// A push of a speech job.
    Pcm(Vec<f32>),
    /// Another one.
    Note(SpeechEvent),
    /// How a job ended.
    Done(Result<(), Error>),
}

/// Kinds of frames.
mod kind {
    pub(super) const LOAD: u8 = 1;
    pub(super) const CANCEL_LOAD: u8 = 2;
    pub(super) const BEGIN: u8 = 3;
    pub(super) const SAMPLES: u8 = 4;
    pub(super) const TAKEN: u8 = 5;
    pub(super) const STOP: u8 = 6;
    pub(super) const LOG: u8 = 16;
    pub(super) const METRIC: u8 = 17;
    pub(super) const PROGRESS: u8 = 18;
    pub(super) const LOADED: u8 = 19;
    pub(super) const TRANSCRIPT: u8 = 20;
    pub(super) const PCM: u8 = 21;
    pub(super) const NOTE: u8 = 22;
    pub(super) const DONE: u8 = 23;
}

/// A message as a frame.
pub(super) trait Message: Sized {
    /// The kind of frames that are samples and nothing else.
    const SAMPLES: u8;

    /// Kind and payload.
    ///
    /// # Errors
    /// When it is no JSON (a float that isn't a number, say).
    fn encode(&self) -> io::Result<(u8, Cow<'_, [u8]>)>;

    /// # Errors
    /// When the frame is none of these messages.
    fn decode(frame: Frame) -> io::Result<Self>;
}

impl Message for Order {
    const SAMPLES: u8 = kind::SAMPLES;

    fn encode(&self) -> io::Result<(u8, Cow<'_, [u8]>)> {
        Ok(match self {
            Self::Load(assignment) => (kind::LOAD, json(assignment)?),
            Self::CancelLoad => (kind::CANCEL_LOAD, Cow::default()),
            Self::Begin(head) => (kind::BEGIN, json(head)?),
            Self::Samples(samples) => (kind::SAMPLES, frame::to_bytes(samples).into()),
            Self::Taken(count) => (kind::TAKEN, count.to_le_bytes().to_vec().into()),
            Self::Stop => (kind::STOP, Cow::default()),
        })
    }

    fn decode(frame: Frame) -> io::Result<Self> {
        Ok(match frame.kind {
            kind::LOAD => Self::Load(parse(&frame)?),
            kind::CANCEL_LOAD => Self::CancelLoad,
            kind::BEGIN => Self::Begin(parse(&frame)?),
            kind::SAMPLES => Self::Samples(frame::to_samples(&frame.payload).collect()),
            kind::TAKEN => match frame.payload[..] {
                [a, b, c, d] => Self::Taken(u32::from_le_bytes([a, b, c, d])),
                _ => return Err(unknown(&frame)),
            },
            kind::STOP => Self::Stop,
            _ => return Err(unknown(&frame)),
        })
    }
}

impl Message for Word {
    const SAMPLES: u8 = kind::PCM;

    fn encode(&self) -> io::Result<(u8, Cow<'_, [u8]>)> {
        Ok(match self {
            Self::Log(line) => (kind::LOG, json(line)?),
            Self::Metric(measurement) => (kind::METRIC, json(measurement)?),
            Self::Progress(progress) => (kind::PROGRESS, json(progress)?),
            Self::Loaded(result) => (kind::LOADED, json(result)?),
            Self::Transcript(event) => (kind::TRANSCRIPT, json(event)?),
            Self::Pcm(samples) => (kind::PCM, frame::to_bytes(samples).into()),
            Self::Note(event) => (kind::NOTE, json(event)?),
            Self::Done(result) => (kind::DONE, json(result)?),
        })
    }

    fn decode(frame: Frame) -> io::Result<Self> {
        Ok(match frame.kind {
            kind::LOG => Self::Log(parse(&frame)?),
            kind::METRIC => Self::Metric(parse(&frame)?),
            kind::PROGRESS => Self::Progress(parse(&frame)?),
            kind::LOADED => Self::Loaded(parse(&frame)?),
            kind::TRANSCRIPT => Self::Transcript(parse(&frame)?),
            kind::PCM => Self::Pcm(frame::to_samples(&frame.payload).collect()),
            kind::NOTE => Self::Note(parse(&frame)?),
            kind::DONE => Self::Done(parse(&frame)?),
            _ => return Err(unknown(&frame)),
        })
    }
}

fn json(value: &impl Serialize) -> io::Result<Cow<'static, [u8]>> {
    Ok(serde_json::to_vec(value)?.into())
}

fn parse<T: DeserializeOwned>(frame: &Frame) -> io::Result<T> {
    Ok(serde_json::from_slice(&frame.payload)?)
}

fn unknown(frame: &Frame) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame of kind {} and {} bytes", frame.kind, frame.payload.len()),
    )
}
