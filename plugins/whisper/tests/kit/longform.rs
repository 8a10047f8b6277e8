//! Files of any length.

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::fallback::Thresholds;
use syrinx_plugin_whisper::longform::{
    self, Listener, LongformOptions, Segment, TEMPERATURES, Transcript, WindowDecoder,
};
use syrinx_plugin_whisper::prompt::Context;
use syrinx_plugin_whisper::segments::{self, Window};
use syrinx_plugin_whisper::sound::Sound;
use syrinx_plugin_whisper::timing::WordTiming;
use syrinx_plugin_whisper::tokenizer::Tokenizer;
use syrinx_plugin_whisper::window::{self, DecodeError, WindowOptions, WindowResult};

use crate::decode::{KitOptions, chances, present};
use crate::{audio, models};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("segments.split", split),
    Op::new("transcribe.scripted", scripted),
    Op::new("transcribe", transcribe).remarks(&["expect.min_greedy_margin"]),
];

/// Options of a whole file as the reference takes them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct KitLongformOptions {
    temperature: Option<Value>,
    #[serde(deserialize_with = "present")]
    compression_ratio_threshold: Option<Option<f64>>,
    #[serde(deserialize_with = "present")]
    logprob_threshold: Option<Option<f64>>,
    #[serde(deserialize_with = "present")]
    no_speech_threshold: Option<Option<f64>>,
    condition_on_previous_text: Option<bool>,
    initial_prompt: Option<String>,
    carry_initial_prompt: bool,
    word_timestamps: bool,
    clip_timestamps: Option<Value>,
    hallucination_silence_threshold: Option<f64>,
}

/// Our options from a case's.
pub(crate) fn options(given: &Value) -> Result<LongformOptions, String> {
    let file: KitLongformOptions = serde_json::from_value(given.clone()).map_err(|e| format!("options: {e}"))?;
    let defaults = Thresholds::default();
    let numbers = |value: &Value| serde_json::from_value::<Vec<f64>>(value.clone()).map_err(|e| e.to_string());
    let temperatures = match &file.temperature {
        None => TEMPERATURES.to_vec(),
        Some(Value::Number(one)) => one.as_f64().into_iter().collect(),
        Some(several) => numbers(several)?,
    };
    let clip_timestamps = match &file.clip_timestamps {
        None => Vec::new(),
        Some(Value::String(text)) => text
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse::<f64>().map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()?,
        Some(list) => numbers(list)?,
    };
    Ok(LongformOptions {
        window: KitOptions::from(given)?.window()?,
        temperatures,
        thresholds: Thresholds {
            compression_ratio: file.compression_ratio_threshold.unwrap_or(defaults.compression_ratio),
            logprob: file.logprob_threshold.unwrap_or(defaults.logprob),
            no_speech: file.no_speech_threshold.unwrap_or(defaults.no_speech),
        },
        condition_on_previous_text: file.condition_on_previous_text.unwrap_or(true),
        initial_prompt: file.initial_prompt,
        carry_initial_prompt: file.carry_initial_prompt,
        word_timestamps: file.word_timestamps,
        clip_timestamps,
        hallucination_silence_threshold: file.hallucination_silence_threshold,
        ..LongformOptions::default()
    })
}

fn split(case: &Case) -> Result<Got, String> {
    let begin = models::tokenizer(case)?.specials().timestamp_begin;
    let items: Vec<Value> = case.param("items")?;
    let mut out = Vec::new();
    for item in items {
        let tokens: Vec<u32> = serde_json::from_value(item["tokens"].clone()).map_err(|e| e.to_string())?;
        let number = |name: &str| item[name].as_u64().map(|n| n as usize).ok_or_else(|| format!("{name} is missing"));
        let window = Window { seek: number("seek")?, frames: number("segment_size")? };
        let found = segments::split(&tokens, begin, window);
        let pieces = found
            .pieces
            .iter()
            .map(|piece| json!({"seek": window.seek, "start": piece.start, "end": piece.end, "tokens": piece.tokens}));
        out.push(json!({
            "segments": pieces.collect::<Vec<_>>(),
            "seek": found.seek,
            "single_timestamp_ending": found.single_timestamp_ending,
        }));
    }
    Ok(Got::new().value("items", out))
}

/// Listens without a word.
pub(crate) struct Silent;

impl Listener for Silent {
    fn accept(&mut self, _: &[Segment], _: usize) -> bool {
        true
    }
}

