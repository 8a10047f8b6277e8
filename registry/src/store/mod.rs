//! The store: complete model directories on this machine, fetched once and shared by all processes.

mod config;
mod layout;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use config::{HubConfig, StoreConfig};
pub use layout::{Kind, megabytes};
pub(crate) use layout::{Layout, ensure_space};
use layout::{Manifest, list_files};

use crate::cancel::CancelToken;
use crate::catalogue::{AssetEntry, Catalogue, Format, ModelEntry, Origin, RuntimeEntry, Source, nearest};
use crate::error::{Attempt, FetchError, Needed, SourceError, StoreError};
use crate::fetch::context::Context;
use crate::fetch::http::HttpClient;
use crate::fetch::{self, hf};
use crate::progress::{Progress, Stage};

/// Choices of a caller who fetches something. The default takes the entry's sources in their order.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// Only the source with this `id`, e.g. `wheel`.
    pub source: Option<String>,
    /// Only sources with this quantization. `none` counts as no choice.
    pub quantization: Option<String>,
    /// Only sources with this format.
    pub format: Option<Format>,
    /// Sources of this hub (`huggingface`, `modelscope`) first, the others after them.
    pub hub: Option<String>,
    /// Never download, whatever the store's own setting is.
    pub offline: bool,
    /// Stops the download.
    pub cancel: CancelToken,
}

/// A complete model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelFiles {
    /// The model.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Directories of the shared assets, by their names.
    pub assets: BTreeMap<String, PathBuf>,
    /// The source they came from, by its `id`.
    pub source: String,
    /// Format of the weights.
    pub format: Option<Format>,
    /// Quantization of the weights.
    pub quantization: Option<String>,
    /// Revision of the repository or version of the package.
    pub revision: Option<String>,
    /// Identifies the content; serves as `model_version`.
    pub fingerprint: String,
}

/// Something complete in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedItem {
    /// What it is.
    pub kind: Kind,
    /// Name of the model, asset or runtime.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// The source it came from, by its `id`.
    pub source: String,
    /// Where that is, for people.
    pub origin: String,
    /// Identifies the content.
    pub fingerprint: String,
    /// Revision of the repository or version of the package.
    pub revision: Option<String>,
    /// Format of the weights.
    pub format: Option<String>,
    /// Quantization of the weights.
    pub quantization: Option<String>,
    /// Size of all files, in bytes.
    pub bytes: u64,
    /// The files, relative to the directory.
    pub files: Vec<String>,
    /// When it was completed, in seconds since 1970.
    pub created: u64,
}

/// Complete model directories on this machine. All calls block; a store can be shared by threads, and its directory by processes.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    layout: Layout,
    http: HttpClient,
}

/// A model, asset or runtime to be located or fetched.
struct Unit<'a> {
    kind: Kind,
    name: &'a str,
    sources: Vec<&'a Source>,
}

struct Located<'a> {
    dir: PathBuf,
    source: &'a Source,
}

impl Store {
    /// Opens a store, making its directory if needed.
    ///
    /// # Errors
    /// The directory can't be made or written.
    pub fn open(mut config: StoreConfig) -> Result<Self, StoreError> {
        if !config.root.is_absolute() {
            let current = std::env::current_dir().map_err(StoreError::io("find", "the current directory"))?;
            config.root = current.join(&config.root);
        }
        let layout = Layout::create(&config.root)?;
        let http = HttpClient::new(config.timeouts);
        Ok(Self { config, layout, http })
    }

    /// The store of this user: `$SYRINX_HOME`, else `syrinx` in the cache directory.
    ///
    /// # Errors
    /// No such place is known, or it can't be written.
    pub fn default_location() -> Result<Self, StoreError> {
        Self::open(StoreConfig::from_env()?)
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        self.layout.root()
    }

    /// Where models that clients registered are kept; see [`CustomModels`](crate::CustomModels).
    pub fn registrations(&self) -> PathBuf {
        self.layout.root().join("registrations")
    }

