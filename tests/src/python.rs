//! Python programs in `tests/python`, in an environment with pinned packages below the target directory.

use crate::workspace;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// An environment, made at the first call out of `tests/python/<name>.txt`.
#[derive(Clone, Copy, Debug)]
pub enum Environment {
    /// The official OpenAI client, and real decoders.
    Clients,
    /// Xinference's clients and its command line.
    Xinference,
    /// What checks a server against its own description.
    Conformance,
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Xinference => "xinference",
            Self::Conformance => "conformance",
        }
    }

    /// Its interpreter.
    pub fn interpreter(self) -> &'static Path {
        static INTERPRETERS: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
        INTERPRETERS[self as usize].get_or_init(|| {
            let scripts = workspace::tests_dir().join("python");
            let mut make = Command::new("python3");
            make.arg(scripts.join("make_venv.py")).arg(scripts.join(self.name()).with_extension("txt"));
            make.arg(workspace::target_dir().join("venv").join(self.name()));
            PathBuf::from(text(&mut make).lines().last().expect("it prints the interpreter"))
        })
    }

    /// Runs `tests/python/<script>` and returns the JSON that it prints.
    pub fn run(self, script: &str, arguments: &[&str]) -> Value {
        let mut command = Command::new(self.interpreter());
        command.arg(workspace::tests_dir().join("python").join(script)).args(arguments);
        without_the_developers_settings(&mut command);
        let printed = text(&mut command);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{script} printed no JSON ({error}):\n{printed}"))
    }
}

/// The interpreter of the environment with the official clients and real decoders.
pub fn interpreter() -> &'static Path {
    Environment::Clients.interpreter()
}

/// [`Environment::run`] with the official clients and real decoders.
pub fn run(script: &str, arguments: &[&str]) -> Value {
    Environment::Clients.run(script, arguments)
}

/// The environment of a developer must not reach the clients.
pub(crate) fn without_the_developers_settings(command: &mut Command) {
    for name in [
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "XINFERENCE_ENDPOINT",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
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

/// What a program prints on standard output; it must succeed.
pub(crate) fn text(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