/// A transcript as the reference returns it.
pub(crate) fn as_json(transcript: &Transcript, language: &str) -> Value {
    let segments = transcript.segments.iter().enumerate().map(|(id, segment)| {
        let words = segment.words.as_ref().map(|words| {
            let words = words.iter().map(|word| {
                json!({"word": word.word, "start": word.start, "end": word.end, "probability": word.probability})
            });
            words.collect::<Vec<_>>()
        });
        json!({
            "id": id,
            "seek": segment.seek,
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "tokens": segment.tokens,
            "temperature": segment.temperature,
            "avg_logprob": segment.avg_logprob,
            "compression_ratio": segment.compression_ratio,
            "no_speech_prob": segment.no_speech_prob,
            "words": words,
        })
    });
    json!({"text": transcript.text, "segments": segments.collect::<Vec<_>>(), "language": language})
}

#[derive(Deserialize)]
struct ScriptedWindow {
    tokens: Vec<u32>,
    text: String,
    avg_logprob: f64,
    no_speech_prob: f64,
    compression_ratio: f64,
}

#[derive(Deserialize)]
struct ScriptedAlignment {
    times: Vec<f64>,
    probs: Vec<f64>,
}

/// Plays a script in place of the network and writes down what it was asked.
struct Script<'a> {
    tokenizer: &'a Tokenizer,
    windows: Vec<ScriptedWindow>,
    alignments: Vec<ScriptedAlignment>,
    calls: Vec<Value>,
    alignments_used: usize,
}

impl WindowDecoder for Script<'_> {
    fn decode(
        &mut self,
        _: Window,
        options: &WindowOptions,
        _: &dyn Fn() -> bool,
    ) -> Result<WindowResult, DecodeError> {
        let window = &self.windows[self.calls.len() % self.windows.len()];
        let Some(Context::Tokens(prompt)) = &options.previous else { panic!("the loop prompts with tokens") };
        self.calls.push(json!({
            "temperature": options.temperature,
            "prompt": prompt,
            "beam_size": options.beam_size,
            "best_of": options.best_of,
            "patience": options.patience,
        }));
        Ok(WindowResult {
            tokens: window.tokens.clone(),
            text: window.text.clone(),
            avg_logprob: window.avg_logprob,
            no_speech_prob: window.no_speech_prob,
            temperature: options.temperature,
            compression_ratio: window.compression_ratio,
            ..WindowResult::default()
        })
    }

    fn align(&mut self, _: Window, options: &WindowOptions, text: &[u32]) -> Result<Vec<WordTiming>, DecodeError> {
        let alignment = &self.alignments[self.alignments_used % self.alignments.len()];
        self.alignments_used += 1;
        let mut with_end = text.to_vec();
        with_end.push(self.tokenizer.specials().eot);
        let mut words = self.tokenizer.words(&with_end, Some(&options.language));
        words.pop();
        let timed = words.into_iter().enumerate().map(|(i, word)| WordTiming {
            word: word.text,
            tokens: word.tokens,
            start: alignment.times[i],
            end: alignment.times[i + 1],
            probability: alignment.probs[i % alignment.probs.len()],
        });
        Ok(timed.collect())
    }
}

fn scripted(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let options = options(&case.params["options"])?;
    let samples: usize = case.param("n_samples")?;
    let mut script = Script {
        tokenizer: &tokenizer,
        windows: case.param("script")?,
        alignments: case.param::<Option<_>>("alignments")?.unwrap_or_default(),
        calls: Vec::new(),
        alignments_used: 0,
    };
    let language = options.window.language.clone();
    let transcript = longform::transcribe(&mut script, &tokenizer, &options, 448, samples / 160, &mut Silent)
        .map_err(|e| e.to_string())?;
    Ok(Got::new().value("result", as_json(&transcript, &language)).value("calls", script.calls))
}

fn transcribe(case: &Case) -> Result<Got, String> {
    let recognizer = models::recognizer(case)?;
    let mut options = options(&case.params["options"])?;
    let samples = audio::clips(case)?;
    let file = recognizer.hear(Sound::whole(&samples)).map_err(|e| e.to_string())?;
    if case.params["options"]["language"].is_null() {
        let found = recognizer.detect_language(&file, &[]).map_err(|e| e.to_string())?;
        options.window.language = window::likeliest(&found).ok_or("no language")?.0.to_owned();
    }
    let found =
        recognizer.transcribe(&file, &options, &[], &mut chances(case), &mut Silent).map_err(|e| e.to_string())?;
    Ok(Got::new().value("result", as_json(&found, &options.window.language)))
}
