//! Cases of the English front end: text to phonemes, tokens and tags, number words.
//!
//! The kit judges text to phonemes by the share of equal sentences. With an espeak-ng installed (a library or the program; `SYRINX_ESPEAK_LIBRARY`
//! names one) all fields are compared; without one, those that don't depend on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_kokoro::g2p::fallback::{Fallback, WithEspeak, installed_espeak};
use syrinx_plugin_kokoro::g2p::markup::{self, Annotation};
use syrinx_plugin_kokoro::g2p::{EnglishG2p, TaggedToken, Variant, number_words};
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// Catalogue entry whose assets are the lexicons and the tagger.
const MODEL: &str = "Kokoro-82M";

/// Share of sentences that have to be equal in every field.
const NEEDED_SHARE: f64 = 0.97;

/// What the kit writes for a word without phonemes.
const UNKNOWN: &str = "❓";

type Object = Map<String, Value>;

pub(crate) fn g2p(case: &Case) -> Result<Got, String> {
    let language: String = case.param("lang")?;
    let lines: Vec<Object> = case.param("lines")?;
    let wanted: Vec<Object> =
        serde_json::from_value(case.expect["lines"].clone()).map_err(|error| error.to_string())?;
    let results: Vec<Object> = match language.as_str() {
        "en_us" => phonemes(&lines, Variant::American)?,
        "en_gb" => phonemes(&lines, Variant::British)?,
        "en_tags" => tags(&lines)?,
        other => return Err(format!("the plugin has no front end for {other}")),
    };
    judge(&language, &results, &wanted)
}

/// Passes when enough lines are right. The kit asks for a share, so the runner doesn't compare the lines one by one (`remarks` in
/// the op table); the lines that differ are printed.
fn judge(language: &str, results: &[Object], wanted: &[Object]) -> Result<Got, String> {
    let is_equal =
        |got: &Object, want: &Object| got.iter().all(|(key, value)| want.get(key).unwrap_or(&Value::Null) == value);
    let wrong: Vec<(&Object, &Object)> =
        results.iter().zip(wanted).filter(|(got, want)| !is_equal(got, want)).collect();
    let equal = wanted.len() - wrong.len();
    let share = equal as f64 / wanted.len().max(1) as f64;
    println!("{language}: {equal} of {} lines equal ({:.2} %)", wanted.len(), 100.0 * share);
    for (got, want) in wrong {
        println!("  got    {}\n  wanted {}", Value::from(got.clone()), Value::from(want.clone()));
    }
    if results.len() == wanted.len() && share >= NEEDED_SHARE {
        return Ok(Got::new());
    }
    Err(format!("{:.2} % of the lines are equal, {:.0} % are needed", 100.0 * share, 100.0 * NEEDED_SHARE))
}

fn phonemes(lines: &[Object], variant: Variant) -> Result<Vec<Object>, String> {
    let alone = front_end(variant, None)?;
    let asked = Asked::default();
    let espeak = installed_espeak().map_err(|error| error.to_string())?;
    let helped = match espeak {
        Some(espeak) => {
            println!("{variant:?} words in no dictionary: {}", espeak.name());
            Some(front_end(variant, Some(Box::new(Recorder { inner: WithEspeak::new(espeak), asked: asked.clone() })))?)
        }
        None => {
            println!("{variant:?}: no espeak-ng found, comparing phonemes_no_fallback only");
            None
        }
    };
    lines
        .iter()
        .map(|line| {
            let text = text(line)?;
            let mut result = Object::new();
            result.insert("phonemes_no_fallback".to_owned(), json!(alone.convert(text).phonemes));
            // Lines whose words are all in the dictionaries don't carry the field.
            if !line.contains_key("phonemes_no_fallback") {
                result.clear();
            }
            let Some(helped) = &helped else {
                if result.is_empty() {
                    result.insert("phonemes".to_owned(), json!(alone.convert(text).phonemes));
                }
                return Ok(result);
            };
            asked.take();
            let converted = helped.convert(text);
            result.insert("phonemes".to_owned(), json!(converted.phonemes));
            if line.contains_key("tokens") {
                let tokens = converted.tokens.iter();
                let rows = tokens.map(|t| json!([t.text, t.tag, if t.space_after { " " } else { "" }, t.phonemes]));
                result.insert("tokens".to_owned(), rows.collect());
            }
            let words = asked.take();
            if !words.is_empty() || line.contains_key("fallback") {
                result.insert("fallback".to_owned(), json!(words));
            }
            Ok(result)
        })
        .collect()
}