    /// The settings it was opened with.
    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// The model's files, when one of its sources is complete in the store (or in the Hugging Face cache) and so are its assets.
    pub fn locate(&self, entry: &ModelEntry) -> Option<ModelFiles> {
        self.locate_with(entry, &FetchOptions::default()).ok().flatten()
    }

    /// As [`locate`](Self::locate), among the sources that the options choose.
    ///
    /// # Errors
    /// The options match none of the entry's sources.
    pub fn locate_with(&self, entry: &ModelEntry, options: &FetchOptions) -> Result<Option<ModelFiles>, FetchError> {
        let offline = self.is_offline(options);
        let model = Unit { kind: Kind::Model, name: &entry.name, sources: chosen_sources(entry, options)? };
        let Some(found) = self.find(&model, offline) else { return Ok(None) };
        let mut assets = BTreeMap::new();
        for asset in &entry.assets {
            match self.find(&asset_unit(asset), offline) {
                Some(found) => drop(assets.insert(asset.name.clone(), found.dir)),
                None if asset.optional => {}
                None => return Ok(None),
            }
        }
        Ok(Some(model_files(entry, found, assets)))
    }

    /// The model's files, downloaded if they are not here yet. If another process is fetching them, waits for it and takes its result.
    ///
    /// # Errors
    /// See [`FetchError`]; for [`FetchError::AllSourcesFailed`] each source's reason is listed.
    pub fn fetch(
        &self,
        entry: &ModelEntry,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, FetchError> {
        let model = Unit { kind: Kind::Model, name: &entry.name, sources: chosen_sources(entry, options)? };
        let found = self.find_or_install(&model, options, progress)?;
        let assets = self.fetch_assets(entry, options, progress)?;
        Ok(model_files(entry, found, assets))
    }

    /// A model whose own files are in a directory of the caller's (`model_path`); only its assets are fetched.
    ///
    /// # Errors
    /// [`FetchError::NoSuchDirectory`], or see [`FetchError`] for the assets.
    pub fn fetch_around(
        &self,
        entry: &ModelEntry,
        directory: &Path,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<ModelFiles, FetchError> {
        if !directory.is_dir() {
            return Err(FetchError::NoSuchDirectory(directory.to_owned()));
        }
        let source = Source::local_directory(directory);
        let assets = self.fetch_assets(entry, options, progress)?;
        Ok(model_files(entry, Located { dir: directory.to_owned(), source: &source }, assets))
    }

    /// The directory of a shared asset, downloaded if it is not here yet.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn fetch_asset(
        &self,
        asset: &AssetEntry,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        Ok(self.find_or_install(&asset_unit(asset), options, progress)?.dir)
    }

    /// The library file of a built-in runtime, e.g. `onnxruntime`: the user's own (see [`RuntimeEntry::env`]), or the fetched one, if either is here.
    pub fn locate_runtime(&self, name: &str) -> Option<PathBuf> {
        let runtime = Catalogue::builtin().runtime(name).ok()?;
        self.locate_runtime_entry(&runtime).ok().flatten()
    }

    /// As [`locate_runtime`](Self::locate_runtime), for an entry.
    ///
    /// # Errors
    /// [`FetchError::NoSuchLibrary`] when the user named a library that isn't there.
    pub fn locate_runtime_entry(&self, runtime: &RuntimeEntry) -> Result<Option<PathBuf>, FetchError> {
        if let Some(own) = own_library(&self.config, runtime)? {
            return Ok(Some(own));
        }
        let Some(build) = runtime.build() else { return Ok(None) };
        let unit = Unit { kind: Kind::Runtime, name: &runtime.name, sources: build.sources.iter().collect() };
        Ok(self.find(&unit, true).map(|found| found.dir.join(&build.library)))
    }

    /// The library file of a built-in runtime, downloaded if it is not here and the user has named none.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn fetch_runtime(
        &self,
        name: &str,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        let runtime = Catalogue::builtin().runtime(name)?;
        self.fetch_runtime_entry(&runtime, options, progress)
    }

