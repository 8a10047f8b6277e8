//! Developer commands: `cargo xtask serve`, `plugin`, `test`, `kits`, `bench`.
#![allow(clippy::print_stdout)] // talking to the developer is what this program does

mod bench;
mod build;
mod command;
mod cuda;
mod kits;
mod libtorch;
mod node;
mod place;
mod plugin;
mod serve;
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
    /// Build one plugin, also for NVIDIA cards
    Plugin(plugin::Plugin),
    /// Everything, from formatting to end-to-end with real clients and real weights
    Test(test::Test),
    /// Replay the reference cases of plugins
    Kits(kits::Kits),
    /// Measure speed and memory side by side with other implementations
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Test(command) => command.run(),
        Command::Kits(command) => command.run(),
        Command::Bench(command) => command.run(),
    };
    outcome.unwrap_or_else(|message| {
        eprintln!("error: {message}");
        ExitCode::FAILURE
    })
}
