//! Text to phonemes in every language, tokens and tags, number words.
//!
//! The kit judges text to phonemes by the share of sentences that are equal in every field that the file has. The data come from the store; so does
//! espeak-ng, in the version that made the goldens, where there is a build of it for the machine (else the installed one is asked).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_common::numbers::english;
use syrinx_plugin_kokoro::g2p::english::fallback::{Fallback, WithEspeak};
use syrinx_plugin_kokoro::g2p::english::markup::{self, Annotation};
use syrinx_plugin_kokoro::g2p::english::{EnglishG2p, TaggedToken, Variant};
use syrinx_plugin_kokoro::g2p::espeak::{self, EspeakLibrary, Phonemizer};
use syrinx_plugin_kokoro::g2p::japanese::Japanese;
use syrinx_plugin_kokoro::g2p::mandarin::{Mandarin, MandarinV1_1, normalize};
use syrinx_plugin_kokoro::language::Language;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// Shares of sentences that have to be equal in every field.
const ENGLISH_SHARE: f64 = 0.97;
const MANDARIN_SHARE: f64 = 0.98;
const JAPANESE_SHARE: f64 = 0.95;
const ESPEAK_SHARE: f64 = 0.98;

/// Lines that differ are printed up to this many.
const PRINTED_LINES: usize = 10;

/// What the kit writes for a word without phonemes.
const UNKNOWN: &str = "❓";

type Object = Map<String, Value>;

/// Converts every line, and passes when enough of them are right. The kit asks for a share, so the runner doesn't compare the lines one by one
/// (`remarks` in the op table).
fn judge(
    case: &Case,
    needed: f64,
    mut convert: impl FnMut(&str, &Object) -> Result<Object, String>,
) -> Result<Got, String> {
    let lines: Vec<Object> = case.param("lines")?;
    let mut equal = 0;
    let mut wrong_fields: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        let got = convert(text(line)?, line)?;
        // Lines don't carry fields that say nothing, such as words for the fallback where there are none.
        let wrong: Vec<(&String, &Value)> =
            got.iter().filter(|(key, value)| line.get(*key).is_some_and(|wanted| wanted != *value)).collect();
        if wrong.is_empty() {
            equal += 1;
        } else if wrong_fields.values().sum::<usize>() < PRINTED_LINES {
            println!("  {}", text(line)?);
            for (key, value) in &wrong {
                println!("    {key}: got    {value}");
                println!("    {key}: wanted {}", line[*key]);
            }
        }
        for (key, _) in wrong {
            *wrong_fields.entry(key.clone()).or_default() += 1;
        }
    }
    let share = equal as f64 / lines.len().max(1) as f64;
    let of = lines.len();
    println!("{}: {equal} of {of} lines equal ({:.2} %), differing fields {wrong_fields:?}", case.op, 100.0 * share);
    if share >= needed {
        return Ok(Got::new());
    }
    Err(format!("{:.2} % of the lines are equal, {:.0} % are needed", 100.0 * share, 100.0 * needed))
}

