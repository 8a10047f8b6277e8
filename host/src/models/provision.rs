//! Where models come from: the catalogue and the store of a server, or something smaller in a test.

use crate::plugins::watch::Watch;
use arc_swap::ArcSwap;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};
use syrinx_registry::{CancelToken, Catalogue, FetchError, FetchOptions, Format, ModelEntry, Progress, Store};

/// Which of a model's sources a caller wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `huggingface`, `modelscope`, …
    pub hub: Option<String>,
    /// `int8`, …
    pub quantization: Option<String>,
    /// `ctranslate2`, `onnx`, …
    pub format: Option<String>,
}

/// What a plugin needs to load a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The model's directory.
    pub dir: PathBuf,
    /// Shared assets by name.
    pub assets: BTreeMap<String, PathBuf>,
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

/// Provides entries, files and runtimes. Everything but `entry` blocks.
pub trait Provision: Send + Sync + 'static {
    /// The catalogue as it is now.
    fn catalogue(&self) -> Arc<Catalogue>;

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
    catalogue: ArcSwap<Catalogue>,
    store: Arc<Store>,
}

impl RegistryProvision {
    /// Serves from `store` what `catalogue` lists.
    pub fn new(catalogue: Catalogue, store: Arc<Store>) -> Self {
        Self { catalogue: ArcSwap::from_pointee(catalogue), store }
    }

    /// From now on, reads the catalogue again when a file in `dirs` changes. An edit applies when it is valid; otherwise
    /// the last good catalogue stays, and the log says what is wrong and where.
    ///
    /// # Errors
    /// When a directory can't be watched.
    pub fn watch_catalogue(self: &Arc<Self>, dirs: Vec<PathBuf>) -> notify::Result<Watch> {
        let provision = self.clone();
        Watch::start(&dirs.clone(), move |path| {
            if path.extension().is_none_or(|extension| extension != "toml") {
                return;
            }
            match Catalogue::load(&dirs) {
                Ok(catalogue) => {
                    tracing::info!(path = %path.display(), "catalogue reloaded");
                    provision.catalogue.store(Arc::new(catalogue));
                }
                Err(error) => tracing::error!("catalogue not reloaded, the last good one stays:\n{error}"),
            }
        })
    }

    /// What is on disk.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Provision for RegistryProvision {
    fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
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
            return Ok(Files { dir: files.dir, assets: files.assets });
        }
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
        Ok(Files { dir: files.dir, assets: files.assets })
    }

    fn runtime(&self, name: &str, cancel: &CancelToken, progress: &dyn Progress) -> Result<PathBuf, ProvisionError> {
        let options = FetchOptions { cancel: cancel.clone(), ..FetchOptions::default() };
        let entry = self.catalogue().runtime(name).map_err(|error| ProvisionError::Failed(error.to_string()))?;
        self.store.fetch_runtime_entry(&entry, &options, progress).map_err(told)
    }
}

fn told(error: FetchError) -> ProvisionError {
    match error {
        FetchError::Cancelled => ProvisionError::Cancelled,
        // The error's own text names directories of this machine, which are nothing to a client.
        FetchError::Offline { name, needed, .. } => {
            let sets: Vec<String> =
                needed.iter().map(|set| format!("{} ({}): {}", set.source, set.origin, set.files.join(", "))).collect();
            ProvisionError::Offline(format!(
                "{name} is not stored on the server and downloads are switched off; one of these file sets is needed: {}",
                sets.join("; ")
            ))
        }
        FetchError::NoSuchSource { .. } => {
            ProvisionError::Choice { field: "quantization".to_owned(), message: error.to_string() }
        }
        _ => ProvisionError::Failed(error.to_string()),
    }
}
