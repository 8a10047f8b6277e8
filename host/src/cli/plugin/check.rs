//! `syrinx plugin check FILE`.

use super::{
    super::{Failure, Outcome, Places, launch::parse_value, screen},
    about,
};
use crate::{
    plugins::{
        Digest,
        inspection::{self, Trial},
    },
    schema,
};
use clap::Args;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use syrinx_plugin_api::{LoadRequest, Manifest, ModelCard, Object, abi::ABI_VERSION};
use syrinx_registry::{Catalogue, Store};

/// Checks a plugin file. It is opened in a process of its own, so a file that crashes costs only that.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file, such as target/release/libparrot.so
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also load the model in this directory, in the process that opens the plugin, and tell what it says of itself: what it can
    /// do, its voices, and the parameters of requests
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Launch option for that; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "model")]
    option: Vec<String>,
    /// How long that may take, in seconds
    #[arg(long, value_name = "SECONDS", requires = "model", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
    #[command(flatten)]
    places: Places,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is found.
#[derive(Debug, Serialize)]
struct Findings {
    file: PathBuf,
    sha256: Digest,
    bytes: usize,
    /// The ABI that this program speaks.
    host_abi: &'static str,
    /// Time that it took to open it in another process.
    milliseconds: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    /// Why it can't be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    runtimes: Vec<Runtime>,
    models: Vec<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<Loaded>,
}

/// A model that was loaded.
#[derive(Debug, Serialize)]
struct Loaded {
    /// Where its files are.
    model: PathBuf,
    /// Time that it took, with one run on throw-away input.
    milliseconds: u128,
    card: ModelCard,
}

/// A native runtime that it asks for.
#[derive(Debug, Serialize)]
struct Runtime {
    name: String,
    /// Where it is; none: not downloaded yet.
    path: Option<PathBuf>,
    /// Whether the catalogue knows where to get it.
    known: bool,
}

/// A catalogue entry that it serves.
#[derive(Debug, Serialize)]
struct Model {
    name: String,
    abilities: Vec<&'static str>,
}

impl Check {
    pub(super) fn run(self) -> Outcome {
        let bytes = std::fs::read(&self.file).map_err(about(&self.file))?;
        let (catalogue, store) = self.places.open()?;
        let started = Instant::now();
        let inspected = inspection::inspect(&self.file).map_err(|error| error.to_string());
        let milliseconds = started.elapsed().as_millis();
        let (manifest, mut error) = match inspected {
            Ok(manifest) => (Some(manifest), None),
            Err(error) => (None, Some(error)),
        };
        let runtimes: Vec<Runtime> =
            manifest.iter().flat_map(|manifest| runtimes(manifest, &catalogue, &store)).collect();
        let mut loaded = None;
        if let (Some(manifest), Some(model)) = (&manifest, &self.model) {
            match self.load(model, manifest, &runtimes, &store) {
                Ok(model) => loaded = Some(model),
                Err(Failure(reason)) => error = Some(format!("{}: {reason}", model.display())),
            }
        }
        let findings = Findings {
            sha256: Digest::of(&bytes),
            bytes: bytes.len(),
            host_abi: ABI_VERSION,
            milliseconds,
            runtimes,
            models: manifest.iter().flat_map(|manifest| models(manifest, &catalogue)).collect(),
            manifest,
            loaded,
            error: error.clone(),
            file: self.file,
        };
        if self.json {
            let text = serde_json::to_string_pretty(&findings).map_err(|error| Failure::new(error.to_string()))?;
            screen::line(text);
        } else {
            findings.print();
        }
        match error {
            Some(error) => Err(Failure::new(format!("{}: {error}", findings.file.display()))),
            None => Ok(()),
        }
    }

    /// Loads the model in `dir` as a launch would.
    fn load(&self, dir: &Path, manifest: &Manifest, runtimes: &[Runtime], store: &Store) -> Result<Loaded, Failure> {
        if !dir.is_dir() {
            return Err(Failure::new("there is no such directory"));
        }
        let dir = std::path::absolute(dir).map_err(about(dir))?;
        let options = self.launch_options(&manifest.launch_options)?;
        let mut found = BTreeMap::new();
        for Runtime { name, path, .. } in runtimes {
            let Some(path) = path else {
                let message = format!("the plugin needs {name}, which isn't here; run `syrinx pull --runtime {name}`");
                return Err(Failure::new(message));
            };
            found.insert(name.clone(), path.clone());
        }
        // Where a server with these settings lets it keep things.
        let cache_dir = store.root().join("cache/plugins").join(&manifest.name);
        std::fs::create_dir_all(&cache_dir).map_err(about(&cache_dir))?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let threads = options.get("threads").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize;
        let request = LoadRequest { model: name, model_dir: dir.clone(), options, threads, ..LoadRequest::default() };
        let trial = Trial { request, runtimes: found, cache_dir };
        let started = Instant::now();
        let card = inspection::load(&self.file, trial, Duration::from_secs(self.timeout))
            .map_err(|error| Failure::new(error.to_string()))?;
        Ok(Loaded { model: dir, milliseconds: started.elapsed().as_millis(), card })
    }

