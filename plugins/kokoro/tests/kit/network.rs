//! Cases of the network: tiny graphs of the kit and the real int8 weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use syrinx_plugin_common::kits::{Case, Got};
use syrinx_plugin_common::onnx::{LIBRARY_PATH_VARIABLE, Runtime, SessionOptions, find_library};
use syrinx_plugin_kokoro::network::{Device, find_network};
use syrinx_plugin_kokoro::session::Session;
use syrinx_plugin_kokoro::vocab::Vocabulary;
use syrinx_plugin_kokoro::voices::{Voices, style_row};
use syrinx_registry::{Catalogue, FetchOptions, ModelFiles, Silent, Store};

use super::logmel::dtw_logmel;

/// Catalogue entry whose first source is the packages that the kit's `wheel:` models name.
const REAL_MODEL: &str = "Kokoro-82M";

/// ONNX Runtime: the one that the environment names, else the store's, fetched if need be.
fn runtime() -> Result<Runtime, String> {
    let provided = match std::env::var_os(LIBRARY_PATH_VARIABLE) {
        Some(_) => None,
        None => Some(
            store()?
                .fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent)
                .map_err(|error| error.to_string())?,
        ),
    };
    let library = find_library(None, provided.as_deref()).map_err(|error| error.to_string())?;
    Runtime::load(&library).map_err(|error| error.to_string())
}

fn store() -> Result<Store, String> {
    Store::default_location().map_err(|error| error.to_string())
}

/// The real model's files, from the store, fetched if need be.
pub(crate) fn real_model() -> Result<ModelFiles, String> {
    static FILES: OnceLock<Result<ModelFiles, String>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let catalogue = Catalogue::builtin();
        let entry = catalogue.model(REAL_MODEL).map_err(|error| error.to_string())?;
        store()?.fetch(&entry, &FetchOptions::default(), &Silent).map_err(|error| error.to_string())
    });
    files.clone()
}

/// Graphs stay loaded for the cases that follow.
fn session(graph: &Path) -> Result<Arc<Session>, String> {
    static LOADED: Mutex<BTreeMap<PathBuf, Arc<Session>>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(session) = loaded.get(graph) {
        return Ok(Arc::clone(session));
    }
    let session = Session::load(&runtime()?, graph, &SessionOptions::default()).map_err(|error| error.to_string())?;
    let session = Arc::new(session);
    loaded.insert(graph.to_owned(), Arc::clone(&session));
    Ok(session)
}

pub(crate) fn onnx(case: &Case) -> Result<Got, String> {
    let real = case.model.as_deref().is_some_and(|model| model.starts_with("wheel:"));
    let (graph, model_dir) = if real {
        let files = real_model()?;
        (find_network(&files.dir, Some("int8"), Device::Cpu).map_err(|error| error.to_string())?, Some(files.dir))
    } else {
        (case.model_path()?, None)
    };
    let ids = case.tensor("in.input_ids")?.to_i64()?;
    let style = case.tensor("in.style")?.to_f32();
    if let Some(model_dir) = &model_dir {
        check_inputs(case, model_dir, &ids, &style)?;
    }
    let session = session(&graph)?;
    let audio = session.speak(&ids, &style, case.param("speed")?).map_err(|error| error.to_string())?.samples;
    let mut got = Got::new().value("samples", audio.len());
    if real {
        let rms = (audio.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / audio.len() as f64).sqrt();
        let peak = audio.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        let distance = dtw_logmel(&audio, &case.tensor("out.audio")?.to_f32());
        got = got.value("rms", rms).value("peak", peak).measure("out.audio", "dtw_logmel", distance);
    }
    Ok(got.f32("out.audio", &[audio.len()], audio))
}

/// For the real model the case also tells text, voice and phonemes: our ids and style row are those of the case.
fn check_inputs(case: &Case, model_dir: &Path, ids: &[i64], style: &[f32]) -> Result<(), String> {
    let (phonemes, voice): (String, String) = (case.param("phonemes")?, case.param("voice")?);
    let vocabulary = Vocabulary::load(model_dir, None).map_err(|error| error.to_string())?;
    if vocabulary.encode(&phonemes) != ids {
        return Err("our ids of the phonemes are not those of the case".to_owned());
    }
    let voices = Voices::discover(model_dir).map_err(|error| error.to_string())?;
    let voice = voices.get(&voice).map_err(|error| error.to_string())?;
    let ours = voice.row(style_row(phonemes.chars().count()));
    let worst = ours.iter().zip(style).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if worst > 1e-6 {
        return Err(format!("our style row is off by {worst}"));
    }
    Ok(())
}
