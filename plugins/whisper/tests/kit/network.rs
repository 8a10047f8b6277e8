//! Ops on the network: encoder, decoder, CTranslate2 files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use syrinx_plugin_common::checkpoint::ctranslate2::{Header, quantize_int8};
use syrinx_plugin_common::checkpoint::{DType, Tensors};
use syrinx_plugin_common::kits::{Case, Got, Op, Tensor};
use syrinx_plugin_whisper::frontend::WINDOW_FRAMES;
use syrinx_plugin_whisper::model::{AudioFeatures, LoadOptions, TokenModel, WhisperModel};

use crate::{audio, models};

pub(crate) const OPS: &[Op] = &[
    Op::new("encoder.forward", encoder),
    Op::new("encoder.forward_audio", encoder_audio),
    Op::new("decoder.forward", decoder),
    Op::new("decoder.forward_audio", decoder_audio).remarks(&["out.top_ids"]),
    Op::new("decoder.cached", cached),
    Op::new("decoder.detect_language", detect_language).remarks(&["expect.codes"]),
    Op::new("ct2.read", read_ct2),
    Op::new("ct2.quantize_int8", quantize),
];

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The network of the case's model, loaded once.
pub(crate) fn model(case: &Case) -> Result<Arc<WhisperModel>, String> {
    static LOADED: LazyLock<Mutex<BTreeMap<PathBuf, Arc<WhisperModel>>>> = LazyLock::new(Mutex::default);
    let dir = models::dir(case)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(model) = loaded.get(&dir) {
        return Ok(Arc::clone(model));
    }
    let options = LoadOptions { place: *crate::PLACE, ..LoadOptions::default() };
    let model = Arc::new(WhisperModel::load(&dir, &options).map_err(text)?);
    loaded.insert(dir, Arc::clone(&model));
    Ok(model)
}

/// The features of the window that the case describes.
pub(crate) fn features(case: &Case, model: &WhisperModel) -> Result<Arc<AudioFeatures>, String> {
    let mode: String = case.param("mel_mode")?;
    let (mel, _) = audio::window(&audio::clips(case)?, &mode, model.dims().n_mels)?;
    model.encode(&mel).map_err(text)
}

fn usizes(tensor: &Tensor) -> Result<Vec<usize>, String> {
    Ok(tensor.to_i64()?.into_iter().map(|v| v as usize).collect())
}

fn tokens(tensor: &Tensor) -> Result<Vec<u32>, String> {
    Ok(tensor.to_i64()?.into_iter().map(|v| v as u32).collect())
}

fn encoder(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    let mel = case.tensor("in.mel")?;
    let (values, frames) = (mel.to_f32(), mel.shape()[1]);
    let mut window = vec![0.0; mel.shape()[0] * WINDOW_FRAMES];
    for (row, values) in window.chunks_exact_mut(WINDOW_FRAMES).zip(values.chunks_exact(frames)) {
        row[..frames].copy_from_slice(values);
    }
    let features = model.encode(&window).map_err(text)?;
    hidden(case, &model, &features)
}

fn encoder_audio(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    let features = features(case, &model)?;
    let d = model.dims().d_model;
    let all = features.hidden().map_err(text)?;
    let frames = all.len() / d;
    let (mut means, mut deviations) = (vec![0.0_f32; d], vec![0.0_f32; d]);
    for c in 0..d {
        let column = || all.iter().skip(c).step_by(d).map(|&v| f64::from(v));
        let mean = column().sum::<f64>() / frames as f64;
        means[c] = mean as f32;
        deviations[c] = (column().map(|v| (v - mean).powi(2)).sum::<f64>() / (frames - 1) as f64).sqrt() as f32;
    }
    Ok(hidden(case, &model, &features)?.f32("out.col_mean", &[d], means).f32("out.col_std", &[d], deviations))
}

