//! `syrinx plugin`: making, checking, installing and removing plugins.

mod check;
mod install;
mod new;
mod project;
mod remove;

use super::{Failure, Outcome};
use crate::{
    config::{Config, Overrides},
    plugins::is_plugin_file,
    program,
};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Makes, checks, installs and removes plugins.
#[derive(Debug, Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a plugin of your own: a project that builds, with a test and a catalogue entry
    New(new::New),
    /// Check a plugin file: whether this program can use it, and what it says of itself
    Check(check::Check),
    /// Check plugin files and put them where the server finds them
    Install(install::Install),
    /// Remove an installed plugin
    Remove(remove::Remove),
}

impl Plugin {
    pub(super) fn run(self) -> Outcome {
        match self.command {
            Command::New(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Install(command) => command.run(),
            Command::Remove(command) => command.run(),
        }
    }
}

/// Where a server looks for plugins.
#[derive(Clone, Debug, Args)]
struct Dirs {
    /// Directory with plugins [default: what the settings say, or plugins next to the program]
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Settings file [env: SYRINX_CONFIG] [default: syrinx.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Dirs {
    /// The settings that a server with these flags has, with at least one directory of plugins, which may not exist.
    fn settings(self) -> Result<Config, Failure> {
        let plugin_dirs = (!self.plugins.is_empty()).then_some(self.plugins);
        let flags = Overrides { plugin_dirs, ..Overrides::default() };
        let mut config =
            Config::load(self.config.as_deref(), flags).map_err(|error| Failure::new(error.to_string()))?;
        if config.plugin_dirs.is_empty() {
            config.plugin_dirs.push(program::plugins().map_err(|error| Failure::new(error.to_string()))?);
        }
        Ok(config)
    }
}

/// The plugin files in a directory, sorted; none when it can't be read.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_plugin_file(path)).collect();
    files.sort();
    files
}

/// A failure that is about a file.
fn about(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(format!("{}: {error}", path.display()))
}
