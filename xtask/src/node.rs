//! Node packages below the target directory, pinned.

use crate::{command, place};
use std::process::Command;

/// Installs the packages of `tests/node`, unless they are there, or there is no Node: the tests say then that they are skipped.
pub(crate) fn install() -> Result<(), String> {
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_there("node") || !is_there("npm") {
        return Ok(());
    }
    let mut install = Command::new("node");
    install.arg(place::root().join("tests/node/install.mjs")).arg(place::target().join("node/clients"));
    command::output(&mut install).map(drop)
}
