//! Launch options and request parameters: typed, validated, documented. The host shows and checks their JSON Schema.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use syrinx_plugin_api::{Error, Object};
use syrinx_plugin_common::options::schema_of;

use crate::vad::{EndSilence, VadOptions};

/// Speech that is recognised together, s. Source: FunASR `auto/auto_model.py: inference_with_vad`.
const DEFAULT_BATCH_SIZE_S: f64 = 300.0;
/// A stretch of this length closes a batch, s. Source: ibid.
const DEFAULT_BATCH_THRESHOLD_S: f64 = 60.0;
/// Length up to which stretches are merged, s. Source: ibid.
const DEFAULT_MERGE_LENGTH_S: f64 = 15.0;

/// What the model is loaded with. Other keys are ignored: clients send those of other families and of FunASR's own tools too
/// (`disable_update`, `disable_pbar`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaunchOptions {
    /// Where to compute: cpu, cuda, cuda:N. Default cpu.
    pub device: Option<String>,
    /// Threads of one job. Default: what the server says, else the number of cores up to 4.
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<usize>,
    /// The same, as FunASR calls it.
    #[schemars(range(min = 1, max = 256))]
    pub ncpu: Option<usize>,
    /// Jobs that run at a time, sharing the weights. Default: the number of cores, at least 2, at most 4.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrency: Option<usize>,
    /// Whether the smaller graphs (`model_quant.onnx`) are taken where there are both. Default true.
    pub quantize: Option<bool>,
    /// Numbers that weights are kept in: auto (as in the files), float32 (the files that are not quantised), int8 (quantised while
    /// loading where the files are not). Default auto.
    pub dtype: Option<Dtype>,
    /// Voice activity detection: fsmn-vad, a directory with such a model, or "none". Default fsmn-vad.
    pub vad_model: Option<String>,
    /// Settings of the voice activity detection.
    pub vad_kwargs: Option<VadKwargs>,
    /// Punctuation: ct-punc, a directory with such a model, or "none".
    pub punc_model: Option<String>,
    /// Accepted for FunASR's sake.
    pub punc_kwargs: Option<serde_json::Value>,
    /// Speaker encoder: cam++, a directory with such a model, or "none". Needs a model with timestamps.
    pub spk_model: Option<String>,
    /// Accepted for FunASR's sake.
    pub spk_kwargs: Option<serde_json::Value>,
    /// What gets a speaker: punc_segment (what lies between two marks, the default) or vad_segment (a stretch of speech).
    pub spk_mode: Option<SpeakerMode>,
    /// A text file with hot words, one entry a line, for requests that name none. Models with hot words only.
    pub hotword_file: Option<PathBuf>,
    /// ONNX Runtime's shared library, or the directory it is in. Default: the environment variable ORT_DYLIB_PATH, else the one that
    /// the server provides.
    pub onnxruntime: Option<PathBuf>,
}

/// Numbers that weights are kept in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// As in the files.
    #[default]
    Auto,
    /// Single precision.
    Float32,
    /// Bytes, each output of a matrix with a scale of its own.
    Int8,
}

/// What gets a speaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SpeakerMode {
    /// What lies between two marks.
    PuncSegment,
    /// A stretch of speech.
    VadSegment,
}

/// Settings of the voice activity detection that a launch may give; those of the model's `config.yaml` otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct VadKwargs {
    /// Longest stretch of speech, ms (60000).
    #[schemars(range(min = 1000.0))]
    pub max_single_segment_time: Option<f64>,
    /// Silence that ends speech, ms (800).
    #[schemars(range(min = 150.0))]
    pub max_end_silence_time: Option<f64>,
    /// How much likelier than silence speech has to be (0.6).
    #[schemars(range(min = -1.0, max = 1.0))]
    pub speech_noise_thres: Option<f64>,
    /// Whether the silence that ends speech becomes shorter the longer somebody speaks, as FunASR does since 1.3 (false).
    pub dynamic_silence: Option<bool>,
}

