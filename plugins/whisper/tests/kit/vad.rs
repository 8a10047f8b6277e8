//! Voice activity.

use std::ops::Range;

use serde::Deserialize;
use serde_json::json;
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::sound::Sound;
use syrinx_plugin_whisper::vad::{self, Silero, TimeMap, VadOptions};

use crate::{audio, models};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[Op::new("vad.timestamps", timestamps), Op::new("vad.probs", probabilities)];

#[derive(Deserialize, Default)]
#[serde(default)]
struct KitOptions {
    threshold: Option<f64>,
    neg_threshold: Option<f64>,
    min_speech_duration_ms: Option<f64>,
    max_speech_duration_s: Option<f64>,
    min_silence_duration_ms: Option<f64>,
    speech_pad_ms: Option<f64>,
}

fn timestamps(case: &Case) -> Result<Got, String> {
    let given: KitOptions = case.param("options")?;
    let defaults = VadOptions::default();
    let options = VadOptions {
        threshold: given.threshold.unwrap_or(defaults.threshold),
        neg_threshold: given.neg_threshold,
        min_speech_duration_ms: given.min_speech_duration_ms.unwrap_or(defaults.min_speech_duration_ms),
        max_speech_duration_s: given.max_speech_duration_s.unwrap_or(defaults.max_speech_duration_s),
        min_silence_duration_ms: given.min_silence_duration_ms.unwrap_or(defaults.min_silence_duration_ms),
        speech_pad_ms: given.speech_pad_ms.unwrap_or(defaults.speech_pad_ms),
    };
    let found = vad::speech(&case.tensor("in.probs")?.to_f32(), case.param("n_samples")?, &options);
    let max: Option<f64> = case.param("collect_max_duration")?;
    let collected = vad::join(&found, max.unwrap_or(f64::INFINITY)).into_iter().map(|piece| {
        json!({
            "n": piece.stretches.iter().map(Range::len).sum::<usize>(),
            // The samples of the mock audio are their own numbers.
            "first": piece.stretches.first().map(|stretch| stretch.start as f64),
            "offset": piece.offset,
            "duration": piece.duration,
        })
    });
    let times: Vec<f64> = case.param("map_times")?;
    let map = TimeMap::new(&found);
    // Without speech there is nothing to map.
    let mapped =
        |is_end| (!found.is_empty()).then(|| times.iter().map(|time| map.original(*time, is_end)).collect::<Vec<_>>());
    Ok(Got::new()
        .value("chunks", found.iter().map(|s| json!({"start": s.start, "end": s.end})).collect::<Vec<_>>())
        .value("collected", collected.collect::<Vec<_>>())
        .value("mapped", mapped(false))
        .value("mapped_end", mapped(true)))
}

fn probabilities(case: &Case) -> Result<Got, String> {
    let file: String = case.param("file")?;
    let name = file.rsplit('/').next().unwrap_or(&file);
    let silero = Silero::load(&models::voice_activity()?.join(name)).map_err(|e| e.to_string())?;
    let samples = audio::clips(case)?;
    let found = silero.probabilities(&Sound::whole(&samples), &|| false).ok_or("it was stopped")?;
    let chunks = |options: &VadOptions| {
        let stretches = vad::speech(&found, samples.len(), options).into_iter();
        stretches.map(|s| json!({"start": s.start, "end": s.end})).collect::<Vec<_>>()
    };
    // What the case's second list was made with.
    let short = VadOptions { min_silence_duration_ms: 500.0, speech_pad_ms: 100.0, ..VadOptions::default() };
    Ok(Got::new()
        .value("n_frames", found.len())
        .value("chunks", chunks(&VadOptions::default()))
        .value("chunks_500ms", chunks(&short))
        .f32("out.probs", &[found.len()], found.clone()))
}
