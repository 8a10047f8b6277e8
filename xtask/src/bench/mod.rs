//! `cargo xtask bench`: speed and memory next to other implementations, on the same weights.
//!
//! Both sides are single processes that load a model, then do a job some times; loading is timed by itself. The sides
//! take turns, so that what else happens on the machine hits both. Of all runs of a case the best one counts.

use crate::{build, command, place, venv};
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
    /// Only these families [default: all]
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
}

/// Models that are measured; both sides take them from the store.
const MODELS: [&str; 3] = ["whisper-base", "whisper-tiny.en", "Kokoro-82M"];

/// How often a process does its job; the first time pays for what is set up lazily.
const REPEATS: usize = 2;

/// Requests at once where several are; the peers serve them one after the other.
const AT_ONCE: usize = 4;

const VOICE: &str = "af_heart";
/// 48 phonemes.
const SHORT_TEXT: &str = "Please turn left at the next traffic light, then stop.";
/// Five sentences.
const LONG_TEXT: &str = "The weather today is partly cloudy with a chance of showers. The old library closes at nine \
    o'clock tonight, so please turn left at the next traffic light and hurry. I would like a cup of coffee with milk, \
    and my brother, who bought a new bicycle yesterday, would like some tea. Water boils at one hundred degrees. Nobody \
    knows where the treasure is hidden, but your package will arrive on Monday morning.";

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

/// Best figures of one side of a case.
#[derive(Default)]
struct Best(Map<String, Value>);

/// Metrics in the order to show them. Lower is better for all.
const METRICS: [&str; 6] = ["rtf", "cpu_s_per_audio_s", "first_audio_s", "load_s", "cold_start_s", "peak_rss_mb"];

