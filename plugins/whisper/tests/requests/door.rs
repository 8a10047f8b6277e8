//! The plugin's own door: models of the catalogue, clips of the kit, requests and what they say.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde_json::Value;
use syrinx_plugin_api::{
    AudioInput, Error, Flow, Granularity, Host, LoadRequest, Model, Plugin, ReceiveTranscript, Task, TokenLogprob,
    TranscribeRequest, TranscribeSettings, TranscriptEvent, TranscriptSink,
};
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_whisper::WhisperPlugin;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

use crate::audio;

fn kit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper")
}

pub(crate) fn clip(parts: Value) -> Vec<f32> {
    audio::join(&Case { root: kit(), ..Case::default() }, &parts).expect("the kit has the clip")
}

/// A model of the catalogue, with everything it needs.
pub(crate) fn load(name: &str, options: Value) -> Box<dyn Model> {
    let store = Store::default_location().expect("a place for the store");
    let entry = Catalogue::builtin().model(name).expect("in the catalogue");
    let files = store.fetch(&entry, &FetchOptions::default(), &Silent).expect("here, or fetched");
    let options = options.as_object().expect("an object").clone();
    let request =
        LoadRequest { model: name.to_owned(), model_dir: files.dir, assets: files.assets, options, threads: 2 };
    WhisperPlugin.load(request, Host::detached(Default::default())).expect("it loads")
}

/// What one request said.
#[derive(Default, Debug)]
pub(crate) struct Heard {
    pub(crate) segments: Vec<(String, Vec<u32>, f64, f64)>,
    pub(crate) avg_logprobs: Vec<f32>,
    pub(crate) words: Vec<(String, f64, f64)>,
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// How many of them had come before each segment.
    pub(crate) logprobs_before: Vec<usize>,
    pub(crate) language: String,
    /// How often the flow may be asked before it stops; none: for ever.
    pub(crate) patience: Option<usize>,
    pub(crate) asked: Cell<usize>,
}

impl ReceiveTranscript for Heard {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        match event {
            TranscriptEvent::Segment { segment } => {
                self.logprobs_before.push(self.logprobs.len());
                self.avg_logprobs.push(segment.avg_logprob);
                for word in segment.words.iter().flatten() {
                    self.words.push((word.word.clone(), word.start, word.end));
                }
                self.segments.push((segment.text, segment.tokens, segment.start, segment.end));
            }
            TranscriptEvent::Language { language, .. } => self.language = language,
            TranscriptEvent::Logprobs { tokens } => self.logprobs.extend(tokens),
            _ => {}
        }
        Flow::Continue
    }

    fn flow(&self) -> Flow {
        self.asked.set(self.asked.get() + 1);
        if self.patience.is_some_and(|patience| self.asked.get() > patience) { Flow::Stop } else { Flow::Continue }
    }
}

/// A request; `language`, `temperature`, `prompt`, `translate` and `words` among its parameters are its own fields.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) samples: Vec<f32>,
    pub(crate) parameters: Value,
}

pub(crate) fn request(parts: Value, parameters: Value) -> Request {
    Request { samples: clip(parts), parameters }
}

impl Heard {
    /// The texts of all segments.
    pub(crate) fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.0.as_str()).collect()
    }
}

impl Request {
    pub(crate) fn run(&self, model: &dyn Model, patience: Option<usize>) -> Result<Heard, Error> {
        let mut parameters = self.parameters.as_object().expect("an object").clone();
        let mut text = |name: &str| parameters.remove(name).and_then(|value| value.as_str().map(str::to_owned));
        let (language, prompt) = (text("language"), text("prompt"));
        let task = if parameters.remove("translate").is_some() { Task::Translate } else { Task::Transcribe };
        let temperature = parameters.remove("temperature").and_then(|value| value.as_f64()).unwrap_or(0.0) as f32;
        let granularities = parameters.remove("words").map(|_| Granularity::Word).into_iter().collect();
        let settings = TranscribeSettings { task, language, prompt, temperature, granularities, parameters };
        let mut heard = Heard { patience, ..Heard::default() };
        let request = TranscribeRequest::new(settings, AudioInput::from_samples(&self.samples));
        model.transcribe(request, &mut TranscriptSink::to(&mut heard))?;
        Ok(heard)
    }
}
