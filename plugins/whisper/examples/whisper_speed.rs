//! Speed of the network at the sizes of the large models, on random weights that are made in memory.
//!
//! `cargo run --release -p syrinx-plugin-whisper --features cuda --example whisper_speed -- [DEVICE [COMPUTE_TYPE [BACKEND [MODEL…]]]]`
//!
//! DEVICE, COMPUTE_TYPE and BACKEND are those of the launch options (`cpu`, `auto`, `auto`), MODEL is `large-v3`, `large-v3-turbo` (both by
//! default), `base` or `tiny`. Prints milliseconds: the median of several runs after the warm-up.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use syrinx_plugin_whisper::model::{
    AudioFeatures, Batch, ComputeType, Feed, LoadOptions, ModelError, Place, Session, TokenModel as _, WhisperModel,
};
use syrinx_plugin_whisper::weights::{Dims, random};

/// Windows that are encoded, and sessions that are decoded, at a time.
const BATCHES: [usize; 2] = [1, 16];
/// Sequences of each session: greedy, and the default of the beam search.
const BEAMS: [usize; 2] = [1, 5];
/// Tokens before the steps that are measured: prompt and a sentence.
const PREFIX: usize = 64;
/// Steps that are measured.
const STEPS: usize = 32;
/// Encodings that are measured.
const ENCODINGS: usize = 5;

/// Sizes of an official model. Source: the dims in openai's checkpoints.
fn dims(name: &str) -> Result<Dims, String> {
    let (n_mels, d_model, encoder_layers, decoder_layers, n_vocab) = match name {
        "tiny" => (80, 384, 4, 4, 51_865),
        "base" => (80, 512, 6, 6, 51_865),
        "large-v3" => (128, 1280, 32, 32, 51_866),
        "large-v3-turbo" => (128, 1280, 32, 4, 51_866),
        _ => return Err(format!("model {name:?} is unknown: tiny, base, large-v3 and large-v3-turbo are known")),
    };
    let heads = d_model / 64;
    Ok(Dims {
        n_mels,
        n_audio_ctx: 1500,
        n_text_ctx: 448,
        d_model,
        encoder_heads: heads,
        decoder_heads: heads,
        encoder_layers,
        decoder_layers,
        n_vocab,
    })
}

/// Median of the milliseconds that `work` takes, over `times` runs.
fn median(times: usize, mut work: impl FnMut() -> Result<(), ModelError>) -> Result<f64, ModelError> {
    let mut taken = Vec::with_capacity(times);
    for _ in 0..times {
        let started = Instant::now();
        work()?;
        taken.push(started.elapsed().as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken[times / 2])
}

/// Features of so many windows; the last number of each has been fetched, so that the device is done.
fn encode(model: &WhisperModel, mel: &[f32], count: usize) -> Result<Vec<Arc<AudioFeatures>>, ModelError> {
    let audio = model.encode_all(&vec![mel; count])?;
    if let Some(last) = audio.last() {
        last.hidden()?;
    }
    Ok(audio)
}

/// Milliseconds of a step of sessions with so many beams each.
fn step(model: &WhisperModel, audio: &[Arc<AudioFeatures>], beams: usize) -> Result<f64, ModelError> {
    let mut sessions: Vec<Session> = audio.iter().map(|audio| model.session(audio)).collect();
    let mut logits = vec![Vec::new(); sessions.len()];
    let mut batch = Batch::default();
    let mut feed = |sessions: &mut [Session], tokens: &[u32], position: usize| {
        let positions = &[position];
        let feeds = sessions.iter_mut().zip(&mut logits);
        let mut feeds: Vec<Feed<'_>> =
            feeds.map(|(session, logits)| Feed { session, tokens, positions, logits }).collect();
        batch.forward(model, &mut feeds)
    };
    feed(&mut sessions, &[1; PREFIX], PREFIX - 1)?;
    for session in &mut sessions {
        session.reorder(&vec![0; beams])?;
    }
    let tokens = vec![2; beams];
    feed(&mut sessions, &tokens, 0)?;
    median(STEPS, || feed(&mut sessions, &tokens, 0))
}

fn measure(name: &str, options: &LoadOptions) -> Result<(), Box<dyn Error>> {
    let weights = random::weights(dims(name)?, 1);
    let started = Instant::now();
    let model = WhisperModel::new(weights, options)?;
    let loaded = started.elapsed();
    model.warm_up()?;
    let warm = started.elapsed() - loaded;
    println!(
        "{name} in {} on {} ({:?}): onto the device {:.1} s, warm-up {:.1} s",
        model.compute_type(),
        model.place().device(),
        model.place(),
        loaded.as_secs_f64(),
        warm.as_secs_f64()
    );
    let mel = random::numbers(2, model.dims().n_mels * 3000);
    for count in BATCHES {
        encode(&model, &mel, count)?;
        let all = median(ENCODINGS, || encode(&model, &mel, count).map(drop))?;
        println!("  encoder, {count:2} windows: {all:9.2} ms, {:8.2} ms per window", all / count as f64);
        let audio = encode(&model, &mel, count)?;
        for beams in BEAMS {
            let step = step(&model, &audio, beams)?;
            println!(
                "  decode step, {count:2} windows of {beams} beams: {step:8.3} ms, {:8.3} ms per window",
                step / count as f64
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize| arguments.get(index).map(String::as_str);
    let place = Place::find(argument(0), argument(2))?;
    let compute_type = ComputeType::find(argument(1), place)?;
    let options = LoadOptions { compute_type, place, ..LoadOptions::default() };
    let named = arguments.get(3..).unwrap_or_default();
    let models =
        if named.is_empty() { vec!["large-v3".to_owned(), "large-v3-turbo".to_owned()] } else { named.to_vec() };
    models.iter().try_for_each(|model| measure(model, &options))
}