fn tags(lines: &[Object]) -> Result<Vec<Object>, String> {
    let front_end = front_end(Variant::American, None)?;
    lines
        .iter()
        .map(|line| {
            let marked = markup::parse(text(line)?);
            let features: BTreeMap<String, Value> = marked
                .annotations()
                .iter()
                .map(|(piece, annotation)| {
                    let value = match annotation {
                        Annotation::Phonemes(phonemes) => json!(format!("/{phonemes}")),
                        Annotation::Stress(shift) if shift.fract() == 0.0 => json!(*shift as i64),
                        Annotation::Stress(shift) => json!(shift),
                        Annotation::NumberFlags(flags) => json!(format!("#{flags}")),
                    };
                    (piece.to_string(), value)
                })
                .collect();
            let tagged = front_end.tag(&marked.text).tokens;
            let result = json!({
                "clean": marked.text,
                "features": features,
                "tokens": tagged.iter().map(|t| &t.text).collect::<Vec<_>>(),
                "ws": tagged.iter().map(|t| if t.space_after { '1' } else { '0' }).collect::<String>(),
                "tags": tagged.iter().map(|t| &t.tag).collect::<Vec<_>>(),
            });
            match result {
                Value::Object(result) => Ok(result),
                _ => Err("not an object".to_owned()),
            }
        })
        .collect()
}

pub(crate) fn en_tagger(case: &Case) -> Result<Got, String> {
    let text: String = case.param("text")?;
    let front_end = front_end(Variant::American, None)?;
    let tagged = front_end.tag(&text);
    let count = tagged.tokens.len();
    let column = |f: fn(&TaggedToken) -> Value| tagged.tokens.iter().map(f).collect::<Vec<_>>();
    let rows = tagged.tokens.first().map(|t| front_end.embedding_rows(&t.features, 0));
    Ok(Got::new()
        .value("tokens", column(|t| json!(t.text)))
        .value("tags", column(|t| json!(t.tag)))
        .value("norms", column(|t| json!(t.features.norm)))
        .value("shapes", column(|t| json!(t.features.shape)))
        .value("features_u64", column(|t| json!(t.features.values.map(|v| v.to_string()))))
        .value("rows_word0_norm", rows)
        .f32("out.tok2vec", &[count, tagged.vectors.len() / count.max(1)], tagged.vectors.clone())
        .f32("out.scores", &[count, tagged.scores.len() / count.max(1)], tagged.scores.clone()))
}

pub(crate) fn num2words(case: &Case) -> Result<Got, String> {
    let whole = |name: &str| case.param::<Vec<u64>>(name);
    let cardinal: Vec<_> = whole("cardinal")?.iter().map(|n| number_words::cardinal(&n.to_string())).collect();
    let ordinal: Vec<_> = whole("ordinal")?.iter().map(|n| number_words::ordinal(&n.to_string())).collect();
    let year: Vec<_> = case.param::<Vec<u32>>("year")?.into_iter().map(number_words::year).collect();
    let float: Vec<_> = case.param::<Vec<f64>>("float")?.into_iter().map(number_words::decimal).collect();
    Ok(Got::new().value("cardinal", cardinal).value("ordinal", ordinal).value("year", year).value("float", float))
}

fn text(line: &Object) -> Result<&str, String> {
    line.get("text").and_then(Value::as_str).ok_or_else(|| "a line without text".to_owned())
}

fn front_end(variant: Variant, fallback: Option<Box<dyn Fallback>>) -> Result<EnglishG2p, String> {
    let (lexicons, tagger) = (asset("misaki")?, asset("spacy-en")?);
    EnglishG2p::load(&lexicons, &tagger, variant, fallback)
        .map(|front_end| front_end.with_unknown_mark(UNKNOWN))
        .map_err(|error| error.to_string())
}

/// The directories of the English data sets by name.
pub(crate) fn assets() -> Result<BTreeMap<String, PathBuf>, String> {
    ["misaki", "spacy-en"].into_iter().map(|name| Ok((name.to_owned(), asset(name)?))).collect()
}

/// Directory of a data set, from the store, fetched if need be.
fn asset(name: &str) -> Result<PathBuf, String> {
    let entry = Catalogue::builtin().model(MODEL).map_err(|error| error.to_string())?;
    let asset =
        entry.assets.iter().find(|asset| asset.name == name).ok_or_else(|| format!("{MODEL} has no asset {name}"))?;
    let store = Store::default_location().map_err(|error| error.to_string())?;
    store.fetch_asset(asset, &FetchOptions::default(), &Silent).map_err(|error| error.to_string())
}

/// Words that a fallback was asked for, with its answers.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(String, Option<String>)>>>);

impl Asked {
    fn take(&self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Passes words on and writes them down.
struct Recorder<F> {
    inner: F,
    asked: Asked,
}

impl<F: Fallback> Fallback for Recorder<F> {
    fn phonemes(&self, text: &str, variant: Variant) -> Option<String> {
        let phonemes = self.inner.phonemes(text, variant);
        self.asked.0.lock().unwrap_or_else(PoisonError::into_inner).push((text.to_owned(), phonemes.clone()));
        phonemes
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}
