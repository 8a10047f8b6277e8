//! Streaming: what the plugin does, and what the reference does, on the plugin's networks.

use serde::Deserialize;
use syrinx_plugin_chattts::network::{MelState, Steps, Synthesizer, Utterance};
use syrinx_plugin_common::kits::{Case, Got, Op};

use crate::models::{GotTensor, locked, synthesizer, tensor, told};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    // Errors that were measured in float64 when the case was made.
    Op::new("stream.exact", exact).remarks(&["expect.finality_checks", "expect.dvae_windows", "expect.vocos_windows"]),
    Op::new("stream.reference", reference).remarks(&["expect.max_abs_error_against_full_decode", "expect.wav_max_abs"]),
    Op::new("stream.slice_rule", slice_rule),
    Op::new("post.strip", strip),
    Op::new("post.strip_columns", strip_columns),
    Op::new("post.float_to_int16", to_pcm),
];

fn exact(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let hidden = tensor(case, "in.hiddens")?;
    let mel = told(synthesizer.decoder().push(&mut MelState::default(), Some(&hidden.unsqueeze(0)), true))?;
    let arrival: usize = case.param("arrival_tokens")?;
    let flat = case.tensor("in.hiddens")?.to_f32();
    let width = hidden.size()[1] as usize;
    let groups: Vec<&[f32]> = flat.chunks(arrival * width).collect();
    let mut utterance = Utterance::default();
    let (mut emitted, mut samples) = (Vec::new(), Vec::new());
    for (index, group) in groups.iter().enumerate() {
        let is_last = index + 1 == groups.len();
        let part = told(synthesizer.push(&mut utterance, Steps::Hidden(group), is_last))?;
        emitted.push(part.len());
        samples.extend(part);
    }
    Ok(Got::new()
        .float("out.mel_full", &mel.ok_or("no frames came out")?)?
        .value("emitted_samples", emitted)
        .value("total_samples", samples.len())
        .f32("out.wav_full", &[1, samples.len()], samples))
}

/// How the reference streams.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Slicing {
    pub(crate) stream_batch: usize,
    pub(crate) stream_speed: usize,
    pub(crate) pass_first_n_batches: usize,
}

/// Lengths that the reference decodes: one per batch, once more at the end when that comes on a whole batch, and the final one.
pub(crate) fn decoded_lengths(tokens: usize, ended_by_eos: bool, stream_batch: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = (1..=tokens / stream_batch).map(|batch| batch * stream_batch).collect();
    if ended_by_eos && tokens > 0 && tokens.is_multiple_of(stream_batch) {
        lengths.push(tokens);
    }
    lengths.push(tokens);
    lengths
}

/// From where to where the results are sliced, and behind them the rest of the last one.
pub(crate) fn slices(samples: &[usize], slicing: Slicing) -> Vec<(usize, usize)> {
    let mut start = 0;
    let mut slices = Vec::new();
    for &length in samples.iter().skip(slicing.pass_first_n_batches) {
        let end = (start + slicing.stream_speed).min(length).max(start);
        slices.push((start, end));
        start = end;
    }
    slices.push((start, samples.last().map_or(start, |&length| length.max(start))));
    slices
}

/// Samples of so many steps.
fn samples_of(steps: usize) -> usize {
    (2 * steps).saturating_sub(1) * 256
}

fn slice_rule(case: &Case) -> Result<Got, String> {
    #[derive(Deserialize)]
    struct Run {
        tokens: usize,
        ended_by_eos: bool,
        #[serde(flatten)]
        slicing: Slicing,
    }
    let runs: Vec<Run> = case.param("runs")?;
    let slice = |run: &Run| {
        let lengths = decoded_lengths(run.tokens, run.ended_by_eos, run.slicing.stream_batch);
        let samples: Vec<usize> = lengths.iter().map(|&steps| samples_of(steps)).collect();
        slices(&samples, run.slicing)
    };
    Ok(Got::new().value("slices", runs.iter().map(slice).collect::<Vec<_>>()))
}

