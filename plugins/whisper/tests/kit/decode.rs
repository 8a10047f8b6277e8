//! Logit filters, prompts, search, and the decoding of one window.

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::filters::Suppress;
use syrinx_plugin_whisper::prompt::{self, Context, PromptParts, Task};
use syrinx_plugin_whisper::recognizer::Recognizer;
use syrinx_plugin_whisper::search::{self, BeamSearch, Hypothesis, Recorded, Sampler, Search, Step};
use syrinx_plugin_whisper::window::{self, OptionsError, WindowOptions};

use crate::{audio, models};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("logits.filter", filter),
    Op::new("prompt.build", build),
    Op::new("prompt.build_fw", build_faster_whisper),
    Op::new("options.validate", validate),
    Op::new("search.beam_table", beam_table),
    Op::new("search.sample_table", sample_table),
    Op::new("decode.window", decode_window).remarks(&["expect.min_greedy_margin", "expect.same_tokens_in_float64"]),
];

/// Positions of the decoder in all models.
const N_TEXT_CTX: usize = 448;

/// Options as the reference takes them.
#[derive(Debug, Deserialize, Default)]
#[serde(default)]
pub(crate) struct KitOptions {
    pub(crate) task: Option<String>,
    pub(crate) language: Option<String>,
    temperature: Value,
    sample_len: Option<usize>,
    best_of: Option<usize>,
    beam_size: Option<usize>,
    patience: Option<f64>,
    length_penalty: Option<f64>,
    prompt: Option<Value>,
    prefix: Option<Value>,
    hotwords: Option<String>,
    previous_tokens: Option<Vec<u32>>,
    suppress_tokens: Option<Value>,
    suppress_blank: Option<bool>,
    without_timestamps: bool,
    /// Absent: the default; null: no limit.
    #[serde(deserialize_with = "present")]
    max_initial_timestamp: Option<Option<f64>>,
}

/// Tells null from absent.
pub(crate) fn present<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn context(value: Option<Value>) -> Option<Context> {
    match value? {
        Value::String(text) => Some(Context::Text(text)),
        other => serde_json::from_value(other).ok().map(Context::Tokens),
    }
}

fn suppress(value: Option<Value>) -> Result<Suppress, String> {
    let list: Vec<i64> = match value {
        None => return Ok(Suppress::NonSpeech),
        Some(Value::String(text)) if text.is_empty() => return Ok(Suppress::Nothing),
        Some(Value::String(text)) => {
            text.split(',').map(|id| id.trim().parse()).collect::<Result<_, _>>().map_err(|e| format!("{text}: {e}"))?
        }
        Some(list) => serde_json::from_value(list).map_err(|e| e.to_string())?,
    };
    let ids: Vec<u32> = list.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
    Ok(match (list.contains(&-1), ids.is_empty()) {
        (true, _) => Suppress::NonSpeechAnd(ids),
        (false, true) => Suppress::Nothing,
        (false, false) => Suppress::Only(ids),
    })
}

impl KitOptions {
    pub(crate) fn from(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|e| format!("options: {e}"))
    }

    pub(crate) fn task(&self) -> Task {
        if self.task.as_deref() == Some("translate") { Task::Translate } else { Task::Transcribe }
    }

    /// Our options; temperature only when it is a number.
    pub(crate) fn window(self) -> Result<WindowOptions, String> {
        let defaults = WindowOptions::default();
        Ok(WindowOptions {
            task: self.task(),
            language: self.language.unwrap_or(defaults.language),
            temperature: self.temperature.as_f64().unwrap_or(0.0),
            sample_len: self.sample_len,
            best_of: self.best_of,
            beam_size: self.beam_size,
            patience: self.patience,
            length_penalty: self.length_penalty,
            previous: self.previous_tokens.map(Context::Tokens).or(context(self.prompt)),
            hotwords: self.hotwords,
            prefix: context(self.prefix),
            prefix_is_said: false,
            suppress: suppress(self.suppress_tokens)?,
            suppress_blank: self.suppress_blank.unwrap_or(true),
            without_timestamps: self.without_timestamps,
            max_initial_timestamp: self.max_initial_timestamp.unwrap_or(defaults.max_initial_timestamp),
        })
    }
}

fn options(case: &Case) -> Result<WindowOptions, String> {
    KitOptions::from(&case.params["options"])?.window()
}

