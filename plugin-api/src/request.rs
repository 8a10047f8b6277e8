//! What a plugin is asked to do.

use crate::{audio::AudioInput, describe::Object, Error, Granularity};
use serde::{de::DeserializeOwned, Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// Everything needed to load a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadRequest {
    /// Catalogue name: `whisper-base`.
    pub model: String,
    /// Directory with the model's files as they were released.
    pub model_dir: PathBuf,
    /// Further directories that the catalogue entry names, such as lexicons shared between models.
    pub assets: BTreeMap<String, PathBuf>,
    /// Launch options, already checked against [`Manifest::launch_options`](crate::Manifest::launch_options).
    pub options: Object,
    /// How many CPU threads one job should use; 0 means as the plugin likes.
    pub threads: usize,
}

impl LoadRequest {
    /// The launch options as the plugin's own type.
    ///
    /// # Errors
    /// Invalid input that names the option when one doesn't fit.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_object(&self.options, "launch option")
    }
}

fn parse_object<T: DeserializeOwned>(object: &Object, what: &str) -> Result<T, Error> {
    // One value at a time would lose cross-field rules, so the whole object is parsed and the culprit looked for after.
    let whole = serde_json::Value::Object(object.clone());
    serde_json::from_value(whole).map_err(|error| {
        let text = error.to_string();
        let field = object.keys().find(|key| text.contains(&format!("`{key}`"))).cloned();
        Error { kind: crate::ErrorKind::InvalidInput, field, message: format!("{what}: {text}") }
    })
}

/// What to do with speech.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// Write down what is said.
    #[default]
    Transcribe,
    /// Write it down in English.
    Translate,
}

/// The part of a transcription job that crosses the ABI as a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TranscribeSettings {
    /// Transcribe or translate.
    pub task: Task,
    /// Language code (one of the card's), or none: find out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Text that precedes the audio, or words to expect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Sampling temperature, 0 = deterministic (with the family's own fallback rules).
    pub temperature: f32,
    /// Times wanted. [`Granularity::Word`] costs time in most families.
    pub granularities: Vec<Granularity>,
    /// Family parameters, already checked against the card's schema.
    pub parameters: Object,
}

/// A transcription job.
#[derive(Debug)]
pub struct TranscribeRequest<'a> {
    /// What is wanted.
    pub settings: TranscribeSettings,
    /// Mono samples in -1…1 at the card's input rate.
    pub audio: AudioInput<'a>,
    /// Recordings of speakers to recognise, each under the speaker's name, at the card's input rate. Only for models that
    /// tell speakers apart ([`ModelCard::diarizes`](crate::ModelCard::diarizes)).
    pub known_speakers: Vec<Clip<'a>>,
}

impl<'a> TranscribeRequest<'a> {
    /// A job without known speakers.
    pub fn new(settings: TranscribeSettings, audio: AudioInput<'a>) -> Self {
        Self { settings, audio, known_speakers: Vec::new() }
    }

    /// The family parameters as the plugin's own type.
    ///
    /// # Errors
    /// Invalid input that names the parameter when one doesn't fit.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_object(&self.settings.parameters, "parameter")
    }
}

/// The part of a speech job that crosses the ABI as a document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpeechSettings {
    /// What to say. Never blank.
    pub text: String,
    /// One of the card's voices (aliases are already resolved), or none: the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// 0.25…4, 1 = natural. Only other than 1 when the card says `applies_speed`.
    pub speed: f32,
    /// How to say it, for models that take a description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// Family parameters, already checked against the card's schema.
    pub parameters: Object,
}

impl Default for SpeechSettings {
    fn default() -> Self {
        Self { text: String::new(), voice: None, speed: 1.0, instructions: None, parameters: Object::new() }
    }
}

/// A recording to imitate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip<'a> {
    /// The request field that it came in (`prompt_speech`, `emo_audio_prompt`), or the name of a known speaker.
    pub name: &'a str,
    /// Mono samples in -1…1.
    pub samples: &'a [f32],
    /// In Hz; the card's `clip_sample_rate` when it has one.
    pub sample_rate: u32,
}

/// A speech job.
#[derive(Clone, Debug)]
pub struct SpeechRequest<'a> {
    /// What is wanted.
    pub settings: SpeechSettings,
    /// Reference clips.
    pub clips: Vec<Clip<'a>>,
}

impl<'a> SpeechRequest<'a> {
    /// The family parameters as the plugin's own type.
    ///
    /// # Errors
    /// Invalid input that names the parameter when one doesn't fit.
    pub fn parameters<T: DeserializeOwned>(&self) -> Result<T, Error> {
        parse_object(&self.settings.parameters, "parameter")
    }

    /// The clip that came in the field `name`.
    pub fn clip(&self, name: &str) -> Option<&Clip<'a>> {
        self.clips.iter().find(|clip| clip.name == name)
    }
}