    /// As [`fetch_runtime`](Self::fetch_runtime), for an entry.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub fn fetch_runtime_entry(
        &self,
        runtime: &RuntimeEntry,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<PathBuf, FetchError> {
        if let Some(own) = own_library(&self.config, runtime)? {
            return Ok(own);
        }
        let build = runtime.build().ok_or_else(|| FetchError::NoBuild {
            name: runtime.name.clone(),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            env: runtime.env.clone(),
        })?;
        let unit = Unit { kind: Kind::Runtime, name: &runtime.name, sources: build.sources.iter().collect() };
        Ok(self.find_or_install(&unit, options, progress)?.dir.join(&build.library))
    }

    /// Everything that is complete in the store, by kind and name.
    pub fn list(&self) -> Vec<CachedItem> {
        let mut items = Vec::new();
        for kind in Kind::ALL {
            for name in subdirectories(&self.layout.directory_of(kind, "")) {
                for dir in subdirectories(&name) {
                    items.extend(Manifest::of_complete(&dir).map(|manifest| cached_item(manifest, dir)));
                }
            }
        }
        items
    }

    /// Removes something from the store. Waits for a download of the same name to end first. `false` when there is no such thing.
    ///
    /// # Errors
    /// Files can't be removed.
    pub fn delete(&self, kind: Kind, name: &str, fingerprint: &str) -> Result<bool, StoreError> {
        self.delete_unless(kind, name, fingerprint, &CancelToken::new())
    }

    /// As [`delete`](Self::delete), but gives up waiting, with `false`, when `cancel` is set.
    ///
    /// # Errors
    /// Files can't be removed.
    pub fn delete_unless(
        &self,
        kind: Kind,
        name: &str,
        fingerprint: &str,
        cancel: &CancelToken,
    ) -> Result<bool, StoreError> {
        let Some(item) = self
            .list()
            .into_iter()
            .find(|item| item.kind == kind && item.name == name && item.fingerprint == fingerprint)
        else {
            return Ok(false);
        };
        let Some(_lock) = self.layout.lock(&lock_name(kind, name), cancel, || {})? else { return Ok(false) };
        if !item.dir.exists() {
            return Ok(false);
        }
        self.layout.remove(&item.dir)?;
        // The directory of the name goes with its last content; it may not be empty, which is fine.
        let _ = std::fs::remove_dir(self.layout.directory_of(kind, name));
        Ok(true)
    }

