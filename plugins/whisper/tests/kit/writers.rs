//! Statistics of text, files, normal forms.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use syrinx_plugin_common::kits::{Case, Got, Op};
use syrinx_plugin_whisper::text::normalize::{Basic, English, basic};
use syrinx_plugin_whisper::text::writer::{self, Format, Line, LineWord, SubtitleOptions};
use syrinx_plugin_whisper::text::{compression_ratio, format_timestamp};

/// Ops of this file.
pub(crate) const OPS: &[Op] = &[
    Op::new("utils.compression_ratio", ratio).remarks(&["expect.raw", "expect.deflated"]),
    Op::new("utils.format_timestamp", timestamps),
    Op::new("normalizer.basic", basic_form),
    Op::new("normalizer.english", english_form),
    Op::new("writer", write),
];

fn ratio(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    Ok(Got::new().value("ratio", texts.iter().map(|text| compression_ratio(text)).collect::<Vec<_>>()))
}

fn timestamps(case: &Case) -> Result<Got, String> {
    let seconds: Vec<f64> = case.param("seconds")?;
    Ok(Got::new()
        .value("vtt", seconds.iter().map(|s| format_timestamp(*s, false, '.')).collect::<Vec<_>>())
        .value("srt", seconds.iter().map(|s| format_timestamp(*s, true, ',')).collect::<Vec<_>>()))
}

fn basic_form(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    let all = |options: Basic| texts.iter().map(|text| basic(text, options)).collect::<Vec<_>>();
    Ok(Got::new()
        .value("plain", all(Basic::default()))
        .value("remove_diacritics", all(Basic { remove_diacritics: true, ..Basic::default() }))
        .value("split_letters", all(Basic { split_letters: true, ..Basic::default() })))
}

fn english_form(case: &Case) -> Result<Got, String> {
    let texts: Vec<String> = case.param("texts")?;
    let english = English::new();
    Ok(Got::new().value("out", texts.iter().map(|text| english.normalize(text)).collect::<Vec<_>>()))
}

/// The case's result with its members in the order of the reference, which JSON objects in memory forget.
#[derive(Serialize, Deserialize)]
struct OrderedResult {
    text: String,
    segments: Vec<OrderedSegment>,
    language: String,
}

#[derive(Serialize, Deserialize)]
struct OrderedSegment {
    id: usize,
    start: f64,
    end: f64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<OrderedWord>>,
}

#[derive(Serialize, Deserialize)]
struct OrderedWord {
    word: String,
    start: f64,
    end: f64,
    probability: f64,
}

fn write(case: &Case) -> Result<Got, String> {
    let format: String = case.param("format")?;
    let result = &case.params["result"];
    if format == "json" {
        let result: OrderedResult = case.param("result")?;
        return Ok(Got::new().value("text", writer::python_json(&result)));
    }
    let format = match format.as_str() {
        "txt" => Format::Txt,
        "vtt" => Format::Vtt,
        "srt" => Format::Srt,
        "tsv" => Format::Tsv,
        other => return Err(format!("unknown format {other}")),
    };
    let number = |value: &Value, name: &str| value[name].as_f64().ok_or_else(|| format!("{name} is missing"));
    let text =
        |value: &Value, name: &str| value[name].as_str().map(str::to_owned).ok_or_else(|| format!("{name} is missing"));
    let mut lines = Vec::new();
    for segment in result["segments"].as_array().into_iter().flatten() {
        let word = |word: &Value| {
            Ok(LineWord { word: text(word, "word")?, start: number(word, "start")?, end: number(word, "end")? })
        };
        let words = segment["words"].as_array().map(|words| words.iter().map(word).collect::<Result<_, String>>());
        lines.push(Line {
            start: number(segment, "start")?,
            end: number(segment, "end")?,
            text: text(segment, "text")?,
            words: words.transpose()?,
        });
    }
    let given = &case.params["options"];
    let count = |name: &str| given[name].as_u64().map(|n| n as usize);
    let options = SubtitleOptions {
        max_line_width: count("max_line_width"),
        max_line_count: count("max_line_count"),
        max_words_per_line: count("max_words_per_line"),
        highlight_words: given["highlight_words"].as_bool().unwrap_or(false),
    };
    Ok(Got::new().value("text", writer::write(&lines, format, options)))
}
