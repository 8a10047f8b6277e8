//! The catalogue: every model that can be launched by name, read from TOML files and checked as a whole.
//!
//! Files that came with the program are always there. Directories of the user add entries or replace the built-in ones of the same name.
//! Reading is all or nothing: either every file is right and a new catalogue results, or all problems come back together and the caller
//! keeps the catalogue it had.

mod change;
mod check;
mod diagnose;
mod document;
mod entry;
mod write;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use change::{EntryChange, Needs};
pub(crate) use check::{check_name, is_safe_relative};
pub use diagnose::Problem;
pub(crate) use diagnose::nearest;
pub use entry::{
    Ability, AssetEntry, FileRule, Format, HubId, Item, Join, JsonMap, ModelEntry, ModelVersion, Origin, Package,
    RuntimeBuild, RuntimeEntry, Sha256Digest, Source, WheelTags,
};

pub use write::WriteError;

use check::{Context, FileSets};
use document::{Document, SCHEMA, SchemaOnly};

/// The files that come with the program, in the order they are read.
const BUILTIN: &[(&str, &str)] = &[
    ("<builtin>/models/chattts.toml", include_str!("../../models/chattts.toml")),
    ("<builtin>/models/cosyvoice.toml", include_str!("../../models/cosyvoice.toml")),
    ("<builtin>/models/fishspeech.toml", include_str!("../../models/fishspeech.toml")),
    ("<builtin>/models/funasr.toml", include_str!("../../models/funasr.toml")),
    ("<builtin>/models/indextts2.toml", include_str!("../../models/indextts2.toml")),
    ("<builtin>/models/kokoro.toml", include_str!("../../models/kokoro.toml")),
    ("<builtin>/models/listed.toml", include_str!("../../models/listed.toml")),
    ("<builtin>/models/whisper.toml", include_str!("../../models/whisper.toml")),
    ("<builtin>/runtimes/libtorch.toml", include_str!("../../runtimes/libtorch.toml")),
    ("<builtin>/runtimes/onnxruntime.toml", include_str!("../../runtimes/onnxruntime.toml")),
];

/// Everything that is wrong with the catalogue files that were read. Its text is ready to be shown: one paragraph per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueError {
    /// The problems, by file and line.
    pub problems: Vec<Problem>,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CatalogueError {}

/// No entry has this name; the text says what was probably meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} `{name}` in the catalogue{}", hint(.suggestion))]
pub struct UnknownName {
    /// `model`, `asset` or `runtime`.
    pub what: &'static str,
    /// What was asked for.
    pub name: String,
    /// The most similar name there is.
    pub suggestion: Option<String>,
}

fn hint(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// A model can't be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name would not do as a directory or in an address; the text says why.
    #[error("{0}")]
    BadName(String),
    /// Another entry has the name.
    #[error("there is a model named `{0}` already")]
    Taken(String),
}

/// All models, shared assets and runtimes by name. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    models: BTreeMap<String, Arc<ModelEntry>>,
    aliases: BTreeMap<String, String>,
    assets: BTreeMap<String, Arc<AssetEntry>>,
    runtimes: BTreeMap<String, Arc<RuntimeEntry>>,
    /// Kept for writing entries down as they would be written by hand.
    language_sets: BTreeMap<String, Arc<[String]>>,
}

/// What a file would say if it were written.
#[derive(Clone, Copy)]
struct Draft<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Catalogue {
    /// The catalogue that comes with the program, without anything of the user's.
    pub fn builtin() -> Self {
        static BUILT: OnceLock<Catalogue> = OnceLock::new();
        BUILT
            .get_or_init(|| {
                // These files are part of the program and every one of them is checked by a test.
                Self::read(&[], None)
                    .unwrap_or_else(|error| unreachable!("a built-in catalogue file is wrong:\n{error}"))
            })
            .clone()
    }