    fn fetch_assets(
        &self,
        entry: &ModelEntry,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, PathBuf>, FetchError> {
        let mut assets = BTreeMap::new();
        for asset in &entry.assets {
            match self.find_or_install(&asset_unit(asset), options, progress) {
                Ok(found) => drop(assets.insert(asset.name.clone(), found.dir)),
                Err(FetchError::Cancelled) => return Err(FetchError::Cancelled),
                // What can't be done without it is for the plugin to say.
                Err(_) if asset.optional => {}
                Err(error) => return Err(error),
            }
        }
        Ok(assets)
    }

    fn is_offline(&self, options: &FetchOptions) -> bool {
        options.offline || self.config.offline
    }

    fn find<'a>(&self, unit: &Unit<'a>, offline: bool) -> Option<Located<'a>> {
        unit.sources
            .iter()
            .find_map(|source| self.find_source(unit, source, offline).map(|dir| Located { dir, source }))
    }

    fn find_source(&self, unit: &Unit<'_>, source: &Source, offline: bool) -> Option<PathBuf> {
        let stored = self.layout.directory_of(unit.kind, unit.name).join(source.fingerprint());
        if Manifest::of_complete(&stored).is_some() {
            return Some(stored);
        }
        in_place(source).or_else(|| hf::cached(&self.config, source, offline || self.config.hub.hf_offline))
    }

    fn find_or_install<'a>(
        &self,
        unit: &Unit<'a>,
        options: &FetchOptions,
        progress: &dyn Progress,
    ) -> Result<Located<'a>, FetchError> {
        let offline = self.is_offline(options);
        if let Some(found) = self.find(unit, offline) {
            return Ok(found);
        }
        let only_hf = unit.sources.iter().all(|source| source.hub() == Some("huggingface"));
        if offline || (self.config.hub.hf_offline && only_hf) {
            return Err(FetchError::Offline {
                name: unit.name.to_owned(),
                directory: self.layout.directory_of(unit.kind, unit.name),
                needed: unit.sources.iter().map(|source| needed(source)).collect(),
            });
        }
        let mut context = Context::new(&self.config, &self.layout, &self.http, &options.cancel, progress, unit.name);
        let waiting = || context.stage(Stage::Waiting, "");
        let Some(_lock) = self.layout.lock(&lock_name(unit.kind, unit.name), &options.cancel, waiting)? else {
            return Err(FetchError::Cancelled);
        };
        // Whoever had the lock may have brought it.
        if let Some(found) = self.find(unit, offline) {
            return Ok(found);
        }
        self.install_first(unit, &mut context)
    }

    /// Tries one source after the other.
    fn install_first<'a>(&self, unit: &Unit<'a>, context: &mut Context<'_>) -> Result<Located<'a>, FetchError> {
        let mut attempts = Vec::new();
        for (index, source) in unit.sources.iter().copied().enumerate() {
            let (reason, reached) = match self.install(unit, source, context) {
                Ok(dir) => {
                    context.stage(Stage::Done, "");
                    return Ok(Located { dir, source });
                }
                Err(SourceError::Cancelled) => return Err(FetchError::Cancelled),
                Err(SourceError::Store(error)) => return Err(error.into()),
                Err(SourceError::Failed(reason)) => (reason, true),
                Err(SourceError::Unreachable(reason)) => (reason, false),
            };
            if index + 1 < unit.sources.len() {
                context.note(&format!("source `{}` failed: {reason}; trying the next", source.id));
            }
            attempts.push(Attempt { source: source.id.clone(), origin: source.describe(), reason, reached });
        }
        let needed = unit.sources.iter().map(|source| needed(source)).collect();
        Err(FetchError::AllSourcesFailed { name: unit.name.to_owned(), attempts, needed })
    }

    fn install(&self, unit: &Unit<'_>, source: &Source, context: &mut Context<'_>) -> Result<PathBuf, SourceError> {
        context.begin(&source.id, fetch::known_total(source));
        ensure_space(self.layout.root(), fetch::known_space(source)).map_err(SourceError::Failed)?;
        let scratch = self.layout.scratch(unit.name)?;
        let kept = fetch::install(context, source, scratch.path())?;
        context.stage(Stage::Verifying, "");
        let fingerprint = source.fingerprint();
        let manifest = Manifest {
            kind: unit.kind,
            name: unit.name.to_owned(),
            source: source.id.clone(),
            origin: source.describe(),
            fingerprint: fingerprint.clone(),
            revision: source.revision(),
            format: source.format.map(|format| format.as_str().to_owned()),
            quantization: source.quantization.clone(),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            files: list_files(scratch.path())?,
        };
        manifest.write(scratch.path())?;
        let target = self.layout.directory_of(unit.kind, unit.name).join(fingerprint);
        self.layout.publish(scratch, &target)?;
        for package in kept {
            // Only kept for a retry; what stays is used or replaced by the next one.
            let _ = std::fs::remove_file(package);
        }
        Ok(target)
    }
}

fn lock_name(kind: Kind, name: &str) -> String {
    format!("{kind:?}-{name}").to_lowercase()
}

fn asset_unit(asset: &AssetEntry) -> Unit<'_> {
    Unit { kind: Kind::Asset, name: &asset.name, sources: asset.sources.iter().collect() }
}

fn needed(source: &Source) -> Needed {
    Needed { source: source.id.clone(), origin: source.describe(), files: source.file_names() }
}

