//! Plugins: finding them, staging them, and which generation of each is current.
//!
//! A plugin file is never opened in place. It is copied to a private path that is named by its content, so a new build
//! under the same name is a new *generation*, and neither a half-written file nor a later overwrite can touch code that
//! is mapped. See [`watch`] for what happens when a file changes.

mod staging;
pub mod watch;

pub use staging::{Digest, Staging};

use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};
use syrinx_plugin_api::{
    Manifest,
    host_side::{OpenError, PluginLibrary},
};
use syrinx_registry::{Catalogue, RuntimeEntry};

/// One build of a plugin that was loaded. Stays mapped for as long as the process lives.
pub struct Generation {
    /// Counts over all plugins, from 1.
    pub number: u64,
    /// Where the file was found; none for a plugin that is linked into the host.
    pub path: Option<PathBuf>,
    /// The private copy of it that is mapped.
    pub staged: Option<PathBuf>,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// When it was loaded.
    pub loaded_at: SystemTime,
    library: PluginLibrary,
}

impl Generation {
    /// The opened plugin.
    pub fn library(&self) -> &PluginLibrary {
        &self.library
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        self.library.manifest()
    }
}

/// Why a plugin file isn't in use.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file could not be copied.
    #[error("cannot stage the file: {0}")]
    Staging(#[from] std::io::Error),
    /// The file is no plugin for this host.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is linked with a runtime that isn't where it looks for it.
    #[error(
        "runtime missing: {runtime}. Run `syrinx pull --runtime {runtime}`; if that doesn't help, the plugin was built where {runtime} is in another \
         place: name its folder in LD_LIBRARY_PATH"
    )]
    Runtime {
        /// Its name in the catalogue.
        runtime: String,
    },
    /// It has no name.
    #[error("its manifest has no name")]
    Nameless,
    /// Another file has the same plugin.
    #[error("it is another `{name}`, which {} already is: remove one of the two", .path.display())]
    Duplicate {
        /// The plugin's name.
        name: String,
        /// The file that is in use.
        path: PathBuf,
    },
    /// A running model could not be moved to it.
    #[error("the model `{uid}` cannot be moved to it: {reason}")]
    Replacement {
        /// The model.
        uid: String,
        /// What went wrong.
        reason: String,
    },
}

/// What `syrinx plugins` and `GET /v1/plugins` show of a file.
#[derive(Clone, Debug, Serialize)]
pub struct PluginReport {
    /// The plugin's name; the file's where it could not be asked.
    pub name: String,
    /// `active`, or `refused` with the reason in `error`.
    pub state: &'static str,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Version, compiler and so on, of the generation in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// Number of the generation in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// SHA-256 of the generation in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why the file, or its latest content, is not in use. The generation above, if any, serves on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All plugins of a host.
pub struct Plugins {
    staging: Staging,
    counter: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    current: BTreeMap<String, Arc<Generation>>,
    refused: BTreeMap<PathBuf, String>,
}

impl Plugins {
    /// No plugins yet; staged copies go to `staging_dir`.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn new(staging_dir: &Path) -> std::io::Result<Self> {
        Ok(Self { staging: Staging::new(staging_dir)?, counter: AtomicU64::new(0), table: Mutex::default() })
    }

    /// Adds plugins that are linked into this binary.
    #[must_use]
    pub fn with_builtin(self, libraries: impl IntoIterator<Item = PluginLibrary>) -> Self {
        for library in libraries {
            let generation = self.generation(library, None, None, "built in".to_owned());
            self.table().current.insert(generation.manifest().name.clone(), Arc::new(generation));
        }
        self
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // Every change is one insert or remove: a panic elsewhere can't leave it half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generation(
        &self,
        library: PluginLibrary,
        path: Option<PathBuf>,
        staged: Option<PathBuf>,
        digest: String,
    ) -> Generation {
        let number = self.counter.fetch_add(1, Ordering::Relaxed) + 1;
        Generation { number, path, staged, digest, loaded_at: SystemTime::now(), library }
    }

    /// The generation of a plugin that new models use.
    pub fn current(&self, name: &str) -> Option<Arc<Generation>> {
        self.table().current.get(name).cloned()
    }

    /// Names of the plugins that are there.
    pub fn names(&self) -> Vec<String> {
        self.table().current.keys().cloned().collect()
    }

