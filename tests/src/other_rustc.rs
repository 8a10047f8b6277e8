//! A compiler of another version than the one that built this: Debian's `rustc-web`, unpacked below the target
//! directory. Nothing is installed into the system.

use crate::debian::{self, output};
use std::{path::PathBuf, process::Command, sync::OnceLock};

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
    let root = debian::unpacked("other-rustc", packages)?;
    Ok(Compiler { rustc: root.join("usr/bin/rustc"), libraries: debian::libraries(&root) })
}

/// The package in a version other than our own compiler's.
fn packages() -> Result<Vec<String>, String> {
    let own = output(Command::new("rustc").arg("--version"))?;
    let own = own.split(' ').nth(1).unwrap_or_default().to_owned();
    let offered = debian::versions(PACKAGE)?;
    let version = offered
        .iter()
        .find(|offered| offered.split('+').next() != Some(own.as_str()))
        .ok_or_else(|| format!("apt offers no {PACKAGE} other than {own}, only {offered:?}"))?;
    // The libraries that belong to a compiler carry its version; name both, so that apt doesn't take newer ones.
    Ok(vec![format!("{PACKAGE}={version}"), format!("libstd-rust-web-dev={version}")])
}
