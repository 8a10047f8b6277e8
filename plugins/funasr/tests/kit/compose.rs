//! Results of stretches put together; the whole way with all companions, as the reference goes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_funasr::asr::batch;
use syrinx_plugin_funasr::compose::sentences::{Sentence, Style, by_marks};
use syrinx_plugin_funasr::compose::{merge, surface};
use syrinx_plugin_funasr::config::PunctuationConfig;
use syrinx_plugin_funasr::model::{Recognizer, frontend};
use syrinx_plugin_funasr::punctuation::SPLIT_SIZE;
use syrinx_plugin_funasr::punctuation::restore::Marks;
use syrinx_plugin_funasr::punctuation::words::Words;
use syrinx_plugin_funasr::speakers::{chunk, cluster, turns};
use syrinx_plugin_funasr::text::rich;
use syrinx_plugin_funasr::vad::Event;

use crate::asr::{Generate, recognize, recognizer};
use crate::{models, network, punctuation, vad};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("compose.merge_vad", merge_vad),
    Op::new("compose.slice", slice),
    Op::new("compose.batch_plan", batch_plan),
    Op::new("compose.timestamp_sentence", timestamp_sentence),
    Op::new("compose.join_vad_texts", join),
    Op::new("compose.surface", surfaces),
    Op::new("compose.merge_timestamp_units", merge_units),
    Op::new("compose.generate", generate),
    Op::new("compose.openai_verbose_json", verbose_json),
];

#[derive(Deserialize)]
struct Stretches {
    segments: Vec<Event>,
    #[serde(default)]
    max_length: i64,
    #[serde(default)]
    device: String,
    #[serde(default)]
    batch_size_s: u64,
    #[serde(default)]
    batch_size_threshold_s: u64,
}

