//! Models of the kit, loaded once, and tensors of the cases.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syrinx_plugin_chattts::config::ModelFiles;
use syrinx_plugin_chattts::error::ChatTtsError;
use syrinx_plugin_chattts::network::{LanguageModel, Place, Precision, Synthesizer, values};
use syrinx_plugin_common::kits::{Case, Got};
use tch::Tensor;

/// Chooses where the cases are computed: `cpu` (the default), `cuda:0`. On cards set NVIDIA_TF32_OVERRIDE=0 too.
const DEVICE: &str = "SYRINX_KIT_DEVICE";

/// Where the cases are computed, exactly.
pub(crate) fn place() -> Result<Place, String> {
    let device = std::env::var(DEVICE).ok();
    Place::find(device.as_deref(), Some(Precision::Float32)).map_err(|error| error.to_string())
}

/// The files of the case's model.
pub(crate) fn files(case: &Case) -> Result<ModelFiles, String> {
    ModelFiles::open(&case.model_path()?).map_err(|error| error.to_string())
}

/// Something loaded; one case at a time uses it.
pub(crate) type Loaded<T> = Arc<Mutex<T>>;

pub(crate) fn locked<T>(loaded: &Loaded<T>) -> MutexGuard<'_, T> {
    loaded.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The language model of the case.
pub(crate) fn language_model(case: &Case) -> Result<Loaded<LanguageModel>, String> {
    cached(case, "language model", LanguageModel::load)
}

/// Decoder, vocoder and autoencoder of the case.
pub(crate) fn synthesizer(case: &Case) -> Result<Loaded<Synthesizer>, String> {
    cached(case, "synthesizer", Synthesizer::load)
}

fn cached<T: Send + 'static>(
    case: &Case,
    kind: &'static str,
    load: impl FnOnce(&ModelFiles, Place) -> Result<T, ChatTtsError>,
) -> Result<Loaded<T>, String> {
    type Cache = BTreeMap<(PathBuf, &'static str), Arc<dyn Any + Send + Sync>>;
    static LOADED: Mutex<Cache> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (case.model_path()?, kind);
    if let Some(found) = loaded.get(&key) {
        return Arc::clone(found).downcast::<Mutex<T>>().map_err(|_| format!("{kind} names two types"));
    }
    let made = load(&files(case)?, place()?).map_err(|error| error.to_string())?;
    let made = Arc::new(Mutex::new(made));
    loaded.insert(key, made.clone());
    Ok(made)
}

/// Makes an error of the network the reason that a case fails.
pub(crate) fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// A tensor of the case where it is computed, floats as float32.
pub(crate) fn tensor(case: &Case, name: &str) -> Result<Tensor, String> {
    let stored = case.tensor(name)?;
    let shape: Vec<i64> = stored.shape().iter().map(|&size| size as i64).collect();
    let flat = match stored.to_i64() {
        Ok(integers) => Tensor::from_slice(&integers),
        Err(_) => Tensor::from_slice(&stored.to_f32()),
    };
    told(told(flat.f_reshape(&shape))?.f_to_device(place()?.device))
}

/// Adds a tensor of floats to what was computed.
pub(crate) trait GotTensor: Sized {
    fn float(self, name: &str, tensor: &Tensor) -> Result<Self, String>;
    fn integers(self, name: &str, tensor: &Tensor) -> Result<Self, String>;
}

fn shape(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}

impl GotTensor for Got {
    fn float(self, name: &str, tensor: &Tensor) -> Result<Self, String> {
        Ok(self.f32(name, &shape(tensor), told(values(tensor))?))
    }

    fn integers(self, name: &str, tensor: &Tensor) -> Result<Self, String> {
        let flat = told(tensor.f_to_device(tch::Device::Cpu).and_then(|tensor| tensor.f_contiguous()))?;
        let mut integers = vec![0_i64; flat.numel()];
        told(flat.f_copy_data(&mut integers, flat.numel()))?;
        Ok(self.i64(name, &shape(tensor), integers))
    }
}
