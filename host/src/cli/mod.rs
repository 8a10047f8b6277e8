//! The command line.
#![allow(clippy::print_stdout)] // this is the program's face

mod api_key;
mod argv;
mod cache;
mod catalogue;
mod client;
mod doctor;
mod engine;
mod foreign;
mod launch;
mod models;
mod plugin;
mod pull;
mod registrations;
mod screen;
mod serve;
mod speech;
mod table;

use crate::config::{Config, Overrides};
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use serde_json::Value;
use std::{ffi::OsString, process::ExitCode};
use syrinx_registry::{Catalogue, Store, StoreConfig};

/// Speech server: speech to text and text to speech behind the audio API of OpenAI and Xinference.
#[derive(Debug, Parser)]
#[command(name = "syrinx", version, propagate_version = true)]
struct Cli {
    /// Xinference's letter for it
    #[arg(short = 'v', action = ArgAction::Version, hide = true)]
    _version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Parses a command line; the first word is the program.
    fn of(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        command.build();
        let words = argv::in_order(words, &command);
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    Serve(serve::Serve),
    /// Launch a model on a running server
    Launch(Box<launch::Launch>),
    /// List the models that run
    List(models::List),
    /// Terminate a model
    Terminate(models::Terminate),
    /// Download models (or native runtimes) into the cache
    Pull(pull::Pull),
    /// List the catalogue (what can be launched, what is cached), check its files, add a model of your own
    Models(catalogue::Models),
    /// List the plugins of a running server
    Plugins(models::Plugins),
    /// Make, check, install and remove plugins
    Plugin(plugin::Plugin),
    /// Write down what is said in an audio file
    Transcribe(speech::Transcribe),
    /// Speak a text into an audio file
    Speak(speech::Speak),
    /// Make an API key, and the line that the server stores of it
    ApiKey(api_key::ApiKey),
    /// Check this machine: what is found, what is missing, what to do
    Doctor(doctor::Doctor),
    /// List what a running server can launch
    Registrations(registrations::Registrations),
    /// Add a model of your own to a running server
    Register(registrations::Register),
    /// Remove a model of your own from a running server
    Unregister(registrations::Unregister),
    /// List the downloads of a running server
    Cached(cache::Cached),
    /// Remove a download of a running server
    RemoveCache(cache::RemoveCache),
    /// Tell what a model can be launched with
    Engine(engine::Engine),
    /// Run a model for the server that started this process
    #[cfg(unix)]
    #[command(hide = true)]
    Worker,
    /// Open a plugin for the process that started this one
    #[cfg(unix)]
    #[command(hide = true)]
    InspectPlugin { file: std::path::PathBuf },
    #[command(hide = true)]
    Login(foreign::Login),
    #[command(hide = true)]
    StopCluster(foreign::Foreign),
    #[command(hide = true)]
    CalModelMem(foreign::Foreign),
    #[command(hide = true)]
    Generate(foreign::Foreign),
    #[command(hide = true)]
    Chat(foreign::Foreign),
    #[command(hide = true)]
    VllmModels(foreign::Foreign),
    #[command(hide = true)]
    Reload(foreign::Foreign),
    #[command(hide = true)]
    Service(foreign::Foreign),
}

/// Which server to talk to.
#[derive(Clone, Debug, Args)]
struct Endpoint {
    /// Server to talk to [env: SYRINX_ENDPOINT or XINFERENCE_ENDPOINT] [default: http://127.0.0.1:9997]
    #[arg(long, short = 'e')]
    endpoint: Option<String>,
    /// API key (also -ak) [env: SYRINX_API_KEY]
    #[arg(long, env = "SYRINX_API_KEY", hide_env = true)]
    api_key: Option<String>,
}

/// Directories that most commands share.
#[derive(Clone, Debug, Args)]
struct Places {
    /// Directory for downloads, runtimes and staged plugins [env: SYRINX_HOME] [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    home: Option<std::path::PathBuf>,
    /// Directory with catalogue files of your own (*.toml); may be repeated [env: SYRINX_CATALOGUE_DIRS] [default: those of syrinx.toml]
    #[arg(long, value_name = "DIR")]
    catalogue: Vec<std::path::PathBuf>,
}

impl Places {
    /// A server's settings in the working directory, with these places.
    fn settings(&self) -> Result<Config, Failure> {
        let flags = Overrides {
            home: self.home.clone(),
            catalogue_dirs: (!self.catalogue.is_empty()).then(|| self.catalogue.clone()),
            ..Overrides::default()
        };
        Config::load(None, flags).map_err(|error| Failure::new(error.to_string()))
    }