fn merge_vad(case: &Case) -> Result<Got, String> {
    let items: Vec<Stretches> = case.param("items")?;
    let merged = items.iter().map(|item| merge::merge(&item.segments, item.max_length));
    Ok(Got::new().value("items", merged.collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Slice {
    segment: Event,
    n: usize,
}

fn slice(case: &Case) -> Result<Got, String> {
    let items: Vec<Slice> = case.param("items")?;
    let told = |item: &Slice| {
        let range = merge::samples(item.segment, item.n);
        json!({"begin": range.start, "length": range.len()})
    };
    Ok(Got::new().value("items", items.iter().map(told).collect::<Vec<_>>()))
}

/// On a processor the reference recognises one stretch at a time: batches of no size.
fn batch_plan(case: &Case) -> Result<Got, String> {
    let items: Vec<Stretches> = case.param("items")?;
    let plan = |item: &Stretches| -> Vec<Vec<u64>> {
        let mut lengths: Vec<u64> = item.segments.iter().map(|[start, end]| (end - start) as u64).collect();
        lengths.sort_unstable();
        let shortest = lengths.first().copied().unwrap_or(0);
        let size = if item.device == "cpu" { 0 } else { (item.batch_size_s * 1000).max(1).max(shortest) };
        let groups = batch::plan(&lengths, size, item.batch_size_threshold_s * 1000);
        groups.into_iter().map(|group| lengths[group].to_vec()).collect()
    };
    Ok(Got::new().value("items", items.iter().map(plan).collect::<Vec<_>>()))
}

fn told(sentence: &Sentence, raw: bool) -> Value {
    let mut told = json!({
        "text": sentence.text, "start": sentence.start, "end": sentence.end, "timestamp": sentence.spans,
    });
    if raw {
        told["raw_text"] = json!(sentence.raw);
    }
    told
}

#[derive(Deserialize)]
struct Marked {
    punc: Option<Vec<usize>>,
    timestamp: Option<Vec<[i64; 2]>>,
    text: Option<String>,
    en: bool,
    return_raw_text: bool,
}

fn timestamp_sentence(case: &Case) -> Result<Got, String> {
    let items: Vec<Marked> = case.param("items")?;
    let sentences = |item: &Marked| -> Vec<Value> {
        let style = if item.en { Style::English } else { Style::Chinese };
        let (Some(spans), Some(text)) = (item.timestamp.as_deref(), item.text.as_deref()) else { return Vec::new() };
        let classes = item.punc.as_deref().unwrap_or_default();
        if let (true, Some(first), Some(last)) = (classes.is_empty() && !text.is_empty(), spans.first(), spans.last()) {
            // Without classes the reference tells the units as a list; this plugin has no use for it.
            let units: Vec<&str> = text.split_whitespace().collect();
            return vec![json!({"text": units, "start": first[0], "end": last[1], "timestamp": spans})];
        }
        let found = by_marks(classes, spans, text, style);
        found.iter().map(|sentence| told(sentence, item.return_raw_text)).collect()
    };
    Ok(Got::new().value("items", items.iter().map(sentences).collect::<Vec<_>>()))
}

fn join(case: &Case) -> Result<Got, String> {
    let items: Vec<Vec<String>> = case.param("items")?;
    let joined = items.iter().map(|texts| surface::join(texts.iter().map(String::as_str)));
    Ok(Got::new().value("items", joined.collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Surface {
    text: String,
    punc: Vec<usize>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    timestamps: Vec<[i64; 2]>,
}

fn surfaces(case: &Case) -> Result<Got, String> {
    let items: Vec<Surface> = case.param("items")?;
    let marks = Marks::new(&PunctuationConfig::default());
    let results: Vec<Value> = items
        .iter()
        .map(|item| {
            let spans: Vec<[i64; 2]> = (0..item.punc.len() as i64).map(|i| [100 * i, 100 * i + 90]).collect();
            let sentences = surface::sentences(&item.text, &spans, &item.punc, &Words::Characters, &marks);
            let sentences: Option<Vec<Value>> =
                sentences.map(|sentences| sentences.iter().map(|sentence| told(sentence, true)).collect());
            let punctuated = surface::punctuate(&item.text, &item.punc, &Words::Characters, &marks);
            json!({"punctuated": punctuated, "sentences": sentences})
        })
        .collect();
    Ok(Got::new().value("items", results))
}

fn merge_units(case: &Case) -> Result<Got, String> {
    let items: Vec<Surface> = case.param("items")?;
    let merged = items.iter().map(|item| {
        surface::merge_units(&item.text, &item.words, &item.timestamps, item.punc.len(), &Words::Characters)
    });
    Ok(Got::new().value("items", merged.collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Companions {
    asr: String,
    vad: String,
    punc: Option<String>,
    spk: Option<String>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Composition {
    merge_vad: bool,
    merge_length_s: f64,
    sentence_timestamp: bool,
    return_raw_text: bool,
    en_post_proc: bool,
    preset_spk_num: Option<usize>,
    return_spk_res: bool,
}

impl Default for Composition {
    fn default() -> Self {
        Self {
            merge_vad: false,
            merge_length_s: 15.0,
            sentence_timestamp: false,
            return_raw_text: false,
            en_post_proc: false,
            preset_spk_num: None,
            return_spk_res: true,
        }
    }
}

/// `AutoModel.generate`, made of the plugin's parts.
fn generate(case: &Case) -> Result<Got, String> {
    let names: Companions = case.param("models")?;
    let (build, keywords): (Value, Value) = (case.param("build")?, case.param("generate")?);
    let settings: Composition = case.param("generate")?;
    let mut asked: Generate = case.param("generate")?;
    asked.output_timestamp |= names.spk.is_some();
    let samples = models::samples(case)?;

    let detector = vad::detector(case, &names.vad)?;
    let mut options = detector.options().clone();
    if let Some(ms) = build.pointer("/vad_kwargs/max_single_segment_time").and_then(Value::as_f64) {
        options.max_single_segment_time = ms;
    }
    let end = vad::end_silence(&keywords, &options);
    let mut stretches = detector.segments(&samples, options, end).map_err(|error| error.to_string())?;
    if settings.merge_vad {
        stretches = merge::merge(&stretches, (settings.merge_length_s * 1000.0) as i64);
    }
    if stretches.is_empty() {
        return Ok(Got::new().value("results", json!([{"text": "", "timestamp": []}])));
    }
    let files = models::files(case, &names.asr)?;
    // The weights of plain models are only in the checkpoint.
    let recognizer = recognizer(&files)?;
    let front = frontend(&files).map_err(|error| error.to_string())?;
    let parts: Vec<&[f32]> = stretches.iter().map(|&event| &samples[merge::samples(event, samples.len())]).collect();
    let features: Vec<_> = parts.iter().map(|part| front.features(part)).collect();
    let heard = recognize(&recognizer, &features, &asked)?;

    let text = heard.iter().map(|utterance| utterance.text.as_str()).collect::<Vec<_>>().join(" ");
    if text.trim().is_empty() {
        return Ok(Got::new().value("results", json!([])));
    }
    let is_timed = heard.iter().any(|utterance| utterance.spans.is_some());
    let spans: Vec<[i64; 2]> = heard
        .iter()
        .zip(&stretches)
        .flat_map(|(utterance, [start, _])| utterance.spans.iter().flatten().map(move |span| span.map(|ms| ms + start)))
        .collect();
    let words: Vec<String> = match &*recognizer {
        Recognizer::SenseVoice(_) if is_timed => heard.iter().flat_map(|utterance| utterance.units.clone()).collect(),
        _ => Vec::new(),
    };
    let aligned = !words.is_empty() && words.len() == spans.len() && words.iter().all(|word| !word.trim().is_empty());
    let mut result = BTreeMap::from([("text", json!(text))]);
    if is_timed {
        result.insert("timestamp", json!(spans));
    }
    if !words.is_empty() {
        result.insert("words", json!(words));
    }
    let joined = surface::join(heard.iter().map(|utterance| utterance.text.as_str()));
    let punctuator = names.punc.as_deref().map(|name| punctuation::punctuator(case, name)).transpose()?;
    let mut sentences = Vec::new();
    let by_stretch = || -> Vec<Sentence> {
        let kept =
            heard.iter().zip(&stretches).filter(|(utterance, _)| !rich::without_tags(&utterance.text).is_empty());
        kept.map(|(utterance, &[start, end])| {
            let own: Vec<[i64; 2]> = utterance.spans.iter().flatten().map(|span| span.map(|ms| ms + start)).collect();
            Sentence {
                text: rich::without_tags(&utterance.text),
                start: Some(own.first().map_or(start, |span| span[0])),
                end: own.last().map_or(end, |span| span[1]),
                spans: own.into_iter().map(Some).collect(),
                raw: String::new(),
            }
        })
        .collect()
    };
    let wants_sentences = settings.sentence_timestamp || names.spk.is_some();
    if let Some(punctuator) = &punctuator {
        let marked = punctuator.punctuate(&joined, SPLIT_SIZE).map_err(|error| error.to_string())?;
        if settings.return_raw_text {
            result.insert("raw_text", json!(text));
        }
        let surfaced = aligned
            .then(|| surface::punctuate(&joined, &marked.classes, punctuator.words(), punctuator.marks()))
            .flatten();
        result.insert("text", json!(surfaced.unwrap_or(marked.text)));
        let (mut units, mut unit_spans) = (joined.clone(), spans.clone());
        if aligned && marked.classes.len() == words.len() {
            units = words.join(" ");
        } else if aligned
            && let Some(merged) =
                surface::merge_units(&joined, &words, &spans, marked.classes.len(), punctuator.words())
        {
            (units, unit_spans) = merged;
        }
        let style = if settings.en_post_proc { Style::English } else { Style::Chinese };
        if marked.classes.len() != unit_spans.len() {
            sentences = by_stretch();
        } else if aligned
            && let Some(found) =
                surface::sentences(&joined, &unit_spans, &marked.classes, punctuator.words(), punctuator.marks())
        {
            sentences = found;
        } else {
            sentences = by_marks(&marked.classes, &unit_spans, &units, style);
        }
    } else if !is_timed {
        sentences = by_stretch();
    }
    let mut info: Vec<Value> = sentences.iter().map(|sentence| told(sentence, settings.return_raw_text)).collect();
    if let Some(spk) = names.spk.as_deref().filter(|_| settings.return_spk_res) {
        let embedder = network::embedder(case, spk)?;
        let (mut chunks, mut embeddings) = (Vec::new(), Vec::new());
        for (part, [start, _]) in parts.iter().zip(&stretches) {
            for chunk in chunk::cut(*start as f64 / 1000.0, part.len()) {
                chunks.push(chunk.span);
                embeddings.extend(embedder.embed(&[&part[chunk.samples]]).map_err(|error| error.to_string())?);
            }
        }
        let turns = turns::turns(&chunks, &cluster::cluster(&embeddings, settings.preset_spk_num));
        if build.get("spk_mode").and_then(Value::as_str) == Some("vad_segment") || punctuator.is_none() {
            let whole = heard.iter().zip(&stretches).map(|(utterance, &[start, end])| {
                let own: Vec<[i64; 2]> =
                    utterance.spans.iter().flatten().map(|span| span.map(|ms| ms + start)).collect();
                json!({"text": utterance.text, "sentence": utterance.text, "start": start, "end": end, "timestamp": own})
            });
            info = whole.collect();
        }
        for sentence in &mut info {
            let ms = |name: &str| sentence[name].as_i64().unwrap_or(0);
            sentence["spk"] = json!(turns::speaker_of(ms("start"), ms("end"), &turns));
        }
    }
    if wants_sentences {
        result.insert("sentence_info", json!(info));
    }
    Ok(Got::new().value("results", [result]))
}

/// The server writes this document; here are its rules for times.
fn verbose_json(case: &Case) -> Result<Got, String> {
    let items: Vec<Value> = case.param("items")?;
    let seconds = |ms: &Value| ms.as_f64().unwrap_or(0.0) / 1000.0;
    let results: Vec<Value> = items
        .iter()
        .map(|item| {
            let spans = item["timestamp"].as_array().cloned().unwrap_or_default();
            let words: Vec<Value> =
                spans.iter().map(|span| json!({"start": seconds(&span[0]), "end": seconds(&span[1])})).collect();
            let duration = match (spans.first(), spans.last()) {
                (Some(first), Some(last)) => seconds(&last[1]) - seconds(&first[0]),
                _ => 0.0,
            };
            let segments: Option<Vec<Value>> = item["sentence_info"].as_array().map(|sentences| {
                let told = |(id, sentence): (usize, &Value)| {
                    json!({
                        "id": id, "start": seconds(&sentence["start"]), "end": seconds(&sentence["end"]),
                        "text": sentence["text"], "speaker": sentence["spk"],
                    })
                };
                sentences.iter().enumerate().map(told).collect()
            });
            json!({
                "task": "transcribe", "text": rich::with_emoji(item["text"].as_str().unwrap_or_default()), "words": words, "duration": duration, "segments": segments,
            })
        })
        .collect();
    Ok(Got::new().value("items", results))
}
