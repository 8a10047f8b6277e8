//! Python programs in `tests/python`, in an environment with pinned packages below the target directory.

use crate::workspace;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The interpreter of the environment with the official clients and real decoders. Made at the first call.
pub fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let scripts = workspace::tests_dir().join("python");
        let mut make = Command::new("python3");
        make.arg(scripts.join("make_venv.py")).arg(scripts.join("clients.txt"));
        make.arg(workspace::target_dir().join("venv/clients"));
        PathBuf::from(text(&mut make).lines().last().expect("it prints the interpreter"))
    })
}

/// Runs `tests/python/<script>` and returns the JSON that it prints.
pub fn run(script: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(interpreter());
    command.arg(workspace::tests_dir().join("python").join(script)).args(arguments);
    // The environment of a developer must not reach the clients.
    for name in ["OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(name);
    }
    let printed = text(&mut command);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{script} printed no JSON ({error}):\n{printed}"))
}

/// What a real decoder makes of an audio file.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Probe {
    /// Container, in FFmpeg's words.
    pub format: String,
    /// Codec, likewise.
    pub codec: String,
    /// In Hz.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// Decoded length.
    pub seconds: f64,
    /// Root mean square of the decoded sound, 0…1.
    pub loudness: f32,
}

/// Decodes all of a file with FFmpeg's libraries.
pub fn probe(path: &Path) -> Probe {
    let report = run("probe_audio.py", &[&path.display().to_string()]);
    serde_json::from_value(report.clone()).unwrap_or_else(|error| panic!("{}: {error}: {report}", path.display()))
}

fn text(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