    /// The built-in catalogue plus the `*.toml` files of these directories, read in name order; later directories win. A directory that
    /// doesn't exist counts as empty.
    ///
    /// # Errors
    /// All problems of all files, when there is any. Keep the catalogue you have then.
    pub fn load(directories: &[PathBuf]) -> Result<Self, CatalogueError> {
        Self::read(directories, None)
    }

    /// As [`load`](Self::load), with `text` for the content of the file `path`, which may not exist yet: what would be if
    /// it were written.
    ///
    /// # Errors
    /// All problems of all files, when there is any.
    pub fn load_draft(directories: &[PathBuf], path: &Path, text: &str) -> Result<Self, CatalogueError> {
        Self::read(directories, Some(Draft { path, text }))
    }

    /// The built-in catalogue plus these files and the `*.toml` files of these directories, in the order given. Unlike for
    /// [`load`](Self::load) everything must be there.
    ///
    /// # Errors
    /// All problems of all files, when there is any.
    pub fn check(paths: &[PathBuf]) -> Result<Self, CatalogueError> {
        let mut problems = Vec::new();
        let mut files = builtin_files(&mut problems);
        for (index, path) in paths.iter().enumerate() {
            if path.is_file() {
                read_file(path, index + 1, None, &mut files, &mut problems);
            } else if path.exists() {
                read_directory(path, index + 1, None, &mut files, &mut problems);
            } else {
                let message = "there is no such file or directory";
                problems.push(Problem::whole(path.display().to_string(), message));
            }
        }
        Self::conclude(&files, problems)
    }

    /// JSON Schema of catalogue files, for editors.
    pub fn json_schema() -> serde_json::Value {
        document::json_schema()
    }

    /// The entry with this name or alias.
    ///
    /// # Errors
    /// [`UnknownName`], with the most similar name.
    pub fn model(&self, name: &str) -> Result<Arc<ModelEntry>, UnknownName> {
        let official = self.aliases.get(name).map_or(name, String::as_str);
        let known = self.models.keys().chain(self.aliases.keys());
        self.models.get(official).cloned().ok_or_else(|| unknown_name("model", name, known))
    }

    /// All models, by name.
    pub fn models(&self) -> impl Iterator<Item = &Arc<ModelEntry>> {
        self.models.values()
    }

    /// `entry` with the shared assets that a launch with `options` needs. Where a launch option `*_model` names an asset
    /// (`spk_model = "cam++"`), that asset is needed; where it names something else instead of the asset that it has by
    /// default (a directory, nothing), that one isn't.
    pub fn with_companions(&self, entry: &Arc<ModelEntry>, options: &JsonMap) -> Arc<ModelEntry> {
        let named = |options: &JsonMap| -> Vec<Arc<AssetEntry>> {
            let companions = options.iter().filter(|(option, _)| option.ends_with("_model"));
            companions.filter_map(|(_, value)| self.assets.get(value.as_str()?)).cloned().collect()
        };
        let (by_default, wanted) = (named(&entry.launch_options()), named(options));
        let has = |all: &[Arc<AssetEntry>], asset: &AssetEntry| all.iter().any(|other| other.name == asset.name);
        let mut assets = entry.assets.clone();
        assets.retain(|asset| has(&wanted, asset) || !has(&by_default, asset));
        for asset in wanted {
            if !has(&assets, &asset) {
                assets.push(asset);
            }
        }
        if assets == entry.assets { Arc::clone(entry) } else { Arc::new(ModelEntry { assets, ..(**entry).clone() }) }
    }

    /// The shared asset with this name.
    ///
    /// # Errors
    /// [`UnknownName`], with the most similar name.
    pub fn asset(&self, name: &str) -> Result<Arc<AssetEntry>, UnknownName> {
        self.assets.get(name).cloned().ok_or_else(|| unknown_name("asset", name, self.assets.keys()))
    }

    /// All shared assets, by name.
    pub fn assets(&self) -> impl Iterator<Item = &Arc<AssetEntry>> {
        self.assets.values()
    }

