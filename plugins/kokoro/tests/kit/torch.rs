//! Cases of the torch network, stage by stage and as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_kokoro::chunk::{Token, chunk_english, chunk_text, phonemes_of};
use syrinx_plugin_kokoro::front_ends::FrontEnds;
use syrinx_plugin_kokoro::language::Language;
use syrinx_plugin_kokoro::network::{Device as Place, find_network};
use syrinx_plugin_kokoro::timestamps::join_timestamps;
use syrinx_plugin_kokoro::torch::stft::{Form, Stft};
use syrinx_plugin_kokoro::torch::{Harmonics, Noise, TorchNetwork, TorchOptions};
use syrinx_plugin_kokoro::vocab::{MAX_PHONEMES, Vocabulary};
use syrinx_plugin_kokoro::voices::{Voices, style_row};

use super::dequantise;

/// Points and hop of the transforms in every release (`gen_istft_n_fft`, `gen_istft_hop_size`).
const TRANSFORM: (usize, usize) = (20, 5);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn form(case: &Case) -> Result<Form, String> {
    let disable_complex: Option<bool> = case.param("disable_complex")?;
    Ok(if disable_complex.unwrap_or(false) { Form::Real } else { Form::Complex })
}

/// The case's checkpoint; it stays loaded for the cases that follow.
fn network(case: &Case) -> Result<Arc<TorchNetwork>, String> {
    type Loaded = BTreeMap<(PathBuf, bool), Arc<TorchNetwork>>;
    static LOADED: Mutex<Loaded> = Mutex::new(BTreeMap::new());
    let form = form(case)?;
    let is_dequantised = case.model.as_deref().is_some_and(|model| model.starts_with("dequantised:"));
    let directory = if is_dequantised { dequantise::checkpoint_directory()? } else { case.model_path()? };
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (directory, form == Form::Real);
    if let Some(network) = loaded.get(&key) {
        return Ok(Arc::clone(network));
    }
    let checkpoint = find_network(&key.0, None, Place::Cpu).map_err(text)?;
    let options = TorchOptions { form, device: device()?.clone(), ..TorchOptions::default() };
    let network = Arc::new(TorchNetwork::load(&checkpoint, options).map_err(text)?);
    loaded.insert(key, Arc::clone(&network));
    Ok(network)
}

/// Where the network runs: on the processor, or where `SYRINX_KIT_DEVICE` says, such as `cuda:0`.
fn device() -> Result<&'static Device, String> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let name = std::env::var("SYRINX_KIT_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
            name.parse::<Place>()?.candle().map_err(text)
        })
        .as_ref()
        .map_err(Clone::clone)
}

fn input(case: &Case, name: &str) -> Result<Tensor, String> {
    let tensor = case.tensor(name)?;
    Tensor::from_vec(tensor.to_f32(), tensor.shape(), device()?).map_err(text)
}

/// Adds a tensor to what was computed.
fn add(got: Got, name: &str, tensor: &Tensor) -> Result<Got, String> {
    let values = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1()).map_err(text)?;
    Ok(got.f32(name, tensor.dims(), values))
}

fn ids(case: &Case, network: &TorchNetwork) -> Result<(Tensor, Vec<usize>), String> {
    let ids = case.tensor("in.input_ids")?;
    let lengths: Option<Vec<usize>> = case.param("lengths")?;
    let batch = ids.shape().first().copied().unwrap_or(1);
    Ok((network.ids(&ids.to_i64()?, batch).map_err(text)?, lengths.unwrap_or_default()))
}

pub(crate) fn plbert(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let (ids, lengths) = ids(case, &network)?;
    let (hidden, d_en) = network.encode_prosody(&ids, &lengths).map_err(text)?;
    add(add(Got::new(), "out.last_hidden", &hidden)?, "out.d_en", &d_en)
}

pub(crate) fn text_encoder(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let (ids, lengths) = ids(case, &network)?;
    add(Got::new(), "out.t_en", &network.stages().1.forward(&ids, &lengths).map_err(text)?)
}

