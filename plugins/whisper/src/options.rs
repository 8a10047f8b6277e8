//! Launch options and request parameters: typed, validated, documented. The host shows and checks their JSON Schema.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use syrinx_plugin_api::{Error, Object, TranscribeSettings};
use syrinx_plugin_common::options::schema_of;

use crate::batched;
use crate::fallback::Thresholds;
use crate::longform::{LongformOptions, TEMPERATURES};
use crate::model::{ComputeType, Place};
use crate::prompt::{Context, Task};
use crate::timing::Punctuation;
use crate::vad::VadOptions;
use crate::window::WindowOptions;

/// Beams at temperature 0 unless somebody says otherwise, as in faster-whisper and the command line of openai/whisper.
pub const DEFAULT_BEAM_SIZE: usize = 5;
/// Samples above temperature 0, likewise.
pub const DEFAULT_BEST_OF: usize = 5;
/// More beams or samples than this cost memory and find nothing better.
const MOST_SEQUENCES: usize = 32;
/// Highest temperature: the flattest distribution that still gives words.
const HIGHEST_TEMPERATURE: f64 = 2.0;
/// Speech that is decoded in batches ends with a silence of this length unless somebody says otherwise. Source: faster-whisper,
/// `BatchedInferencePipeline.transcribe`.
const BATCHED_MIN_SILENCE_MS: f64 = 160.0;
/// Jobs that run at a time, sharing the threads.
const DEFAULT_CONCURRENCY: usize = 4;
/// More jobs at a time only wait for each other.
const MOST_JOBS: usize = 64;

/// What the model is loaded with. Other keys are ignored: clients send those of other families too (`compile`, `use_fp16`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct LaunchOptions {
    /// Device to compute on: `cpu` (the default), `cuda` or `cuda:N`, `metal`; `auto` takes the first accelerator that is there. Builds
    /// differ in the accelerators they know.
    pub device: Option<String>,
    /// What computes: `native` (own kernels for the processor) or `candle` (accelerators, and the processor for comparison); `auto` (the
    /// default) takes the better one for the device.
    pub backend: Option<String>,
    /// Arithmetic. On the processor `float32` (the default) gives the reference's results and `int8` (also `int8_float32`) is faster and
    /// needs less memory; on accelerators `float16` is the default, `bfloat16` and `float32` are there too. `auto` is the default.
    pub compute_type: Option<String>,
    /// Threads to compute with, shared by all jobs; what the host allots by default.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// Jobs that may run at a time (4). Those that do are computed together, step by step.
    #[schemars(range(min = 1, max = 64))]
    pub max_concurrency: Option<usize>,
    /// Beams of requests that don't say (5; 1 is greedy).
    #[schemars(range(min = 1, max = 32))]
    pub beam_size: Option<usize>,
    /// Samples of requests that don't say, at temperatures above 0 (5).
    #[schemars(range(min = 1, max = 32))]
    pub best_of: Option<usize>,
    /// Most tokens of a 30 s window (224).
    #[schemars(range(min = 1, max = 448))]
    pub max_new_tokens: Option<usize>,
    /// Whether the model translates. Set it to false for fine-tunes that have unlearned it, such as Belle.
    pub translations: Option<bool>,
    /// Leave out stretches without speech in requests that don't say (true where Silero VAD is at hand).
    pub vad_filter: Option<bool>,
    /// Decode the stretches of speech of a file side by side in requests that don't say (false): faster, without context between them.
    pub batched: Option<bool>,
    /// Windows that `batched` requests decode at a time (8, fewer for large models).
    #[schemars(range(min = 1, max = 64))]
    pub batch_size: Option<usize>,
    /// Silero VAD's ONNX file, instead of the one that comes with the catalogue.
    pub vad_model: Option<PathBuf>,
    /// Accepted for Xinference's sake: windows are always 30 s.
    pub chunk_length_s: Option<f64>,
    /// Accepted for Xinference's sake: windows don't overlap.
    pub stride_length_s: Option<serde_json::Value>,
    /// Accepted for Xinference's sake: requests say which timestamps they want.
    pub return_timestamps: Option<serde_json::Value>,
    /// Xinference's name of `max_concurrency`, which wins: requests that are computed together.
    pub request_batch_size: Option<usize>,
    /// Accepted for Xinference's sake: a request joins those that run at any step, so none has to wait for a batch.
    pub batch_interval: Option<f64>,
}

