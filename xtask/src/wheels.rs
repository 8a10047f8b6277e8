//! Wheels that developers need parts of, pinned in lists with digests, by way of pip.

use crate::command;
use std::{fs, path::Path, process::Command};

/// Fills the folder `target` with what `list` pins, by `fill`, unless it is there. What is there of another list is removed.
pub(crate) fn provide(list: &Path, target: &Path, fill: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let named = |path: &Path, error| format!("{}: {error}", path.display());
    if is_there(list, target) {
        return Ok(());
    }
    if target.exists() {
        fs::remove_dir_all(target).map_err(|error| named(target, error))?;
    }
    fs::create_dir_all(target).map_err(|error| named(target, error))?;
    fill()?;
    // A copy of the list, written last, tells what is there.
    let mark = target.join(MARK);
    fs::copy(list, &mark).map(drop).map_err(|error| named(&mark, error))
}

/// Whether what `list` pins is in `target`.
pub(crate) fn is_there(list: &Path, target: &Path) -> bool {
    fs::read(list).is_ok_and(|wanted| fs::read(target.join(MARK)).is_ok_and(|there| there == wanted))
}

const MARK: &str = "installed.txt";

/// Installs the wheels of `list` into `target`, unless they are there.
pub(crate) fn install(list: &Path, target: &Path) -> Result<(), String> {
    provide(list, target, || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]);
        command::run(pip.arg("--target").arg(target).arg("--requirement").arg(list))
    })
}
