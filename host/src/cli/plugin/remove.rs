//! `syrinx plugin remove NAME`.

use super::{
    super::{Failure, Outcome, screen},
    Dirs, about, files_in,
};
use crate::plugins::inspection;
use clap::Args;
use std::path::{Path, PathBuf};

/// Removes an installed plugin. Models that a running server has launched with it go on.
#[derive(Debug, Args)]
pub(super) struct Remove {
    /// The plugin's name, or that of its file
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    dirs: Dirs,
}

impl Remove {
    pub(super) fn run(self) -> Outcome {
        let dirs = self.dirs.settings()?.plugin_dirs;
        let files: Vec<PathBuf> = dirs.iter().flat_map(|dir| files_in(dir)).collect();
        let named = |file: &&PathBuf| file.file_name().is_some_and(|name| *name == *self.name);
        // Files that can't be opened are removed by their own name.
        let is_plugin = |file: &&PathBuf| inspection::inspect(file).is_ok_and(|manifest| manifest.name == self.name);
        let found: Vec<&PathBuf> = match files.iter().find(named) {
            Some(file) => vec![file],
            None => files.iter().filter(is_plugin).collect(),
        };
        if found.is_empty() {
            let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
            let there = if names.is_empty() { "no plugin file".to_owned() } else { names.join(", ") };
            let places: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            let message = format!("no plugin is called `{}`; in {} there is {there}", self.name, places.join(", "));
            return Err(Failure::new(message));
        }
        for file in found {
            std::fs::remove_file(file).map_err(about(file))?;
            screen::line(format_args!("removed {}", file.display()));
        }
        Ok(())
    }
}

fn name_of(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
