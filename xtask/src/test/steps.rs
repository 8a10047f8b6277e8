//! What each step does.

use super::{Step, tally::Tally};
use crate::{
    build::{self, TestBinary},
    command, libtorch, node, place, venv,
};
use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Longest time for one test program.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Models that the end-to-end tests and the kits use.
const MODELS: [&str; 3] = ["whisper-base", "whisper-tiny.en", "Kokoro-82M"];

/// The package with the end-to-end tests and the ABI's proofs.
const TESTS_PACKAGE: &str = "syrinx-tests";

/// What steps leave for later ones.
#[derive(Default)]
pub(crate) struct Run {
    binaries: Option<Vec<TestBinary>>,
}

impl Run {
    /// Runs a step. An error is a failure that has no count of its own.
    pub(crate) fn step(&mut self, step: Step) -> Result<Tally, String> {
        match step {
            Step::Format => format(),
            Step::Lint => {
                let mut clippy = command::cargo(&["clippy", "--release", "--workspace", "--all-targets"]);
                libtorch::provide()?.configure(&mut clippy);
                check(clippy.args(["--", "--deny", "warnings"]))
            }
            Step::Build => {
                self.binaries()?;
                Ok(Tally::one(true))
            }
            Step::Unit => self.programs(|binary| binary.package != TESTS_PACKAGE && !is_kit(binary)),
            Step::Doc => doc(),
            Step::Kits => self.programs(is_kit),
            Step::Abi => self.programs(|binary| binary.package == TESTS_PACKAGE && !is_end_to_end(binary)),
            Step::Provide => {
                self.binaries()?;
                provide()
            }
            Step::E2e => self.programs(is_end_to_end),
        }
    }

    fn binaries(&mut self) -> Result<&[TestBinary], String> {
        if self.binaries.is_none() {
            libtorch::provide()?;
            self.binaries = Some(build::workspace()?);
        }
        Ok(self.binaries.as_deref().unwrap_or_default())
    }

    /// Runs the chosen test programs one after the other: the heavy ones use all cores themselves.
    fn programs(&mut self, chosen: impl Fn(&TestBinary) -> bool) -> Result<Tally, String> {
        let logs = place::target().join("test-logs");
        fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
        let mut total = Tally::default();
        let mut ran = 0;
        for binary in self.binaries()?.iter().filter(|binary| chosen(binary)) {
            total += program(binary, &logs)?;
            ran += 1;
        }
        if ran == 0 { Err("there is nothing to run".to_owned()) } else { Ok(total) }
    }
}

/// A runner of reference cases.
fn is_kit(binary: &TestBinary) -> bool {
    binary.name.starts_with("kit")
}

fn is_end_to_end(binary: &TestBinary) -> bool {
    binary.package == TESTS_PACKAGE && binary.name.starts_with("e2e")
}

fn check(command: &mut Command) -> Result<Tally, String> {
    command::run(command).map(|()| Tally::one(true))
}

fn format() -> Result<Tally, String> {
    let mut tally = check(&mut command::cargo(&["fmt", "--all", "--check"]))?;
    let fixtures = place::root().join("tests/fixtures");
    let entries = fs::read_dir(&fixtures).map_err(|error| format!("{}: {error}", fixtures.display()))?;
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().join("Cargo.toml").is_file()) {
        let manifest = entry.path().join("Cargo.toml");
        tally += check(command::cargo(&["fmt", "--all", "--check", "--manifest-path"]).arg(manifest))?;
    }
    Ok(tally)
}

fn doc() -> Result<Tally, String> {
    let mut command = command::cargo(&["test", "--release", "--workspace", "--doc"]);
    libtorch::provide()?.configure(&mut command);
    let logs = place::target().join("test-logs");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let run = command::run_logged(&mut command, &logs.join("doc.log"), PATIENCE)?;
    if !run.success {
        println!("{}", run.text);
    }
    Ok(Tally::of(&run.text, run.success))
}

/// Runs a test program. Its output is shown when it fails, and kept in any case.
fn program(binary: &TestBinary, logs: &Path) -> Result<Tally, String> {
    let title = format!("{} {} {}", binary.package, binary.kind, binary.name);
    let log = logs.join(title.replace(' ', "-")).with_extension("log");
    let mut command = Command::new(&binary.executable);
    command
        .current_dir(&binary.directory)
        .env("CARGO_MANIFEST_DIR", &binary.directory)
        .env("CARGO_TARGET_DIR", place::target())
        .env("SYRINX_BUILT", "1");
    if is_end_to_end(binary) {
        // They measure times and share the machine with the server that they test.
        command.arg("--test-threads=2");
    }
    let started = Instant::now();
    let run = command::run_logged(&mut command, &log, PATIENCE)?;
    let tally = Tally::of(&run.text, run.success);
    for line in run.text.lines().filter(|line| line.starts_with("SKIPPED ")) {
        println!("{line}");
    }
    if tally.failed > 0 {
        println!("{}\n{title}: {}; the whole output is in {}", tail(&run.text), run.ending, log.display());
    }
    println!("{:>8.1} s  {title}: {tally}", started.elapsed().as_secs_f64());
    Ok(tally)
}

/// The last lines, as many as a person reads.
fn tail(text: &str) -> String {
    const LINES: usize = 200;
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn provide() -> Result<Tally, String> {
    let mut pull = Command::new(place::syrinx());
    let tally = check(pull.arg("pull").args(MODELS))?;
    venv::make("clients")?;
    venv::make("xinference")?;
    venv::make("conformance")?;
    node::install()?;
    build::place_plugins()?;
    Ok(tally)
}
