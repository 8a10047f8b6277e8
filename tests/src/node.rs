//! Node programs in `tests/node`, with pinned packages below the target directory.

use crate::{python, workspace};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Runs `tests/node/<script>` and returns the JSON that it prints; none where there is no Node.
pub fn run(script: &str, arguments: &[&str]) -> Option<Value> {
    let mut command = Command::new("node");
    command.arg(directory()?.join(script)).args(arguments);
    python::without_the_developers_settings(&mut command);
    let printed = python::text(&mut command);
    let report = serde_json::from_str(&printed);
    Some(report.unwrap_or_else(|error| panic!("{script} printed no JSON ({error}):\n{printed}")))
}

/// A run of this code with the packages; none where there is no Node.
pub fn command_of(code: &str) -> Option<Command> {
    let file = directory()?.join("snippet.mjs");
    std::fs::write(&file, code).expect("writing a file");
    let mut command = Command::new("node");
    command.arg(file);
    python::without_the_developers_settings(&mut command);
    Some(command)
}

/// The folder with the scripts and their packages. Made at the first call.
fn directory() -> Option<&'static Path> {
    static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIRECTORY
        .get_or_init(|| {
            let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
            if !is_there("node") || !is_there("npm") {
                return None;
            }
            let mut install = Command::new("node");
            install
                .arg(workspace::tests_dir().join("node/install.mjs"))
                .arg(workspace::target_dir().join("node/clients"));
            Some(PathBuf::from(python::text(&mut install).lines().last().expect("it prints the directory")))
        })
        .as_deref()
}