/// An object of these fields.
fn fields<const N: usize>(fields: [(&str, Value); N]) -> Object {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn language_of(case: &Case) -> Result<String, String> {
    case.param("lang")
}

pub(crate) fn mandarin(case: &Case) -> Result<Got, String> {
    let (jieba, pypinyin) = (asset("jieba")?, asset("pypinyin")?);
    let v1_0 = Mandarin::load(&jieba, &pypinyin).map_err(|error| error.to_string())?;
    let v1_1 = MandarinV1_1::load(&jieba, &pypinyin, &asset("pypinyin-phrases")?)
        .map_err(|error| error.to_string())?
        .with_unknown_mark(UNKNOWN);
    let fallback = espeak_ng()?.map(|espeak| Box::new(WithEspeak::new(espeak)) as Box<dyn Fallback>);
    let english = front_end(Variant::American, fallback)?;
    let speak_english = |text: &str| english.convert(text).phonemes;
    judge(case, MANDARIN_SHARE, |text, line| {
        let normalized = normalize(text);
        let mut result = fields([
            ("normalized", json!(normalized)),
            ("jieba", json!(v1_0.words(&normalized))),
            ("phonemes_v10", json!(v1_0.phonemes(text, None))),
            ("phonemes_v11", json!(v1_1.phonemes(text, Some(&speak_english)))),
        ]);
        // The kit has the tokens of the text's parts; only where there is one part can they be compared.
        if !normalized.contains(|c: char| c.is_ascii_alphabetic()) && line.contains_key("tokens_v11") {
            let tokens = v1_1.tokens(&normalized);
            let rows = tokens.iter().map(|token| json!([token.text, token.tag, token.separator, token.phonemes]));
            result.insert("tokens_v11".to_owned(), rows.collect());
        }
        Ok(result)
    })
}

pub(crate) fn japanese(case: &Case) -> Result<Got, String> {
    let japanese = Japanese::load(&asset("unidic-lite")?, &asset("misaki")?).map_err(|error| error.to_string())?;
    judge(case, JAPANESE_SHARE, |text, _| {
        let words = japanese.analyzer().words(text);
        // Part of speech, pronunciation, kana.
        let rows = words.iter().map(|word| json!([word.surface, word.feature(0), word.feature(9), word.feature(17)]));
        Ok(fields([("mecab", rows.collect()), ("phonemes", json!(japanese.phonemes(text)))]))
    })
}

pub(crate) fn through_espeak(case: &Case) -> Result<Got, String> {
    let language = language_of(case)?;
    let language: Language = match language.as_str() {
        "fr" => Language::French,
        "pt_br" => Language::BrazilianPortuguese,
        other => other.parse().map_err(|error: syrinx_plugin_kokoro::language::UnknownLanguage| error.to_string())?,
    };
    let code = espeak::code(language).ok_or_else(|| format!("{language} is not spoken through espeak-ng"))?;
    let espeak = espeak_ng()?.ok_or("there is no espeak-ng for this machine")?;
    println!("{language}: {}", espeak.name());
    judge(case, ESPEAK_SHARE, |text, _| {
        let phonemes = espeak::phonemes(espeak.as_ref(), code, text).map_err(|error| error.to_string())?;
        Ok(fields([("phonemes", json!(phonemes))]))
    })
}

/// The espeak-ng of the store, else the one of this machine.
fn espeak_ng() -> Result<Option<Arc<dyn Phonemizer>>, String> {
    let library = asset("espeak-ng").map(|dir| dir.join("libespeak-ng.so.1"));
    match library.map(|library| EspeakLibrary::open(&library, None)) {
        Ok(Ok(library)) => Ok(Some(Arc::new(library))),
        _ => espeak::installed(None).map_err(|error| error.to_string()),
    }
}

pub(crate) fn english(case: &Case) -> Result<Got, String> {
    let variant = match language_of(case)?.as_str() {
        "en_gb" => Variant::British,
        _ => Variant::American,
    };
    let alone = front_end(variant, None)?;
    let asked = Asked::default();
    let helped = match espeak_ng()? {
        Some(espeak) => {
            println!("{variant:?} words in no dictionary: {}", espeak.name());
            Some(front_end(variant, Some(Box::new(Recorder { inner: WithEspeak::new(espeak), asked: asked.clone() })))?)
        }
        None => {
            println!("{variant:?}: no espeak-ng found, comparing phonemes_no_fallback only");
            None
        }
    };
    judge(case, ENGLISH_SHARE, |text, line| {
        let mut result = Object::new();
        // Lines whose words are all in the dictionaries don't carry the field.
        let is_known = !line.contains_key("phonemes_no_fallback");
        if !is_known {
            result.insert("phonemes_no_fallback".to_owned(), json!(alone.convert(text).phonemes));
        }
        let Some(helped) = &helped else {
            if is_known {
                result.insert("phonemes".to_owned(), json!(alone.convert(text).phonemes));
            }
            return Ok(result);
        };
        asked.take();
        let converted = helped.convert(text);
        result.insert("phonemes".to_owned(), json!(converted.phonemes));
        let tokens = converted.tokens.iter();
        let rows = tokens.map(|t| json!([t.text, t.tag, if t.space_after { " " } else { "" }, t.phonemes]));
        result.insert("tokens".to_owned(), rows.collect());
        result.insert("fallback".to_owned(), json!(asked.take()));
        Ok(result)
    })
}

pub(crate) fn english_tags(case: &Case) -> Result<Got, String> {
    let front_end = front_end(Variant::American, None)?;
    judge(case, ENGLISH_SHARE, |text, _| {
        let marked = markup::parse(text);
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
        Ok(fields([
            ("clean", json!(marked.text)),
            ("features", json!(features)),
            ("tokens", tagged.iter().map(|t| json!(t.text)).collect()),
            ("ws", json!(tagged.iter().map(|t| if t.space_after { '1' } else { '0' }).collect::<String>())),
            ("tags", tagged.iter().map(|t| json!(t.tag)).collect()),
        ]))
    })
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
    let cardinal: Vec<_> = whole("cardinal")?.iter().map(|n| english::cardinal(&n.to_string())).collect();
    let ordinal: Vec<_> = whole("ordinal")?.iter().map(|n| english::ordinal(&n.to_string())).collect();
    let year: Vec<_> = case.param::<Vec<u32>>("year")?.into_iter().map(english::year).collect();
    let float: Vec<_> = case.param::<Vec<f64>>("float")?.into_iter().map(english::decimal).collect();
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

/// The directories of a language's data sets by name.
pub(crate) fn assets(language: Language) -> Result<BTreeMap<String, PathBuf>, String> {
    let names: &[&str] = match language {
        Language::Mandarin => &["jieba", "pypinyin"],
        _ => &["misaki", "spacy-en"],
    };
    names.iter().map(|name| Ok(((*name).to_owned(), asset(name)?))).collect()
}

/// Directory of a data set, from the store, fetched if need be.
fn asset(name: &str) -> Result<PathBuf, String> {
    let catalogue = Catalogue::builtin();
    let entry = catalogue.asset(name).map_err(|error| error.to_string())?;
    let store = Store::default_location().map_err(|error| error.to_string())?;
    store.fetch_asset(&entry, &FetchOptions::default(), &Silent).map_err(|error| error.to_string())
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
