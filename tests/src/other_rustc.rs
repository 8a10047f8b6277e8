//! A compiler of another version than the one that built this: Debian's `rustc-web`, unpacked below the target
//! directory. Nothing is installed into the system.

use crate::workspace;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Debian's package of a current compiler, kept for building browsers.
const PACKAGE: &str = "rustc-web";

/// Another compiler, ready to run.
#[derive(Clone, Debug)]
struct Compiler {
    rustc: PathBuf,
    /// Directories of its shared libraries.
    libraries: String,
}

/// Makes a cargo command use the other compiler, for a quick unoptimised build.
///
/// # Errors
/// When there is no such compiler to be had; says why.
pub fn configure(cargo: &mut Command) -> Result<(), String> {
    let compiler = compiler()?;
    cargo.env("RUSTC", &compiler.rustc).env("LD_LIBRARY_PATH", &compiler.libraries);
    cargo.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0").env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    for inherited in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTUP_TOOLCHAIN"] {
        cargo.env_remove(inherited);
    }
    Ok(())
}

/// Its `rustc --version`.
///
/// # Errors
/// As [`configure`].
pub fn version() -> Result<String, String> {
    let compiler = compiler()?;
    output(Command::new(&compiler.rustc).arg("--version").env("LD_LIBRARY_PATH", &compiler.libraries))
}

fn compiler() -> Result<Compiler, String> {
    static COMPILER: OnceLock<Result<Compiler, String>> = OnceLock::new();
    COMPILER.get_or_init(provide).clone()
}

fn provide() -> Result<Compiler, String> {
    let home = workspace::scratch("other-rustc");
    let root = home.join("root");
    let complete = home.join("complete");
    if !complete.is_file() {
        let packages = home.join("packages");
        for dir in [&root, &packages] {
            let _ = fs::remove_dir_all(dir);
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        download(&packages)?;
        unpack(&packages, &root)?;
        fs::write(&complete, "").map_err(|error| error.to_string())?;
        let _ = fs::remove_dir_all(&packages);
    }
    let libraries = ["usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"];
    let libraries: Vec<_> = libraries
        .iter()
        .map(|dir| root.join(dir))
        .filter(|dir| dir.is_dir())
        .map(|d| d.display().to_string())
        .collect();
    Ok(Compiler { rustc: root.join("usr/bin/rustc"), libraries: libraries.join(":") })
}

/// Downloads the package, in a version other than our own compiler's, and what it needs that this system lacks.
fn download(into: &Path) -> Result<(), String> {
    let own = output(Command::new("rustc").arg("--version"))?;
    let own = own.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut candidates = candidates()?;
    if candidates.is_empty() {
        // A fresh container has no package lists; only its root may fetch them.
        output(Command::new("apt-get").arg("update"))?;
        candidates = self::candidates()?;
    }
    let version = candidates
        .iter()
        .find(|candidate| candidate.split('+').next() != Some(own.as_str()))
        .ok_or_else(|| format!("apt offers no {PACKAGE} other than {own}, only {candidates:?}"))?;
    // The libraries that belong to a compiler carry its version; name both, so that apt doesn't take newer ones.
    let wanted = [format!("{PACKAGE}={version}"), format!("libstd-rust-web-dev={version}")];
    let plan =
        output(Command::new("apt-get").args(["install", "--simulate", "--no-install-recommends"]).args(&wanted))?;
    let packages: Vec<String> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| {
            let (name, rest) = line.split_once(" (")?;
            // `Inst name [installed] (new …`: the old version, when there is one, is of no interest.
            let name = name.split(' ').next()?;
            Some(format!("{name}={}", rest.split(' ').next()?))
        })
        .collect();
    output(Command::new("apt-get").arg("download").args(&packages).current_dir(into)).map(drop)
}

/// Versions of the package, newest first.
fn candidates() -> Result<Vec<String>, String> {
    let table = output(Command::new("apt-cache").args(["madison", PACKAGE]))?;
    Ok(table.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect())
}

fn unpack(packages: &Path, root: &Path) -> Result<(), String> {
    let listing = fs::read_dir(packages).map_err(|error| error.to_string())?;
    for package in listing {
        let package = package.map_err(|error| error.to_string())?.path();
        output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(root))?;
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
