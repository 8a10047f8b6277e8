//! Cases before the network: languages, vocabulary, voices, chunks.

use serde_json::Value;
use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_kokoro::chunk::{self, Token};
use syrinx_plugin_kokoro::language::Language;
use syrinx_plugin_kokoro::pcm::pcm16;
use syrinx_plugin_kokoro::timestamps;
use syrinx_plugin_kokoro::vocab::{MAX_PHONEMES, Vocabulary};
use syrinx_plugin_kokoro::voices::{STYLE_WIDTH, Voices, style_row};

pub(crate) fn lang_code(case: &Case) -> Result<Got, String> {
    let inputs: Vec<String> = case.param("inputs")?;
    let codes: Vec<Option<char>> =
        inputs.iter().map(|input| input.parse::<Language>().ok().map(Language::letter)).collect();
    Ok(Got::new().value("codes", codes))
}

pub(crate) fn phonemes_to_ids(case: &Case) -> Result<Got, String> {
    let vocabulary = Vocabulary::load(&case.model_path()?, None).map_err(|error| error.to_string())?;
    let phonemes: String = case.param("phonemes")?;
    Ok(Got::new().value("input_ids", vocabulary.encode(&phonemes)))
}

pub(crate) fn voice_select(case: &Case) -> Result<Got, String> {
    let (voice, phonemes): (String, String) = (case.param("voice")?, case.param("phonemes")?);
    let voices = Voices::discover(&case.model_path()?).map_err(|error| error.to_string())?;
    let row = style_row(phonemes.chars().count());
    let style = voices.get(&voice).map_err(|error| error.to_string())?.row(row);
    Ok(Got::new().value("row", row).f32("out.ref_s", &[1, STYLE_WIDTH], style))
}

pub(crate) fn voice_blend(case: &Case) -> Result<Got, String> {
    let voice: String = case.param("voice")?;
    let voices = Voices::discover(&case.model_path()?).map_err(|error| error.to_string())?;
    let voice = voices.get(&voice).map_err(|error| error.to_string())?;
    let rows = [0, 9, 509].iter().flat_map(|row| voice.row(*row)).collect();
    Ok(Got::new().f32("out.pack_rows_0_9_509", &[3, 1, STYLE_WIDTH], rows))
}

pub(crate) fn pcm(case: &Case) -> Result<Got, String> {
    let samples = pcm16(&case.tensor("in.audio")?.to_f32());
    let wide = samples.iter().map(|sample| i64::from(*sample)).collect();
    Ok(Got::new().i64("out.pcm", &[samples.len()], wide).value("int16", samples))
}

/// `[text, phonemes, whitespace]` each.
fn tokens(case: &Case) -> Result<Vec<Token>, String> {
    let rows: Vec<[Option<String>; 3]> = case.param("tokens")?;
    let token = |[text, phonemes, whitespace]: [Option<String>; 3]| Token {
        text: text.unwrap_or_default(),
        phonemes: phonemes.unwrap_or_default(),
        whitespace: whitespace.unwrap_or_default(),
    };
    Ok(rows.into_iter().map(token).collect())
}

pub(crate) fn chunk_en(case: &Case) -> Result<Got, String> {
    let chunks: Vec<Value> = chunk::chunk_english(&tokens(case)?, MAX_PHONEMES)
        .iter()
        .map(|chunk| {
            serde_json::json!({"graphemes": chunk.graphemes, "phonemes": chunk.phonemes, "tokens": chunk.tokens.len()})
        })
        .collect();
    Ok(Got::new().value("chunks", chunks))
}

pub(crate) fn waterfall_last(case: &Case) -> Result<Got, String> {
    let index = chunk::waterfall_last(&tokens(case)?, case.param("next_count")?, MAX_PHONEMES);
    Ok(Got::new().value("index", index))
}

/// With the identity as front end, as in the kit.
pub(crate) fn chunk_other(case: &Case) -> Result<Got, String> {
    let text: String = case.param("text")?;
    let pattern = regex::Regex::new(r"\n+").map_err(|error| error.to_string())?;
    let (mut chunks, mut indices, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
    for (index, line) in pattern.split(text.trim()).enumerate() {
        for chunk in chunk::chunk_text(line) {
            lengths.push(chunk.chars().count().min(MAX_PHONEMES));
            chunks.push(chunk);
            indices.push(index);
        }
    }
    // What the plugin itself does with the text loses nothing.
    let kept: String = pattern.split(&text).flat_map(|line| chunk::split_text_fully(line, MAX_PHONEMES)).collect();
    let letters = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
    if letters(&kept) != letters(&text) {
        return Err("the plugin's own splitting loses text".to_owned());
    }
    Ok(Got::new().value("chunks", chunks).value("text_index", indices).value("phonemes_after_510_cut_len", lengths))
}

pub(crate) fn generate_from_tokens(case: &Case) -> Result<Got, String> {
    let lengths: Vec<usize> = case.param("lengths")?;
    let accepted: Vec<bool> = lengths.iter().map(|&length| chunk::raw_phonemes_fit(&"a".repeat(length))).collect();
    Ok(Got::new().value("accepted", accepted))
}

pub(crate) fn join_timestamps(case: &Case) -> Result<Got, String> {
    let durations: Vec<i64> = case.param("pred_dur")?;
    let spans = timestamps::join_timestamps(&tokens(case)?, &durations);
    let column = |pick: fn(&(f64, f64)) -> f64| spans.iter().map(|span| span.as_ref().map(pick)).collect::<Vec<_>>();
    Ok(Got::new().value("start_ts", column(|span| span.0)).value("end_ts", column(|span| span.1)))
}

pub(crate) fn balanced_split(case: &Case) -> Result<Got, String> {
    let (phonemes, limit): (String, usize) = (case.param("phonemes")?, case.param("max_length")?);
    let batches = chunk::balanced_split(&phonemes, limit);
    let texts: Vec<&str> = batches.iter().map(|batch| batch.phonemes.as_str()).collect();
    // As f64 from the decimal, so that 0.1 is 0.1 in JSON.
    let pauses: Vec<f64> = batches.iter().map(|batch| (f64::from(batch.pause_after) * 100.0).round() / 100.0).collect();
    Ok(Got::new().value("batches", texts).value("pause_after", pauses))
}