    /// The runtime with this name.
    ///
    /// # Errors
    /// [`UnknownName`], with the most similar name.
    pub fn runtime(&self, name: &str) -> Result<Arc<RuntimeEntry>, UnknownName> {
        self.runtimes.get(name).cloned().ok_or_else(|| unknown_name("runtime", name, self.runtimes.keys()))
    }

    /// All runtimes, by name.
    pub fn runtimes(&self) -> impl Iterator<Item = &Arc<RuntimeEntry>> {
        self.runtimes.values()
    }

    /// Adds a model that was registered while the program runs.
    ///
    /// # Errors
    /// Its name is not allowed, or a model or alias has it already. Nothing is changed then.
    pub fn register(&mut self, entry: ModelEntry) -> Result<(), RegisterError> {
        let name = entry.name.clone();
        check::check_name(&name).map_err(RegisterError::BadName)?;
        if self.models.contains_key(&name) || self.aliases.contains_key(&name) {
            return Err(RegisterError::Taken(name));
        }
        self.models.insert(name, Arc::new(ModelEntry { builtin: false, ..entry }));
        Ok(())
    }

    /// Removes a model of the user's. `false` when there is none of this name, or it came with the program.
    pub fn unregister(&mut self, name: &str) -> bool {
        let is_users = self.models.get(name).is_some_and(|entry| !entry.builtin);
        if is_users {
            self.models.remove(name);
            self.aliases.retain(|_, official| official != name);
        }
        is_users
    }

    fn read(directories: &[PathBuf], draft: Option<Draft<'_>>) -> Result<Self, CatalogueError> {
        let mut problems = Vec::new();
        let mut files = builtin_files(&mut problems);
        for (index, directory) in directories.iter().enumerate() {
            read_directory(directory, index + 1, draft, &mut files, &mut problems);
        }
        Self::conclude(&files, problems)
    }

    fn conclude(files: &[LoadedFile], mut problems: Vec<Problem>) -> Result<Self, CatalogueError> {
        let catalogue = Self::assemble(files, &mut problems);
        if problems.is_empty() {
            return Ok(catalogue);
        }
        problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        problems.dedup();
        Err(CatalogueError { problems })
    }

    fn assemble(files: &[LoadedFile], problems: &mut Vec<Problem>) -> Self {
        let mut catalogue = Self::default();
        let mut seen = Seen::default();
        let mut sets = FileSets::new();
        for file in files {
            let mut context = file.context(problems);
            for set in &file.document.file_set {
                seen.once(&mut context, "file set", set.name.get_ref(), set.name.span(), file.layer);
                let rules = context.file_set(set);
                sets.insert(set.name.get_ref().clone(), rules);
            }
            for set in &file.document.language_set {
                seen.once(&mut context, "language set", set.name.get_ref(), set.name.span(), file.layer);
                catalogue.language_sets.insert(set.name.get_ref().clone(), set.codes.as_slice().into());
            }
        }
        for file in files {
            let mut context = file.context(problems);
            for asset in &file.document.asset {
                let name = context.name(&asset.name);
                seen.once(&mut context, "asset", &name, asset.name.span(), file.layer);
                let sources = context.sources(&asset.source, &sets);
                let entry = AssetEntry {
                    name: name.clone(),
                    description: asset.description.clone(),
                    license: asset.license.clone(),
                    optional: asset.optional,
                    sources,
                };
                catalogue.assets.insert(name, Arc::new(entry));
            }
            for runtime in &file.document.runtime {
                let name = context.name(&runtime.name);
                seen.once(&mut context, "runtime", &name, runtime.name.span(), file.layer);
                let entry = RuntimeEntry {
                    name: name.clone(),
                    version: runtime.version.clone(),
                    description: runtime.description.clone(),
                    license: runtime.license.clone(),
                    env: runtime.env.clone(),
                    builds: context.builds(&runtime.build, &sets),
                };
                catalogue.runtimes.insert(name, Arc::new(entry));
            }
        }
        for file in files {
            let mut context = file.context(problems);
            for model in &file.document.model {
                let name = context.name(&model.name);
                seen.once(&mut context, "model", &name, model.name.span(), file.layer);
                let entry = catalogue.model_entry(&mut context, model, &sets, file.layer == 0);
                catalogue.models.insert(name, Arc::new(entry));
            }
        }
        catalogue.index_aliases(files, problems);
        catalogue
    }

