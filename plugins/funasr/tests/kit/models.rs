//! Models of the kit, loaded once, and the clips of the cases.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::Deserialize;
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_common::onnx::{LIBRARY_PATH_VARIABLE, Runtime, SessionOptions, find_library};
use syrinx_plugin_common::testing::recording;
use syrinx_plugin_funasr::accelerate::{NetworkOptions, Precision};
use syrinx_plugin_funasr::config::ModelFiles;
use syrinx_plugin_funasr::error::FunasrError;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// ONNX Runtime: the one that the environment names, else the store's, fetched if need be.
pub(crate) fn runtime() -> Result<Runtime, String> {
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let provided = match std::env::var_os(LIBRARY_PATH_VARIABLE) {
            Some(_) => None,
            None => {
                let store = Store::default_location().map_err(|error| error.to_string())?;
                let fetched = store.fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent);
                Some(fetched.map_err(|error| error.to_string())?)
            }
        };
        find_library(None, provided.as_deref()).map_err(|error| error.to_string())
    });
    Runtime::load(library.as_ref().map_err(Clone::clone)?).map_err(|error| error.to_string())
}

/// What a model's files are loaded with. `SYRINX_FUNASR_DTYPE=int8` quantises what isn't; many tensors then leave their tolerances, and the
/// texts tell how much that matters.
pub(crate) fn options() -> NetworkOptions {
    let session = SessionOptions { threads: 1, ..SessionOptions::default() };
    let is_quantised = std::env::var("SYRINX_FUNASR_DTYPE").is_ok_and(|dtype| dtype == "int8");
    NetworkOptions { session, precision: if is_quantised { Precision::Int8 } else { Precision::Kept } }
}

/// The same for the detector, which is never quantised.
pub(crate) fn exact() -> NetworkOptions {
    NetworkOptions { precision: Precision::Kept, ..options() }
}

/// The real voice activity detector: its name in kits and in the catalogue.
const REAL_VAD: &str = "fsmn-vad";

/// The directory of the kit's model `name`. Real weights come from the store, fetched if need be, where a kit leaves them out.
pub(crate) fn directory(case: &Case, name: &str) -> Result<PathBuf, String> {
    let path = case.root.join("models").join(name);
    if path.exists() || name != REAL_VAD {
        return Ok(path);
    }
    let store = Store::default_location().map_err(|error| error.to_string())?;
    let asset = Catalogue::builtin().asset(REAL_VAD).map_err(|error| error.to_string())?;
    store.fetch_asset(&asset, &FetchOptions::default(), &Silent).map_err(|error| error.to_string())
}

/// The files of the kit's model `name`.
pub(crate) fn files(case: &Case, name: &str) -> Result<ModelFiles, String> {
    ModelFiles::open(&directory(case, name)?).map_err(|error| error.to_string())
}

/// The case's own model.
pub(crate) fn own(case: &Case) -> Result<ModelFiles, String> {
    files(case, case.model.as_deref().ok_or("the case names no model")?)
}

/// Loads with `load`, unless something was loaded from these files as this `kind` before.
pub(crate) fn cached<T: Send + Sync + 'static>(
    files: &ModelFiles,
    kind: &'static str,
    load: impl FnOnce(&Runtime, &ModelFiles) -> Result<T, FunasrError>,
) -> Result<Arc<T>, String> {
    type Loaded = BTreeMap<(PathBuf, &'static str), Arc<dyn Any + Send + Sync>>;
    static LOADED: Mutex<Loaded> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (files.directory().to_owned(), kind);
    if let Some(found) = loaded.get(&key) {
        return Arc::clone(found).downcast::<T>().map_err(|_| format!("{kind} names two types"));
    }
    let made = Arc::new(load(&runtime()?, files).map_err(|error| error.to_string())?);
    loaded.insert(key, made.clone());
    Ok(made)
}

/// A copy of a model's directory without its graphs, so that its checkpoint is taken; none where a kit leaves the checkpoint out.
pub(crate) fn torch_only(files: &ModelFiles) -> Result<Option<ModelFiles>, String> {
    if files.checkpoint().is_none() {
        return Ok(None);
    }
    let from = files.directory();
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("funasr-torch").join(name);
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(from)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "onnx") {
                std::fs::write(to.join(path.file_name().unwrap_or_default()), std::fs::read(&path)?)?;
            }
        }
        Ok(())
    };
    copy().map_err(|error| error.to_string())?;
    ModelFiles::open(&to).map(Some).map_err(|error| error.to_string())
}

#[derive(Deserialize)]
struct Clip {
    file: String,
    start: usize,
    end: usize,
}

/// Samples of a case: `params.audio`, or the tensor `in.audio`.
pub(crate) fn samples(case: &Case) -> Result<Vec<f32>, String> {
    if case.tensors.contains_key("in.audio") {
        return scaled(case, "in.audio");
    }
    let clips: Vec<Clip> = case.param("audio")?;
    let mut samples = Vec::new();
    for clip in clips {
        samples.extend_from_slice(&recording(&case.root.join(&clip.file))?[clip.start..clip.end]);
    }
    Ok(samples)
}

/// A tensor of samples; 16-bit ones are scaled to −1…1.
pub(crate) fn scaled(case: &Case, name: &str) -> Result<Vec<f32>, String> {
    let tensor = case.tensor(name)?;
    let scale = if tensor.to_i64().is_ok() { 32768.0 } else { 1.0 };
    Ok(tensor.to_f32().into_iter().map(|sample| sample / scale).collect())
}
