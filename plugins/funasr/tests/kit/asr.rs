//! Recognition.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_common::onnx::Input;
use syrinx_plugin_funasr::accelerate;
use syrinx_plugin_funasr::asr::hotwords::{Embedder, tokenize};
use syrinx_plugin_funasr::asr::paraformer::{Paraformer, greedy};
use syrinx_plugin_funasr::asr::sensevoice::{SenseVoice, SenseVoiceOptions, language_query, textnorm_query};
use syrinx_plugin_funasr::asr::{Utterance, cif, ctc, timestamps};
use syrinx_plugin_funasr::config::ModelFiles;
use syrinx_plugin_funasr::frontend::Features;
use syrinx_plugin_funasr::model::{Recognizer, frontend};
use syrinx_plugin_funasr::text::sentence::compose;

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("asr.greedy", greedy_search).remarks(&["expect.funasr_onnx"]),
    Op::new("asr.timestamp_lfr6", timestamp),
    Op::new("asr.ctc_greedy", ctc_greedy),
    Op::new("asr.ctc_forced_align", ctc_align),
    Op::new("asr.generate", generate).remarks(&["expect.funasr_onnx*"]),
    Op::new("cif.v1", cif_sums),
    Op::new("cif.loop", cif_steps),
    Op::new("hotword.tokenize", hotword_tokenize),
    Op::new("hotword.embed", hotword_embed),
    Op::new("sensevoice.query_ids", query_ids),
    Op::new("sensevoice.timestamps", sensevoice_timestamps).remarks(&["expect.onnx_text"]),
];

/// A recogniser of the kit.
pub(crate) fn recognizer(files: &ModelFiles) -> Result<Arc<Recognizer>, String> {
    models::cached(files, "recognizer", |runtime, files| Recognizer::load(runtime, files, false, &models::options()))
}

/// What `generate` asks of recognisers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Generate {
    pub(crate) hotword: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) use_itn: bool,
    pub(crate) ban_emo_unk: bool,
    #[serde(alias = "pred_timestamp")]
    pub(crate) output_timestamp: bool,
}

