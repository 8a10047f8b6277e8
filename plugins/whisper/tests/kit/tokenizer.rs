//! The tokenizer and the table of languages.

use serde_json::{Value, json};
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::languages;
use syrinx_plugin_whisper::prompt::{Task, start_sequence};

use crate::models;

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("tokenizer.encode", encode)
        .remarks(&["expect.raw_tokenizer_json_ids", "expect.same_as_raw_tokenizer_json"]),
    Op::new("tokenizer.decode", decode),
    Op::new("tokenizer.specials", specials),
    Op::new("tokenizer.split_words", split_words),
    Op::new("tokenizer.languages", language_table),
];

fn encode(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let texts: Vec<String> = case.param("texts")?;
    Ok(Got::new().value("ids", texts.iter().map(|text| tokenizer.encode(text)).collect::<Vec<_>>()))
}

fn decode(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let ids: Vec<Vec<u32>> = case.param("ids")?;
    Ok(Got::new()
        .value("text", ids.iter().map(|ids| tokenizer.decode(ids)).collect::<Vec<_>>())
        .value("with_timestamps", ids.iter().map(|ids| tokenizer.decode_with_timestamps(ids)).collect::<Vec<_>>()))
}

fn specials(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let s = tokenizer.specials();
    // The reference lists languages in no particular order: theirs is ours.
    let codes: Vec<String> =
        serde_json::from_value(case.expect["language_codes"].clone()).map_err(|e| e.to_string())?;
    let known = |code: &&String| tokenizer.languages().any(|known| known == code.as_str());
    let missing = tokenizer.languages().filter(|known| !codes.iter().any(|code| code == known)).map(str::to_owned);
    let listed: Vec<String> = codes.iter().filter(known).cloned().chain(missing).collect();
    let tokens: Vec<_> = listed.iter().map(|code| tokenizer.language_token(code)).collect();
    let mut blank = tokenizer.encode(" ");
    blank.push(s.eot);
    Ok(Got::new()
        .value("eot", s.eot)
        .value("sot", s.sot)
        .value("sot_lm", s.sot_lm)
        .value("sot_prev", s.sot_prev)
        .value("no_speech", s.no_speech)
        .value("no_timestamps", s.no_timestamps)
        .value("timestamp_begin", s.timestamp_begin)
        .value("transcribe", s.transcribe)
        .value("translate", s.translate)
        .value("sot_sequence", start_sequence(&tokenizer, "en", Task::Transcribe))
        .value("language_codes", listed)
        .value("language_tokens", tokens)
        .value("n_vocab", tokenizer.len())
        .value("non_speech_tokens", tokenizer.non_speech_tokens())
        .value("suppress_default", tokenizer.suppressed_by_default())
        .value("blank", blank))
}

fn split_words(case: &Case) -> Result<Got, String> {
    let tokenizer = models::tokenizer(case)?;
    let items: Vec<Value> = case.param("items")?;
    let (mut words, mut tokens) = (Vec::new(), Vec::new());
    for item in items {
        let ids: Vec<u32> = serde_json::from_value(item["ids"].clone()).map_err(|e| e.to_string())?;
        let found = tokenizer.words(&ids, item["language"].as_str());
        words.push(json!(found.iter().map(|word| &word.text).collect::<Vec<_>>()));
        tokens.push(json!(found.iter().map(|word| &word.tokens).collect::<Vec<_>>()));
    }
    Ok(Got::new().value("words", words).value("word_tokens", tokens))
}

fn language_table(_: &Case) -> Result<Got, String> {
    let table = languages::LANGUAGES;
    let names: serde_json::Map<String, Value> =
        table.iter().map(|(code, name)| ((*code).to_owned(), json!(name))).collect();
    let aliases: serde_json::Map<String, Value> =
        languages::names().map(|(name, code)| (name.to_owned(), json!(code))).collect();
    Ok(Got::new().value("codes", table.map(|(code, _)| code).to_vec()).value("names", names).value("aliases", aliases))
}
