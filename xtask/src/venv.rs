//! Python environments below the target directory, with pinned packages.

use crate::{command, place};
use std::{path::PathBuf, process::Command};

/// Makes the environment `name` out of `tests/python/<name>.txt`, unless it is there, and returns its interpreter.
pub(crate) fn make(name: &str) -> Result<PathBuf, String> {
    let scripts = place::root().join("tests/python");
    let mut make = Command::new("python3");
    make.arg(scripts.join("make_venv.py"))
        .arg(scripts.join(name).with_extension("txt"))
        .arg(place::target().join("venv").join(name));
    let printed = command::output(&mut make)?;
    let python = printed.lines().last().ok_or("making the Python environment printed nothing")?;
    Ok(PathBuf::from(python))
}
