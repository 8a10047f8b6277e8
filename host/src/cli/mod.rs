//! The command line.
#![allow(clippy::print_stdout)] // this is the program's face

mod api_key;
mod client;
mod doctor;
mod launch;
mod models;
mod pull;
mod serve;
mod speech;
mod table;

use clap::{Args, Parser, Subcommand};
use std::process::ExitCode;
use syrinx_registry::{Catalogue, Store, StoreConfig};

/// Speech server: speech to text and text to speech behind the audio API of OpenAI and Xinference.
#[derive(Debug, Parser)]
#[command(name = "syrinx", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    Serve(serve::Serve),
    /// Launch a model on a running server
    Launch(launch::Launch),
    /// List the models that run
    List(models::List),
    /// Terminate a model
    Terminate(models::Terminate),
    /// Download models (or native runtimes) into the cache
    Pull(pull::Pull),
    /// List the catalogue: what can be launched, and what is cached
    Models(models::Catalogue),
    /// List the plugins of a running server
    Plugins(models::Plugins),
    /// Write down what is said in an audio file
    Transcribe(speech::Transcribe),
    /// Speak a text into an audio file
    Speak(speech::Speak),
    /// Make an API key, and the line that the server stores of it
    ApiKey(api_key::ApiKey),
    /// Check this machine: what is found, what is missing, what to do
    Doctor(doctor::Doctor),
}

/// Which server to talk to.
#[derive(Clone, Debug, Args)]
struct Endpoint {
    /// Server to talk to [env: SYRINX_ENDPOINT or XINFERENCE_ENDPOINT] [default: http://127.0.0.1:9997]
    #[arg(long, short = 'e')]
    endpoint: Option<String>,
    /// API key [env: SYRINX_API_KEY]
    #[arg(long, env = "SYRINX_API_KEY", hide_env = true)]
    api_key: Option<String>,
}

/// Directories that most commands share.
#[derive(Clone, Debug, Args)]
struct Places {
    /// Directory for downloads, runtimes and staged plugins [env: SYRINX_HOME] [default: the user's cache directory]
    #[arg(long, value_name = "DIR")]
    home: Option<std::path::PathBuf>,
    /// Directory with catalogue files of your own (*.toml); may be repeated
    #[arg(long, value_name = "DIR")]
    catalogue: Vec<std::path::PathBuf>,
}

impl Places {
    /// The store and the catalogue in these places.
    fn open(&self) -> Result<(Catalogue, Store), Failure> {
        let catalogue = Catalogue::load(&self.catalogue).map_err(|error| Failure::new(error.to_string()))?;
        let config = match &self.home {
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

/// Runs the program.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Launch(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Terminate(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Plugins(command) => command.run(),
        Command::Transcribe(command) => command.run(),
        Command::Speak(command) => command.run(),
        Command::ApiKey(command) => command.run(),
        Command::Doctor(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
