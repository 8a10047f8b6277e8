//! `cargo xtask soak`: a campaign of faults against a server under load, see tests/src/soak.

use crate::{build, command, place};
use clap::Args;
use std::process::{Command, ExitCode};

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long [default: 10]
    #[arg(long, conflicts_with = "seconds")]
    minutes: Option<u64>,
    /// How long, in seconds
    #[arg(long)]
    seconds: Option<u64>,
    /// Decides what is asked and what goes wrong; the report names it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at a time
    #[arg(long, default_value_t = 8)]
    clients: u64,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Soak {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        const MINUTES: u64 = 10;
        build::workspace()?;
        let seconds = self.seconds.unwrap_or(60 * self.minutes.unwrap_or(MINUTES));
        let mut soak = Command::new(place::release().join("syrinx-soak"));
        soak.env("SYRINX_BUILT", "1").env("CARGO_TARGET_DIR", place::target());
        for (flag, number) in [("--seconds", seconds), ("--seed", self.seed), ("--clients", self.clients)] {
            soak.args([flag, &number.to_string()]);
        }
        soak.args(self.json.then_some("--json"));
        // Its exit status is its verdict, which its report explains.
        Ok(match command::run(&mut soak) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        })
    }
}