fn filter(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let options = options(case)?;
    let filters = options.filters(&tokenizer);
    let begin: usize = case.param("sample_begin")?;
    let (tokens, logits) = (case.tensor("in.tokens")?, case.tensor("in.logits")?);
    let &[batch, vocabulary] = logits.shape() else { return Err("in.logits has no two dimensions".to_owned()) };
    let length = tokens.shape()[1];
    let tokens: Vec<u32> = tokens.to_i64()?.into_iter().map(|id| id as u32).collect();
    let mut logits = logits.to_f32();
    for (row, sequence) in logits.chunks_exact_mut(vocabulary).zip(tokens.chunks_exact(length)) {
        filters.apply(row, &sequence[begin..]);
    }
    let rows = || logits.chunks_exact(vocabulary);
    Ok(Got::new()
        .value("argmax", rows().map(search::arg_max).collect::<Vec<_>>())
        .value("n_allowed", rows().map(|row| row.iter().filter(|v| v.is_finite()).count()).collect::<Vec<_>>())
        .f32("out.logits", &[batch, vocabulary], logits.clone()))
}

fn build(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let list: Vec<Value> = case.param("options")?;
    let mut items = Vec::new();
    for given in list {
        let options = KitOptions::from(&given)?.window()?;
        let prompt = options.prompt(&tokenizer, N_TEXT_CTX);
        items.push(json!({
            "options": given,
            "initial_tokens": prompt.tokens,
            "sample_begin": prompt.tokens.len(),
            "sot_index": prompt.sot_index,
            "sample_len": options.sample_len(N_TEXT_CTX),
        }));
    }
    Ok(Got::new().value("items", items))
}

fn build_faster_whisper(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let list: Vec<Value> = case.param("options")?;
    let mut prompts = Vec::new();
    for given in list {
        let options = KitOptions::from(&given)?.window()?;
        let parts = PromptParts {
            language: "en",
            task: Task::Transcribe,
            without_timestamps: options.without_timestamps,
            previous: options.previous.as_ref(),
            hotwords: options.hotwords.as_deref(),
            prefix: options.prefix.as_ref(),
            prefix_is_said: true,
            sample_len: N_TEXT_CTX / 2,
            n_text_ctx: N_TEXT_CTX,
        };
        prompts.push(prompt::build(&tokenizer, parts).tokens);
    }
    Ok(Got::new().value("prompts", prompts))
}

fn validate(case: &Case) -> Result<Got, String> {
    let list: Vec<Value> = case.param("options")?;
    let mut errors = Vec::new();
    for given in list {
        errors.push(KitOptions::from(&given)?.window()?.validate().err().map(|error| {
            // The reference's exceptions have a class.
            let class =
                if matches!(error, OptionsError::NoCandidates { .. }) { "AssertionError" } else { "ValueError" };
            format!("{class}: {error}")
        }));
    }
    Ok(Got::new().value("errors", errors))
}

/// A mock language model: logits by step and last token.
struct Table {
    values: Vec<f32>,
    tokens: usize,
}

impl Table {
    /// The row of a step, `[vocabulary]`.
    fn row(&self, step: usize, last: u32) -> &[f32] {
        &self.values[(step * self.tokens + last as usize) * self.tokens..][..self.tokens]
    }

    fn rows(&self, step: usize, start: u32, hypotheses: &[Hypothesis]) -> Vec<&[f32]> {
        hypotheses.iter().map(|h| self.row(step, h.tokens.last().copied().unwrap_or(start))).collect()
    }
}

fn beam_table(case: &Case) -> Result<Got, String> {
    let beam_size: usize = case.param("beam_size")?;
    let audios: usize = case.param("n_audio")?;
    let max_steps: usize = case.param("max_steps")?;
    let (eot, start): (u32, u32) = (case.param("eot")?, case.param("start_token")?);
    let table = case.tensor("in.table")?;
    let tokens = table.shape()[3];
    let all = table.to_f32();
    let tables: Vec<Table> =
        all.chunks_exact(all.len() / audios).map(|values| Table { values: values.to_vec(), tokens }).collect();
    let mut searches: Vec<_> = (0..audios)
        .map(|_| Ok(Search::Beam(BeamSearch::new(beam_size, case.param("patience")?, eot))))
        .collect::<Result<_, String>>()?;
    let mut beams = vec![vec![Hypothesis::default(); beam_size]; audios];
    let mut sources = Vec::new();
    let mut steps = 0;
    while steps < max_steps {
        let taken: Vec<Step> = (0..audios)
            .map(|audio| {
                let rows = tables[audio].rows(steps, start, &beams[audio]);
                searches[audio].step(&mut beams[audio], &rows, &mut Recorded::new(vec![]))
            })
            .collect();
        steps += 1;
        // Sources count through all audios.
        let flat =
            taken.iter().enumerate().flat_map(|(audio, step)| step.sources.iter().map(move |s| s + audio * beam_size));
        sources.push(flat.collect::<Vec<_>>());
        if taken.iter().all(|step| step.done) {
            break;
        }
    }
    let penalty: Option<f64> = case.param("length_penalty")?;
    let found: Vec<Vec<Hypothesis>> =
        searches.into_iter().zip(beams).map(|(search, beams)| search.finish(beams)).collect();
    let selected: Vec<usize> = found.iter().map(|c| search::best(c, penalty, 0).unwrap_or(usize::MAX)).collect();
    let chosen = found.iter().zip(&selected).map(|(c, i)| c[*i].score / (c[*i].tokens.len() + 1) as f32);
    Ok(Got::new()
        .value("avg_logprob", chosen.collect::<Vec<_>>())
        .value(
            "candidates",
            found.iter().map(|c| c.iter().map(|h| h.tokens.clone()).collect()).collect::<Vec<Vec<_>>>(),
        )
        .value("sum_logprobs", found.iter().map(|c| c.iter().map(|h| h.score).collect()).collect::<Vec<Vec<_>>>())
        .value("selected", selected)
        .value("steps", steps)
        .value("source_indices", sources))
}

