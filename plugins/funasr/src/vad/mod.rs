//! Voice activity: where somebody speaks. Audio comes piece by piece; what is remembered of it doesn't grow with its length.

mod detector;
mod network;
mod options;

use syrinx_plugin_common::onnx::Runtime;

use crate::accelerate::NetworkOptions;
use crate::config::{ModelFiles, VadConfig};
use crate::error::FunasrError;
use crate::frontend::Frontend;
use crate::frontend::online::OnlineFrontend;

pub use detector::{Detector, Event};
pub use network::{VadMemory, VadNetwork};
pub use options::VadOptions;

/// Samples per ms, at 16 kHz.
pub const SAMPLES_PER_MS: usize = 16;
/// Audio that the network hears at a time, ms. Source: FunASR `fsmn_vad_streaming/model.py: inference` (`chunk_size`).
const CHUNK_MS: usize = 60_000;
/// The graph of a checkpoint that the reference calls `fsmn-vad` hears stacks of 5 frames, one for every frame.
const DENSE_STEP: usize = 1;

/// Silence that ends speech.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EndSilence {
    /// Always the same, ms.
    Fixed(f64),
    /// The longer somebody has been speaking, the shorter; newer releases of the reference do this unless told otherwise.
    Scheduled,
}

/// The detector with its network and front end; shared by all recordings.
#[derive(Debug)]
pub struct Vad {
    frontend: Frontend,
    network: VadNetwork,
    options: VadOptions,
}

impl Vad {
    /// Loads a release.
    ///
    /// # Errors
    /// Files are missing or broken.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        session: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let config = files.config::<VadConfig>()?;
        let mut front = config.frontend_conf;
        // Files that leave it out mean the detector's own stacking, not the recognisers'.
        if front == crate::config::FrontendConfig::default() {
            (front.lfr_m, front.lfr_n) = (5, DENSE_STEP);
        }
        let cmvn = files.need("statistics", "frontend_conf/cmvn_file", &["am.mvn", "vad.mvn"])?;
        Ok(Self {
            frontend: Frontend::load(&front, Some(&cmvn))?,
            network: VadNetwork::load(runtime, files, quantized, session)?,
            options: config.model_conf,
        })
    }

    /// The release's settings.
    #[must_use]
    pub fn options(&self) -> &VadOptions {
        &self.options
    }

    /// The front end.
    #[must_use]
    pub fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// Begins a recording.
    #[must_use]
    pub fn listen(&self, options: VadOptions, end_silence: EndSilence) -> VadStream<'_> {
        let mut detector = Detector::new(options.clone());
        if let EndSilence::Fixed(ms) = end_silence {
            detector.set_end_silence(ms);
        }
        VadStream {
            vad: self,
            frontend: OnlineFrontend::new(&self.frontend),
            memory: self.network.memory(),
            detector,
            options,
            end_silence,
            spoken_ms: 0.0,
            is_spoken: false,
        }
    }

    /// All utterances of a recording, in ms.
    ///
    /// # Errors
    /// The network fails.
    pub fn segments(
        &self,
        samples: &[f32],
        options: VadOptions,
        end_silence: EndSilence,
    ) -> Result<Vec<Event>, FunasrError> {
        let mut stream = self.listen(options, end_silence);
        let mut found = Vec::new();
        let mut rest = samples;
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK_MS * SAMPLES_PER_MS));
            rest = after;
            stream.push(chunk, rest.is_empty())?;
            found.extend(stream.complete(rest.is_empty()));
            if rest.is_empty() {
                return Ok(found);
            }
        }
    }
}

/// The state of one recording.
#[derive(Debug)]
pub struct VadStream<'a> {
    vad: &'a Vad,
    frontend: OnlineFrontend<'a>,
    memory: VadMemory,
    detector: Detector,
    options: VadOptions,
    end_silence: EndSilence,
    /// Under the schedule: how long somebody has been speaking.
    spoken_ms: f64,
    is_spoken: bool,
}

impl VadStream<'_> {
    /// Takes the next samples; `last` says that none follow.
    ///
    /// # Errors
    /// The network fails.
    pub fn push(&mut self, samples: &[f32], last: bool) -> Result<(), FunasrError> {
        if self.end_silence == EndSilence::Scheduled {
            self.follow_schedule((samples.len() / SAMPLES_PER_MS) as f64);
        }
        let block = self.frontend.push(samples, last);
        let silence = self.vad.network.silence(&block.features, &self.options.sil_pdf_ids, &mut self.memory)?;
        let count = silence.len();
        for (i, (silence, decibel)) in silence.into_iter().zip(block.decibels).enumerate() {
            self.detector.push(silence, decibel, last && i + 1 == count);
        }
        Ok(())
    }

    /// Sets the silence for the next chunk of audio by how long somebody has been speaking when it begins.
    fn follow_schedule(&mut self, chunk_ms: f64) {
        if self.detector.is_speaking() || self.is_spoken {
            self.spoken_ms += chunk_ms;
            self.is_spoken = true;
        }
        let due = options::SILENCE_SCHEDULE.iter().find(|(limit, _)| self.spoken_ms <= *limit);
        if let Some((_, silence)) = due {
            self.detector.set_end_silence(silence.max(self.options.speech_to_sil_time_thres));
        }
        self.detector.set_speech_noise_threshold(options::SCHEDULED_NOISE_THRESHOLD);
    }

    /// Hands out utterances that are complete; at the `end` of the audio also one that isn't.
    pub fn complete(&mut self, end: bool) -> Vec<Event> {
        let found = self.detector.complete(end);
        self.rest_schedule(!found.is_empty());
        found
    }

    /// Hands out starts and ends as they become known.
    pub fn events(&mut self) -> Vec<Event> {
        let found = self.detector.events();
        self.rest_schedule(!found.is_empty());
        found
    }

    /// Start of the earliest utterance that may still come, ms.
    #[must_use]
    pub fn needs(&self) -> usize {
        self.detector.needs()
    }

    fn rest_schedule(&mut self, found: bool) {
        if found {
            self.spoken_ms = 0.0;
            self.is_spoken = false;
        }
    }
}