pub(crate) fn duration(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let (d_en, style) = (input(case, "in.d_en")?, input(case, "in.s")?);
    let durations = network.stages().2.durations(&d_en, &style, case.param("speed")?).map_err(text)?;
    let mut got = add(Got::new(), "out.d", &durations.d)?;
    got = add(got, "out.lstm", &durations.lstm)?;
    got = add(got, "out.dur_logits", &durations.logits)?;
    let count = durations.frames.len();
    Ok(got.f32("out.duration", &[1, count], durations.duration).value("pred_dur", &durations.frames).i64(
        "out.pred_dur",
        &[count],
        durations.frames,
    ))
}

pub(crate) fn align(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let frames = case.tensor("in.pred_dur")?.to_i64()?;
    let (en, asr) = network.align(&input(case, "in.d")?, &input(case, "in.t_en")?, &frames).map_err(text)?;
    add(add(Got::new(), "out.en", &en)?, "out.asr", &asr)
}

pub(crate) fn f0n(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let (f0, n) = network.stages().2.contours(&input(case, "in.en")?, &input(case, "in.s")?).map_err(text)?;
    add(add(Got::new(), "out.F0", &f0)?, "out.N", &n)
}

pub(crate) fn decoder_pre(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let inputs = ["in.asr", "in.F0", "in.N", "in.s"].map(|name| input(case, name));
    let [asr, f0, n, style] = inputs;
    add(Got::new(), "out.x", &network.decode(&asr?, &f0?, &n?, &style?).map_err(text)?)
}

/// `noise`: "tensor" for the case's, "zeros" for none.
fn noise(case: &Case) -> Result<Vec<f32>, String> {
    match case.param::<String>("noise")?.as_str() {
        "tensor" => Ok(case.tensor("in.noise")?.to_f32()),
        "zeros" => Ok(Vec::new()),
        other => Err(format!("noise {other}")),
    }
}

fn given(noise: &[f32]) -> Noise<'_> {
    if noise.is_empty() { Noise::Silence } else { Noise::Given(noise) }
}

pub(crate) fn source(case: &Case) -> Result<Got, String> {
    let signal = network(case)?.source_signal(&case.tensor("in.F0")?.to_f32(), given(&noise(case)?)).map_err(text)?;
    Ok(Got::new().f32("out.har_source", &[1, signal.len()], signal))
}

pub(crate) fn stft(case: &Case) -> Result<Got, String> {
    let signal = case.tensor("in.har_source")?.to_f32();
    let stft = Stft::new(TRANSFORM.0, TRANSFORM.1, form(case)?);
    let spectrum = stft.transform(&signal);
    let (magnitudes, phases) = spectrum.split_at(spectrum.len() / 2);
    let shape = [1, stft.bins(), magnitudes.len() / stft.bins()];
    Ok(Got::new().f32("out.har_spec", &shape, magnitudes.to_vec()).f32("out.har_phase", &shape, phases.to_vec()))
}

pub(crate) fn istft(case: &Case) -> Result<Got, String> {
    let magnitudes = case.tensor("in.spec")?;
    let frames = magnitudes.shape().last().copied().unwrap_or(0);
    let stft = Stft::new(TRANSFORM.0, TRANSFORM.1, form(case)?);
    let audio = stft.inverse(&magnitudes.to_f32(), &case.tensor("in.phase")?.to_f32(), frames);
    Ok(Got::new().f32("out.audio", &[audio.len()], audio))
}

pub(crate) fn generator(case: &Case) -> Result<Got, String> {
    let network = network(case)?;
    let spectrum = [case.tensor("in.har_spec")?.to_f32(), case.tensor("in.har_phase")?.to_f32()].concat();
    let generated = network.generate(&input(case, "in.x")?, &spectrum, &input(case, "in.s")?);
    let (conv_post, audio) = generated.map_err(text)?;
    Ok(add(Got::new(), "out.conv_post", &conv_post)?.f32("out.audio", &[audio.len()], audio))
}

pub(crate) fn forward(case: &Case) -> Result<Got, String> {
    run(case, Harmonics::Noise(given(&noise(case)?)))
}