    /// The store and the catalogue in these places.
    fn open(&self) -> Result<(Catalogue, Store), Failure> {
        let settings = self.settings()?;
        let catalogue = Catalogue::load(&settings.catalogue_dirs).map_err(|error| Failure::new(error.to_string()))?;
        let config = match &settings.home {
            Some(home) => StoreConfig::at(home),
            None => StoreConfig::from_env().map_err(|error| Failure::new(error.to_string()))?,
        };
        let store = Store::open(config).map_err(|error| Failure::new(error.to_string()))?;
        Ok((catalogue, store))
    }
}

/// What a command ends with when it fails: a text for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

type Outcome = Result<(), Failure>;

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// As Xinference's tables spell it.
fn truth(value: &Value) -> String {
    value.as_bool().map_or("", |truth| if truth { "True" } else { "False" }).to_owned()
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::of(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let text_models = "it runs no text models";
    let outcome = match cli.command {
        Command::Serve(command) => command.run(),
        Command::Launch(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Terminate(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Plugins(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Transcribe(command) => command.run(),
        Command::Speak(command) => command.run(),
        Command::ApiKey(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Registrations(command) => command.run(),
        Command::Register(command) => command.run(),
        Command::Unregister(command) => command.run(),
        Command::Cached(command) => command.run(),
        Command::RemoveCache(command) => command.run(),
        Command::Engine(command) => command.run(),
        #[cfg(unix)]
        Command::Worker => {
            crate::worker::serve().map_err(|error| Failure::new(format!("no server on standard input: {error}")))
        }
        #[cfg(unix)]
        Command::InspectPlugin { file } => crate::plugins::inspection::answer(&file)
            .map_err(|error| Failure::new(format!("nobody asks on standard input: {error}"))),
        Command::Login(command) => command.run(),
        Command::StopCluster(_) => foreign::refuse(
            "stop-cluster",
            "it is one process; end it with Ctrl-C or SIGTERM, and it finishes its work",
        ),
        Command::CalModelMem(_) => foreign::refuse("cal-model-mem", "it estimates no memory of text models"),
        Command::Generate(_) => foreign::refuse("generate", text_models),
        Command::Chat(_) => foreign::refuse("chat", text_models),
        Command::VllmModels(_) => foreign::refuse("vllm-models", text_models),
        Command::Reload(_) => foreign::refuse("reload", "terminate the model and launch it with other options"),
        Command::Service(_) => foreign::refuse("service", "use the system's own, such as systemd, with `syrinx serve`"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn key_and_endpoint_stand_anywhere() {
        for line in [
            "syrinx -e http://a:1 -ak k terminate x",
            "syrinx terminate -ak k x -e http://a:1",
            "syrinx --endpoint=http://a:1 terminate --model-uid x --api-key k",
            "syrinx terminate --model_uid=x -ak=k --endpoint http://a:1",
        ] {
            let Command::Terminate(terminate) = Cli::of(line.split(' ').map(Into::into)).unwrap().command else {
                panic!("{line}");
            };
            let shown = format!("{terminate:?}");
            assert!(shown.contains("http://a:1") && shown.contains("\"x\"") && shown.contains("\"k\""), "{shown}");
        }
    }

    #[test]
    fn foreign_commands_take_anything() {
        for line in ["stop-cluster -e x --check", "chat --model-uid x --stream True", "service install", "reload"] {
            assert!(Cli::of(format!("syrinx {line}").split(' ').map(Into::into)).is_ok(), "{line}");
        }
    }
}
