//! The reference's whole way, put together out of the plugin's parts.

use std::sync::MutexGuard;

use serde_json::{Value, json};
use syrinx_plugin_chattts::generate::Kind;
use syrinx_plugin_chattts::network::Synthesizer;
use syrinx_plugin_chattts::text::{Homophones, Language, NormalizeOptions, Normalizer, split};
use syrinx_plugin_common::kits::{Case, Got, Op};

use crate::{
    generate::{Call, Generated, Generator, Parameters, prompt_string, report},
    models::{locked, synthesizer, told},
    sound::{OwnedSteps, padded_waves},
    stream::{Slicing, decoded_lengths, reference_chunks},
};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    // How many samples are nearly zero depends on the last bit.
    Op::new("infer", infer).remarks(&["expect.stripped_lengths", "expect.max_abs_difference_stream_vs_full"]),
];

/// A parameter of the call, or the reference's default.
fn flag(case: &Case, name: &str, default: bool) -> bool {
    case.params.get(name).and_then(Value::as_bool).unwrap_or(default)
}

/// A wave per row, filled up to the same length: shape and samples.
type Waves = (Vec<usize>, Vec<f32>);

fn infer(case: &Case) -> Result<Got, String> {
    let split_text = flag(case, "split_text", true);
    let texts: Vec<String> = match case.params.get("text") {
        Some(Value::String(text)) if split_text => split(text),
        Some(Value::String(text)) => vec![text.clone()],
        _ => case.param("text")?,
    };
    let normalized = normalized(case, &texts)?;
    let mut generator = Generator::new(case)?;
    let mut got = Got::new().value("parts", &texts).value("normalized", &normalized);
    let mut spoken = normalized;
    if !flag(case, "skip_refine_text", false) {
        let rows = generator.text(&spoken, &case.param("refine")?)?;
        spoken = rows.iter().map(|row| generator.refined(row)).collect::<Result<_, _>>()?;
        got = got.value("refined", &spoken);
        if flag(case, "refine_text_only", false) {
            let got = got.value("text", if split_text { json!(spoken.join("\n")) } else { json!(spoken) });
            return Ok(calls(case, got, &generator));
        }
    }
    let synthesizer = synthesizer(case)?;
    let synthesizer = locked(&synthesizer);
    let mut parameters: Parameters = case.param("code")?;
    let mut waves: Vec<Waves> = Vec::new();
    if split_text && spoken.len() > 1 && parameters.spk_smp.is_none() {
        let first = generator.code(&spoken[..1], &parameters)?;
        let wave = decode(case, &first, &synthesizer)?;
        let codes = told(told(synthesizer.dvae())?.encode(&wave.1))?;
        parameters.spk_smp = Some(prompt_string(&codes, case.expect.get("spk_smp_after"))?);
        parameters.txt_smp = Some(spoken[0].clone());
        waves.push(wave);
    }
    let batch = if split_text {
        case.params.get("max_split_batch").and_then(Value::as_u64).unwrap_or(4) as usize
    } else {
        spoken.len()
    };
    for texts in spoken.chunks(batch) {
        let rows = generator.code(texts, &parameters)?;
        if flag(case, "stream", false) {
            got = streamed(got, &rows, &parameters, &synthesizer)?;
        }
        waves.push(decode(case, &rows, &synthesizer)?);
    }
    got = got.value("decode_calls", waves.len());
    for (index, (shape, samples)) in waves.into_iter().enumerate() {
        if flag(case, "stream", false) {
            got = got.f32("out.full", &shape, samples);
        } else {
            got = got.f32(&format!("out.raw_wav.{index}"), &shape, samples);
        }
    }
    if case.expect.get("spk_smp_after").is_some() {
        got = got.value("spk_smp_after", &parameters.spk_smp).value("txt_smp_after", &parameters.txt_smp);
    }
    Ok(calls(case, got, &generator))
}