/// What a request may ask for beyond language and granularities. Not every model has every parameter.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RequestParameters {
    /// Words that are likely: a text with blanks between them, or a list. Models with hot words only.
    pub hotword: Option<Hotword>,
    /// The same as a list.
    pub keywords: Option<Vec<String>>,
    /// How much hot words count (1). Contextual models of torch checkpoints only.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub clas_scale: Option<f64>,
    /// Whether numbers and punctuation are written as in text. SenseVoice only; default false.
    pub use_itn: Option<bool>,
    /// Whether an emotion has to be named. SenseVoice only; default false.
    pub ban_emo_unk: Option<bool>,
    /// Whether events and emotions are shown as emoji in the text. SenseVoice only; default true, unless words get times.
    pub emoji: Option<bool>,
    /// Whether words get times even where they cost time (SenseVoice). The granularity `word` asks for the same.
    pub timestamp: Option<bool>,
    /// The same, as FunASR calls it.
    pub output_timestamp: Option<bool>,
    /// Speech that is recognised together, s (300; padding counts).
    #[schemars(range(min = 0.0, max = 3600.0))]
    pub batch_size_s: Option<f64>,
    /// A stretch of this length or longer closes a batch, s (60).
    #[schemars(range(min = 0.0, max = 3600.0))]
    pub batch_size_threshold_s: Option<f64>,
    /// Whether stretches of speech, and the silence between them, are joined before they are recognised (false).
    pub merge_vad: Option<bool>,
    /// Length up to which they are joined, s (15).
    #[schemars(range(min = 1.0, max = 60.0))]
    pub merge_length_s: Option<f64>,
    /// Silence that ends speech, ms. Default 800, or what the model was launched with.
    #[schemars(range(min = 150.0, max = 60000.0))]
    pub max_end_silence_time: Option<f64>,
    /// Silence that ends speech, ms, as OpenAI's chunking strategy `server_vad` gives it.
    #[schemars(range(min = 0.0, max = 60000.0))]
    pub vad_silence_duration_ms: Option<f64>,
    /// Whether the silence that ends speech becomes shorter the longer somebody speaks. Default false, or as launched.
    pub dynamic_silence: Option<bool>,
    /// Words that are punctuated at a time (20).
    #[schemars(range(min = 2, max = 200))]
    pub split_size: Option<usize>,
    /// Number of speakers, if it is known. Needs a model with speakers.
    #[schemars(range(min = 1, max = 100))]
    pub preset_spk_num: Option<usize>,
    /// Whether segments say who speaks. Default true where the model can.
    pub return_spk_res: Option<bool>,
}

/// Hot words as clients send them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Hotword {
    /// Words with blanks between them.
    Text(String),
    /// A list of words.
    List(Vec<String>),
}

impl RequestParameters {
    /// All hot words as one text; none if the request says nothing of them.
    #[must_use]
    pub fn hotwords(&self) -> Option<String> {
        let mut words: Vec<&str> = match &self.hotword {
            Some(Hotword::Text(text)) => vec![text],
            Some(Hotword::List(list)) => list.iter().map(String::as_str).collect(),
            None => Vec::new(),
        };
        words.extend(self.keywords.iter().flatten().map(String::as_str));
        (self.hotword.is_some() || self.keywords.is_some()).then(|| words.join(" "))
    }