    fn model_entry(
        &self,
        context: &mut Context<'_>,
        model: &document::Model,
        sets: &FileSets,
        builtin: bool,
    ) -> ModelEntry {
        if model.abilities.is_empty() {
            context.complain(model.name.span(), "a model has at least one of the `abilities`");
        }
        let mut languages = model.languages.clone();
        if let Some(set) = &model.language_set {
            match self.language_sets.get(set.get_ref()) {
                Some(codes) => languages.splice(0..0, codes.iter().cloned()).for_each(drop),
                None => context.unknown("language set", set, self.language_sets.keys().map(String::as_str)),
            }
        }
        let mut assets = Vec::new();
        for wanted in &model.assets {
            match self.assets.get(wanted.get_ref()) {
                Some(asset) => assets.push(Arc::clone(asset)),
                None => context.unknown("asset", wanted, self.assets.keys().map(String::as_str)),
            }
        }
        for wanted in &model.runtimes {
            if !self.runtimes.contains_key(wanted.get_ref()) {
                context.unknown("runtime", wanted, self.runtimes.keys().map(String::as_str));
            }
        }
        ModelEntry {
            name: model.name.get_ref().clone(),
            aliases: model.aliases.iter().map(|alias| alias.get_ref().clone()).collect(),
            family: context.name(&model.family),
            plugin: context.name(&model.plugin),
            description: model.description.clone(),
            license: model.license.clone(),
            abilities: model.abilities.clone(),
            multilingual: model.multilingual,
            languages,
            huggingface: model.huggingface.clone(),
            modelscope: model.modelscope.clone(),
            default_model_config: model.default_model_config.clone(),
            default_transcription_config: model.default_transcription_config.clone(),
            launch_defaults: model.launch_defaults.clone(),
            request_defaults: model.request_defaults.clone(),
            assets,
            runtimes: model.runtimes.iter().map(|runtime| runtime.get_ref().clone()).collect(),
            sources: context.sources(&model.source, sets),
            builtin,
        }
    }

    /// Aliases are looked at last: a name beats an alias, and an alias belongs to one model.
    fn index_aliases(&mut self, files: &[LoadedFile], problems: &mut Vec<Problem>) {
        for file in files {
            for model in &file.document.model {
                let name = model.name.get_ref();
                // An entry that a later directory replaced has no say any more.
                let in_force = self.models.get(name).is_some_and(|entry| entry.builtin == (file.layer == 0));
                for alias in model.aliases.iter().filter(|_| in_force) {
                    let mut context = file.context(problems);
                    context.name(alias);
                    if self.models.contains_key(alias.get_ref()) {
                        if file.layer > 0 || self.models.get(alias.get_ref()).is_some_and(|other| other.builtin) {
                            context.complain(
                                alias.span(),
                                format!("`{}` is the name of a model, it can't be an alias as well", alias.get_ref()),
                            );
                        }
                        continue;
                    }
                    match self.aliases.get(alias.get_ref()) {
                        Some(other) if other != name => {
                            context.complain(
                                alias.span(),
                                format!("`{}` is an alias of `{other}` already", alias.get_ref()),
                            );
                        }
                        _ => {
                            self.aliases.insert(alias.get_ref().clone(), name.clone());
                        }
                    }
                }
            }
        }
    }
}