impl Bench {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        build::workspace()?;
        build::place_plugins()?;
        command::run(Command::new(place::syrinx()).arg("pull").args(MODELS))?;
        let cases = self.cases()?;
        if cases.is_empty() {
            return Err("no such family; there are whisper, kokoro and funasr".to_owned());
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
                        ours_best.add(&ours);
                        peer_best.add(&peer);
                    }
                    Err(reason) => not_measured[index] = reason,
                }
            }
        }
        let mut list = Vec::new();
        for ((case, best), reason) in cases.iter().zip(&best).zip(&not_measured) {
            match reason.as_str() {
                "" => list.extend(compare(case, best)),
                reason => println!("not measured: {} {}: {}", case.family, case.name, reason.trim()),
            }
        }
        table(&list);
        if let Some(file) = &self.json {
            fs::write(file, format!("{:#}\n", Value::Array(list)))
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        // A case that isn't measured is told above, and no reason to call the others void.
        Ok(if not_measured.iter().all(|reason| !reason.is_empty()) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn wants(&self, family: &str) -> bool {
        self.families.is_empty() || self.families.iter().any(|name| name == family)
    }

    fn cases(&self) -> Result<Vec<Case>, String> {
        let dirs =
            command::output(Command::new(place::release().join("syrinx-bench-runner")).arg("locate").args(MODELS))?;
        let dirs: Value = serde_json::from_str(&dirs).map_err(|error| error.to_string())?;
        let mut cases = Vec::new();
        if self.wants("whisper") {
            cases.extend(self.whisper(&dirs)?);
        }
        if self.wants("kokoro") {
            cases.extend(self.kokoro(&dirs));
        }
        // Its models are made, which takes minutes and gigabytes: only when asked for.
        if self.families.iter().any(|name| name == "funasr") {
            cases.extend(self.funasr()?);
        }
        Ok(cases)
    }

    fn whisper(&self, dirs: &Value) -> Result<Vec<Case>, String> {
        let clips = clips()?;
        let models: &[&str] = if self.quick { &["base"] } else { &["tiny.en", "base"] };
        let threads: &[usize] = if self.quick { &[2] } else { &[1, 2] };
        let mut cases = Vec::new();
        for model in models {
            for (clip, wav) in &clips {
                for beam_size in [1, 5] {
                    for compute_type in ["float32", "int8"] {
                        for &threads in threads {
                            let work = WhisperWork { model, clip, wav, beam_size, compute_type, threads, at_once: 1 };
                            cases.push(work.case(dirs));
                        }
                    }
                }
            }
            let (clip, wav) = &clips[0];
            for compute_type in ["float32", "int8"] {
                let work = WhisperWork { model, clip, wav, beam_size: 1, compute_type, threads: 2, at_once: AT_ONCE };
                cases.push(work.case(dirs));
            }
        }
        Ok(cases)
    }

    fn kokoro(&self, dirs: &Value) -> Vec<Case> {
        let threads: &[usize] = if self.quick { &[2] } else { &[1, 2] };
        let mut cases = Vec::new();
        for (length, text) in [("short", SHORT_TEXT), ("long", LONG_TEXT)] {
            cases.extend(threads.iter().map(|&threads| kokoro_case(dirs, length, text, threads, 1)));
            cases.push(kokoro_case(dirs, length, text, 2, AT_ONCE));
        }
        cases
    }
}

impl Bench {
    /// Models of the official sizes with random weights, on real speech.
    fn funasr(&self) -> Result<Vec<Case>, String> {
        let scripts = place::root().join("tests/python");
        let models = place::target().join("bench/funasr");
        let python = venv::make("funasr")?;
        let mut grow = Command::new(&python);
        grow.arg(scripts.join("full_size_funasr.py")).arg(place::root().join("tests/kits/funasr/models")).arg(&models);
        command::run(&mut grow)?;
        let vad =
            command::output(Command::new(place::release().join("syrinx-bench-runner")).args(["asset", "fsmn-vad"]))?;
        let vad = PathBuf::from(vad.trim());
        let wav = repeated(&place::root().join("tests/kits/funasr/audio/long_mix.wav"), "mix2.wav", "2", "0.34")?;
        let threads: &[usize] = if self.quick { &[2] } else { &[1, 2] };
        let mut cases = Vec::new();
        for (kind, directory, model, language) in [
            ("paraformer", "paraformer-large", "paraformer-zh", "zh"),
            ("sensevoice", "sensevoice-small", "SenseVoiceSmall", "auto"),
        ] {
            let punctuation = (kind == "paraformer").then(|| models.join("ct-punc"));
            for quantize in [false, true] {
                for &threads in threads {
                    let numbers = if quantize { "int8" } else { "float32" };
                    cases.push(Case {
                        family: "funasr",
                        name: format!("{directory}, 60 s, {numbers}, {threads} threads"),
                        peer_name: "funasr-onnx 0.4.3",
                        packages: "funasr",
                        ours: json!({
                            "plugin": plugin("funasr"), "model": model, "model_dir": models.join(directory),
                            "threads": threads, "wav": wav, "language": language,
                            "options": {
                                "quantize": quantize, "vad_model": vad, "vad_kwargs": {},
                                "punc_model": punctuation.as_ref().map_or(json!("none"), |path| json!(path)),
                            },
                            "parameters": {}, "repeats": REPEATS, "at_once": 1,
                        }),
                        peer: json!({
                            "family": "funasr", "kind": kind, "model_dir": models.join(directory), "vad_dir": vad,
                            "punc_dir": punctuation, "quantize": quantize, "threads": threads, "wav": wav,
                            "repeats": REPEATS, "at_once": 1,
                        }),
                    });
                }
            }
        }
        Ok(cases)
    }
}

/// Something to transcribe in some way.
struct WhisperWork<'a> {
    model: &'a str,
    clip: &'a str,
    wav: &'a Path,
    beam_size: usize,
    compute_type: &'a str,
    threads: usize,
    at_once: usize,
}

