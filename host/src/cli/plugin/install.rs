//! `syrinx plugin install FILE|DIR`.

use super::{
    super::{Failure, Outcome, screen},
    Dirs, about, files_in,
};
use crate::plugins::{Digest, Trust, inspection};
use clap::Args;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use syrinx_plugin_api::Manifest;

/// Checks plugin files and copies them, each in one step, so that a running server takes them over.
#[derive(Debug, Args)]
pub(super) struct Install {
    /// A plugin file, a directory with plugin files, or the directory of a cargo project, which is built
    #[arg(value_name = "FILE|DIR")]
    from: PathBuf,
    #[command(flatten)]
    dirs: Dirs,
}

impl Install {
    pub(super) fn run(self) -> Outcome {
        let files = files_of(&self.from)?;
        let config = self.dirs.settings()?;
        let Some(dir) = config.plugin_dirs.first() else { return Err(Failure::new("there is no plugin directory")) };
        fs::create_dir_all(dir).map_err(about(dir))?;
        let mut installed = installed(dir);
        for file in files {
            let manifest = install(&file, dir, &config.trust, &installed)?;
            let name = file.file_name().unwrap_or_default();
            installed.insert(dir.join(name), manifest.name.clone());
            screen::line(format_args!(
                "installed {} {} as {}",
                manifest.name,
                manifest.version,
                dir.join(name).display()
            ));
        }
        Ok(())
    }
}

/// The plugins in a directory, by file. What is none is left out.
fn installed(dir: &Path) -> BTreeMap<PathBuf, String> {
    let named = |file: PathBuf| inspection::inspect(&file).ok().map(|manifest| (file, manifest.name));
    files_in(dir).into_iter().filter_map(named).collect()
}

/// Checks a copy of `file`, which then becomes the one in `dir`, beside what is `installed`.
fn install(file: &Path, dir: &Path, trust: &Trust, installed: &BTreeMap<PathBuf, String>) -> Result<Manifest, Failure> {
    let refused = |reason: &dyn std::fmt::Display| Failure::new(format!("{} is refused: {reason}", file.display()));
    let name = file.file_name().ok_or_else(|| refused(&"it is no file"))?;
    let content = fs::read(file).map_err(about(file))?;
    let digest = Digest::of(&content);
    // A name that servers don't look at.
    let part = Part(dir.join(format!(".{}.{}", name.to_string_lossy(), std::process::id())));
    part.write(&content).map_err(about(&part.0))?;
    let manifest = inspection::inspect(&part.0).map_err(|error| refused(&error))?;
    if manifest.name.is_empty() {
        return Err(refused(&"its manifest has no name"));
    }
    let is_other = |(other, plugin): &(&PathBuf, &String)| other.file_name() != Some(name) && **plugin == manifest.name;
    if let Some((other, _)) = installed.iter().find(is_other) {
        let reason = format!(
            "{} is the plugin `{}` already; remove it first: syrinx plugin remove {}",
            other.display(),
            manifest.name,
            manifest.name
        );
        return Err(refused(&reason));
    }
    trust.check(&part.0, digest).map_err(|distrust| refused(&distrust))?;
    fs::rename(&part.0, dir.join(name)).map_err(about(&dir.join(name)))?;
    Ok(manifest)
}

/// A copy that isn't installed yet. What is left of it goes.
struct Part(PathBuf);

impl Part {
    fn write(&self, content: &[u8]) -> std::io::Result<()> {
        let mut file = File::create(&self.0)?;
        file.write_all(content)?;
        #[cfg(unix)]
        {
            use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};
            // Whatever the umask says: others may read it, and only its owner may write it.
            file.set_permissions(Permissions::from_mode(0o644))?;
        }
        file.sync_all()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The plugin files that `from` stands for.
fn files_of(from: &Path) -> Result<Vec<PathBuf>, Failure> {
    if fs::metadata(from).map_err(about(from))?.is_file() {
        return Ok(vec![from.to_owned()]);
    }
    let is_project = from.join("Cargo.toml").is_file();
    let files = if is_project { built(from)? } else { files_in(from) };
    match files.is_empty() {
        false => Ok(files),
        true if is_project => Err(Failure::new(format!(
            "{} builds no plugin: its Cargo.toml needs `[lib] crate-type = [\"cdylib\"]`",
            from.display()
        ))),
        true => Err(Failure::new(format!(
            "{} has no plugin file (*.{}) in it",
            from.display(),
            std::env::consts::DLL_EXTENSION
        ))),
    }
}

/// Builds a cargo project and says which libraries came out.
fn built(project: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--lib", "--message-format=json-render-diagnostics"]).current_dir(project);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::new(format!("cargo does not start: {error}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("{} does not build", project.display())));
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries =
        messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).filter(|message| {
            let kinds = message["target"]["kind"].as_array();
            message["reason"] == "compiler-artifact"
                && kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
        });
    let files = libraries.flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default());
    let files = files.filter_map(|file| file.as_str().map(PathBuf::from));
    Ok(files.filter(|file| crate::plugins::is_plugin_file(file)).collect())
}
