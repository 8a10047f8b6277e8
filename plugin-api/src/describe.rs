//! How a plugin and its models describe themselves. The host knows nothing about a family but this.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A JSON object.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// What a plugin says of itself before anything is loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// Name of the plugin, which catalogue entries refer to: `whisper`.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// One sentence for `syrinx plugins`.
    pub description: String,
    /// SPDX expression.
    pub license: String,
    /// Native runtimes that it loads when they are there (`onnxruntime`, `libtorch`); the host provisions them before a load.
    pub runtimes: Vec<String>,
    /// JSON Schema (an object schema) of the launch options. The host validates with it and shows it.
    pub launch_options: Object,
    /// Filled in by [`export_plugin!`](crate::export_plugin): the compiler that built the plugin.
    pub built_with: String,
    /// Filled in likewise: the ABI version that it was built against.
    pub abi_version: String,
}

/// Something a model can do. The texts are those of Xinference's `model_ability`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Ability {
    /// Speech to text in the language spoken.
    #[serde(rename = "audio2text")]
    Transcribe,
    /// Speech to English text.
    #[serde(rename = "audio2text_translation")]
    Translate,
    /// Text to speech.
    #[serde(rename = "text2audio")]
    Speak,
    /// Text to speech without a reference clip.
    #[serde(rename = "text2audio_zero_shot")]
    SpeakWithoutClip,
    /// Text to speech in the voice of a reference clip.
    #[serde(rename = "text2audio_voice_cloning")]
    Clone,
    /// Text to speech with an emotion that can be set.
    #[serde(rename = "text2audio_emotion_control")]
    Emotion,
    /// Text to speech in a voice described by text.
    #[serde(rename = "text2audio_voice_design")]
    VoiceDesign,
    /// Speaker embeddings.
    #[serde(rename = "speaker_embedding")]
    SpeakerEmbedding,
    /// One that this version of the API doesn't know.
    #[serde(other, rename = "unknown")]
    Unknown,
}

/// A voice of a speaking model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Voice {
    /// What a request's `voice` says.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// BCP 47 tag, when it has one language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// `female`, `male`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<String>,
}

/// How fine a model's times can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Granularity {
    /// Start and end of every segment.
    Segment,
    /// Start and end of every word.
    Word,
}

/// A loaded model's description of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelCard {
    /// What it can do. A job that isn't in here is refused before it reaches the plugin.
    pub abilities: Vec<Ability>,
    /// Rate in Hz that transcription input must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_sample_rate: Option<u32>,
    /// Rate in Hz of the samples that speech jobs push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_sample_rate: Option<u32>,
    /// Rate in Hz that reference clips must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_sample_rate: Option<u32>,
    /// Language codes that a request's `language` may name. Empty: the model takes none.
    pub languages: Vec<String>,
    /// Voices, in the order to show them.
    pub voices: Vec<Voice>,
    /// The voice of a request that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_voice: Option<String>,
    /// Other names that are accepted, such as OpenAI's, and the voice each stands for.
    pub voice_aliases: BTreeMap<String, String>,
    /// Granularities that transcripts can have.
    pub granularities: Vec<Granularity>,
    /// Whether segments say who speaks.
    pub diarizes: bool,
    /// How many jobs make sense at a time. The host never runs more. At least 1.
    pub max_concurrency: usize,
    /// Whether results arrive before the job is done.
    pub streams: bool,
    /// Whether the model applies `speed` itself.
    pub applies_speed: bool,
    /// Device chosen: `cpu`, `cuda:0`, `metal`.
    pub device: String,
    /// Arithmetic chosen: `float32`, `int8`, …
    pub dtype: String,
    /// JSON Schema (an object schema) of the family's request parameters. The host validates with it and shows it.
    pub parameters: Object,
}

/// Something to compute on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// `cpu`, `cuda:0`, …
    pub id: String,
    /// Its maker's name for it.
    pub name: String,
    /// Total memory in bytes, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}
