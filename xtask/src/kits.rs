//! `cargo xtask kits`: reference cases, through each plugin's test binary `kit`.

use crate::{
    build::{self, TestBinary},
    command, libtorch,
    test::tally::Tally,
};
use clap::Args;
use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
};

#[derive(Debug, Args)]
pub(crate) struct Kits {
    /// Families to run [default: all]
    #[arg(value_name = "FAMILY")]
    families: Vec<String>,
    /// Directory with kits, laid out DIR/<family>/{models,cases} [env: SYRINX_KITS] [default: tests/kits]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only ops that match, such as 'decoder.*'
    #[arg(long, value_name = "GLOB")]
    op: Option<String>,
    /// Only cases that match
    #[arg(long, value_name = "GLOB")]
    case: Option<String>,
}

impl Kits {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        if self.families.iter().any(|family| family == libtorch::FAMILY) {
            libtorch::provide()?;
        }
        let binaries = build::kit_binaries()?;
        let known: Vec<&str> = binaries.iter().map(family).collect();
        if let Some(unknown) = self.families.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("no family `{unknown}` with kits; there are {}", known.join(", ")));
        }
        let chosen = binaries
            .iter()
            .filter(|binary| self.families.is_empty() || self.families.iter().any(|f| f == family(binary)));
        let arguments = self.arguments()?;
        let mut total = Tally::default();
        for binary in chosen {
            println!("== {}", family(binary));
            total += run(binary, &arguments)?;
        }
        println!("{total}");
        Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn arguments(&self) -> Result<Vec<String>, String> {
        let mut arguments = Vec::new();
        if let Some(dir) = &self.dir {
            // The binary runs in its package's directory.
            let here = env::current_dir().map_err(|error| error.to_string())?;
            arguments.extend(["--dir".to_owned(), here.join(dir).display().to_string()]);
        }
        for (name, glob) in [("--op", &self.op), ("--case", &self.case)] {
            if let Some(glob) = glob {
                arguments.extend([name.to_owned(), glob.clone()]);
            }
        }
        Ok(arguments)
    }
}

/// `whisper`, of the package `syrinx-plugin-whisper`.
fn family(binary: &TestBinary) -> &str {
    binary.package.strip_prefix("syrinx-plugin-").unwrap_or(&binary.package)
}

/// Runs one family's cases, shows the report, and counts.
fn run(binary: &TestBinary, arguments: &[String]) -> Result<Tally, String> {
    let mut command = Command::new(&binary.executable);
    command.args(arguments).current_dir(&binary.directory).stderr(std::process::Stdio::inherit());
    if let Some(dir) = env::var_os("SYRINX_KITS") {
        let here = env::current_dir().map_err(|error| error.to_string())?;
        command.env("SYRINX_KITS", here.join(dir));
    }
    let output = command.output().map_err(|error| format!("{}: {error}", command::describe(&command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    Ok(Tally::of(&text, output.status.success()))
}
