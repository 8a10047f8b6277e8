//! `cargo xtask test`: everything that must hold before a change is in.

mod steps;
pub(crate) mod tally;

use clap::{Args, ValueEnum};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use steps::Run;
use tally::Tally;

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Only this step; may be repeated
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// Go on after a step that fails
    #[arg(long)]
    keep_going: bool,
}

/// A step, in the order that they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// Formatting of the workspace and the fixtures
    Format,
    /// Clippy, warnings are errors
    Lint,
    /// Building everything
    Build,
    /// Unit and integration tests of every crate
    Unit,
    /// Examples in the documentation
    Doc,
    /// Reference cases of every plugin
    Kits,
    /// Proofs of the plugin ABI, with plugins built for the occasion
    Abi,
    /// Weights, runtimes and Python clients for the end-to-end tests
    Provide,
    /// The real server with real clients and real weights
    E2e,
}

/// How a step ended.
struct Ended {
    step: Step,
    tally: Tally,
    took: Duration,
}

impl Test {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let wanted = |step: &Step| self.only.is_empty() || self.only.contains(step);
        let mut run = Run::default();
        let mut ended: Vec<Ended> = Vec::new();
        for step in Step::value_variants().iter().copied().filter(wanted) {
            println!("== {}", name(step));
            let started = Instant::now();
            let tally = run.step(step).unwrap_or_else(|message| {
                eprintln!("{message}");
                Tally::one(false)
            });
            let took = started.elapsed();
            println!("== {}: {tally} ({:.1} s)", name(step), took.as_secs_f64());
            ended.push(Ended { step, tally, took });
            if tally.failed > 0 && !self.keep_going {
                break;
            }
        }
        Ok(self.summary(&ended))
    }

    fn summary(&self, ended: &[Ended]) -> ExitCode {
        let mut total = Tally::default();
        println!("\n{:<10} {:>9}  result", "step", "seconds");
        for Ended { step, tally, took } in ended {
            println!("{:<10} {:>9.1}  {tally}", name(*step), took.as_secs_f64());
            total += *tally;
        }
        let took: Duration = ended.iter().map(|ended| ended.took).sum();
        println!("{:<10} {:>9.1}", "all", took.as_secs_f64());
        let not_run: Vec<String> = Step::value_variants()
            .iter()
            .filter(|step| !ended.iter().any(|ended| ended.step == **step))
            .map(|step| name(*step))
            .collect();
        if !not_run.is_empty() {
            println!("not run: {}", not_run.join(", "));
        }
        println!("{total}");
        if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A step as one names it on the command line.
fn name(step: Step) -> String {
    step.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
