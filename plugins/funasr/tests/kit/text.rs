//! Text: units, tags, pieces, hot words.

use serde::Deserialize;
use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_funasr::text::sentence::{Sentence, compose, compose_pieces};
use syrinx_plugin_funasr::text::{rich, sentencepiece::SentencePiece};

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("text.sentence_postprocess", sentence_postprocess),
    Op::new("text.sentence_postprocess_sentencepiece", sentence_pieces),
    Op::new("text.rich_transcription_postprocess", rich_text),
    Op::new("sensevoice.bpe_encode", bpe_encode),
    Op::new("sensevoice.bpe_decode", bpe_decode),
];

#[derive(Deserialize)]
struct Item {
    words: Vec<String>,
    #[serde(alias = "timestamp", alias = "timestamps")]
    time_stamp: Option<Vec<[i64; 2]>>,
}

fn told(sentence: &Sentence) -> Value {
    json!({"sentence": sentence.text, "words": sentence.units, "timestamp": sentence.spans})
}

fn sentence_postprocess(case: &Case) -> Result<Got, String> {
    let items: Vec<Item> = case.param("items")?;
    let results: Vec<Value> = items
        .iter()
        .map(|item| {
            let words: Vec<&str> = item.words.iter().map(String::as_str).collect();
            told(&compose(&words, item.time_stamp.as_deref()))
        })
        .collect();
    Ok(Got::new().value("items", results))
}

fn sentence_pieces(case: &Case) -> Result<Got, String> {
    let items: Vec<Vec<String>> = case.param("items")?;
    let results: Vec<Value> = items
        .iter()
        .map(|pieces| told(&compose_pieces(&pieces.iter().map(String::as_str).collect::<Vec<_>>())))
        .collect();
    Ok(Got::new().value("items", results))
}

fn rich_text(case: &Case) -> Result<Got, String> {
    let items: Vec<String> = case.param("items")?;
    Ok(Got::new().value("items", items.iter().map(|item| rich::with_emoji(item)).collect::<Vec<_>>()))
}

fn vocabulary(case: &Case) -> Result<SentencePiece, String> {
    let files = models::own(case)?;
    let path =
        files.need("vocabulary", "tokenizer_conf/bpemodel", &["bpe.model"]).map_err(|error| error.to_string())?;
    SentencePiece::read(&path).map_err(|error| error.to_string())
}

fn bpe_encode(case: &Case) -> Result<Got, String> {
    let vocabulary = vocabulary(case)?;
    let items: Vec<String> = case.param("items")?;
    let results: Vec<Value> =
        items.iter().map(|item| json!({"pieces": vocabulary.pieces(item), "ids": vocabulary.encode(item)})).collect();
    Ok(Got::new().value("items", results))
}

fn bpe_decode(case: &Case) -> Result<Got, String> {
    let vocabulary = vocabulary(case)?;
    let items: Vec<Vec<u32>> = case.param("items")?;
    Ok(Got::new().value("items", items.iter().map(|ids| vocabulary.decode(ids)).collect::<Vec<_>>()))
}