/// Recognises utterances one by one, as the reference does on a processor.
pub(crate) fn recognize(
    recognizer: &Recognizer,
    utterances: &[Features],
    asked: &Generate,
) -> Result<Vec<Utterance>, String> {
    let alone = utterances.iter().map(|features| recognize_together(recognizer, &[features], asked));
    Ok(alone.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Recognises utterances in one batch.
fn recognize_together(
    recognizer: &Recognizer,
    utterances: &[&Features],
    asked: &Generate,
) -> Result<Vec<Utterance>, String> {
    match recognizer {
        Recognizer::Paraformer(paraformer) => {
            let hotwords = match &asked.hotword {
                Some(text) if paraformer.takes_hotwords() => {
                    let words = tokenize(text, false, paraformer.spelling(), paraformer.tokens());
                    let words = words.map_err(|error| error.to_string())?;
                    paraformer.embed(&words, 1.0).map_err(|error| error.to_string())?
                }
                _ => None,
            };
            let decoded = paraformer.decode(utterances, hotwords.as_ref()).map_err(|error| error.to_string())?;
            let timed = paraformer.has_timestamps() || asked.output_timestamp;
            Ok(decoded.iter().map(|decoded| paraformer.utterance(decoded, timed)).collect())
        }
        Recognizer::SenseVoice(sensevoice) => {
            let options = SenseVoiceOptions {
                language: language_query(asked.language.as_deref().unwrap_or("auto")),
                use_itn: asked.use_itn,
                ban_emo_unk: asked.ban_emo_unk,
                timed: asked.output_timestamp,
            };
            sensevoice.decode(utterances, options).map_err(|error| error.to_string())
        }
    }
}

/// An utterance as the reference tells it.
pub(crate) fn told(recognizer: &Recognizer, utterance: &Utterance) -> Value {
    let words = matches!(recognizer, Recognizer::SenseVoice(_)).then_some(&utterance.units);
    json!({
        "text": utterance.text,
        "rich_text": syrinx_plugin_funasr::text::rich::with_emoji(&utterance.text),
        "timestamp": utterance.spans,
        "words": utterance.spans.as_ref().and(words),
    })
}

/// The official graph and a graph of the checkpoint say the same, one utterance at a time and together with a longer one.
fn generate(case: &Case) -> Result<Got, String> {
    let files = models::own(case)?;
    let asked: Generate = case.param("generate")?;
    let samples = models::samples(case)?;
    let front = frontend(&files).map_err(|error| error.to_string())?;
    let features = front.features(&samples);
    let mut results = Vec::new();
    for files in [Some(files.clone()), models::torch_only(&files)?].into_iter().flatten() {
        let recognizer = recognizer(&files)?;
        let is_official = files.graph("model", false).is_some();
        if asked.output_timestamp && is_official && !recognizer.has_timestamps() {
            continue; // the official graph keeps the weights to itself
        }
        let utterance = recognize(&recognizer, std::slice::from_ref(&features), &asked)?.remove(0);
        let longer = front.features(&[&samples[..], &[0.01; 20_000]].concat());
        let together = recognize_together(&recognizer, &[&features, &longer], &asked)?.remove(0);
        if together != utterance {
            return Err(format!("alone it is {utterance:?}, in a batch {together:?}"));
        }
        results.push(told(&recognizer, &utterance));
    }
    let result = results.pop().ok_or("nothing was recognised")?;
    if let Some(other) = results.pop().filter(|other| *other != result) {
        return Err(format!("the official graph says {other}, the checkpoint {result}"));
    }
    Ok(Got::new().value("results", [result]))
}

fn greedy_search(case: &Case) -> Result<Got, String> {
    let files = models::own(case)?;
    let recognizer = recognizer(&files)?;
    let Recognizer::Paraformer(paraformer) = &*recognizer else { return Err("it is no Paraformer".to_owned()) };
    let logits = case.tensor("in.logits")?;
    let [_, rows, classes] = logits.shape()[..] else { return Err("logits of three dimensions".to_owned()) };
    let (values, counts) = (logits.to_f32(), case.tensor("in.token_num")?.to_i64()?);
    let results: Vec<Value> = counts
        .iter()
        .enumerate()
        .map(|(i, &count)| {
            let ids = greedy(&values[i * rows * classes..(i + 1) * rows * classes], classes, count as usize);
            let tokens: Vec<&str> = ids.iter().map(|&id| paraformer.tokens().text(id)).collect();
            json!({"ids": ids, "tokens": tokens, "text": compose(&tokens, None).text})
        })
        .collect();
    Ok(Got::new().value("auto_model", results))
}

#[derive(Deserialize)]
struct TimedItem {
    chars: Vec<String>,
    #[serde(default)]
    vad_offset: f64,
    #[serde(default = "peak_shift")]
    force_time_shift: f64,
    #[serde(default = "yes")]
    sil_in_str: bool,
    #[serde(default = "upsampling")]
    upsample_rate: usize,
}

fn peak_shift() -> f64 {
    timestamps::PEAK_SHIFT
}

fn yes() -> bool {
    true
}

fn upsampling() -> usize {
    3
}

fn timestamp(case: &Case) -> Result<Got, String> {
    let items: Vec<TimedItem> = case.param("items")?;
    let mut results = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let weights = |name: &str| match case.tensor(&format!("in.{name}{i}")) {
            Ok(tensor) => Ok(tensor.to_f32()),
            Err(_) if item.chars.is_empty() => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let (alphas, peaks) = (weights("us_alphas")?, weights("us_peaks")?);
        let tokens: Vec<&str> = item.chars.iter().map(String::as_str).collect();
        let timing = timestamps::Timing {
            upsampling: item.upsample_rate,
            shift: item.force_time_shift,
            offset: item.vad_offset,
        };
        let timed = timestamps::align(&alphas, &peaks, &tokens, timing);
        // Five characters of Python's text of the number.
        let number = |seconds: f64| format!("{:?}", seconds + 0.0005).chars().take(5).collect::<String>();
        let text: String = timed
            .iter()
            .filter(|timed| item.sil_in_str || timed.token.is_some())
            .map(|timed| {
                let [start, end] = timed.span.map(number);
                format!("{} {start} {end};", timed.token.unwrap_or("<sil>"))
            })
            .collect();
        results.push(json!({"str": text, "timestamp": timestamps::spans(&timed)}));
    }
    Ok(Got::new().value("items", results))
}

fn ctc_greedy(case: &Case) -> Result<Got, String> {
    let logits = case.tensor("in.ctc_logits")?;
    let classes = logits.shape()[1];
    let length = case.tensor("in.len")?.to_i64()?[0] as usize;
    let values = logits.to_f32();
    let best: Vec<usize> = values.chunks_exact(classes).take(length).map(ctc::best).collect();
    Ok(Got::new().value("ids", ctc::collapse(&best, case.param("blank")?)))
}

fn ctc_align(case: &Case) -> Result<Got, String> {
    let log_probs = case.tensor("in.log_probs")?;
    let labels: Vec<u32> = case.tensor("in.targets")?.to_i64()?.into_iter().map(|label| label as u32).collect();
    let blank: usize = case.param("blank")?;
    let emissions = ctc::Emissions::new(&log_probs.to_f32(), log_probs.shape()[1], &labels, blank, true);
    let way: Vec<u32> =
        emissions.align().into_iter().map(|label| label.map_or(blank as u32, |number| labels[number])).collect();
    Ok(Got::new().value("alignment", way))
}

type Integrate = fn(&[f32], usize, &[f32], f32) -> cif::Fired;

fn cif_rows(case: &Case, integrate: Integrate) -> Result<Got, String> {
    let (hidden, alphas) = (case.tensor("in.hidden")?, case.tensor("in.alphas")?);
    let (count, frames, width) = (hidden.shape()[0], hidden.shape()[1], hidden.shape()[2]);
    let (hidden, alphas) = (hidden.to_f32(), alphas.to_f32());
    let threshold: f32 = case.param("threshold")?;
    let rows = case.tensor("out.frames")?.shape()[1];
    let (mut tokens, mut fires, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..count {
        let alphas = &alphas[i * frames..(i + 1) * frames];
        let mut fired = integrate(&hidden[i * frames * width..(i + 1) * frames * width], width, alphas, threshold);
        // The reference makes room for as many tokens as the weights add up to, rounded.
        lengths.push(alphas.iter().map(|&alpha| f64::from(alpha)).sum::<f64>().round_ties_even());
        fired.tokens.resize(rows * width, 0.0);
        tokens.extend(fired.tokens);
        fires.extend(fired.peaks);
    }
    Ok(Got::new()
        .value("len_labels", lengths.iter().map(|&length| length as usize).collect::<Vec<_>>())
        .f32("out.frames", &[count, rows, width], tokens)
        .f32("out.fires", &[count, frames], fires))
}

fn cif_sums(case: &Case) -> Result<Got, String> {
    cif_rows(case, |hidden, width, alphas, _| cif::by_prefix_sums(hidden, width, alphas))
}

fn cif_steps(case: &Case) -> Result<Got, String> {
    cif_rows(case, cif::by_steps)
}

fn paraformer(case: &Case) -> Result<Arc<Recognizer>, String> {
    recognizer(&models::own(case)?)
}

fn of(recognizer: &Recognizer) -> Result<&Paraformer, String> {
    match recognizer {
        Recognizer::Paraformer(paraformer) => Ok(paraformer),
        Recognizer::SenseVoice(_) => Err("it is no Paraformer".to_owned()),
    }
}

fn hotword_tokenize(case: &Case) -> Result<Got, String> {
    let recognizer = paraformer(case)?;
    let paraformer = of(&recognizer)?;
    let items: Vec<String> = case.param("items")?;
    let results: Vec<Vec<Vec<u32>>> = items
        .iter()
        .map(|item| {
            tokenize(item, false, paraformer.spelling(), paraformer.tokens()).map_err(|error| error.to_string())
        })
        .collect::<Result<_, _>>()?;
    Ok(Got::new().value("items", results))
}

fn hotword_embed(case: &Case) -> Result<Got, String> {
    let ids = case.tensor("in.hotword")?;
    let width = ids.shape()[1];
    let words = ids.shape()[0];
    let values: Vec<i32> = ids.to_i64()?.into_iter().map(|id| id as i32).collect();
    let path = models::own(case)?.directory().join(case.param::<String>("file")?);
    let session =
        accelerate::session(&models::runtime()?, &path, None, &models::options()).map_err(|error| error.to_string())?;
    let input = [("hotword", Input::I32 { shape: ids.shape(), data: &values })];
    let all = session.run(&input, &["hw_embed"]).map_err(|error| error.to_string())?;
    let all = all.f32("hw_embed").map_err(|error| error.to_string())?.to_vec();
    // The list is spelt by the model, and its last entry is "no hot word".
    let recognizer = paraformer(case)?;
    let paraformer = of(&recognizer)?;
    let text: String = case.param("hotwords")?;
    let list = tokenize(&text, false, paraformer.spelling(), paraformer.tokens()).map_err(|error| error.to_string())?;
    let lengths: Vec<usize> = list.iter().map(Vec::len).collect();
    let embedder = Embedder::new(session, true);
    let found = embedder.embed_padded(&values, &lengths, width).map_err(|error| error.to_string())?;
    let lasts: Vec<usize> = lengths.iter().map(|length| length - 1).collect();
    Ok(Got::new().value("last", lasts).f32("out.hw_embed", &[width, words, found.width], all).f32(
        "out.bias_embed",
        &[words, found.width],
        found.data,
    ))
}

fn query_ids(case: &Case) -> Result<Got, String> {
    let languages: Vec<String> = case.param("languages")?;
    let written: Vec<bool> = case.param("use_itn")?;
    Ok(Got::new()
        .value("language_ids", languages.iter().map(|language| language_query(language)).collect::<Vec<_>>())
        .value("textnorm_ids", written.iter().map(|&itn| textnorm_query(itn)).collect::<Vec<_>>())
        .value("event_emo_ids", syrinx_plugin_funasr::asr::sensevoice::FIXED_QUERIES))
}

fn sensevoice_timestamps(case: &Case) -> Result<Got, String> {
    let files = models::own(case)?;
    let sensevoice = models::cached(&files, "sensevoice", |runtime, files| {
        SenseVoice::load(runtime, files, false, &models::options())
    })?;
    let logits = case.tensor("in.ctc_logits")?;
    let classes = logits.shape()[1];
    let length = case.tensor("in.len")?.to_i64()?[0] as usize;
    let options = SenseVoiceOptions { timed: true, ..SenseVoiceOptions::default() };
    let found = sensevoice.read(&logits.to_f32()[..length * classes], classes, options);
    Ok(Got::new().value("text", found.text).value("timestamp", found.spans).value("words", found.units))
}