fn normalized(case: &Case, texts: &[String]) -> Result<Vec<String>, String> {
    let path = case.model_path()?.join("homophones_map.json");
    let normalizer = Normalizer::new(told(Homophones::load(&path))?);
    let language = case.params.get("lang").and_then(Value::as_str).and_then(Language::of);
    let options = NormalizeOptions {
        rules: flag(case, "do_text_normalization", true),
        reading: false,
        homophones: flag(case, "do_homophone_replacement", true),
        language,
    };
    Ok(texts.iter().map(|text| normalizer.normalize(text, options).text).collect())
}

fn decode(case: &Case, rows: &[Generated], synthesizer: &MutexGuard<'_, Synthesizer>) -> Result<Waves, String> {
    let use_decoder = flag(case, "use_decoder", true);
    let steps = |row: &Generated| match use_decoder {
        true => OwnedSteps::Hidden(row.hidden.clone()),
        false => OwnedSteps::Codes(row.tokens.clone()),
    };
    padded_waves(&rows.iter().map(steps).collect::<Vec<_>>(), synthesizer)
}

fn slicing(parameters: &Parameters) -> Slicing {
    Slicing {
        stream_batch: parameters.stream_batch.unwrap_or(24),
        stream_speed: parameters.stream_speed.unwrap_or(12_000),
        pass_first_n_batches: parameters.pass_first_n_batches.unwrap_or(2),
    }
}

fn streamed(got: Got, rows: &[Generated], parameters: &Parameters, synthesizer: &Synthesizer) -> Result<Got, String> {
    let longest = rows.iter().max_by_key(|row| row.tokens.len()).ok_or("there are no rows")?;
    let width = longest.hidden.len() / longest.tokens.len().max(1);
    let fill = |row: &Generated| {
        let mut hidden = row.hidden.clone();
        hidden.resize(longest.hidden.len(), 0.0);
        hidden
    };
    let filled: Vec<Vec<f32>> = rows.iter().map(fill).collect();
    let chunks = reference_chunks(synthesizer, &filled, width, longest.ended_by_token, slicing(parameters))?;
    let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk[0].len()).collect();
    let row = |index: usize| chunks.iter().flat_map(move |chunk| chunk[index].iter().copied());
    let samples: Vec<f32> = (0..rows.len()).flat_map(row).collect();
    let shape = [rows.len(), samples.len() / rows.len()];
    Ok(got.value("chunk_lengths", lengths).f32("out.stream", &shape, samples))
}

/// Adds the calls of `generate` and what they made.
fn calls(case: &Case, mut got: Got, generator: &Generator<'_>) -> Got {
    let mut described = Vec::new();
    for (number, call) in generator.calls.iter().enumerate() {
        let mut value = call.describe();
        value["lengths"] = json!(call.rows.iter().map(|row| row.tokens.len()).collect::<Vec<_>>());
        value["yields"] = json!(yields(case, call));
        described.push(value);
        for (index, row) in call.rows.iter().enumerate() {
            let name = format!("{number}.{index}");
            if case.tensors.contains_key(&format!("out.ids.{name}")) {
                got = report(got, row, call.kind, &name);
            }
        }
    }
    got.value("calls", described)
}

/// Lengths of the rows whenever the reference's generator gives something out.
fn yields(case: &Case, call: &Call) -> Vec<Vec<usize>> {
    let lengths = |at: usize| call.rows.iter().map(|row| row.tokens.len().min(at)).collect::<Vec<_>>();
    let longest = call.rows.iter().max_by_key(|row| row.tokens.len());
    let Some(longest) = longest.filter(|_| call.kind == Kind::Code && flag(case, "stream", false)) else {
        return vec![lengths(usize::MAX)];
    };
    let parameters: Parameters = case.param("code").unwrap_or_default();
    let batch = slicing(&parameters).stream_batch;
    decoded_lengths(longest.tokens.len(), longest.ended_by_token, batch).into_iter().map(lengths).collect()
}