impl LaunchOptions {
    /// What to compute on, and with.
    ///
    /// # Errors
    /// They are unknown, not there, or don't go together.
    pub fn place(&self) -> Result<(Place, ComputeType), Error> {
        let place = Place::find(self.device.as_deref(), self.backend.as_deref())?;
        Ok((place, ComputeType::find(self.compute_type.as_deref(), place)?))
    }

    /// Jobs that may run at a time.
    #[must_use]
    pub fn concurrency(&self) -> usize {
        self.max_concurrency.or(self.request_batch_size).unwrap_or(DEFAULT_CONCURRENCY).clamp(1, MOST_JOBS)
    }

    /// Their JSON Schema.
    #[must_use]
    pub fn schema() -> Object {
        schema_of::<Self>()
    }
}

/// What a request may ask for beyond language, prompt, temperature and granularities.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RequestParameters {
    /// Beams at temperature 0; 1 is greedy. The launch option's value by default.
    #[schemars(range(min = 1, max = 32))]
    pub beam_size: Option<usize>,
    /// Sequences that are sampled at temperatures above 0. The launch option's value by default.
    #[schemars(range(min = 1, max = 32))]
    pub best_of: Option<usize>,
    /// The search ends when beam_size × patience sequences have finished (1).
    #[schemars(range(min = 0.0, max = 32.0))]
    pub patience: Option<f64>,
    /// Exponent of the length in ranking, 0–1; without it scores are divided by the length.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub length_penalty: Option<f64>,
    /// Words that are likely, separated by blanks. They precede the text of every window.
    pub hotword: Option<String>,
    /// The same as a list.
    pub keywords: Vec<String>,
    /// Languages that the detection chooses from, when the request names none.
    pub languages: Vec<String>,
    /// Temperatures to try in order while a window is implausible; [0, 0.2, 0.4, 0.6, 0.8, 1] for requests at temperature 0.
    pub temperatures: Option<Vec<f64>>,
    /// More repetitive windows are tried again (2.4; null: never).
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<f64>")]
    pub compression_ratio_threshold: Option<Option<f64>>,
    /// Windows with a lower mean log probability are tried again (-1; null: never).
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<f64>")]
    pub logprob_threshold: Option<Option<f64>>,
    /// Windows with a higher probability of no speech, and whose text is a guess, are silent (0.6; null: never).
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<f64>")]
    pub no_speech_threshold: Option<Option<f64>>,
    /// Whether each window is prompted with the text before it (true). False is safer against loops, true more consistent.
    pub condition_on_previous_text: Option<bool>,
    /// Whether the prompt stays in front of every window, not only the first (false).
    pub carry_initial_prompt: bool,
    /// Parts of the audio to transcribe: start, end, start, end… in seconds; a last start without end goes on to the end.
    pub clip_timestamps: Vec<f64>,
    /// Drop text that seems invented in silences longer than this, seconds. Needs the granularity `word`.
    #[schemars(range(min = 0.0))]
    pub hallucination_silence_threshold: Option<f64>,
    /// Most tokens of a 30 s window. The launch option's value by default.
    #[schemars(range(min = 1, max = 448))]
    pub max_new_tokens: Option<usize>,
    /// Latest time of the first word of a window, seconds (1; null: any).
    #[serde(deserialize_with = "present")]
    #[schemars(with = "Option<f64>")]
    pub max_initial_timestamp: Option<Option<f64>>,
    /// Start of the chance at temperatures above 0 (0); the same seed gives the same text.
    pub seed: u64,
    /// Beginning of the text of the first window; a part of the transcript, which goes on from it.
    pub prefix: Option<String>,
    /// Only text, no timestamps: a segment is a window (false).
    pub without_timestamps: bool,
    /// Detect the language of each window, not only of the file (false).
    pub multilingual: bool,
    /// Leave out stretches without speech before recognition. The launch option's value by default.
    pub vad_filter: Option<bool>,
    /// When speech starts and ends, for `vad_filter` and `batched`.
    pub vad_parameters: VadParameters,
    /// OpenAI's way to say the same, where Silero VAD is at hand. The parameters above win.
    pub chunking_strategy: Option<ServerVad>,
    /// Decode the stretches of speech side by side: faster, without context between them. The launch option's value by default.
    pub batched: Option<bool>,
    /// Windows that `batched` decodes at a time. The launch option's value by default.
    #[schemars(range(min = 1, max = 64))]
    pub batch_size: Option<usize>,
    /// Report the log probability of each token of the text (false); what OpenAI's `include[]=logprobs` asks for.
    pub logprobs: bool,
}

