//! Plugins: finding them, staging them, and which generation of each is current.
//!
//! A plugin file is never opened in place. It is copied to a private path, so a new build under the same name is a new
//! *generation*, and neither a half-written file nor a later overwrite can touch code that is mapped. Before the copy is
//! made the file has to be [trusted](Trust), and before the copy is used it is [inspected](inspection) in a process of
//! its own. See [`watch`] for what happens when a file changes.
//!
//! Two files may claim the same plugin. The one that was there first serves (at the start: in the order of the
//! directories, then of the names); the other is refused, and takes over when the first is removed.

mod digest;
mod generation;
pub(crate) mod inspection;
mod report;
mod staging;
mod trust;
pub mod watch;

pub use digest::{Digest, NoDigest};
pub use generation::{Generation, InUse};
pub use inspection::InspectionError;
pub use report::{GenerationReport, PluginReport};
pub use trust::{Distrust, Trust};

use staging::{Staged, Staging};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use syrinx_plugin_api::{
    Manifest,
    host_side::{OpenError, PluginLibrary},
};
use syrinx_registry::{Catalogue, RuntimeEntry};
use trust::Refusal;

/// Why a plugin file isn't in use.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The file can't be read.
    #[error("cannot read the file: {0}")]
    Unreadable(std::io::Error),
    /// The file must not be used.
    #[error("not trusted: {0}")]
    Distrusted(#[from] Distrust),
    /// The file could not be copied.
    #[error("cannot stage the file: {0}")]
    Staging(#[from] std::io::Error),
    /// The file is no plugin for this host.
    #[error(transparent)]
    Inspection(#[from] InspectionError),
    /// It can't be opened in this process.
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

/// A file that was looked into.
pub struct Finding(Found);

enum Found {
    /// The generation in use has this content.
    Current,
    /// One that isn't over yet has it.
    Old(Arc<Generation>),
    /// A plugin that wasn't there.
    New { digest: Digest, staged: Staged, manifest: Manifest },
}

/// All plugins of a host.
pub struct Plugins {
    staging: Staging,
    trust: Trust,
    counter: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    current: BTreeMap<String, Arc<Generation>>,
    /// Replaced or removed, and still in use or mapped.
    old: Vec<Arc<Generation>>,
    refused: BTreeMap<PathBuf, String>,
}

impl Table {
    /// Takes generations out of use.
    fn retire(&mut self, is_over: impl Fn(&Generation) -> bool) {
        let over = self.current.extract_if(.., |_, generation| is_over(generation));
        self.old.extend(over.map(|(_, generation)| generation));
        self.forget_unused();
    }

    fn forget_unused(&mut self) {
        self.old.retain(|generation| generation.is_mapped() || !generation.users().is_empty());
    }
}

impl Plugins {
    /// No plugins yet; staged copies go below `staging_dir`.
    ///
    /// # Errors
    /// When the directory can't be made.
    pub fn new(staging_dir: &Path) -> std::io::Result<Self> {
        Ok(Self {
            staging: Staging::new(staging_dir)?,
            trust: Trust::default(),
            counter: AtomicU64::new(0),
            table: Mutex::default(),
        })
    }

    /// Says whom files must come from.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Adds plugins that are linked into this binary.
    #[must_use]
    pub fn with_builtin(self, libraries: impl IntoIterator<Item = PluginLibrary>) -> Self {
        for library in libraries {
            let generation = Generation::built_in(self.next_number(), library);
            self.table().current.insert(generation.manifest().name.clone(), Arc::new(generation));
        }
        self
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change leaves it whole: a panic elsewhere can't have stopped one half way.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_number(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The generation of a plugin that new models use.
    pub fn current(&self, name: &str) -> Option<Arc<Generation>> {
        self.table().current.get(name).cloned()
    }

    /// Names of the plugins that are there.
    pub fn names(&self) -> Vec<String> {
        self.table().current.keys().cloned().collect()
    }

    /// Stages and inspects what is at `path` now. Changes nothing, so several files may be looked into at a time.
    ///
    /// # Errors
    /// When the file is not to be used.
    pub fn look_into(&self, path: &Path) -> Result<Finding, PluginError> {
        let content = self.trust.read(path).map_err(|refusal| match refusal {
            Refusal::Unreadable(error) => PluginError::Unreadable(error),
            Refusal::Distrusted(distrust) => PluginError::Distrusted(distrust),
        })?;
        let is_same = |generation: &&Arc<Generation>| {
            generation.path.as_deref() == Some(path) && generation.digest == Some(content.digest)
        };
        {
            let table = self.table();
            if table.current.values().any(|generation| is_same(&generation)) {
                return Ok(Finding(Found::Current));
            }
            if let Some(old) = table.old.iter().find(is_same) {
                return Ok(Finding(Found::Old(old.clone())));
            }
        }
        let staged = self.staging.stage(&content, path.file_name().unwrap_or_default())?;
        let manifest = inspection::inspect(staged.path()).map_err(|error| explained(error, staged.path()))?;
        Ok(Finding(Found::New { digest: content.digest, staged, manifest }))
    }

    /// The generation of what was found at `path`. `Ok(None)`: the one in use has this very content. A generation that has it and
    /// isn't over yet comes back.
    ///
    /// # Errors
    /// When another file's plugin has its name. Nothing has changed then.
    pub fn generation_of(&self, path: &Path, finding: Finding) -> Result<Option<Arc<Generation>>, PluginError> {
        let generation = match finding.0 {
            Found::Current => return Ok(None),
            Found::Old(generation) => generation,
            Found::New { digest, staged, manifest } => {
                Arc::new(Generation::of_file(self.next_number(), path.to_owned(), digest, staged, manifest))
            }
        };
        let name = &generation.manifest().name;
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
        Ok(Some(generation))
    }

    /// Makes a generation the one that new models use.
    pub fn activate(&self, generation: Arc<Generation>) {
        let mut table = self.table();
        if let Some(path) = &generation.path {
            table.refused.remove(path);
        }
        let name = &generation.manifest().name;
        // The file may have been another plugin before.
        table.retire(|other| other.manifest().name == *name || (other.path.is_some() && other.path == generation.path));
        table.old.retain(|old| !Arc::ptr_eq(old, &generation));
        table.current.insert(name.clone(), generation);
    }

    /// Notes that the content of `path` is not in use, and why.
    pub fn refuse(&self, path: &Path, reason: String) {
        self.table().refused.insert(path.to_owned(), reason);
    }

    /// The content of `path` is in use after all (an edit was undone).
    pub fn accept(&self, path: &Path) {
        self.table().refused.remove(path);
    }

    /// The file is gone: its plugin takes no new models. Models that run go on. Says which files may want its place.
    pub fn forget(&self, path: &Path) -> Vec<PathBuf> {
        let mut table = self.table();
        table.refused.remove(path);
        table.retire(|generation| generation.path.as_deref() == Some(path));
        table.refused.keys().cloned().collect()
    }

    /// Everything there is to say, sorted by name.
    pub fn reports(&self) -> Vec<PluginReport> {
        let mut table = self.table();
        table.forget_unused();
        let refusal =
            |generation: &Generation| generation.path.as_ref().and_then(|path| table.refused.get(path).cloned());
        let mut reports: BTreeMap<&str, PluginReport> = table
            .current
            .iter()
            .map(|(name, generation)| (name.as_str(), PluginReport::active(generation, refusal(generation))))
            .collect();
        for generation in &table.old {
            let name = generation.manifest().name.as_str();
            let is_draining = !generation.users().is_empty();
            if !is_draining && !reports.contains_key(name) {
                continue;
            }
            let report = reports.entry(name).or_insert_with(|| PluginReport::removed(name));
            if is_draining {
                report.draining.push(GenerationReport::of(generation));
            }
        }
        for generation in table.current.values().chain(&table.old).filter(|generation| generation.is_mapped()) {
            if let Some(report) = reports.get_mut(generation.manifest().name.as_str()) {
                report.mapped += 1;
            }
        }
        let mut reports: Vec<PluginReport> = reports.into_values().collect();
        for (path, reason) in &table.refused {
            if !reports.iter().any(|report| report.path.as_ref() == Some(path)) {
                reports.push(PluginReport::refused(path, reason));
            }
        }
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }
}

/// What a refusal by the dynamic linker means for a plugin that names a runtime's library: that one is missing.
fn explained(error: InspectionError, path: &Path) -> PluginError {
    if !matches!(error, InspectionError::Unlinkable(_)) {
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
            explained(InspectionError::Unlinkable("dlopen failed".to_owned()), &file)
        };
        let text = refused("\0libc10.so\0libtorch_cpu.so\0").to_string();
        assert!(text.contains("runtime missing") && text.contains("pull --runtime libtorch"), "{text}");
        assert!(matches!(refused("\0libother.so\0"), PluginError::Inspection(_)));
        let other = InspectionError::Refused("it is no plugin".to_owned());
        assert!(matches!(explained(other, &file), PluginError::Inspection(InspectionError::Refused(_))));
    }
}