fn hidden(case: &Case, model: &WhisperModel, features: &AudioFeatures) -> Result<Got, String> {
    let d = model.dims().d_model;
    let rows = usizes(case.tensor("in.rows")?)?;
    let hidden = features.hidden().map_err(text)?;
    let values: Vec<f32> = rows.iter().flat_map(|row| &hidden[row * d..(row + 1) * d]).copied().collect();
    let all: Vec<f64> = hidden.iter().map(|&v| f64::from(v)).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (all.len() - 1) as f64;
    Ok(Got::new()
        .f32("out.hidden", &[rows.len(), d], values)
        .value("mean", mean)
        .value("std", variance.sqrt())
        .value("absmax", all.iter().fold(0.0_f64, |peak, v| peak.max(v.abs()))))
}

/// One item of `in.audio_features`, `[batch, frames, d]`.
fn given_features(case: &Case, model: &WhisperModel, item: usize) -> Result<Arc<AudioFeatures>, String> {
    let given = case.tensor("in.audio_features")?;
    let size: usize = given.shape()[1..].iter().product();
    model.features(given.to_f32()[item * size..(item + 1) * size].to_vec()).map_err(text)
}

fn log_sum_exp(row: &[f32]) -> f32 {
    let peak = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&v| f64::from(v - peak).exp()).sum();
    (f64::from(peak) + sum.ln()) as f32
}

