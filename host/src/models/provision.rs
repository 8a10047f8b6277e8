//! Where models come from: the catalogue and the store of a server, or something smaller in a test.

use super::{LaunchSpec, Provenance};
use crate::{metrics, plugins::watch::Watch};
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use syrinx_registry::{
    CancelToken, Catalogue, CustomModel, CustomModels, FetchError, FetchOptions, Format, ModelEntry, ModelFiles,
    ModelVersion, Needed, Progress, RegistrationError, Store, StoreError,
};

/// Which of a model's sources a caller wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `huggingface`, `modelscope`, …
    pub hub: Option<String>,
    /// `int8`, …
    pub quantization: Option<String>,
    /// `ctranslate2`, `onnx`, …
    pub format: Option<String>,
    /// Id of a source.
    pub source: Option<String>,
}

impl Choice {
    /// What a launch asks for.
    pub(super) fn of(spec: &LaunchSpec) -> Self {
        Self {
            hub: spec.download_hub.clone(),
            quantization: spec.quantization.clone(),
            format: spec.model_format.clone(),
            source: spec.source.clone(),
        }
    }
}

/// What a plugin needs to load a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The model's directory.
    pub dir: PathBuf,
    /// Shared assets by name.
    pub assets: BTreeMap<String, PathBuf>,
    /// Which files these are.
    pub provenance: Provenance,
}

/// Why there are no files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvisionError {
    /// The choice can't be met.
    #[error("{message}")]
    Choice {
        /// Launch key at fault.
        field: String,
        /// What there is to choose from.
        message: String,
    },
    /// Cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Offline, and not in the cache: the caller's to solve.
    #[error("{0}")]
    Offline(String),
    /// Nothing could be downloaded.
    #[error("{0}")]
    Failed(String),
}

/// Provides entries, files and runtimes. Everything but `catalogue` and `store` blocks.
pub trait Provision: Send + Sync + 'static {
    /// The catalogue as it is now.
    fn catalogue(&self) -> Arc<Catalogue>;

    /// What is on disk.
    fn store(&self) -> &Arc<Store>;

    /// Adds a model of a client's to the catalogue. `plugins` are installed. With `persist` it is there again after a
    /// restart.
    ///
    /// # Errors
    /// See [`RegistrationError`].
    fn register(&self, model: CustomModel, persist: bool, plugins: &[String]) -> Result<(), RegistrationError>;

    /// Takes a model of a client's out of the catalogue. `false` when there is none of this name.
    ///
    /// # Errors
    /// When it can't be removed from where it is kept.
    fn unregister(&self, name: &str) -> Result<bool, StoreError>;

    /// Gets a model's files, from the cache where they are there. With `model_path` the model itself is there already
    /// and only its shared assets are got.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    fn fetch(
        &self,
        entry: &ModelEntry,
        model_path: Option<&Path>,
        choice: &Choice,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<Files, ProvisionError>;

    /// Gets a native runtime's shared library.
    ///
    /// # Errors
    /// See [`ProvisionError`].
    fn runtime(&self, name: &str, cancel: &CancelToken, progress: &dyn Progress) -> Result<PathBuf, ProvisionError>;
}

/// The real one.
pub struct RegistryProvision {
    /// What clients see: the catalogue of the files with the clients' own models over it.
    catalogue: ArcSwap<Catalogue>,
    layers: Mutex<Layers>,
    store: Arc<Store>,
}

/// What the catalogue is made of.
struct Layers {
    files: Catalogue,
    customs: CustomModels,
}

impl Layers {
    fn merged(&self) -> Arc<Catalogue> {
        Arc::new(self.customs.overlay(&self.files, |problem| tracing::warn!("{problem}")))
    }
}

impl RegistryProvision {
    /// Serves from `store` what `catalogue` lists, and the models that clients have registered there to stay.
    pub fn new(catalogue: Catalogue, store: Arc<Store>) -> Self {
        let customs = CustomModels::open(&store.registrations(), |problem| tracing::warn!("{problem}"));
        let layers = Layers { files: catalogue, customs };
        Self { catalogue: ArcSwap::from(layers.merged()), layers: Mutex::new(layers), store }
    }

    /// From now on, reads the catalogue again when a file in `dirs` changes. An edit applies when it is valid, and `changed`
    /// gets the catalogue before and the one from now on; otherwise the last good catalogue stays, and the log says what is
    /// wrong and where.
    ///
    /// # Errors
    /// When a directory can't be watched.
    pub fn watch_catalogue(
        self: &Arc<Self>,
        dirs: Vec<PathBuf>,
        changed: impl Fn(&Catalogue, &Catalogue) + Send + 'static,
    ) -> notify::Result<Watch> {
        let provision = self.clone();
        Watch::start(&dirs.clone(), move |path| {
            if path.extension().is_none_or(|extension| extension != "toml") {
                return;
            }
            match Catalogue::load(&dirs) {
                Ok(catalogue) => {
                    tracing::info!(path = %path.display(), "catalogue reloaded");
                    let before = provision.catalogue();
                    provision.change(|layers| layers.files = catalogue);
                    metrics::catalogue_read(true);
                    changed(&before, &provision.catalogue());
                }
                Err(error) => {
                    metrics::catalogue_read(false);
                    tracing::error!("catalogue not reloaded, the last good one stays:\n{error}");
                }
            }
        })
    }