impl WhisperWork<'_> {
    fn case(&self, dirs: &Value) -> Case {
        let &Self { model, clip, wav, beam_size, compute_type, threads, at_once } = self;
        let search = if beam_size == 1 { "greedy" } else { "beam 5" };
        let catalogue_name = format!("whisper-{model}");
        Case {
            family: "whisper",
            name: format!("{model}, {clip}, {search}, {compute_type}, {threads} threads{}", together(at_once)),
            peer_name: "faster-whisper 1.2.1",
            packages: "bench",
            ours: json!({
                "plugin": plugin("whisper"), "model": catalogue_name, "threads": threads, "wav": wav,
                "options": {"compute_type": compute_type},
                // Alone: the repeated clip is repetitive by nature, and trying it again by chance measures chance.
                "parameters": {"beam_size": beam_size, "temperatures": [0]},
                "repeats": REPEATS, "at_once": at_once,
            }),
            peer: json!({
                "family": "whisper", "model_dir": dirs[&catalogue_name], "threads": threads, "wav": wav,
                "compute_type": compute_type, "beam_size": beam_size, "repeats": REPEATS, "at_once": at_once,
            }),
        }
    }
}

fn kokoro_case(dirs: &Value, length: &str, text: &str, threads: usize, at_once: usize) -> Case {
    Case {
        family: "kokoro",
        name: format!("{length} text, int8, {threads} threads{}", together(at_once)),
        peer_name: "kokoro-onnx 0.6.1",
        packages: "bench",
        ours: json!({
            "plugin": plugin("kokoro"), "model": "Kokoro-82M", "threads": threads, "text": text, "voice": VOICE,
            "options": {}, "parameters": {}, "repeats": REPEATS, "at_once": at_once,
        }),
        peer: json!({
            "family": "kokoro", "model_dir": dirs["Kokoro-82M"], "threads": threads, "text": text, "voice": VOICE,
            "repeats": REPEATS, "at_once": at_once,
        }),
    }
}

fn together(at_once: usize) -> String {
    if at_once == 1 { String::new() } else { format!(", {at_once} at once") }
}

impl Best {
    /// Takes a report's figures where they are better.
    fn add(&mut self, report: &Value) {
        self.take("load_s", report["load_s"].as_f64());
        self.take("cold_start_s", report["cold_start_s"].as_f64());
        self.take("peak_rss_mb", report["peak_rss_mb"].as_f64());
        for run in report["runs"].as_array().into_iter().flatten() {
            let per_second = |name: &str| Some(run[name].as_f64()? / run["audio_s"].as_f64()?);
            self.take("rtf", per_second("wall_s"));
            self.take("cpu_s_per_audio_s", per_second("cpu_s"));
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

fn compare(case: &Case, (ours, peer): &(Best, Best)) -> Vec<Value> {
    let row = |metric: &&str| {
        let (ours, peer) = (ours.get(metric)?, peer.get(metric)?);
        Some(json!({
            "family": case.family, "case": case.name, "metric": metric, "ours": ours, "peer": peer,
            "peer_name": case.peer_name, "ratio": ours / peer,
        }))
    };
    METRICS.iter().filter_map(row).collect()
}

fn table(list: &[Value]) {
    println!("{:<56} {:<18} {:>10} {:>10} {:>7}  peer", "case", "metric", "ours", "peer", "ratio");
    for row in list {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        let case = format!("{} {}", text("family"), text("case"));
        println!(
            "{case:<56} {:<18} {:>10.3} {:>10.3} {:>7.2}  {}",
            text("metric"),
            number("ours"),
            number("peer"),
            number("ratio"),
            text("peer_name")
        );
    }
}

fn plugin(family: &str) -> PathBuf {
    place::release().join("plugins").join(place::plugin_library(family))
}

/// The recordings to transcribe as 16 kHz WAV: jfk, and five times jfk with a second of silence after each.
fn clips() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let source = place::root().join("tests/kits/whisper/audio/jfk_16k.flac");
    Ok(vec![("11 s", repeated(&source, "jfk1.wav", "1", "0")?), ("60 s", repeated(&source, "jfk5.wav", "5", "1")?)])
}

/// A recording as 16 kHz WAV, some times, with some seconds of silence after each.
fn repeated(source: &Path, name: &str, times: &str, silence: &str) -> Result<PathBuf, String> {
    let dir = place::target().join("bench");
    fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let (python, wav) = (venv::make("clients")?, dir.join(name));
    let script = place::root().join("tests/python/repeat_clip.py");
    command::output(Command::new(&python).arg(script).arg(source).arg(&wav).args([times, silence]))?;
    Ok(wav)
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