    /// The options as the plugin's schema wants them.
    fn launch_options(&self, schema: &Object) -> Result<Object, Failure> {
        let known: Vec<&String> = properties(schema).map(|(name, _)| name).collect();
        let mut given = Object::new();
        for option in &self.option {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| Failure::new(format!("`--option {option}` must be `--option KEY=VALUE`")))?;
            let name = name.replace('-', "_");
            if !known.contains(&&name) {
                let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Failure::new(format!("`{name}` is no launch option of the plugin; there are {known}")));
            }
            given.insert(name, parse_value(value));
        }
        schema::check(schema, &given).map_err(|mismatch| Failure::new(mismatch.to_string()))
    }
}

fn runtimes(manifest: &Manifest, catalogue: &Catalogue, store: &Store) -> Vec<Runtime> {
    let of = |name: &String| {
        let entry = catalogue.runtimes().find(|runtime| runtime.name == *name);
        let path = entry.and_then(|entry| store.locate_runtime_entry(entry).unwrap_or_default());
        Runtime { name: name.clone(), path, known: entry.is_some() }
    };
    manifest.runtimes.iter().map(of).collect()
}

fn models(manifest: &Manifest, catalogue: &Catalogue) -> Vec<Model> {
    let entries = catalogue.models().filter(|entry| entry.plugin == manifest.name);
    entries
        .map(|entry| Model {
            name: entry.name.clone(),
            abilities: entry.abilities.iter().map(|ability| ability.as_str()).collect(),
        })
        .collect()
}

impl Findings {
    fn print(&self) {
        let line = |what: &str, found: &dyn std::fmt::Display| screen::line(format_args!("{what:<10}{found}"));
        line("file", &self.file.display());
        line("sha256", &self.sha256);
        let Some(manifest) = &self.manifest else { return };
        line(
            "plugin",
            &format_args!("{} {} ({})", manifest.name, manifest.version, or(&manifest.license, "no licence")),
        );
        if !manifest.description.is_empty() {
            line("", &manifest.description);
        }
        line("ABI", &format_args!("{}, this program speaks {}", manifest.abi_version, self.host_abi));
        line("built by", &manifest.built_with);
        if self.runtimes.is_empty() {
            line("runtimes", &"none");
        }
        for runtime in &self.runtimes {
            let state = match &runtime.path {
                Some(path) => path.display().to_string(),
                None if runtime.known => "is downloaded when a model needs it".to_owned(),
                None => "UNKNOWN: the catalogue doesn't say where it comes from".to_owned(),
            };
            line("runtimes", &format_args!("{}: {state}", runtime.name));
        }
        if self.models.is_empty() {
            line("models", &"none in the catalogue; say with --catalogue DIR where its entries are");
        }
        for model in &self.models {
            line("models", &format_args!("{}: {}", model.name, model.abilities.join(" ")));
        }
        print_properties("option", &manifest.launch_options);
        line("opened in", &format_args!("{} ms, in a process of its own", self.milliseconds));
        if let Some(loaded) = &self.loaded {
            loaded.print();
        }
    }
}

impl Loaded {
    fn print(&self) {
        let line = |what: &str, found: &dyn std::fmt::Display| screen::line(format_args!("{what:<10}{found}"));
        let card = &self.card;
        line("model", &self.model.display());
        let abilities: Vec<String> = card.abilities.iter().map(|ability| word(ability)).collect();
        line("can do", &or(&abilities.join(" "), "nothing"));
        for (what, rate) in
            [("input", card.input_sample_rate), ("output", card.output_sample_rate), ("clips", card.clip_sample_rate)]
        {
            if let Some(rate) = rate {
                line(what, &format_args!("{rate} Hz"));
            }
        }
        if !card.languages.is_empty() {
            line("languages", &card.languages.join(" "));
        }
        if !card.voices.is_empty() {
            let default = card.default_voice.as_deref().unwrap_or("none");
            line("voices", &format_args!("{} [default: {default}]", card.voices.len()));
        }
        let results = if card.streams { "results come as they are made" } else { "results come at the end" };
        line("jobs", &format_args!("{} at a time; {results}", card.max_concurrency.max(1)));
        line(
            "runs on",
            &format_args!("{}, {}", or(&card.device, "what it doesn't say"), or(&card.dtype, "no type told")),
        );
        print_properties("parameter", &card.parameters);
        line("loaded in", &format_args!("{} ms, in a process of its own", self.milliseconds));
    }
}

/// An ability as requests and catalogue spell it.
fn word(ability: &syrinx_plugin_api::Ability) -> String {
    serde_json::to_value(ability).ok().and_then(|word| Some(word.as_str()?.to_owned())).unwrap_or_default()
}

/// The members of an object schema.
fn properties(schema: &Object) -> impl Iterator<Item = (&String, &serde_json::Value)> {
    schema.get("properties").and_then(|properties| properties.as_object()).into_iter().flatten()
}

/// The members of an object schema, one a line.
fn print_properties(what: &str, schema: &Object) {
    for (name, property) in properties(schema) {
        let default = match property.get("default") {
            Some(value) if !value.is_null() => format!(" [default: {value}]"),
            _ => String::new(),
        };
        let description = property.get("description").and_then(|text| text.as_str()).unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        screen::line(format_args!("{what:<10}{name}: {description}{default}"));
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