/// Columns that are near zero in no row.
pub(crate) fn strip_near_zero(rows: &[Vec<f32>], threshold: f32) -> Vec<Vec<f32>> {
    let columns = rows.first().map_or(0, Vec::len);
    let kept: Vec<usize> =
        (0..columns).filter(|&column| rows.iter().any(|row| row[column].abs() > threshold)).collect();
    rows.iter().map(|row| kept.iter().map(|&column| row[column]).collect()).collect()
}

/// The chunks of the reference for rows of steps that are filled up to the same length.
pub(crate) fn reference_chunks(
    synthesizer: &Synthesizer,
    rows: &[Vec<f32>],
    width: usize,
    ended_by_eos: bool,
    slicing: Slicing,
) -> Result<Vec<Vec<Vec<f32>>>, String> {
    let tokens = rows.first().map_or(0, Vec::len) / width;
    let lengths = decoded_lengths(tokens, ended_by_eos, slicing.stream_batch);
    let samples: Vec<usize> = lengths.iter().map(|&steps| samples_of(steps)).collect();
    let slices = slices(&samples, slicing);
    let results = lengths.iter().skip(slicing.pass_first_n_batches).chain(lengths.last());
    let mut chunks = Vec::new();
    for (index, (&steps, &(start, end))) in results.zip(&slices).enumerate() {
        let wave = |row: &Vec<f32>| {
            let steps = Steps::Hidden(&row[..steps * width]);
            told(synthesizer.push(&mut Utterance::default(), steps, true)).map(|wave| wave[start..end].to_vec())
        };
        let chunk = rows.iter().map(wave).collect::<Result<Vec<_>, _>>()?;
        let is_last = index + 1 == slices.len();
        chunks.push(if is_last { strip_near_zero(&chunk, THRESHOLD) } else { chunk });
    }
    Ok(chunks)
}

/// What the reference takes for silence.
pub(crate) const THRESHOLD: f32 = 1e-5;

fn reference(case: &Case) -> Result<Got, String> {
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let hidden = case.tensor("in.hiddens")?;
    let chunks = reference_chunks(&synthesizer, &[hidden.to_f32()], hidden.shape()[1], true, case.params()?)?;
    let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk[0].len()).collect();
    let wave: Vec<f32> = chunks.into_iter().flatten().flatten().collect();
    let total = samples_of(hidden.shape()[0]);
    Ok(Got::new().value("chunk_lengths", lengths).value("dropped_columns_in_last_chunk", total - wave.len()).f32(
        "out.wav",
        &[1, wave.len()],
        wave,
    ))
}

fn rows(case: &Case, name: &str) -> Result<Vec<Vec<f32>>, String> {
    let stored = case.tensor(name)?;
    let columns = stored.shape().last().copied().unwrap_or(1);
    Ok(stored.to_f32().chunks_exact(columns).map(<[f32]>::to_vec).collect())
}

fn strip(case: &Case) -> Result<Got, String> {
    let kept = strip_near_zero(&rows(case, "in.wav")?, case.param("threshold")?).concat();
    Ok(Got::new().value("kept", kept.len()).f32("out.wav", &[kept.len()], kept))
}

fn strip_columns(case: &Case) -> Result<Got, String> {
    let kept = strip_near_zero(&rows(case, "in.wavs")?, case.param("threshold")?);
    let columns = kept.first().map_or(0, Vec::len);
    Ok(Got::new().value("kept", columns).f32("out.wavs", &[kept.len(), columns], kept.concat()))
}

/// The example tools' conversion, with a gain for each chunk.
fn to_pcm(case: &Case) -> Result<Got, String> {
    const FULL: f64 = 32_768.0;
    let mut got = Got::new();
    for index in 0.. {
        let Ok(wave) = case.tensor(&format!("in.wav.{index}")) else { break };
        let peak = wave.to_f32().iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let gain = ((FULL - 1.0) * FULL / (f64::from(peak).ceil() * FULL)).floor() as f32;
        let pcm = wave.to_f32().iter().map(|sample| (sample * gain) as i64).collect();
        got = got.i64(&format!("out.pcm.{index}"), wave.shape(), pcm);
    }
    Ok(got)
}
