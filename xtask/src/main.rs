//! Developer commands: `cargo xtask serve`, `dev`, `plugin`, `test`, `kits`, `bench`, `soak`.
#![allow(clippy::print_stdout)] // talking to the developer is what this program does

mod bench;
mod build;
mod command;
mod cuda;
mod dev;
mod kits;
mod libtorch;
mod node;
mod place;
mod plugin;
mod serve;
mod soak;
mod test;
mod venv;
mod wheels;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Developer commands of Syrinx.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build host and plugins, provide runtimes and default weights, and serve
    Serve(serve::Serve),
    /// Serve a model of one plugin, and build and replace the plugin whenever a source of it is saved
    Dev(dev::Dev),
    /// Build one plugin, also for NVIDIA cards
    Plugin(plugin::Plugin),
    /// Everything, from formatting to end-to-end with real clients and real weights
    Test(test::Test),
    /// Replay the reference cases of plugins
    Kits(kits::Kits),
    /// Measure speed and memory side by side with other implementations
    Bench(bench::Bench),
    /// Let everything go wrong under load, and count what is lost
    Soak(soak::Soak),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Dev(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Kits(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Soak(command) => command.run(),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}