fn model_files(entry: &ModelEntry, found: Located<'_>, assets: BTreeMap<String, PathBuf>) -> ModelFiles {
    ModelFiles {
        name: entry.name.clone(),
        dir: found.dir,
        assets,
        source: found.source.id.clone(),
        format: found.source.format,
        quantization: found.source.quantization.clone(),
        revision: found.source.revision(),
        fingerprint: found.source.fingerprint(),
    }
}

/// A directory of the user's that is used where it lies: a source of one `path` item whose files keep their names.
fn in_place(source: &Source) -> Option<PathBuf> {
    let [item] = source.items.as_slice() else { return None };
    let Origin::Path(directory) = &item.origin else { return None };
    let as_it_is =
        source.joins.is_empty() && item.files.iter().all(|rule| rule.from == rule.to && rule.sha256.is_none());
    (as_it_is && fetch::files_of_directory(directory, item).is_ok()).then(|| directory.clone())
}

/// The user's own library, when the settings or one of the runtime's variables name one.
fn own_library(config: &StoreConfig, runtime: &RuntimeEntry) -> Result<Option<PathBuf>, FetchError> {
    let configured = config.libraries.get(&runtime.name).map(|path| ("the configuration".to_owned(), path.clone()));
    let set = configured.or_else(|| {
        runtime.env.iter().find_map(|name| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
            Some((name.clone(), PathBuf::from(value)))
        })
    });
    match set {
        None => Ok(None),
        Some((_, path)) if path.is_file() => Ok(Some(path)),
        Some((variable, path)) => Err(FetchError::NoSuchLibrary { variable, path }),
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    paths.sort();
    paths
}

fn cached_item(manifest: Manifest, dir: PathBuf) -> CachedItem {
    CachedItem {
        bytes: manifest.bytes(),
        kind: manifest.kind,
        name: manifest.name,
        dir,
        source: manifest.source,
        origin: manifest.origin,
        fingerprint: manifest.fingerprint,
        revision: manifest.revision,
        format: manifest.format,
        quantization: manifest.quantization,
        files: manifest.files.into_iter().map(|file| file.path).collect(),
        created: manifest.created,
    }
}

/// The sources that a caller's options leave, in the order they are to be tried.
fn chosen_sources<'a>(entry: &'a ModelEntry, options: &FetchOptions) -> Result<Vec<&'a Source>, FetchError> {
    let no_such = |wanted: String, available: Vec<String>| FetchError::NoSuchSource {
        name: entry.name.clone(),
        wanted,
        available,
    };
    let mut sources: Vec<&Source> = entry.sources.iter().collect();
    if let Some(id) = &options.source {
        sources.retain(|source| source.id == *id);
        if sources.is_empty() {
            let ids: Vec<String> = entry.sources.iter().map(|source| source.id.clone()).collect();
            let meant = nearest(id, ids.iter().map(String::as_str))
                .map_or_else(String::new, |best| format!(" (did you mean `{best}`?)"));
            return Err(no_such(format!("the name `{id}`{meant}"), ids));
        }
    }
    if let Some(format) = options.format {
        sources.retain(|source| source.format == Some(format));
        if sources.is_empty() {
            let formats = entry
                .sources
                .iter()
                .filter_map(|source| source.format)
                .map(|format| format.as_str().to_owned())
                .collect();
            return Err(no_such(format!("format `{}`", format.as_str()), formats));
        }
    }
    if let Some(quantization) = options.quantization.as_ref().filter(|quantization| *quantization != "none") {
        sources.retain(|source| source.quantization.as_ref() == Some(quantization));
        if sources.is_empty() {
            let available = entry.quantizations().into_iter().map(str::to_owned).collect();
            return Err(no_such(format!("quantization `{quantization}`"), available));
        }
    }
    if let Some(hub) = &options.hub {
        // Stable: within a hub, and among the rest, the catalogue's order stays.
        sources.sort_by_key(|source| source.hub() != Some(hub.as_str()));
    }
    Ok(sources)
}