fn unknown_name<'a>(what: &'static str, name: &str, known: impl Iterator<Item = &'a String>) -> UnknownName {
    /// Nothing of this length is a misspelt name, and comparing takes time. [characters]
    const MISSPELT: usize = 200;
    if name.chars().nth(MISSPELT).is_some() {
        let beginning: String = name.chars().take(MISSPELT).collect();
        return UnknownName { what, name: format!("{beginning}…"), suggestion: None };
    }
    UnknownName { what, name: name.to_owned(), suggestion: nearest(name, known.map(String::as_str)).map(str::to_owned) }
}

/// Which names were defined in which layer (0 = built in, 1… = the user's directories): twice in one layer is a mistake.
#[derive(Default)]
struct Seen(BTreeMap<(&'static str, String), usize>);

impl Seen {
    fn once(
        &mut self,
        context: &mut Context<'_>,
        what: &'static str,
        name: &str,
        span: std::ops::Range<usize>,
        layer: usize,
    ) {
        if self.0.insert((what, name.to_owned()), layer) == Some(layer) {
            context.complain(span, format!("there is another {what} named `{name}`"));
        }
    }
}

/// A file that is TOML in the right shape.
struct LoadedFile {
    name: String,
    text: String,
    base: Option<PathBuf>,
    layer: usize,
    document: Document,
}

impl LoadedFile {
    fn parse(name: &str, text: &str, base: Option<&Path>, layer: usize, problems: &mut Vec<Problem>) -> Option<Self> {
        // Look at the version first: a file for a newer program would only produce misleading messages about unknown keys.
        if let Ok(SchemaOnly { schema: Some(schema) }) = toml::from_str(text)
            && *schema.get_ref() != i64::from(SCHEMA)
        {
            let message = format!("this program reads `schema = {SCHEMA}`, the file has {}", schema.get_ref());
            problems.push(Problem::at(name, text, schema.span(), message));
            return None;
        }
        match toml::from_str::<Document>(text) {
            Ok(document) => Some(Self {
                name: name.to_owned(),
                text: text.to_owned(),
                base: base.map(Path::to_owned),
                layer,
                document,
            }),
            Err(error) => {
                problems.push(Problem::from_toml(name, text, &error));
                None
            }
        }
    }

    fn context<'a>(&'a self, problems: &'a mut Vec<Problem>) -> Context<'a> {
        Context { file: &self.name, text: &self.text, base: self.base.as_deref(), problems }
    }
}

fn builtin_files(problems: &mut Vec<Problem>) -> Vec<LoadedFile> {
    BUILTIN.iter().filter_map(|(name, text)| LoadedFile::parse(name, text, None, 0, problems)).collect()
}

fn read_directory(
    directory: &Path,
    layer: usize,
    draft: Option<Draft<'_>>,
    files: &mut Vec<LoadedFile>,
    problems: &mut Vec<Problem>,
) {
    let draft = draft.filter(|draft| draft.path.parent() == Some(directory));
    let is_ours = |path: &PathBuf| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        path.extension().is_some_and(|extension| extension == "toml") && !hidden
    };
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_ours).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            problems
                .push(Problem::whole(directory.display().to_string(), format!("can't list this directory: {error}")));
            return;
        }
    };
    paths.extend(draft.map(|draft| draft.path.to_owned()));
    paths.sort();
    paths.dedup();
    for path in paths {
        read_file(&path, layer, draft, files, problems);
    }
}

fn read_file(
    path: &Path,
    layer: usize,
    draft: Option<Draft<'_>>,
    files: &mut Vec<LoadedFile>,
    problems: &mut Vec<Problem>,
) {
    let name = path.display().to_string();
    let text = match draft.filter(|draft| draft.path == path) {
        Some(draft) => Ok(draft.text.to_owned()),
        None => std::fs::read_to_string(path),
    };
    match text {
        Ok(text) => files.extend(LoadedFile::parse(&name, &text, path.parent(), layer, problems)),
        Err(error) => problems.push(Problem::whole(name, format!("can't read this file: {error}"))),
    }
}