/// Most that can be added to an end of speech. [ms]
const MOST_PADDING_MS: f64 = 5000.0;

/// When speech starts and ends. Defaults and meaning as in faster-whisper.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VadParameters {
    /// Probability from which on a frame is speech (0.5).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
    /// Probability below which it is silence (0.15 less than the threshold).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub neg_threshold: Option<f64>,
    /// Shorter speech is left out, milliseconds (0).
    #[schemars(range(min = 0.0))]
    pub min_speech_duration_ms: Option<f64>,
    /// Longer speech is cut, seconds (none; 30 for `batched`).
    #[schemars(range(min = 1.0))]
    pub max_speech_duration_s: Option<f64>,
    /// Speech ends with a silence of this length, milliseconds (2000; 160 for `batched`).
    #[schemars(range(min = 0.0))]
    pub min_silence_duration_ms: Option<f64>,
    /// Added to both ends of speech, milliseconds (400).
    #[schemars(range(min = 0.0, max = 5000.0))]
    pub speech_pad_ms: Option<f64>,
}

/// OpenAI's `server_vad`. Its `type` is checked before it comes here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ServerVad {
    /// Probability from which on a frame is speech.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: Option<f64>,
    /// Added to both ends of speech, milliseconds; up to 5000 count.
    #[schemars(range(min = 0.0))]
    pub prefix_padding_ms: Option<f64>,
    /// Speech ends with a silence of this length, milliseconds.
    #[schemars(range(min = 0.0))]
    pub silence_duration_ms: Option<f64>,
}

impl VadParameters {
    /// What isn't said, as `strategy` says it.
    fn or(self, strategy: &ServerVad) -> Self {
        Self {
            threshold: self.threshold.or(strategy.threshold),
            speech_pad_ms: self
                .speech_pad_ms
                .or(strategy.prefix_padding_ms.map(|padding| padding.min(MOST_PADDING_MS))),
            min_silence_duration_ms: self.min_silence_duration_ms.or(strategy.silence_duration_ms),
            ..self
        }
    }

