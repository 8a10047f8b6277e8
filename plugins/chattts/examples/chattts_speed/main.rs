//! Speed at the official sizes, on random weights that are written into a directory of the user's choice (1.1 GB).
//!
//! `cargo xtask plugin chattts --example chattts_speed -- DIR [--device cpu] [--dtype bfloat16,float32] [--rows 1,4] [--steps 100] [--threads N]`
//!
//! Prints steps per second of all rows together (a step is 21.3 ms of sound), and how many seconds of sound decoder and vocoder make in a
//! second: an utterance at once, and in the pieces that streaming makes of it.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

mod checkpoint;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use syrinx_plugin_chattts::config::ModelFiles;
use syrinx_plugin_chattts::engine::{Batch, Prompt};
use syrinx_plugin_chattts::generate::{Filters, Kind, Row, Rules, Seeded};
use syrinx_plugin_chattts::network::{LanguageModel, Place, Precision, Steps, Synthesizer, Utterance};

/// Positions before the steps that are measured.
const PROMPT: usize = 40;
/// Steps before those that are measured.
const WARM_UP: usize = 5;
/// Steps of the utterance that is made to sound: 8.5 s.
const UTTERANCE: usize = 400;
/// Steps that streaming makes to sound at a time.
const STREAM_BATCH: usize = 24;
/// Seconds of a step.
const STEP: f64 = 512.0 / 24_000.0;

struct Options {
    dir: PathBuf,
    device: String,
    precisions: Vec<Precision>,
    rows: Vec<usize>,
    steps: usize,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("the directory for the weights is missing")?.into();
    let mut options = Options {
        dir,
        device: "cpu".to_owned(),
        precisions: vec![Precision::Float32, Precision::BFloat16, Precision::Int8],
        rows: vec![1, 4],
        steps: 100,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--device" => options.device = value,
            "--dtype" => {
                let parse = |name: &str| Precision::parse(name).ok_or_else(|| format!("there is no dtype {name}"));
                options.precisions = value.split(',').map(parse).collect::<Result<_, _>>()?;
            }
            "--rows" => options.rows = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--steps" => options.steps = value.parse()?,
            "--threads" => tch::set_num_threads(value.parse()?),
            _ => return Err(format!("unknown argument {name}").into()),
        }
    }
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    checkpoint::write(&options.dir)?;
    let files = ModelFiles::open(&options.dir)?;
    for &precision in &options.precisions {
        let place = Place::find(Some(&options.device), Some(precision))?;
        let started = Instant::now();
        let model = LanguageModel::load(&files, place)?;
        println!("{} {precision}: loaded in {:.1} s", options.device, started.elapsed().as_secs_f64());
        for &rows in &options.rows {
            let (first, per_second) = generate(&model, rows, options.steps)?;
            println!(
                "  {rows:>2} rows: {per_second:>8.1} steps/s = {:.2} x real time; prompts of {PROMPT} in {:.1} ms each",
                per_second * STEP,
                first * 1e3
            );
        }
        drop(model);
        let synthesizer = Synthesizer::load(&files, place)?;
        for (name, batch) in [("at once", UTTERANCE), ("streamed", STREAM_BATCH)] {
            println!("  sound {name}: {:>8.1} x real time", sound(&synthesizer, batch)?);
        }
    }
    Ok(())
}

/// Seconds of a prompt, and steps per second.
fn generate(model: &LanguageModel, rows: usize, steps: usize) -> Result<(f64, f64), Box<dyn Error>> {
    let vocabulary = model.embed.vocabulary();
    let rules = Rules {
        kind: Kind::Code,
        filters: Filters { temperature: vec![0.3], top_p: Some(0.7), top_k: Some(20), repetition_penalty: 1.05 },
        min_new_token: usize::MAX,
        max_new_token: usize::MAX,
        end: vocabulary.end(),
        ensure_non_empty: true,
    };
    let mut batch = Batch::default();
    let started = Instant::now();
    for row in 0..rows {
        let entries = (0..PROMPT).map(|at| vocabulary.text((row * PROMPT + at) as i64)).collect();
        let chance = Seeded::new(1, row);
        batch.admit(
            model,
            row as u64,
            &Prompt { entries, speaker: None },
            Row::new(rules.clone(), Box::new(chance)),
        )?;
    }
    let first = started.elapsed().as_secs_f64() / rows as f64;
    for _ in 0..WARM_UP {
        batch.step(model)?;
    }
    let started = Instant::now();
    for _ in 0..steps {
        batch.step(model)?;
    }
    Ok((first, (rows * steps) as f64 / started.elapsed().as_secs_f64()))
}

/// Seconds of sound per second.
fn sound(synthesizer: &Synthesizer, batch: usize) -> Result<f64, Box<dyn Error>> {
    const RUNS: usize = 3;
    let width = synthesizer.decoder().width() as usize;
    let states: Vec<f32> = (0..UTTERANCE * width).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect();
    let mut fastest = f64::INFINITY;
    for _ in 0..RUNS {
        let started = Instant::now();
        let mut utterance = Utterance::default();
        let mut samples = 0;
        for (index, part) in states.chunks(batch * width).enumerate() {
            let is_last = (index + 1) * batch >= UTTERANCE;
            samples += synthesizer.push(&mut utterance, Steps::Hidden(part), is_last)?.len();
        }
        assert_eq!(samples, (2 * UTTERANCE - 1) * 256, "samples of the utterance");
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok(UTTERANCE as f64 * STEP / fastest)
}