fn sample_table(case: &Case) -> Result<Got, String> {
    let group: usize = case.param("n_group")?;
    let max_steps: usize = case.param("max_steps")?;
    let (eot, start): (u32, u32) = (case.param("eot")?, case.param("start_token")?);
    let table = case.tensor("in.table")?;
    let table = Table { tokens: table.shape()[2], values: table.to_f32() };
    let mut uniform = Recorded::new(case.tensors.get("in.uniform").map(|t| t.to_f32()).unwrap_or_default());
    let mut search = Search::Sample(Sampler::new(case.param("temperature")?, group, eot));
    let mut hypotheses = vec![Hypothesis::default()];
    let mut steps = 0;
    while steps < max_steps {
        let rows = table.rows(steps, start, &hypotheses);
        let step = search.step(&mut hypotheses, &rows, &mut uniform);
        steps += 1;
        if step.done {
            break;
        }
    }
    let found = search.finish(hypotheses);
    Ok(Got::new()
        .value("candidates", found.iter().map(|h| &h.tokens).collect::<Vec<_>>())
        .value("sum_logprobs", found.iter().map(|h| h.score).collect::<Vec<_>>())
        .value("selected", search::best(&found, None, 0))
        .value("steps", steps))
}

/// The recorded chances of a case.
pub(crate) fn chances(case: &Case) -> Recorded {
    Recorded::new(case.tensors.get("in.uniform").map(|tensor| tensor.to_f32()).unwrap_or_default())
}

fn decode_window(case: &Case) -> Result<Got, String> {
    let recognizer = models::recognizer(case)?;
    let lists = if case.params["batched"] == true {
        case.param::<Vec<Value>>("audio")?
    } else {
        vec![case.params["audio"].clone()]
    };
    let mut uniform = chances(case);
    let mut results = Vec::new();
    for list in lists {
        results.push(decode_one(case, &recognizer, &list, &mut uniform)?);
    }
    Ok(Got::new().value("results", results))
}

fn decode_one(case: &Case, recognizer: &Recognizer, list: &Value, uniform: &mut Recorded) -> Result<Value, String> {
    let mode: String = case.param("mel_mode")?;
    let (mel, _) = audio::window(&audio::join(case, list)?, &mode, recognizer.model.dims().n_mels)?;
    let features = recognizer.model.encode(&mel).map_err(|e| e.to_string())?;
    let mut options = options(case)?;
    let tokenizer = &recognizer.tokenizer;
    if case.params["options"]["language"].is_null() && tokenizer.is_multilingual() {
        let found = window::detect_language(&mut recognizer.model.session(&features), tokenizer, &[]);
        let found = found.map_err(|e| e.to_string())?;
        options.language = window::likeliest(&found).ok_or("no language")?.0.to_owned();
    }
    options.validate().map_err(|e| e.to_string())?;
    let mut session = recognizer.model.session(&features);
    let result = window::decode(&mut session, tokenizer, &options, uniform, &|| false).map_err(|e| e.to_string())?;
    Ok(json!({
        "tokens": result.tokens,
        "text": result.text,
        "language": options.language,
        "avg_logprob": result.avg_logprob,
        "no_speech_prob": result.no_speech_prob,
        "temperature": result.temperature,
        "compression_ratio": result.compression_ratio,
    }))
}