fn argmax(row: &[f32]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

fn decoder(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    let (batch, length) = (case.tensor("in.tokens")?.shape()[0], case.tensor("in.tokens")?.shape()[1]);
    let (fed, columns) = (tokens(case.tensor("in.tokens")?)?, usizes(case.tensor("in.cols")?)?);
    let (mut chosen, mut sums, mut best) = (Vec::new(), Vec::new(), Vec::new());
    let mut got = Got::new();
    for item in 0..batch {
        let audio = given_features(case, &model, item)?;
        let heads: Vec<(usize, usize)> = (0..model.dims().decoder_layers)
            .flat_map(|l| (0..model.dims().decoder_heads).map(move |h| (l, h)))
            .collect();
        let found = model.cross_attention(&audio, &fed[item * length..(item + 1) * length], &heads).map_err(text)?;
        for row in found.logits.chunks_exact(model.dims().n_vocab) {
            chosen.extend(columns.iter().map(|&c| row[c]));
            sums.push(log_sum_exp(row));
        }
        best.push(found.logits.chunks_exact(model.dims().n_vocab).map(argmax).collect::<Vec<_>>());
        if item == 0 {
            let size = model.dims().decoder_heads * length * found.frames;
            for (layer, scores) in found.scores.chunks_exact(size).enumerate() {
                got = got.f32(
                    &format!("mid.cross_qk{layer}"),
                    &[1, model.dims().decoder_heads, length, found.frames],
                    scores.to_vec(),
                );
            }
        }
    }
    Ok(got
        .f32("out.logits_cols", &[batch, length, columns.len()], chosen)
        .f32("out.logsumexp", &[batch, length], sums)
        .value("argmax", best))
}

fn decoder_audio(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    let audio = features(case, &model)?;
    let fed = tokens(case.tensor("in.tokens")?)?;
    let ids = case.tensor("out.top_ids")?;
    let top = ids.shape()[1];
    let mut logits = Vec::new();
    model.session(&audio).forward(&fed, &(0..fed.len()).collect::<Vec<_>>(), &mut logits).map_err(text)?;
    let rows: Vec<&[f32]> = logits.chunks_exact(model.dims().n_vocab).collect();
    let values =
        rows.iter().zip(usizes(ids)?.chunks_exact(top)).flat_map(|(row, ids)| ids.iter().map(|&id| row[id])).collect();
    Ok(Got::new()
        .f32("out.top_values", &[fed.len(), top], values)
        .f32("out.logsumexp", &[fed.len()], rows.iter().map(|row| log_sum_exp(row)).collect())
        .value("argmax", rows.iter().map(|row| argmax(row)).collect::<Vec<_>>()))
}

fn cached(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    // Both rows hear the same; a session has one audio.
    let audio = given_features(case, &model, 0)?;
    let columns = usizes(case.tensor("in.cols")?)?;
    let (prefill, steps) = (case.tensor("in.prefill")?, case.tensor("in.steps")?);
    let (beams, length) = (prefill.shape()[0], prefill.shape()[1]);
    let reorder: BTreeMap<String, Vec<usize>> = case.param("reorder")?;
    let mut session = model.session(&audio);
    session.reorder(&vec![0; beams]).map_err(text)?;
    let (mut chosen, mut sums, mut logits) = (Vec::new(), Vec::new(), Vec::new());
    let mut keep = |logits: &[f32]| {
        for row in logits.chunks_exact(model.dims().n_vocab) {
            chosen.extend(columns.iter().map(|&c| row[c]));
            sums.push(log_sum_exp(row));
        }
    };
    session.forward(&tokens(prefill)?, &[length - 1], &mut logits).map_err(text)?;
    keep(&logits);
    for (step, fed) in tokens(steps)?.chunks_exact(beams).enumerate() {
        if let Some(source) = reorder.get(&step.to_string()) {
            session.reorder(source).map_err(text)?;
        }
        session.forward(fed, &[0], &mut logits).map_err(text)?;
        keep(&logits);
    }
    let rows = 1 + steps.shape()[0];
    Ok(Got::new().f32("out.logits_cols", &[rows, beams, columns.len()], chosen).f32(
        "out.logsumexp",
        &[rows, beams],
        sums,
    ))
}

fn detect_language(case: &Case) -> Result<Got, String> {
    let model = model(case)?;
    let tokenizer = models::tokenizer(case)?;
    let audio = features(case, &model)?;
    let mut logits = Vec::new();
    model.session(&audio).forward(&[tokenizer.specials().sot], &[0], &mut logits).map_err(text)?;
    let codes: Vec<String> = serde_json::from_value(case.expect["codes"].clone()).map_err(text)?;
    let ids: Vec<usize> = codes
        .iter()
        .map(|code| {
            tokenizer.language_token(code).map(|id| id as usize).ok_or_else(|| format!("no token for language {code}"))
        })
        .collect::<Result<_, _>>()?;
    let chosen: Vec<f32> = ids.iter().map(|&id| logits[id]).collect();
    let total = log_sum_exp(&chosen);
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by(|&a, &b| chosen[b].total_cmp(&chosen[a]));
    Ok(Got::new()
        .f32("out.probs", &[ids.len()], chosen.iter().map(|v| (v - total).exp()).collect())
        .value("token", ids[order[0]])
        .value("top", order.iter().take(5).map(|&i| &codes[i]).collect::<Vec<_>>()))
}

fn read_ct2(case: &Case) -> Result<Got, String> {
    let path = models::dir(case)?.join("model.bin");
    let header = Header::read(&path).map_err(text)?;
    let tensors = Tensors::ctranslate2(&path).map_err(text)?;
    let mut variables = Vec::new();
    for variable in &header.variables {
        let view = tensors.get(&variable.name).map_err(text)?;
        let bytes = view.bytes().ok_or("a variable has gaps")?;
        let hash: String = Sha256::digest(bytes).iter().take(8).map(|b| format!("{b:02x}")).collect();
        let mut entry = json!({
            "name": variable.name, "shape": variable.shape, "dtype": variable.dtype.to_string(),
            "bytes": variable.bytes, "offset": variable.offset, "sha256_16": hash,
        });
        if variable.shape.is_empty() {
            let value = tensors.scalar(&variable.name).ok_or("a scalar is missing")?;
            let is_integer = matches!(variable.dtype, DType::I8 | DType::I16 | DType::I32);
            entry["value"] = if is_integer { Value::from(value as i64) } else { Value::from(value) };
        }
        variables.push(entry);
    }
    Ok(Got::new()
        .value("version", header.version)
        .value("spec", header.spec)
        .value("revision", header.revision)
        .value("aliases", header.aliases)
        .value("variables", variables))
}

fn quantize(case: &Case) -> Result<Got, String> {
    let weight = case.tensor("in.weight")?;
    let (q, scale) = quantize_int8(&weight.to_f32(), weight.shape()[1..].iter().product());
    Ok(Got::new().i64("out.q", weight.shape(), q.into_iter().map(i64::from).collect()).f32(
        "out.scale",
        &[scale.len()],
        scale,
    ))
}
