//! `cargo xtask serve`.

use crate::{build, command, place};
use clap::Args;
use std::process::{Command, ExitCode};

/// Served when nothing is named.
const DEFAULT_MODELS: [&str; 2] = ["whisper-base", "Kokoro-82M"];

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Model to serve; may be repeated [default: whisper-base and Kokoro-82M]
    #[arg(long, value_name = "MODEL")]
    launch: Vec<String>,
    /// Passed on to `syrinx serve`, such as `--port 8000`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let models = if self.launch.is_empty() { DEFAULT_MODELS.map(str::to_owned).into() } else { self.launch };
        build::programs()?;
        let plugins = build::place_plugins()?;
        // With the product's own command, which also fetches the runtimes that these models need.
        command::run(Command::new(place::syrinx()).arg("pull").args(&models))?;
        let mut serve = Command::new(place::syrinx());
        serve.arg("serve").arg("--plugins").arg(plugins);
        for model in &models {
            serve.args(["--launch", model]);
        }
        become_(serve.args(&self.rest))
    }
}

/// Runs `command` in place of this program, so that signals reach it.
#[cfg(unix)]
fn become_(command: &mut Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt as _;
    Err(format!("{} does not start: {}", command::describe(command), command.exec()))
}

#[cfg(not(unix))]
fn become_(command: &mut Command) -> Result<ExitCode, String> {
    command::run(command).map(|()| ExitCode::SUCCESS)
}
