//! Splitting, normalising, tokenizing, prompts.

use std::collections::BTreeMap;

use serde::Deserialize;
use syrinx_plugin_chattts::text::{
    Homophones, Language, NormalizeOptions, Normalizer, Tokenizer, cut_tags, detect, prompt, split,
};
use syrinx_plugin_common::kits::{Case, Got, Op};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("text.split", split_text),
    // Facts about the file of homophones.
    Op::new("normalizer.normalize", normalize).remarks(&["expect.sha256"]),
    Op::new("normalizer.detect_language", detect_language),
    Op::new("normalizer.split_tags", split_tags),
    Op::new("tokenizer.specials", specials),
    Op::new("tokenizer.encode", encode),
    Op::new("tokenizer.decode", decode),
    Op::new("prompt.decorate_code", decorate_code),
    Op::new("prompt.decorate_text", decorate_text),
    Op::new("voice.speed_prompt", speed_prompt),
];

fn split_text(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    Ok(Got::new().value("parts", texts.iter().map(|text| split(text)).collect::<Vec<_>>()))
}

/// One call of the normaliser.
#[derive(Deserialize)]
struct Run {
    text: String,
    do_text_normalization: bool,
    do_homophone_replacement: bool,
    lang: Option<String>,
}

/// A function registered for a language: replacements, one after another.
#[derive(Deserialize)]
struct Registered {
    replace: Vec<(String, String)>,
}

fn normalize(case: &Case) -> Result<Got, String> {
    let folder = if case.model.is_some() { case.model_path()? } else { case.root.clone() };
    let homophones = Homophones::load(&folder.join(case.param::<String>("homophones")?)).map_err(|e| e.to_string())?;
    let entries = homophones.len();
    let mut normalizer = Normalizer::new(homophones);
    if case.params.get("registered").is_some() {
        for (code, rules) in case.param::<BTreeMap<String, Registered>>("registered")? {
            normalizer = normalizer.with_rules(
                language(&code)?,
                Box::new(move |text| rules.replace.iter().fold(text.to_owned(), |text, (a, b)| text.replace(a, b))),
            );
        }
    }
    let mut texts = Vec::new();
    for run in case.param::<Vec<Run>>("runs")? {
        let options = NormalizeOptions {
            rules: run.do_text_normalization,
            reading: false,
            homophones: run.do_homophone_replacement,
            language: run.lang.as_deref().map(language).transpose()?,
        };
        texts.push(normalizer.normalize(&run.text, options).text);
    }
    Ok(Got::new().value("texts", texts).value("entries", entries))
}

fn language(code: &str) -> Result<Language, String> {
    Language::of(code).ok_or_else(|| format!("unknown language {code}"))
}

fn detect_language(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    Ok(Got::new().value("langs", texts.iter().map(|text| detect(text).code()).collect::<Vec<_>>()))
}

fn split_tags(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    let parts = texts.iter().map(|text| cut_tags(text)).map(|tagged| (tagged.stretches, tagged.tags));
    Ok(Got::new().value("parts", parts.collect::<Vec<_>>()))
}

fn tokenizer(case: &Case) -> Result<Tokenizer, String> {
    Tokenizer::load(&case.model_path()?.join("asset/tokenizer")).map_err(|e| e.to_string())
}

fn specials(case: &Case) -> Result<Got, String> {
    let tokenizer = tokenizer(case)?;
    let ids: BTreeMap<String, u32> = tokenizer.specials().into_iter().collect();
    let id = |name: &str| tokenizer.special(name).map_err(|e| e.to_string());
    Ok(Got::new()
        .value("ids", ids)
        .value("len", tokenizer.vocabulary_size())
        .value("spk_emb_ids", id("[spk_emb]")?)
        .value("break_0_ids", id("[break_0]")?)
        .value("eos_token", id("[Ebreak]")?))
}

fn encode(case: &Case) -> Result<Got, String> {
    let tokenizer = tokenizer(case)?;
    let texts: Vec<String> = case.param("texts")?;
    let codes = match case.tensors.get("in.prompt") {
        Some(tensor) => tensor.to_i64()?.into_iter().map(|code| code as u16).collect(),
        None => Vec::new(),
    };
    let rows: Vec<&[u16]> = codes.chunks(codes.len().div_ceil(case.param("num_vq")?).max(1)).collect();
    let prompt = (!rows.is_empty()).then_some(&rows[..]);
    let encoded = tokenizer.encode(&texts, prompt).map_err(|e| e.to_string())?;
    let tokens = texts.iter().map(|text| tokenizer.tokens(text)).collect::<Result<Vec<_>, _>>();
    let shape = [texts.len(), encoded.len()];
    let mask = |rows: &[Vec<bool>]| rows.iter().flatten().map(|at| i64::from(*at)).collect::<Vec<_>>();
    Ok(Got::new()
        .i64("out.input_ids", &[shape[0], shape[1], 4], encoded.ids.iter().flatten().flatten().copied().collect())
        .i64("out.attention_mask", &shape, mask(&encoded.attention))
        .i64("out.text_mask", &shape, mask(&encoded.text_mask))
        .value("tokens", tokens.map_err(|e| e.to_string())?))
}

fn decode(case: &Case) -> Result<Got, String> {
    let tokenizer = tokenizer(case)?;
    let first_break = tokenizer.special("[break_0]").map_err(|e| e.to_string())?;
    let ids: Vec<Vec<u32>> = case.param("ids")?;
    let texts = |keep: &dyn Fn(u32) -> bool| {
        let kept = |ids: &Vec<u32>| ids.iter().copied().filter(|id| keep(*id)).collect::<Vec<_>>();
        ids.iter().map(|ids| tokenizer.decode(&kept(ids))).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())
    };
    Ok(Got::new()
        .value("texts", texts(&|_| true)?)
        .value("texts_without_break_and_above", texts(&|id| id < first_break)?))
}

/// One call of a function that adds control tokens.
#[derive(Deserialize)]
struct Decorated {
    texts: Vec<String>,
    prompt: String,
    txt_smp: Option<String>,
    spk_emb: Option<String>,
}

fn decorate_code(case: &Case) -> Result<Got, String> {
    let runs: Vec<Decorated> = case.param("runs")?;
    let texts = runs.iter().map(|run| {
        let transcript = run.txt_smp.as_deref();
        let decorate = |text: &String| prompt::decorate_code(text, &run.prompt, transcript, run.spk_emb.is_some());
        run.texts.iter().map(decorate).collect::<Vec<_>>()
    });
    Ok(Got::new().value("texts", texts.collect::<Vec<_>>()))
}

fn decorate_text(case: &Case) -> Result<Got, String> {
    let runs: Vec<Decorated> = case.param("runs")?;
    let texts =
        runs.iter().map(|run| run.texts.iter().map(|t| prompt::decorate_text(t, &run.prompt)).collect::<Vec<_>>());
    Ok(Got::new().value("texts", texts.collect::<Vec<_>>()))
}

/// What is sent beyond a speed of 1.8 is no token in the reference; here it is the fastest one, so steps are compared.
fn speed_prompt(case: &Case) -> Result<Got, String> {
    let speeds: Vec<f64> = case.param("speeds")?;
    let prompts: Vec<String> = speeds.iter().map(|speed| format!("[speed_{}]", prompt::speed_step(*speed))).collect();
    for (speed, unbounded) in speeds.iter().zip(&prompts) {
        let tag = prompt::speed_prompt(*speed);
        if tag != *unbounded && tag != "[speed_9]" {
            return Err(format!("speed {speed} is {tag}"));
        }
    }
    Ok(Got::new().value("prompts", prompts))
}
