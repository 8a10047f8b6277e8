//! Voice activity.

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_funasr::frontend::online::decibel;
use syrinx_plugin_funasr::vad::{Detector, EndSilence, SAMPLES_PER_MS, Vad, VadOptions};

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("vad.state_machine", state_machine).remarks(&["expect.funasr_onnx"]),
    Op::new("vad.decibel", decibels),
    Op::new("vad.generate", generate).remarks(&["expect.funasr_onnx"]),
    Op::new("vad.stream", stream),
];

/// The detector of a case's model.
pub(crate) fn detector(case: &Case, name: &str) -> Result<std::sync::Arc<Vad>, String> {
    models::cached(&models::files(case, name)?, "vad", |runtime, files| {
        Vad::load(runtime, files, false, &models::exact())
    })
}

/// How `generate` keywords choose the silence that ends speech: newer releases follow the schedule unless told otherwise.
pub(crate) fn end_silence(generate: &Value, options: &VadOptions) -> EndSilence {
    let fixed = generate.get("max_end_silence_time").and_then(Value::as_f64);
    let is_dynamic = generate.get("dynamic_silence").and_then(Value::as_bool).unwrap_or(fixed.is_none());
    match fixed {
        Some(ms) => EndSilence::Fixed(ms),
        None if is_dynamic => EndSilence::Scheduled,
        None => EndSilence::Fixed(options.max_end_silence_time),
    }
}

#[derive(Deserialize)]
struct Scripted {
    options: VadOptions,
    chunks: Vec<usize>,
    streaming: bool,
    max_end_silence_time: Option<f64>,
    speech_noise_thres: Option<f64>,
    max_end_silence_per_chunk: Option<Vec<f64>>,
}

fn state_machine(case: &Case) -> Result<Got, String> {
    let params: Scripted = case.params()?;
    let scores = case.tensor("in.sil_prob")?;
    let classes = scores.shape().get(1).copied().unwrap_or(1);
    let scores = scores.to_f32();
    let levels = case.tensor("in.decibel")?.to_f32();
    let silences = params.options.sil_pdf_ids.clone();
    let mut detector = Detector::new(params.options);
    if let Some(ms) = params.max_end_silence_time {
        detector.set_end_silence(ms);
    }
    if let Some(threshold) = params.speech_noise_thres {
        detector.set_speech_noise_threshold(threshold);
    }
    let mut frame = 0;
    let mut segments = Vec::new();
    for (i, &count) in params.chunks.iter().enumerate() {
        if let Some(ms) = params.max_end_silence_per_chunk.as_ref().and_then(|list| list.get(i)) {
            detector.set_end_silence(*ms);
        }
        for _ in 0..count {
            let row = &scores[frame * classes..(frame + 1) * classes];
            let silence = silences.iter().filter_map(|&class| row.get(class)).sum();
            frame += 1;
            detector.push(silence, levels[frame - 1], frame == levels.len());
        }
        let last = i + 1 == params.chunks.len();
        segments.push(if params.streaming { detector.events() } else { detector.complete(last) });
    }
    Ok(Got::new().value("segments", segments))
}

fn decibels(case: &Case) -> Result<Got, String> {
    let samples = models::scaled(case, "in.audio")?;
    let (frame, shift): (usize, usize) = (case.param("frame")?, case.param("shift")?);
    let out: Vec<f32> = samples.windows(frame).step_by(shift).map(decibel).collect();
    Ok(Got::new().f32("out.decibel", &[out.len()], out))
}

fn generate(case: &Case) -> Result<Got, String> {
    let vad = detector(case, case.model.as_deref().unwrap_or_default())?;
    let options = vad.options().clone();
    let end = end_silence(&case.param("generate")?, &options);
    let segments = vad.segments(&models::samples(case)?, options, end).map_err(|error| error.to_string())?;
    Ok(Got::new().value("segments", segments))
}

fn stream(case: &Case) -> Result<Got, String> {
    let vad = detector(case, case.model.as_deref().unwrap_or_default())?;
    let samples = models::samples(case)?;
    let chunk = case.param::<usize>("chunk_ms")? * SAMPLES_PER_MS;
    let mut stream = vad.listen(vad.options().clone(), EndSilence::Fixed(case.param("max_end_silence_time")?));
    let mut events = Vec::new();
    let count = samples.len().div_ceil(chunk);
    for (i, block) in samples.chunks(chunk).enumerate() {
        stream.push(block, i + 1 == count).map_err(|error| error.to_string())?;
        let found = stream.events();
        if !found.is_empty() {
            events.push(json!([i, found]));
        }
    }
    Ok(Got::new().value("events", events))
}
