//! Word times.

use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::timing::{self, Punctuation, WordTiming};
use syrinx_plugin_whisper::window::WindowOptions;

use crate::decode::KitOptions;
use crate::{audio, models};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("timing.median_filter", median_filter),
    Op::new("timing.dtw", dtw),
    Op::new("timing.merge_punctuations", merge_punctuations),
    Op::new("timing.alignment", alignment).remarks(&["expect.same_in_float64"]),
];

fn median_filter(case: &Case) -> Result<Got, String> {
    let x = case.tensor("in.x")?;
    let length = x.shape().last().copied().unwrap_or(0);
    Ok(Got::new().f32("out.y", x.shape(), timing::median_filter(&x.to_f32(), length, case.param("width")?)))
}

fn dtw(case: &Case) -> Result<Got, String> {
    let x = case.tensor("in.x")?;
    let &[rows, columns] = x.shape() else { return Err("in.x has no two dimensions".to_owned()) };
    let path = timing::dtw(&x.to_f32(), rows, columns);
    let (text, time): (Vec<usize>, Vec<usize>) = path.into_iter().unzip();
    Ok(Got::new().value("text_indices", text).value("time_indices", time))
}

fn merge_punctuations(case: &Case) -> Result<Got, String> {
    let punctuation = Punctuation { prepend: case.param("prepend")?, append: case.param("append")? };
    let items: Vec<Vec<String>> = case.param("items")?;
    let mut merged: Vec<Value> = Vec::new();
    for item in items {
        let mut words: Vec<WordTiming> = item
            .into_iter()
            .enumerate()
            .map(|(i, word)| WordTiming { word, tokens: vec![i as u32], start: 0.0, end: 0.0, probability: 0.0 })
            .collect();
        timing::merge_punctuations(&mut words, &punctuation);
        merged.push(words.iter().map(|word| json!([word.word, word.tokens])).collect());
    }
    Ok(Got::new().value("items", merged))
}

fn alignment(case: &Case) -> Result<Got, String> {
    let recognizer = models::recognizer(case)?;
    let options: WindowOptions = KitOptions::from(&case.params)?.window()?;
    let text: Vec<u32> = case.param("text_tokens")?;
    let frames: usize = case.param("num_frames")?;
    let (mel, _) = audio::window(&audio::clips(case)?, "transcribe", recognizer.model.dims().n_mels)?;
    let features = recognizer.model.encode(&mel).map_err(|e| e.to_string())?;
    let found = recognizer.align(&features, &options, &text, frames).map_err(|e| e.to_string())?;
    let words = found.words.iter().map(|word| {
        json!({"word": word.word, "tokens": word.tokens, "start": word.start, "end": word.end, "probability": word.probability})
    });
    // Long matrices are cut in the case.
    let columns = found.matrix.len() / found.rows.max(1);
    let stored = case.tensor("out.matrix")?.shape().get(1).copied().unwrap_or(columns).min(columns);
    let matrix: Vec<f32> = found.matrix.chunks_exact(columns.max(1)).flat_map(|row| &row[..stored]).copied().collect();
    let (rows, times): (Vec<usize>, Vec<usize>) = found.path.iter().copied().unzip();
    Ok(Got::new()
        .value("words", words.collect::<Vec<_>>())
        .value("text_indices", rows)
        .value("time_indices", times)
        .f32("out.matrix", &[found.rows, stored], matrix))
}