    /// Changes a layer and shows the result.
    fn change<T>(&self, change: impl FnOnce(&mut Layers) -> T) -> T {
        // A change that fails leaves its layer as it was.
        let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut layers);
        self.catalogue.store(layers.merged());
        result
    }
}

impl Provision for RegistryProvision {
    fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    fn store(&self) -> &Arc<Store> {
        &self.store
    }

    fn register(&self, model: CustomModel, persist: bool, plugins: &[String]) -> Result<(), RegistrationError> {
        self.change(|layers| {
            let Layers { files, customs } = layers;
            customs.register(model, persist, files, plugins)
        })
    }

    fn unregister(&self, name: &str) -> Result<bool, StoreError> {
        self.change(|layers| layers.customs.unregister(name))
    }

    fn fetch(
        &self,
        entry: &ModelEntry,
        model_path: Option<&Path>,
        choice: &Choice,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<Files, ProvisionError> {
        let mut options = FetchOptions { cancel: cancel.clone(), ..FetchOptions::default() };
        if let Some(dir) = model_path {
            let files = self.store.fetch_around(entry, dir, &options, progress).map_err(told)?;
            return Ok(Files { dir: files.dir, assets: files.assets, provenance: Provenance::default() });
        }
        options.source.clone_from(&choice.source);
        options.hub.clone_from(&choice.hub);
        options.quantization.clone_from(&choice.quantization);
        if let Some(name) = &choice.format {
            let format = serde_json::from_value::<Format>(name.to_lowercase().into());
            options.format = Some(format.map_err(|_| ProvisionError::Choice {
                field: "model_format".to_owned(),
                message: format!("`{name}` is no format of model files"),
            })?);
        }
        let files = self.store.fetch(entry, &options, progress).map_err(told)?;
        Ok(Files { provenance: provenance(&files), dir: files.dir, assets: files.assets })
    }

    fn runtime(&self, name: &str, cancel: &CancelToken, progress: &dyn Progress) -> Result<PathBuf, ProvisionError> {
        let options = FetchOptions { cancel: cancel.clone(), ..FetchOptions::default() };
        let entry = self.catalogue().runtime(name).map_err(|error| ProvisionError::Failed(error.to_string()))?;
        self.store.fetch_runtime_entry(&entry, &options, progress).map_err(told)
    }
}

fn provenance(files: &ModelFiles) -> Provenance {
    let version = ModelVersion { name: files.name.clone(), fingerprint: files.fingerprint.clone() };
    Provenance {
        version: Some(version.to_string()),
        revision: files.revision.clone(),
        format: files.format.map(Format::as_str),
        quantization: files.quantization.clone(),
    }
}

fn told(error: FetchError) -> ProvisionError {
    match error {
        FetchError::Cancelled => ProvisionError::Cancelled,
        FetchError::Offline { name, needed, .. } if needed.is_empty() => nowhere(&name),
        // The error's own text names directories of this machine, which are nothing to a client.
        FetchError::Offline { name, needed, .. } => ProvisionError::Offline(format!(
            "{name} is not stored on the server and downloads are switched off; one of these file sets is needed: {}",
            file_sets(&needed)
        )),
        FetchError::AllSourcesFailed { name, attempts, .. } if attempts.is_empty() => nowhere(&name),
        // The server is offline, whether somebody has switched downloads off or not.
        FetchError::AllSourcesFailed { name, attempts, needed } if attempts.iter().all(|attempt| !attempt.reached) => {
            let reasons: Vec<String> = attempts.into_iter().map(|attempt| attempt.reason).collect();
            ProvisionError::Offline(format!(
                "{name} is not stored on the server, which can't reach what it comes from ({}); one of these file sets is needed: {}",
                reasons.join("; "),
                file_sets(&needed)
            ))
        }
        FetchError::NoSuchSource { .. } => {
            ProvisionError::Choice { field: "quantization".to_owned(), message: error.to_string() }
        }
        _ => ProvisionError::Failed(error.to_string()),
    }
}

/// Sources and their files, for a person.
fn file_sets(needed: &[Needed]) -> String {
    let sets: Vec<String> =
        needed.iter().map(|set| format!("{} ({}): {}", set.source, set.origin, set.files.join(", "))).collect();
    sets.join("; ")
}

/// The entry has no source.
fn nowhere(name: &str) -> ProvisionError {
    ProvisionError::Choice {
        field: "model_path".to_owned(),
        message: format!("`{name}` says nowhere where its files are; give their directory as `model_path`"),
    }
}