    /// With the defaults of the mode.
    fn options(&self, batched: bool) -> Result<VadOptions, Error> {
        let defaults = VadOptions::default();
        let options = VadOptions {
            threshold: self.threshold.unwrap_or(defaults.threshold),
            neg_threshold: self.neg_threshold,
            min_speech_duration_ms: self.min_speech_duration_ms.unwrap_or(defaults.min_speech_duration_ms),
            // A piece of a batch has to fit a window.
            max_speech_duration_s: match (batched, self.max_speech_duration_s) {
                (true, given) => given.unwrap_or(f64::INFINITY).min(batched::PIECE_SECONDS),
                (false, given) => given.unwrap_or(defaults.max_speech_duration_s),
            },
            min_silence_duration_ms: self.min_silence_duration_ms.unwrap_or(if batched {
                BATCHED_MIN_SILENCE_MS
            } else {
                defaults.min_silence_duration_ms
            }),
            speech_pad_ms: self.speech_pad_ms.unwrap_or(defaults.speech_pad_ms),
        };
        let fits = |value: f64, range: std::ops::RangeInclusive<f64>| range.contains(&value);
        let refused = |name: &str, wanted: &str| {
            Err(Error::invalid_input("vad_parameters", format!("vad_parameters.{name} must be {wanted}")))
        };
        if !fits(options.threshold, 0.0..=1.0) {
            return refused("threshold", "between 0 and 1");
        }
        if options.neg_threshold.is_some_and(|value| !fits(value, 0.0..=1.0)) {
            return refused("neg_threshold", "between 0 and 1");
        }
        if !fits(options.min_speech_duration_ms, 0.0..=f64::MAX) {
            return refused("min_speech_duration_ms", "0 or more milliseconds");
        }
        if !fits(options.min_silence_duration_ms, 0.0..=f64::MAX) {
            return refused("min_silence_duration_ms", "0 or more milliseconds");
        }
        if !fits(options.speech_pad_ms, 0.0..=MOST_PADDING_MS) {
            return refused("speech_pad_ms", "between 0 and 5000 milliseconds");
        }
        if !fits(options.max_speech_duration_s, 1.0..=f64::INFINITY) {
            return refused("max_speech_duration_s", "1 second or more");
        }
        Ok(options)
    }
}

/// How speech is looked for before recognition, and whether its pieces are decoded side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeechFilter {
    /// When speech starts and ends.
    pub vad: VadOptions,
    /// Windows at a time; none: one after the other.
    pub batch: Option<Option<usize>>,
}

