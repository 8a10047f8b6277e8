//! `syrinx pull`: the downloads of a launch, beforehand.

use super::{Failure, Outcome, Places, screen};
use clap::Args;
use syrinx_registry::{FetchOptions, TerminalProgress};

/// Downloads models, with the shared files and native runtimes that they need, into the cache.
#[derive(Debug, Args)]
pub(super) struct Pull {
    /// Catalogue names, see `syrinx models`
    #[arg(value_name = "MODEL", required_unless_present_any = ["runtime", "asset"])]
    models: Vec<String>,
    /// Native runtime to download, such as onnxruntime; may be repeated
    #[arg(long, value_name = "NAME")]
    runtime: Vec<String>,
    /// Data set of the catalogue to download, such as one that no model asks for; may be repeated
    #[arg(long, value_name = "NAME")]
    asset: Vec<String>,
    /// Pick a quantization that the catalogue offers
    #[arg(long)]
    quantization: Option<String>,
    /// Only use this source of the entry, such as wheel or hf
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    places: Places,
}

impl Pull {
    pub(super) fn run(self) -> Outcome {
        let (catalogue, store) = self.places.open()?;
        let progress = TerminalProgress::new();
        let failed = |error: &dyn std::error::Error| Failure::new(error.to_string());
        let mut runtimes = self.runtime;
        for name in &self.models {
            let entry = catalogue.model(name).map_err(|error| failed(&error))?;
            let options = FetchOptions {
                source: self.source.clone(),
                quantization: self.quantization.clone(),
                ..FetchOptions::default()
            };
            let files = store.fetch(&entry, &options, &progress).map_err(|error| failed(&error))?;
            screen::line(format_args!("{} {}", entry.name, files.dir.display()));
            runtimes.extend(entry.runtimes.iter().cloned());
        }
        for name in &self.asset {
            let asset = catalogue.asset(name).map_err(|error| failed(&error))?;
            let path =
                store.fetch_asset(&asset, &FetchOptions::default(), &progress).map_err(|error| failed(&error))?;
            screen::line(format_args!("{name} {}", path.display()));
        }
        runtimes.sort();
        runtimes.dedup();
        for name in &runtimes {
            let runtime = catalogue.runtime(name).map_err(|error| failed(&error))?;
            let path = store
                .fetch_runtime_entry(&runtime, &FetchOptions::default(), &progress)
                .map_err(|error| failed(&error))?;
            screen::line(format_args!("{name} {}", path.display()));
        }
        Ok(())
    }
}