    /// Stages and opens what is at `path` now. `Ok(None)`: the generation in use has this very content.
    ///
    /// # Errors
    /// When the file is no plugin, or another file's plugin has its name. Nothing has changed then.
    pub fn open(&self, path: &Path) -> Result<Option<Generation>, PluginError> {
        let staged = self.staging.stage(path)?;
        let same = |generation: &&Arc<Generation>| {
            generation.path.as_deref() == Some(path) && generation.digest == staged.digest.to_string()
        };
        if self.table().current.values().any(|generation| same(&generation)) {
            return Ok(None);
        }
        let library = PluginLibrary::open(&staged.path).map_err(|error| explained(error, &staged.path))?;
        let name = &library.manifest().name;
        if name.is_empty() {
            return Err(PluginError::Nameless);
        }
        if let Some(other) = self.current(name)
            && let Some(other_path) = &other.path
            && other_path != path
            && other_path.exists()
        {
            return Err(PluginError::Duplicate { name: name.clone(), path: other_path.clone() });
        }
        let digest = staged.digest.to_string();
        Ok(Some(self.generation(library, Some(path.to_owned()), Some(staged.path), digest)))
    }

    /// Makes a generation the one that new models use.
    pub fn activate(&self, generation: Arc<Generation>) {
        let mut table = self.table();
        if let Some(path) = &generation.path {
            table.refused.remove(path);
        }
        table.current.insert(generation.manifest().name.clone(), generation);
    }

    /// Notes that the content of `path` is not in use, and why.
    pub fn refuse(&self, path: &Path, reason: String) {
        self.table().refused.insert(path.to_owned(), reason);
    }

    /// The content of `path` is in use after all (an edit was undone).
    pub fn accept(&self, path: &Path) {
        self.table().refused.remove(path);
    }

    /// The file is gone: its plugin takes no new models. Models that run go on.
    pub fn forget(&self, path: &Path) {
        let mut table = self.table();
        table.refused.remove(path);
        table.current.retain(|_, generation| generation.path.as_deref() != Some(path));
    }

    /// Everything there is to say, sorted by name.
    pub fn reports(&self) -> Vec<PluginReport> {
        let table = self.table();
        let mut reports: Vec<PluginReport> = table
            .current
            .values()
            .map(|generation| PluginReport {
                name: generation.manifest().name.clone(),
                state: "active",
                path: generation.path.clone(),
                manifest: Some(generation.manifest().clone()),
                generation: Some(generation.number),
                sha256: Some(generation.digest.clone()),
                error: generation.path.as_ref().and_then(|path| table.refused.get(path).cloned()),
            })
            .collect();
        for (path, reason) in &table.refused {
            if reports.iter().any(|report| report.path.as_ref() == Some(path)) {
                continue;
            }
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            reports.push(PluginReport {
                name,
                state: "refused",
                path: Some(path.clone()),
                manifest: None,
                generation: None,
                sha256: None,
                error: Some(reason.clone()),
            });
        }
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }
}

/// What a refusal by the dynamic linker means for a plugin that names a runtime's library: that one is missing.
fn explained(error: OpenError, path: &Path) -> PluginError {
    if !matches!(error, OpenError::Linker(_)) {
        return error.into();
    }
    let content = std::fs::read(path).unwrap_or_default();
    let is_named = |runtime: &RuntimeEntry| {
        let library = runtime.build().and_then(|build| Path::new(&build.library).file_name());
        let name = library.map(|name| name.as_encoded_bytes()).filter(|name| !name.is_empty());
        name.is_some_and(|name| content.windows(name.len()).any(|window| window == name))
    };
    match Catalogue::builtin().runtimes().find(|runtime| is_named(runtime)) {
        Some(runtime) => PluginError::Runtime { runtime: runtime.name.clone() },
        None => error.into(),
    }
}

/// Whether a file name looks like a plugin of this platform.
pub fn is_plugin_file(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_missing_runtime_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plugin.so");
        let refused = |content: &str| {
            std::fs::write(&file, content).unwrap();
            explained(OpenError::Linker("dlopen failed".to_owned()), &file)
        };
        let text = refused("\0libc10.so\0libtorch_cpu.so\0").to_string();
        assert!(text.contains("runtime missing") && text.contains("pull --runtime libtorch"), "{text}");
        assert!(matches!(refused("\0libother.so\0"), PluginError::Open(_)));
        assert!(matches!(explained(OpenError::NotAPlugin, &file), PluginError::Open(_)));
    }
}