/// Tells null from absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl RequestParameters {
    /// Their JSON Schema.
    #[must_use]
    pub fn schema() -> Object {
        schema_of::<Self>()
    }

    /// How the file is transcribed; `language` is a code that was looked up before.
    ///
    /// # Errors
    /// Values out of range, parameters that contradict each other, and what isn't there yet.
    pub fn longform(
        &self,
        settings: &TranscribeSettings,
        launch: &LaunchOptions,
        task: Task,
        language: &str,
    ) -> Result<LongformOptions, Error> {
        let word_timestamps = settings.granularities.contains(&syrinx_plugin_api::Granularity::Word);
        if self.hallucination_silence_threshold.is_some() && !word_timestamps {
            let message =
                "hallucination_silence_threshold needs word times: ask for the timestamp granularity \"word\"";
            return Err(Error::invalid_input("hallucination_silence_threshold", message));
        }
        let beam_size = in_range("beam_size", self.beam_size.or(launch.beam_size).unwrap_or(DEFAULT_BEAM_SIZE))?;
        let best_of = in_range("best_of", self.best_of.or(launch.best_of).unwrap_or(DEFAULT_BEST_OF))?;
        let window = WindowOptions {
            task,
            language: language.to_owned(),
            sample_len: self.max_new_tokens.or(launch.max_new_tokens),
            beam_size: Some(beam_size),
            best_of: Some(best_of),
            patience: self.patience,
            length_penalty: self.length_penalty,
            hotwords: self.hotwords(),
            prefix: self.prefix.clone().map(Context::Text),
            prefix_is_said: true,
            without_timestamps: self.without_timestamps,
            max_initial_timestamp: self.max_initial_timestamp.unwrap_or(WindowOptions::default().max_initial_timestamp),
            ..WindowOptions::default()
        };
        // Beams and samples exclude each other within one decoding; the ladder uses one or the other.
        crate::fallback::at_temperature(&window, 0.0)
            .validate()
            .map_err(|error| Error { field: None, ..Error::invalid_input("", error.to_string()) })?;
        let defaults = Thresholds::default();
        Ok(LongformOptions {
            window,
            temperatures: self.temperatures(settings.temperature)?,
            thresholds: Thresholds {
                compression_ratio: self.compression_ratio_threshold.unwrap_or(defaults.compression_ratio),
                logprob: self.logprob_threshold.unwrap_or(defaults.logprob),
                no_speech: self.no_speech_threshold.unwrap_or(defaults.no_speech),
            },
            condition_on_previous_text: self.condition_on_previous_text.unwrap_or(true),
            initial_prompt: settings.prompt.clone().filter(|prompt| !prompt.trim().is_empty()),
            carry_initial_prompt: self.carry_initial_prompt,
            word_timestamps,
            punctuation: Punctuation::default(),
            clip_timestamps: self.clips()?,
            hallucination_silence_threshold: self.hallucination_silence_threshold,
            language_per_window: self.multilingual,
        })
    }

    /// Whether and how speech is looked for. A `chunking_strategy` is a wish, which counts where there is a VAD (`has_vad`).
    ///
    /// # Errors
    /// Values out of range, and parameters that contradict each other.
    pub fn speech_filter(&self, launch: &LaunchOptions, has_vad: bool) -> Result<Option<SpeechFilter>, Error> {
        let batched = self.batched.or(launch.batched).unwrap_or(false);
        let strategy = self.chunking_strategy.as_ref().filter(|_| has_vad);
        let vad = strategy.map_or(self.vad_parameters, |strategy| self.vad_parameters.or(strategy)).options(batched)?;
        // A request that names clips has chosen what is heard.
        let has_clips = !self.clip_timestamps.is_empty();
        if batched {
            let clash = [
                ("clip_timestamps", has_clips && self.batched.is_some()),
                ("vad_filter", self.vad_filter == Some(false)),
                ("hallucination_silence_threshold", self.hallucination_silence_threshold.is_some()),
                ("multilingual", self.multilingual),
                ("prefix", self.prefix.is_some()),
            ];
            if let Some((field, _)) = clash.iter().find(|(_, clashes)| *clashes) {
                let message =
                    format!("{field} does not go together with batched, which decodes pieces of speech side by side");
                return Err(Error::invalid_input(*field, message));
            }
            if let Some(size @ (0 | 65..)) = self.batch_size {
                return Err(Error::invalid_input(
                    "batch_size",
                    format!("batch_size must be between 1 and 64, not {size}"),
                ));
            }
        }
        if has_clips && self.vad_filter == Some(true) {
            let message = "clip_timestamps and vad_filter both say what is heard: send one of them";
            return Err(Error::invalid_input("clip_timestamps", message));
        }
        if has_clips {
            return Ok(None);
        }
        if batched {
            return Ok(Some(SpeechFilter { vad, batch: Some(self.batch_size.or(launch.batch_size)) }));
        }
        let filters = self.vad_filter.or(launch.vad_filter).unwrap_or(has_vad);
        Ok(filters.then_some(SpeechFilter { vad, batch: None }))
    }

    /// The likely words as one text.
    fn hotwords(&self) -> Option<String> {
        let all: Vec<&str> =
            self.hotword.iter().chain(&self.keywords).map(|words| words.trim()).filter(|w| !w.is_empty()).collect();
        (!all.is_empty()).then(|| all.join(" "))
    }

    /// The ladder for a request at temperature 0, the request's own temperature above.
    fn temperatures(&self, temperature: f32) -> Result<Vec<f64>, Error> {
        let (field, temperatures) = match &self.temperatures {
            Some(list) => ("temperatures", list.clone()),
            None if temperature == 0.0 => ("temperature", TEMPERATURES.to_vec()),
            None => ("temperature", vec![f64::from(temperature)]),
        };
        if temperatures.is_empty() || temperatures.iter().any(|t| !(0.0..=HIGHEST_TEMPERATURE).contains(t)) {
            let message = format!("{field} must be between 0 and {HIGHEST_TEMPERATURE}, at least one");
            return Err(Error::invalid_input(field, message));
        }
        Ok(temperatures)
    }

    fn clips(&self) -> Result<Vec<f64>, Error> {
        if self.clip_timestamps.iter().any(|seconds| !seconds.is_finite() || *seconds < 0.0) {
            return Err(Error::invalid_input(
                "clip_timestamps",
                "clip_timestamps are seconds from the start of the audio, not negative",
            ));
        }
        Ok(self.clip_timestamps.clone())
    }
}

