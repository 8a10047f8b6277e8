//! Speakers.

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op, Tensor};
use syrinx_plugin_funasr::speakers::chunk::{self, CHUNK};
use syrinx_plugin_funasr::speakers::cluster::{cluster, merge_similar, renumbered, spectral};
use syrinx_plugin_funasr::speakers::turns::{Turn, speaker_of, turns};

use crate::{models, network};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("spk.chunk", chunks),
    Op::new("spk.embed", embed),
    Op::new("spk.cluster", clusters),
    Op::new("spk.merge_by_cos", merge),
    Op::new("spk.postprocess", postprocess),
    Op::new("spk.distribute", distribute),
];

#[derive(Deserialize)]
struct Stretch {
    start: f64,
    n_samples: usize,
}

fn chunks(case: &Case) -> Result<Got, String> {
    let items: Vec<Stretch> = case.param("items")?;
    let told = |chunk: &chunk::Chunk| {
        json!({
            "start": chunk.span[0], "end": chunk.span[1], "first_sample": chunk.samples.start,
            "valid": chunk.samples.len(), "len": CHUNK,
        })
    };
    let results: Vec<Vec<Value>> =
        items.iter().map(|item| chunk::cut(item.start, item.n_samples).iter().map(told).collect()).collect();
    Ok(Got::new().value("items", results))
}

fn embed(case: &Case) -> Result<Got, String> {
    let embedder = network::embedder(case, case.model.as_deref().unwrap_or_default())?;
    let samples = models::samples(case)?;
    let found = embedder.embed(&[&samples]).map_err(|error| error.to_string())?.concat();
    Ok(Got::new().f32("out.embedding", &[1, found.len()], found))
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_f32().chunks_exact(tensor.shape()[1]).map(<[f32]>::to_vec).collect()
}

fn clusters(case: &Case) -> Result<Got, String> {
    let embeddings = rows(case.tensor("in.embeddings")?);
    let labels = renumbered(&cluster(&embeddings, case.param("oracle_num")?));
    let count = |labels: &[usize]| labels.iter().max().map_or(0, |most| most + 1);
    let spectral = count(&spectral(&embeddings, case.param("oracle_num")?));
    Ok(Got::new().value("num_spk_final", count(&labels)).value("labels", labels).value("num_spk_spectral", spectral))
}

fn merge(case: &Case) -> Result<Got, String> {
    let embeddings = rows(case.tensor("in.embeddings")?);
    let labels = merge_similar(case.param("labels")?, &embeddings, case.param("cos_thr")?);
    Ok(Got::new().value("labels", labels))
}

#[derive(Deserialize)]
struct Labelled {
    segments: Vec<[f64; 2]>,
    labels: Vec<usize>,
}

fn postprocess(case: &Case) -> Result<Got, String> {
    let items: Vec<Labelled> = case.param("items")?;
    let told = |turn: &Turn| json!([turn.start, turn.end, turn.speaker]);
    let results: Vec<Vec<Value>> =
        items.iter().map(|item| turns(&item.segments, &item.labels).iter().map(told).collect()).collect();
    Ok(Got::new().value("items", results))
}

#[derive(Deserialize)]
struct Spoken {
    start: i64,
    end: i64,
}

#[derive(Deserialize)]
struct Distributed {
    sentences: Vec<Spoken>,
    turns: Vec<(f64, f64, usize)>,
}

fn distribute(case: &Case) -> Result<Got, String> {
    let items: Vec<Distributed> = case.param("items")?;
    let results: Vec<Vec<usize>> = items
        .iter()
        .map(|item| {
            let turns: Vec<Turn> =
                item.turns.iter().map(|&(start, end, speaker)| Turn { start, end, speaker }).collect();
            item.sentences.iter().map(|sentence| speaker_of(sentence.start, sentence.end, &turns)).collect()
        })
        .collect();
    Ok(Got::new().value("items", results))
}