pub(crate) fn forward_har(case: &Case) -> Result<Got, String> {
    let (magnitudes, phases) = (case.tensor("in.har_spec")?.to_f32(), case.tensor("in.har_phase")?.to_f32());
    run(case, Harmonics::Spectrum(&magnitudes, &phases))
}

fn run(case: &Case, harmonics: Harmonics<'_>) -> Result<Got, String> {
    let network = network(case)?;
    let (ids, style) = (case.tensor("in.input_ids")?.to_i64()?, case.tensor("in.ref_s")?.to_f32());
    let spoken = network.run(&ids, &style, case.param("speed")?, harmonics).map_err(text)?;
    let mut got = Got::new().value("samples", spoken.samples.len()).value("pred_dur", &spoken.frames);
    let stages = [
        ("out.last_hidden", &spoken.last_hidden),
        ("out.d", &spoken.durations.d),
        ("out.dur_logits", &spoken.durations.logits),
        ("out.t_en", &spoken.t_en),
        ("out.F0", &spoken.f0),
        ("out.N", &spoken.n),
        ("out.x", &spoken.x),
    ];
    for (name, tensor) in stages {
        got = add(got, name, tensor)?;
    }
    Ok(got.i64("out.pred_dur", &[spoken.frames.len()], spoken.frames).f32(
        "out.audio",
        &[spoken.samples.len()],
        spoken.samples,
    ))
}

/// Text to sound, chunk by chunk, by the reference's rules.
pub(crate) fn end_to_end(case: &Case) -> Result<Got, String> {
    let directory = case.model_path()?;
    let network = network(case)?;
    let vocabulary = Vocabulary::load(&directory, None).map_err(text)?;
    let voices = Voices::discover(&directory).map_err(text)?;
    let voice = voices.get(&case.param::<String>("voice")?).map_err(text)?;
    let language: Language = case.param::<String>("lang_code")?.parse().map_err(text)?;
    let pattern: String = case.param("split_pattern")?;
    let pattern = regex::Regex::new(&pattern).map_err(text)?;
    let speed: f32 = case.param("speed")?;
    let whole: String = case.param("text")?;
    let front_ends = FrontEnds::new(&super::g2p::assets(language)?, None, &vocabulary);
    let tokens = |text: &str| front_ends.tokens(language, text).map_err(|error| error.to_string());
    let (mut got, mut results) = (Got::new(), Vec::new());
    for (text_index, line) in pattern.split(whole.trim()).filter(|line| !line.trim().is_empty()).enumerate() {
        let chunks: Vec<(String, Vec<Token>)> = if language.is_english() {
            chunk_english(&tokens(line)?, MAX_PHONEMES)
                .into_iter()
                .map(|chunk| (chunk.graphemes, chunk.tokens))
                .collect()
        } else {
            let texts = chunk_text(line).into_iter();
            texts.map(|text| Ok((text.clone(), tokens(&text)?))).collect::<Result<_, String>>()?
        };
        for (graphemes, tokens) in chunks {
            let number = results.len();
            let phonemes = phonemes_of(&tokens);
            let style = voice.row(style_row(phonemes.chars().count()));
            let noise = case.tensor(&format!("in.noise{number}"))?.to_f32();
            let harmonics = Harmonics::Noise(Noise::Given(&noise));
            let spoken = network.run(&vocabulary.encode(&phonemes), &style, speed, harmonics).map_err(text)?;
            // Only English tokens are words.
            let timestamps: Option<Vec<Value>> = language.is_english().then(|| {
                let spans = join_timestamps(&tokens, &spoken.frames);
                let spans = tokens.iter().zip(spans);
                spans
                    .map(|(token, span)| json!([token.text, span.map(|span| span.0), span.map(|span| span.1)]))
                    .collect()
            });
            results.push(json!({
                "graphemes": graphemes,
                "phonemes": phonemes,
                "text_index": text_index,
                "pred_dur": spoken.frames,
                "samples": spoken.samples.len(),
                "timestamps": timestamps,
            }));
            got = got.f32(&format!("out.audio{number}"), &[spoken.samples.len()], spoken.samples);
        }
    }
    Ok(got.value("results", results))
}
