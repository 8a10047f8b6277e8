//! What is measured: the same work for both sides, family by family.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Bench, Case};
use crate::{command, place, venv};

/// Families that are measured when none is named. The models of `funasr` are made, which takes minutes and gigabytes: only when asked for.
const BY_DEFAULT: [&str; 2] = ["whisper", "kokoro"];
pub(super) const FAMILIES: [&str; 3] = ["whisper", "kokoro", FUNASR];
const FUNASR: &str = "funasr";

/// Models that are measured; both sides take them from the store.
const WHISPERS: [&str; 2] = ["whisper-base", "whisper-tiny.en"];
const KOKORO: &str = "Kokoro-82M";

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

impl Bench {
    fn wants(&self, family: &str) -> bool {
        let named = self.families.iter().any(|name| name == family);
        named || (self.families.is_empty() && BY_DEFAULT.contains(&family))
    }

    /// What was asked for; what it takes is made or downloaded.
    pub(super) fn cases(&self) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        if self.wants("whisper") {
            cases.extend(self.whisper(&stored(&WHISPERS)?)?);
        }
        if self.wants("kokoro") {
            cases.extend(self.kokoro(&stored(&[KOKORO])?));
        }
        if self.wants(FUNASR) {
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

    /// Models of the official sizes with random weights, on real speech.
    fn funasr(&self) -> Result<Vec<Case>, String> {
        let scripts = place::root().join("tests/python");
        let models = place::target().join("bench/funasr");
        let python = venv::make("funasr")?;
        command::run(Command::new(place::syrinx()).args(["pull", "--runtime", "onnxruntime", "--asset", "fsmn-vad"]))?;
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
                        family: FUNASR,
                        name: format!("{directory}, 60 s, {numbers}, {}", in_words(threads)),
                        peer_name: "funasr-onnx 0.4.3",
                        packages: "funasr",
                        ours: json!({
                            "plugin": plugin(FUNASR), "model": model, "model_dir": models.join(directory),
                            "threads": threads, "wav": wav, "language": language,
                            "options": {
                                "quantize": quantize, "vad_model": vad, "vad_kwargs": {},
                                "punc_model": punctuation.as_ref().map_or(json!("none"), |path| json!(path)),
                            },
                            "parameters": {}, "repeats": REPEATS, "at_once": 1,
                        }),
                        peer: json!({
                            "family": FUNASR, "kind": kind, "model_dir": models.join(directory), "vad_dir": vad,
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
            name: format!("{model}, {clip}, {search}, {compute_type}, {}{}", in_words(threads), together(at_once)),
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
        name: format!("{length} text, int8, {}{}", in_words(threads), together(at_once)),
        peer_name: "kokoro-onnx 0.6.1",
        packages: "bench",
        ours: json!({
            "plugin": plugin("kokoro"), "model": KOKORO, "threads": threads, "text": text, "voice": VOICE,
            "options": {}, "parameters": {}, "repeats": REPEATS, "at_once": at_once,
        }),
        peer: json!({
            "family": "kokoro", "model_dir": dirs[KOKORO], "threads": threads, "text": text, "voice": VOICE,
            "repeats": REPEATS, "at_once": at_once,
        }),
    }
}

fn in_words(threads: usize) -> String {
    if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") }
}

fn together(at_once: usize) -> String {
    if at_once == 1 { String::new() } else { format!(", {at_once} at once") }
}

/// Where the store has models, which are downloaded if need be.
fn stored(models: &[&str]) -> Result<Value, String> {
    command::run(Command::new(place::syrinx()).arg("pull").args(models))?;
    let dirs = command::output(Command::new(place::release().join("syrinx-bench-runner")).arg("locate").args(models))?;
    serde_json::from_str(&dirs).map_err(|error| error.to_string())
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