/// Checks a number of sequences.
fn in_range(field: &str, sequences: usize) -> Result<usize, Error> {
    if (1..=MOST_SEQUENCES).contains(&sequences) {
        return Ok(sequences);
    }
    Err(Error::invalid_input(field, format!("{field} must be between 1 and {MOST_SEQUENCES}, not {sequences}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syrinx_plugin_api::{ErrorKind, Granularity};

    use super::*;

    fn longform(parameters: serde_json::Value, settings: TranscribeSettings) -> Result<LongformOptions, Error> {
        let parameters: RequestParameters = serde_json::from_value(parameters).expect("parameters of the right types");
        parameters.longform(&settings, &LaunchOptions::default(), Task::Transcribe, "en")
    }

    #[test]
    fn defaults_are_those_of_faster_whisper() {
        let options = longform(json!({}), TranscribeSettings::default()).expect("defaults are fine");
        assert_eq!(options.window.beam_size, Some(5));
        assert_eq!(options.temperatures, TEMPERATURES);
        assert_eq!(options.thresholds, Thresholds::default());
        assert!(options.condition_on_previous_text && !options.word_timestamps);
    }

    #[test]
    fn null_switches_a_threshold_off() {
        let options =
            longform(json!({"logprob_threshold": null}), TranscribeSettings::default()).expect("null is fine");
        assert_eq!(options.thresholds.logprob, None);
        assert_eq!(options.thresholds.no_speech, Some(0.6));
    }

    #[test]
    fn a_temperature_above_zero_has_no_ladder() {
        let settings = TranscribeSettings { temperature: 0.5, ..TranscribeSettings::default() };
        assert_eq!(longform(json!({}), settings).expect("fine").temperatures, [0.5]);
        let hot = TranscribeSettings { temperature: 2.5, ..TranscribeSettings::default() };
        assert_eq!(longform(json!({}), hot).unwrap_err().field.as_deref(), Some("temperature"));
        let nan = TranscribeSettings { temperature: f32::NAN, ..TranscribeSettings::default() };
        assert!(longform(json!({}), nan).is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let error = |parameters| longform(parameters, TranscribeSettings::default()).unwrap_err();
        assert_eq!(error(json!({"beam_size": 0})).field.as_deref(), Some("beam_size"));
        assert_eq!(error(json!({"hallucination_silence_threshold": 2})).kind, ErrorKind::InvalidInput);
        assert_eq!(error(json!({"length_penalty": 2})).kind, ErrorKind::InvalidInput);
        assert!(error(json!({"clip_timestamps": [-1]})).message.contains("clip_timestamps"));
        let words = TranscribeSettings { granularities: vec![Granularity::Word], ..TranscribeSettings::default() };
        assert!(longform(json!({"hallucination_silence_threshold": 2}), words).is_ok());
    }

    #[test]
    fn speech_is_looked_for_unless_somebody_says_otherwise() {
        let filter = |parameters: serde_json::Value, launch: serde_json::Value| {
            let parameters: RequestParameters = serde_json::from_value(parameters).expect("right types");
            parameters.speech_filter(&serde_json::from_value(launch).expect("right types"), true)
        };
        let plain = SpeechFilter { vad: VadOptions::default(), batch: None };
        assert_eq!(filter(json!({}), json!({})).expect("fine").as_ref(), Some(&plain));
        assert_eq!(filter(json!({}), json!({"vad_filter": false})).expect("fine"), None);
        let asked = filter(json!({"vad_filter": true}), json!({"vad_filter": false})).expect("fine");
        assert_eq!(asked.as_ref(), Some(&plain));
        assert_eq!(filter(json!({"vad_filter": false}), json!({"vad_filter": true})).expect("fine"), None);
        let batched = filter(json!({"vad_parameters": {"threshold": 0.3}}), json!({"batched": true, "batch_size": 4}));
        let batched = batched.expect("fine").expect("launched so");
        assert_eq!((batched.batch, batched.vad.threshold), (Some(Some(4)), 0.3));
        assert_eq!((batched.vad.max_speech_duration_s, batched.vad.min_silence_duration_ms), (30.0, 160.0));
        assert_eq!(filter(json!({"clip_timestamps": [1]}), json!({"batched": true})).expect("fine"), None);
        let server_vad =
            json!({"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 9000, "silence_duration_ms": 200});
        let asked = filter(json!({"chunking_strategy": server_vad, "vad_parameters": {"threshold": 0.6}}), json!({}));
        let vad = asked.expect("fine").expect("asked").vad;
        assert_eq!((vad.threshold, vad.speech_pad_ms, vad.min_silence_duration_ms), (0.6, 5000.0, 200.0));
        assert_eq!(filter(json!({"chunking_strategy": {}, "vad_filter": false}), json!({})).expect("fine"), None);
        let wish: RequestParameters = serde_json::from_value(json!({"chunking_strategy": {}})).expect("right types");
        assert_eq!(wish.speech_filter(&LaunchOptions::default(), false).expect("fine"), None);
        for (parameters, field) in [
            (json!({"batched": true, "vad_filter": false}), "vad_filter"),
            (json!({"batched": true, "prefix": "And"}), "prefix"),
            (json!({"batched": true, "batch_size": 0}), "batch_size"),
            (json!({"vad_filter": true, "clip_timestamps": [1, 2]}), "clip_timestamps"),
            (json!({"vad_parameters": {"threshold": 1.5}}), "vad_parameters"),
        ] {
            assert_eq!(filter(parameters, json!({})).unwrap_err().field.as_deref(), Some(field));
        }
    }

    #[test]
    fn hotwords_and_keywords_are_joined() {
        let options =
            longform(json!({"hotword": " etcd ", "keywords": ["Kubernetes", ""]}), TranscribeSettings::default());
        assert_eq!(options.expect("fine").window.hotwords.as_deref(), Some("etcd Kubernetes"));
    }

    #[test]
    fn schemas_are_objects_with_descriptions() {
        for schema in [LaunchOptions::schema(), RequestParameters::schema()] {
            assert_eq!(schema["type"], "object");
            let properties = schema["properties"].as_object().expect("properties");
            assert!(properties.values().all(|property| property["description"].is_string()));
        }
    }

    #[test]
    fn launch_keys_of_other_families_are_ignored() {
        let options = json!({"compile": true, "lang_code": "z", "vad_kwargs": {}, "envs": null, "beam_size": 2});
        let options = serde_json::from_value::<LaunchOptions>(options).expect("fine");
        assert_eq!(options, LaunchOptions { beam_size: Some(2), ..LaunchOptions::default() });
    }

    #[test]
    fn requests_of_a_batch_are_jobs_at_a_time() {
        let jobs =
            |value: serde_json::Value| serde_json::from_value::<LaunchOptions>(value).expect("fine").concurrency();
        assert_eq!(jobs(json!({"batch_interval": 0.01})), 4);
        assert_eq!(jobs(json!({"request_batch_size": 16})), 16);
        assert_eq!(jobs(json!({"request_batch_size": 16, "max_concurrency": 2})), 2);
        assert_eq!((jobs(json!({"request_batch_size": 0})), jobs(json!({"request_batch_size": 1000}))), (1, 64));
    }

    #[test]
    fn places_are_checked_with_the_name_of_the_option() {
        let launch = |value: serde_json::Value| serde_json::from_value::<LaunchOptions>(value).expect("fine").place();
        let options = json!({"device": "cpu", "compute_type": "float32", "batch_size": 16});
        assert_eq!(launch(options).expect("it is there"), (Place::Native, ComputeType::Float32));
        for (option, value) in [("device", "tpu:0"), ("backend", "onnx"), ("compute_type", "int4")] {
            assert_eq!(launch(json!({option: value})).unwrap_err().field.as_deref(), Some(option));
        }
    }
}
