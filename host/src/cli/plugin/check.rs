//! `syrinx plugin check FILE`.

use super::{
    super::{Failure, Outcome, Places, screen},
    about,
};
use crate::plugins::{Digest, inspection};
use clap::Args;
use serde::Serialize;
use std::{path::PathBuf, time::Instant};
use syrinx_plugin_api::{Manifest, Object, abi::ABI_VERSION};
use syrinx_registry::{Catalogue, Store};

/// Checks a plugin file. It is opened in a process of its own, so a file that crashes costs only that.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file, such as target/release/libparrot.so
    #[arg(value_name = "FILE")]
    file: PathBuf,
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
        let (manifest, error) = match inspected {
            Ok(manifest) => (Some(manifest), None),
            Err(error) => (None, Some(error)),
        };
        let findings = Findings {
            sha256: Digest::of(&bytes),
            bytes: bytes.len(),
            host_abi: ABI_VERSION,
            milliseconds,
            runtimes: manifest.iter().flat_map(|manifest| runtimes(manifest, &catalogue, &store)).collect(),
            models: manifest.iter().flat_map(|manifest| models(manifest, &catalogue)).collect(),
            manifest,
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
        print_options(&manifest.launch_options);
        line("opened in", &format_args!("{} ms, in a process of its own", self.milliseconds));
    }
}

/// The launch options of a schema, one a line.
fn print_options(schema: &Object) {
    let Some(options) = schema.get("properties").and_then(|properties| properties.as_object()) else { return };
    for (name, option) in options {
        let default = match option.get("default") {
            Some(value) if !value.is_null() => format!(" [default: {value}]"),
            _ => String::new(),
        };
        let description = option.get("description").and_then(|text| text.as_str()).unwrap_or_default();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        screen::line(format_args!("{:<10}{name}: {description}{default}", "option"));
    }
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}
