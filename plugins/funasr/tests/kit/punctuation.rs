//! Punctuation.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_funasr::config::PunctuationConfig;
use syrinx_plugin_funasr::punctuation::Punctuator;
use syrinx_plugin_funasr::punctuation::realtime::RealtimeState;
use syrinx_plugin_funasr::punctuation::restore::{Marked, Marks, Restoration};
use syrinx_plugin_funasr::punctuation::words::Words;

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("punc.split_words", split_words),
    Op::new("punc.split_to_mini_sentence", windows),
    Op::new("punc.postprocess", postprocess),
    Op::new("punc.generate", generate),
    Op::new("punc.realtime", realtime),
];

/// The kit's punctuation model `name`.
pub(crate) fn punctuator(case: &Case, name: &str) -> Result<Arc<Punctuator>, String> {
    models::cached(&models::files(case, name)?, "punctuation", |runtime, files| {
        Punctuator::load(runtime, files, false, &models::options())
    })
}

fn split_words(case: &Case) -> Result<Got, String> {
    let items: Vec<String> = case.param("items")?;
    let split = |words: &Words| items.iter().map(|item| words.split(item)).collect::<Vec<_>>();
    let results = match &case.model {
        Some(name) => split(punctuator(case, name)?.words()),
        None => split(&Words::Characters),
    };
    Ok(Got::new().value("items", results))
}

#[derive(Deserialize)]
struct Cut {
    n: usize,
    limit: usize,
}

/// Sizes of the windows in which so many words are classified, seen by a classifier that ends a sentence nowhere and is asked each time.
fn windows(case: &Case) -> Result<Got, String> {
    let items: Vec<Cut> = case.param("items")?;
    let marks = Marks::new(&PunctuationConfig::default());
    let mut results = Vec::new();
    for Cut { n, limit } in items {
        let mut sizes: Vec<usize> = Vec::new();
        let mut restoration = Restoration::new(&marks, limit);
        let mut classify = |words: &[String]| {
            sizes.push(words.len());
            Ok(vec![1; words.len()])
        };
        let words = vec!["字".to_owned(); n];
        restoration.push(words, &mut classify).map_err(|error| error.to_string())?;
        restoration.finish(&mut classify).map_err(|error| error.to_string())?;
        // What is carried is counted again in each window.
        let mut parts: Vec<usize> =
            sizes.iter().scan(0, |before, &size| Some(size - std::mem::replace(before, size))).collect();
        if parts.is_empty() {
            parts.push(0);
        }
        results.push(parts);
    }
    Ok(Got::new().value("items", results))
}

#[derive(Deserialize)]
struct ScriptedItem {
    text: String,
    labels: HashMap<String, usize>,
    default: usize,
    split_size: usize,
}

fn postprocess(case: &Case) -> Result<Got, String> {
    let items: Vec<ScriptedItem> = case.param("items")?;
    let config =
        PunctuationConfig { punc_list: case.param("punc_list")?, sentence_end_id: case.param("sentence_end_id")? };
    let marks = Marks::new(&config);
    let mut results = Vec::new();
    for item in items {
        let mut sizes = Vec::new();
        let mut classify = |words: &[String]| {
            sizes.push(words.len());
            Ok(words.iter().map(|word| item.labels.get(word).copied().unwrap_or(item.default)).collect())
        };
        let mut restoration = Restoration::new(&marks, item.split_size);
        let words = Words::Characters.split(&item.text);
        let mut marked = restoration.push(words, &mut classify).map_err(|error| error.to_string())?;
        marked.extend(restoration.finish(&mut classify).map_err(|error| error.to_string())?);
        let text: String = marked.iter().map(Marked::text).collect();
        let classes: Vec<usize> = marked.iter().map(|marked| marked.class).collect();
        results.push(json!({"text": text, "punc_array": classes, "window_lens": sizes}));
    }
    Ok(Got::new().value("items", results))
}

fn generate(case: &Case) -> Result<Got, String> {
    let punctuator = punctuator(case, case.model.as_deref().unwrap_or_default())?;
    let items: Vec<String> = case.param("items")?;
    let mut results: Vec<Value> = Vec::new();
    for item in items {
        let done = punctuator.punctuate(&item, case.param("split_size")?).map_err(|error| error.to_string())?;
        let classes = (!done.classes.is_empty()).then_some(done.classes);
        results.push(json!({"text": done.text, "punc_array": classes}));
    }
    Ok(Got::new().value("items", results))
}

fn realtime(case: &Case) -> Result<Got, String> {
    let punctuator = punctuator(case, case.model.as_deref().unwrap_or_default())?;
    let items: Vec<String> = case.param("items")?;
    let mut state = RealtimeState::default();
    let mut results: Vec<Value> = Vec::new();
    for item in items {
        let text = punctuator.punctuate_next(&mut state, &item).map_err(|error| error.to_string())?;
        results.push(json!({"text": text, "cache": state.carried}));
    }
    Ok(Got::new().value("items", results))
}
