//! `cargo xtask bench`: speed and memory next to other implementations, on the same weights.
//!
//! Both sides are single processes that load a model, then do a job some times; loading is timed by itself. The sides
//! take turns, so that what else happens on the machine hits both. Of all runs of a case the best one counts.

mod cases;
mod table;

use crate::{build, command, place, venv};
use cases::FAMILIES;
use clap::Args;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::SystemTime,
};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Only these families: whisper, kokoro, funasr [default: the first two; models of funasr are made, of official sizes and random weights]
    #[arg(value_name = "FAMILY")]
    families: Vec<String>,
    /// Write the measurements to this file, as a list of {family, case, metric, ours, peer, peer_name, ratio}
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One turn of a few cases, for a first impression
    #[arg(long)]
    quick: bool,
    /// Turns that each side gets per case [default: 3, 1 with --quick]
    #[arg(long, value_name = "N")]
    turns: Option<usize>,
    /// Only cases whose name has this in it, such as `int8` or `1 thread`; where it is repeated, all of them
    #[arg(long = "case", value_name = "TEXT")]
    parts: Vec<String>,
    /// Measure what was built last
    #[arg(long)]
    no_build: bool,
}

/// A case: what both sides are asked to do.
struct Case {
    family: &'static str,
    name: String,
    peer_name: &'static str,
    /// The list of Python packages that the peer needs.
    packages: &'static str,
    ours: Value,
    peer: Value,
}

impl Case {
    /// Whether sound is made, not heard.
    fn speaks(&self) -> bool {
        self.ours["text"].is_string()
    }
}

/// Best figures of one side of a case.
#[derive(Default)]
struct Best(Map<String, Value>);

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        if let Some(unknown) = self.families.iter().find(|name| !FAMILIES.contains(&name.as_str())) {
            return Err(format!("no family `{unknown}` to measure; there are {}", FAMILIES.join(", ")));
        }
        if !self.no_build {
            build::programs()?;
            build::place_plugins()?;
        }
        let mut cases = self.cases()?;
        let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
        cases.retain(|case| self.parts.iter().all(|part| case.name.contains(part)));
        if cases.is_empty() {
            return Err(format!(
                "no case has {} in its name; there are:\n{}",
                self.parts.join(" and "),
                names.join("\n")
            ));
        }
        let mut pythons = BTreeMap::new();
        for case in &cases {
            if !pythons.contains_key(case.packages) {
                pythons.insert(case.packages, venv::make(case.packages)?);
            }
        }
        let turns = self.turns.unwrap_or(if self.quick { 1 } else { 3 });

        let mut best: Vec<(Best, Best)> = cases.iter().map(|_| Default::default()).collect();
        let mut not_measured: Vec<String> = vec![String::new(); cases.len()];
        for turn in 0..turns {
            for (index, case) in cases.iter().enumerate() {
                if !not_measured[index].is_empty() {
                    continue;
                }
                eprintln!("turn {} of {turns}: {} {}", turn + 1, case.family, case.name);
                let (ours_best, peer_best) = &mut best[index];
                let take_ours = || report(&mut ours(), &case.ours).map_err(|reason| format!("ours: {reason}"));
                let take_peer = || {
                    report(&mut peer(&pythons[case.packages]), &case.peer)
                        .map_err(|r| format!("{}: {r}", case.peer_name))
                };
                // Who goes first alternates, too.
                let outcome = if turn % 2 == 0 {
                    take_ours().and_then(|ours| Ok((ours, take_peer()?)))
                } else {
                    take_peer().and_then(|peer| Ok((take_ours()?, peer)))
                };
                match outcome {
                    Ok((ours, peer)) => {
                        ours_best.add(&ours, case.speaks());
                        peer_best.add(&peer, case.speaks());
                    }
                    Err(reason) => not_measured[index] = reason,
                }
            }
        }
        let mut list = Vec::new();
        for ((case, best), reason) in cases.iter().zip(&best).zip(&not_measured) {
            match reason.as_str() {
                "" => list.extend(table::compare(case, best)),
                reason => println!("not measured: {} {}: {}", case.family, case.name, reason.trim()),
            }
        }
        table::table(&list);
        if let Some(file) = &self.json {
            fs::write(file, format!("{:#}\n", Value::Array(list)))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        // A case that isn't measured is told above, and no reason to call the others void.
        Ok(if not_measured.iter().all(|reason| !reason.is_empty()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Best {
    /// Takes a report's figures where they are better. Those of speech are per second of it: it is as long as whoever speaks makes it.
    fn add(&mut self, report: &Value, is_speech: bool) {
        self.take("load_s", report["load_s"].as_f64());
        self.take("cold_start_s", report["cold_start_s"].as_f64());
        self.take("peak_rss_mb", report["peak_rss_mb"].as_f64());
        for run in report["runs"].as_array().into_iter().flatten() {
            if is_speech {
                let per_second = |name: &str| Some(run[name].as_f64()? / run["audio_s"].as_f64()?);
                self.take("rtf", per_second("wall_s"));
                self.take("cpu_s_per_audio_s", per_second("cpu_s"));
            } else {
                self.take("wall_s", run["wall_s"].as_f64());
                self.take("cpu_s", run["cpu_s"].as_f64());
            }
            self.take("first_audio_s", run["first_audio_s"].as_f64());
        }
    }

    fn take(&mut self, metric: &str, value: Option<f64>) {
        let Some(value) = value else { return };
        if self.get(metric).is_none_or(|best| value < best) {
            self.0.insert(metric.to_owned(), json!(value));
        }
    }

    fn get(&self, metric: &str) -> Option<f64> {
        self.0.get(metric)?.as_f64()
    }
}

fn ours() -> Command {
    Command::new(place::release().join("syrinx-bench-runner"))
}

fn peer(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(place::root().join("tests/python/bench_peer.py"));
    command
}

/// Gives a job to one side and returns its report.
fn report(command: &mut Command, job: &Value) -> Result<Value, String> {
    let mut job = job.clone();
    job["started_at"] = json!(SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?.as_secs_f64());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", command::describe(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A side that ends early says why on its standard error.
        let _ = stdin.write_all(job.to_string().as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(errors.trim().lines().last().unwrap_or("it fails without a word").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no report: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_compared_by_the_second_whoever_tells_when_it_began() {
        let mut best = Best::default();
        best.add(&json!({"runs": [{"wall_s": 3.0, "cpu_s": 6.0, "audio_s": 2.0, "first_audio_s": 0.5}]}), true);
        best.add(&json!({"runs": [{"wall_s": 2.0, "cpu_s": 8.0, "audio_s": 2.0}]}), true);
        assert_eq!((best.get("rtf"), best.get("cpu_s_per_audio_s")), (Some(1.0), Some(3.0)));
        assert_eq!((best.get("wall_s"), best.get("first_audio_s")), (None, Some(0.5)));
        let mut best = Best::default();
        best.add(&json!({"runs": [{"wall_s": 3.0, "cpu_s": 6.0, "audio_s": 2.0}]}), false);
        assert_eq!((best.get("wall_s"), best.get("cpu_s"), best.get("rtf")), (Some(3.0), Some(6.0), None));
    }
}
