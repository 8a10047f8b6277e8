//! Official graphs as they are, and graphs made of torch checkpoints.

use std::sync::Arc;

use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_common::onnx::{Input, Session, TensorElementType};
use syrinx_plugin_funasr::accelerate;
use syrinx_plugin_funasr::asr::paraformer::{predict, upsampled};
use syrinx_plugin_funasr::config::{ModelConfig, RecognizerConfig};
use syrinx_plugin_funasr::network::add_positions;
use syrinx_plugin_funasr::network::paraformer::Checkpoint;
use syrinx_plugin_funasr::speakers::embedder::Embedder;

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("graph.run", graph),
    Op::new("torch.encoder", encoder),
    Op::new("torch.predictor", predictor),
    Op::new("torch.upsample_timestamp", upsample),
    Op::new("torch.decoder", decoder),
    Op::new("torch.campplus", campplus),
];

/// What a case gives to an input, in the types that there are.
struct Given<'a> {
    name: &'a str,
    shape: &'a [usize],
    floats: Vec<f32>,
    integers: Vec<i32>,
    element: Option<TensorElementType>,
}

fn graph(case: &Case) -> Result<Got, String> {
    let path = models::own(case)?.directory().join(case.param::<String>("file")?);
    let session =
        accelerate::session(&models::runtime()?, &path, None, &models::options()).map_err(|error| error.to_string())?;
    let given: Vec<Given<'_>> = session
        .inputs()
        .iter()
        .map(|port| {
            let tensor = case.tensor(&format!("in.{}", port.name))?;
            let integers = tensor.to_i64().unwrap_or_default().into_iter().map(|value| value as i32).collect();
            let (name, shape, floats) = (port.name.as_str(), tensor.shape(), tensor.to_f32());
            Ok(Given { name, shape, floats, integers, element: port.element })
        })
        .collect::<Result<_, String>>()?;
    let inputs: Vec<(&str, Input<'_>)> = given
        .iter()
        .map(|given| match given.element {
            Some(TensorElementType::Int32) => (given.name, Input::I32 { shape: given.shape, data: &given.integers }),
            _ => (given.name, Input::F32 { shape: given.shape, data: &given.floats }),
        })
        .collect();
    let names: Vec<String> = case.param("outputs")?;
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let outputs = session.run(&inputs, &wanted).map_err(|error| error.to_string())?;
    let mut got = Got::new();
    for name in &wanted {
        let shape = outputs.shape(name).map_err(|error| error.to_string())?;
        let full = format!("out.{name}");
        got = got.value(&format!("{name}.shape"), &shape);
        got = match outputs.f32(name) {
            Ok(values) => got.f32(&full, &shape, values.to_vec()),
            Err(_) => got.i64(&full, &shape, outputs.integers(name).map_err(|error| error.to_string())?),
        };
    }
    Ok(got)
}

/// A checkpoint, its settings, and a graph of it.
fn made(
    case: &Case,
    graph: impl FnOnce(
        &Checkpoint,
        &ModelConfig<RecognizerConfig>,
    ) -> Result<Vec<u8>, syrinx_plugin_common::checkpoint::CheckpointError>,
) -> Result<(Checkpoint, ModelConfig<RecognizerConfig>, Session), String> {
    let files = models::own(case)?;
    let path = files.checkpoint().ok_or("the model has no checkpoint")?;
    let checkpoint = Checkpoint::open(&path).map_err(|error| error.to_string())?;
    let config = files.config().map_err(|error| error.to_string())?;
    let model = graph(&checkpoint, &config).map_err(|error| error.to_string())?;
    let session = accelerate::session(&models::runtime()?, &path, Some(&model), &models::options())
        .map_err(|error| error.to_string())?;
    Ok((checkpoint, config, session))
}

fn encoder(case: &Case) -> Result<Got, String> {
    let (checkpoint, _, session) = made(case, Checkpoint::encoder_graph)?;
    let speech = case.tensor("in.speech")?;
    let dim = speech.shape()[2];
    let mut values = speech.to_f32();
    add_positions(&mut values, dim, checkpoint.d_model);
    let mask = vec![1.0; speech.shape()[1]];
    let inputs = [
        ("speech", Input::F32 { shape: speech.shape(), data: &values }),
        ("mask", Input::F32 { shape: &speech.shape()[..2], data: &mask }),
    ];
    let outputs = session.run(&inputs, &["encoder_out"]).map_err(|error| error.to_string())?;
    let shape = outputs.shape("encoder_out").map_err(|error| error.to_string())?;
    let out = outputs.f32("encoder_out").map_err(|error| error.to_string())?.to_vec();
    Ok(Got::new().f32("out.encoder_out", &shape, out))
}

fn predictor(case: &Case) -> Result<Got, String> {
    let (checkpoint, config, session) = made(case, |model, config| model.predictor_graph(&config.predictor_conf))?;
    let encoded = case.tensor("in.encoder_out")?;
    let values = encoded.to_f32();
    let inputs = [("encoder_out", Input::F32 { shape: encoded.shape(), data: &values })];
    let outputs = session.run(&inputs, &["alphas"]).map_err(|error| error.to_string())?;
    let raw = outputs.f32("alphas").map_err(|error| error.to_string())?;
    let width = checkpoint.d_model;
    let length = case.tensor("in.lens")?.to_i64()?[0] as usize;
    let found = predict(&config.predictor_conf, &values, width, raw, length, checkpoint.kind.has_timestamps);
    Ok(Got::new()
        .value("token_num", [found.count as f64])
        .f32("out.acoustic_embeds", &[1, found.count, width], found.tokens)
        .f32("out.alphas", &[1, found.alphas.len()], found.alphas.clone())
        .f32("out.cif_peak", &[1, found.peaks.len()], found.peaks))
}

fn upsample(case: &Case) -> Result<Got, String> {
    let (_, config, session) = made(case, |model, config| model.predictor_graph(&config.predictor_conf))?;
    let encoded = case.tensor("in.encoder_out")?;
    let values = encoded.to_f32();
    let inputs = [("encoder_out", Input::F32 { shape: encoded.shape(), data: &values })];
    let outputs = session.run(&inputs, &["us_alphas"]).map_err(|error| error.to_string())?;
    let raw = outputs.f32("us_alphas").map_err(|error| error.to_string())?;
    let tokens = case.tensor("in.token_num")?.to_i64()?[0] as usize;
    let found = upsampled(&config.predictor_conf, raw, tokens);
    Ok(Got::new().f32("out.us_alphas", &[1, found.alphas.len()], found.alphas).f32(
        "out.us_cif_peak",
        &[1, found.peaks.len()],
        found.peaks,
    ))
}

fn decoder(case: &Case) -> Result<Got, String> {
    let (_, _, session) = made(case, Checkpoint::decoder_graph)?;
    let (embeds, encoded) = (case.tensor("in.acoustic_embeds")?, case.tensor("in.encoder_out")?);
    let (embed_values, encoded_values) = (embeds.to_f32(), encoded.to_f32());
    let (tokens, frames) = (embeds.shape()[1], encoded.shape()[1]);
    let (token_mask, mask) = (vec![1.0; tokens], vec![1.0; frames]);
    let inputs = [
        ("acoustic_embeds", Input::F32 { shape: embeds.shape(), data: &embed_values }),
        ("token_mask", Input::F32 { shape: &[1, tokens], data: &token_mask }),
        ("encoder_out", Input::F32 { shape: encoded.shape(), data: &encoded_values }),
        ("mask", Input::F32 { shape: &[1, frames], data: &mask }),
    ];
    let outputs = session.run(&inputs, &["logits"]).map_err(|error| error.to_string())?;
    let shape = outputs.shape("logits").map_err(|error| error.to_string())?;
    let mut logits = outputs.f32("logits").map_err(|error| error.to_string())?.to_vec();
    // The case has log probabilities.
    for row in logits.chunks_exact_mut(shape[2]) {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let norm = most + row.iter().map(|value| (value - most).exp()).sum::<f32>().ln();
        row.iter_mut().for_each(|value| *value -= norm);
    }
    Ok(Got::new().f32("out.logits", &shape, logits))
}

/// The kit's speaker encoder, of its checkpoint.
pub(crate) fn embedder(case: &Case, name: &str) -> Result<Arc<Embedder>, String> {
    models::cached(&models::files(case, name)?, "speakers", |runtime, files| {
        Embedder::load(runtime, files, &models::options())
    })
}

fn campplus(case: &Case) -> Result<Got, String> {
    let embedder = embedder(case, case.model.as_deref().unwrap_or_default())?;
    let feature = case.tensor("in.feature")?;
    let count = feature.shape()[0];
    let out = embedder.embed_features(&feature.to_f32(), count).map_err(|error| error.to_string())?;
    Ok(Got::new().f32("out.embedding", &[count, out.len() / count], out))
}
