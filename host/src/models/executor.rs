//! Where jobs run. The rest of the host can't tell one executor from another.

use std::sync::Arc;
use syrinx_plugin_api::{
    Clip, Error, ModelCard, ReceivePcm, ReceiveTranscript, SpeechSettings, TranscribeSettings,
    host_side::{LoadedModel, ProvideAudio},
};

use super::OwnedClip;
use crate::plugins::InUse;

/// Everything a job needs, whoever runs it.
pub struct Job<'a> {
    /// What is to be done.
    pub kind: JobKind<'a>,
}

/// The two kinds of jobs.
pub enum JobKind<'a> {
    /// Speech to text.
    Transcribe {
        /// What is wanted.
        settings: TranscribeSettings,
        /// Input at the card's rate, there or arriving.
        audio: &'a mut dyn ProvideAudio,
        /// Recordings of speakers to recognise, each under the speaker's name.
        known_speakers: Vec<OwnedClip>,
        /// Receives events.
        receiver: &'a mut dyn ReceiveTranscript,
    },
    /// Text to speech.
    Synthesize {
        /// What is wanted.
        settings: SpeechSettings,
        /// Reference clips.
        clips: Vec<OwnedClip>,
        /// Receives samples.
        receiver: &'a mut dyn ReceivePcm,
    },
}

/// Runs jobs of one loaded model.
pub trait Executor: Send + Sync + 'static {
    /// The model's description of itself.
    fn card(&self) -> Arc<ModelCard>;

    /// Generation of the plugin behind it.
    fn generation(&self) -> u64;

    /// The process that runs the jobs, when it isn't this one.
    fn process(&self) -> Option<u32> {
        None
    }

    /// Why it runs no jobs any more, when it doesn't. For the operator.
    fn fault(&self) -> Option<String> {
        None
    }

    /// Bytes of memory that its own process takes; none if it has none.
    fn memory(&self) -> Option<u64> {
        None
    }

    /// Runs a job on this thread, to the end or until its receiver says stop.
    ///
    /// # Errors
    /// The plugin's.
    fn run(&self, job: Job<'_>) -> Result<(), Error>;
}

/// Runs jobs in this process.
pub struct InProcess {
    model: LoadedModel,
    card: Arc<ModelCard>,
    generation: InUse,
}

impl InProcess {
    /// Takes a loaded model; `generation` is the plugin that it lives in.
    pub fn new(model: LoadedModel, generation: InUse) -> Self {
        let card = Arc::new(model.card().clone());
        Self { model, card, generation }
    }
}

impl Executor for InProcess {
    fn card(&self) -> Arc<ModelCard> {
        self.card.clone()
    }

    fn generation(&self) -> u64 {
        self.generation.number
    }

    fn run(&self, job: Job<'_>) -> Result<(), Error> {
        match job.kind {
            JobKind::Transcribe { settings, audio, known_speakers, receiver } => {
                self.model.transcribe(&settings, audio, &lent(&known_speakers), receiver)
            }
            JobKind::Synthesize { settings, clips, receiver } => {
                self.model.synthesize(&settings, &lent(&clips), receiver)
            }
        }
    }
}

fn lent(clips: &[OwnedClip]) -> Vec<Clip<'_>> {
    clips.iter().map(|clip| Clip { name: &clip.name, samples: &clip.samples, sample_rate: clip.sample_rate }).collect()
}
