//! Audio and features.

use serde::Deserialize;
use serde_json::json;
use syrinx_plugin_common::dsp::{Fbank, FbankOptions, KaldiWindow, sinc_resample};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_funasr::config::RecognizerConfig;
use syrinx_plugin_funasr::frontend::cmvn::Cmvn;
use syrinx_plugin_funasr::frontend::online::OnlineFrontend;
use syrinx_plugin_funasr::frontend::{Frontend, lfr};

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("audio.resample", resample),
    Op::new("audio.downmix", downmix),
    Op::new("audio.pcm16_bytes", pcm16),
    Op::new("frontend.fbank", fbank),
    Op::new("spk.fbank", speaker_fbank),
    Op::new("frontend.lfr", stack),
    Op::new("frontend.load_cmvn", load_cmvn),
    Op::new("frontend.cmvn", cmvn),
    Op::new("frontend.feats", features),
    Op::new("frontend.online", online),
];

fn resample(case: &Case) -> Result<Got, String> {
    let audio = case.tensor("in.audio")?.to_f32();
    let out = sinc_resample(&audio, case.param("orig_sr")?, case.param("target_sr")?);
    Ok(Got::new().value("n", out.len()).f32("out.audio", &[out.len()], out))
}

/// What the server does to channels before samples reach a plugin.
fn downmix(case: &Case) -> Result<Got, String> {
    let audio = case.tensor("in.audio")?;
    let channels = audio.shape()[1];
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    let out: Vec<f32> = audio.to_f32().chunks_exact(channels).map(mean).collect();
    Ok(Got::new().f32("out.audio", &[out.len()], out))
}

fn pcm16(case: &Case) -> Result<Got, String> {
    let out = models::scaled(case, "in.pcm")?;
    Ok(Got::new().f32("out.audio", &[out.len()], out))
}

#[derive(Deserialize)]
struct FbankCase {
    window: String,
    n_mels: usize,
    #[serde(default = "frame_length")]
    frame_length_ms: f64,
    #[serde(default = "frame_shift")]
    frame_shift_ms: f64,
    scale: f32,
}

fn frame_length() -> f64 {
    25.0
}

fn frame_shift() -> f64 {
    10.0
}

fn bank(case: &Case) -> Result<Fbank, String> {
    let params: FbankCase = case.params()?;
    Ok(Fbank::new(&FbankOptions {
        sample_rate: 16_000,
        window: if params.window == "povey" { KaldiWindow::Povey } else { KaldiWindow::Hamming },
        n_mels: params.n_mels,
        frame_length_ms: params.frame_length_ms,
        frame_shift_ms: params.frame_shift_ms,
        scale: params.scale,
    }))
}

fn fbank(case: &Case) -> Result<Got, String> {
    let bank = bank(case)?;
    let out = bank.compute(&models::scaled(case, "in.audio")?);
    let frames = out.len() / bank.n_mels();
    Ok(Got::new().value("frames", frames).f32("out.fbank", &[frames, bank.n_mels()], out))
}

fn speaker_fbank(case: &Case) -> Result<Got, String> {
    let bank = bank(case)?;
    let out = syrinx_plugin_funasr::speakers::embedder::features(&bank, &models::scaled(case, "in.audio")?);
    let frames = out.len() / bank.n_mels();
    Ok(Got::new().value("frames", frames).f32("out.feat", &[frames, bank.n_mels()], out))
}

fn stack(case: &Case) -> Result<Got, String> {
    let (m, n): (usize, usize) = (case.param("lfr_m")?, case.param("lfr_n")?);
    let items: Vec<serde_json::Value> = case.param("items")?;
    let (mut got, mut frames) = (Got::new(), Vec::new());
    for i in 0..items.len() {
        let input = case.tensor(&format!("in.fbank{i}"))?;
        let dim = input.shape()[1];
        let out = lfr::stack(&input.to_f32(), dim, m, n);
        let rows = out.len() / (m * dim);
        frames.push(json!({ "frames": rows }));
        got = got.f32(&format!("out.lfr{i}"), &[rows, m * dim], out);
    }
    Ok(got.value("items", frames))
}

fn statistics(case: &Case) -> Result<Cmvn, String> {
    let path = models::own(case)?.need("statistics", "frontend_conf/cmvn_file", &["am.mvn"]);
    Cmvn::read(&path.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

fn load_cmvn(case: &Case) -> Result<Got, String> {
    let cmvn = statistics(case)?;
    let dim = cmvn.dim();
    let got = Got::new().value("dim", dim).f32("out.shift", &[dim], cmvn.shift().to_vec());
    Ok(got.f32("out.scale", &[dim], cmvn.scale().to_vec()))
}

fn cmvn(case: &Case) -> Result<Got, String> {
    let input = case.tensor("in.feats")?;
    let mut values = input.to_f32();
    statistics(case)?.apply(&mut values);
    Ok(Got::new().f32("out.feats", input.shape(), values))
}

fn front_end(case: &Case) -> Result<Frontend, String> {
    let files = models::own(case)?;
    let config = files.config::<RecognizerConfig>().map_err(|error| error.to_string())?;
    let cmvn = files.find("frontend_conf/cmvn_file", &["am.mvn"]);
    Frontend::load(&config.frontend_conf, cmvn.as_deref()).map_err(|error| error.to_string())
}

fn features(case: &Case) -> Result<Got, String> {
    let frontend = front_end(case)?;
    let mut utterances = Vec::new();
    while case.tensors.contains_key(&format!("in.audio{}", utterances.len())) {
        let samples = models::scaled(case, &format!("in.audio{}", utterances.len()))?;
        utterances.push(frontend.features(&samples));
    }
    let batch = syrinx_plugin_funasr::asr::batch::Batch::new(&utterances.iter().collect::<Vec<_>>());
    let lengths: Vec<i64> = batch.lengths.iter().map(|&length| length as i64).collect();
    let got = Got::new().value("lens", &lengths).i64("out.feats_lens", &[lengths.len()], lengths.clone());
    Ok(got.f32("out.feats", &[batch.len(), batch.frames, batch.dim], batch.data))
}

fn online(case: &Case) -> Result<Got, String> {
    let frontend = front_end(case)?;
    let samples = models::scaled(case, "in.audio")?;
    let chunks: Vec<usize> = case.param("chunks")?;
    let mut state = OnlineFrontend::new(&frontend);
    let (mut got, mut frames, mut aligned) = (Got::new(), Vec::new(), Vec::new());
    let mut rest = &samples[..];
    for (i, &length) in chunks.iter().enumerate() {
        let (chunk, after) = rest.split_at(length);
        rest = after;
        let block = state.push(chunk, i + 1 == chunks.len());
        let count = block.features.frames;
        if block.decibels.len() != count {
            return Err(format!("{} levels for {count} frames", block.decibels.len()));
        }
        frames.push(count);
        aligned.push(if count == 0 { 0 } else { (count - 1) * 160 + 400 });
        got = got.f32(&format!("out.feats{i}"), &[count, block.features.dim], block.features.data);
    }
    Ok(got.value("frames", frames).value("aligned_samples", aligned))
}