    /// Settings of the detector and the silence that ends speech: the request's over the launch's over the model's.
    ///
    /// # Errors
    /// A silence that is shorter than what the detector needs to notice one.
    pub fn vad(&self, launch: &VadKwargs, model: &VadOptions) -> Result<(VadOptions, EndSilence), Error> {
        let mut options = model.clone();
        if let Some(ms) = launch.max_single_segment_time {
            options.max_single_segment_time = ms;
        }
        if let Some(threshold) = launch.speech_noise_thres {
            options.speech_noise_thres = threshold;
        }
        let asked = match (self.max_end_silence_time, self.vad_silence_duration_ms) {
            (Some(ms), _) if ms < options.speech_to_sil_time_thres => {
                let least = options.speech_to_sil_time_thres;
                let message = format!("max_end_silence_time must be at least {least} ms, not {ms}");
                return Err(Error::invalid_input("max_end_silence_time", message));
            }
            (Some(ms), _) => Some(ms),
            (None, Some(ms)) => Some(ms.max(options.speech_to_sil_time_thres)),
            (None, None) => None,
        };
        let is_dynamic = self.dynamic_silence.or(launch.dynamic_silence).unwrap_or(false);
        let end = match asked {
            Some(ms) => EndSilence::Fixed(ms),
            None if is_dynamic => EndSilence::Scheduled,
            None => EndSilence::Fixed(launch.max_end_silence_time.unwrap_or(options.max_end_silence_time)),
        };
        Ok((options, end))
    }

    /// Length of a batch and of the stretch that closes one, ms.
    #[must_use]
    pub fn batch_ms(&self) -> (u64, u64) {
        let ms = |seconds: Option<f64>, default: f64| (seconds.unwrap_or(default).max(0.0) * 1000.0) as u64;
        let size = ms(self.batch_size_s, DEFAULT_BATCH_SIZE_S);
        (size.max(1), ms(self.batch_size_threshold_s, DEFAULT_BATCH_THRESHOLD_S))
    }

    /// Length up to which stretches are joined, ms; none if they aren't.
    #[must_use]
    pub fn merge_ms(&self) -> Option<i64> {
        let ms = (self.merge_length_s.unwrap_or(DEFAULT_MERGE_LENGTH_S) * 1000.0) as i64;
        self.merge_vad.unwrap_or(false).then_some(ms)
    }
}

/// The JSON Schema of an options type, without the properties `without`.
#[must_use]
pub fn schema_without<T: JsonSchema>(without: &[&str]) -> Object {
    let mut object = schema_of::<T>();
    if let Some(properties) = object.get_mut("properties").and_then(serde_json::Value::as_object_mut) {
        properties.retain(|name, _| !without.contains(&name.as_str()));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: serde_json::Value) -> RequestParameters {
        serde_json::from_value(json).expect("parameters of the right types")
    }

    #[test]
    fn hot_words_come_as_text_or_list() {
        assert_eq!(read(serde_json::json!({})).hotwords(), None);
        assert_eq!(read(serde_json::json!({"hotword": ""})).hotwords().as_deref(), Some(""));
        let both = read(serde_json::json!({"hotword": ["小艾", "魔搭"], "keywords": ["达摩院"]}));
        assert_eq!(both.hotwords().as_deref(), Some("小艾 魔搭 达摩院"));
    }

    #[test]
    fn silence_is_fixed_unless_somebody_says_otherwise() {
        let vad = |request: serde_json::Value, launch: serde_json::Value| {
            read(request).vad(&serde_json::from_value(launch).expect("fine"), &VadOptions::default())
        };
        let none = serde_json::json!({});
        assert_eq!(vad(none.clone(), none.clone()).unwrap().1, EndSilence::Fixed(800.0));
        assert_eq!(vad(none.clone(), serde_json::json!({"dynamic_silence": true})).unwrap().1, EndSilence::Scheduled);
        let asked = vad(serde_json::json!({"max_end_silence_time": 500}), serde_json::json!({"dynamic_silence": true}));
        assert_eq!(asked.unwrap().1, EndSilence::Fixed(500.0));
        let short = vad(serde_json::json!({"max_end_silence_time": 100}), none).unwrap_err();
        assert_eq!(short.field.as_deref(), Some("max_end_silence_time"));
    }

    #[test]
    fn schemas_describe_every_option() {
        for schema in [schema_of::<LaunchOptions>(), schema_of::<RequestParameters>()] {
            let properties = schema["properties"].as_object().unwrap();
            assert!(properties.values().all(|property| property["description"].is_string()), "{properties:?}");
        }
        let schema = schema_without::<RequestParameters>(&["hotword"]);
        assert!(!schema["properties"].as_object().unwrap().contains_key("hotword"));
    }
}
