//! Where the sources and what was built of them are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a folder of the workspace")
}

/// Directory of this crate: fixtures, kits, scripts.
pub fn tests_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target directory, found from where this test binary lies (`<target>/<profile>/deps/<name>`).
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile lies in a target directory").to_owned()
}

/// `<target>/release`, or whichever profile this test binary was built with.
pub fn profile_dir() -> PathBuf {
    let own = env::current_exe().expect("the path of this test binary");
    let dir = own.parent().expect("a binary lies in a directory");
    if dir.ends_with("deps") { dir.parent().expect("deps lies in a profile").to_owned() } else { dir.to_owned() }
}

/// A directory of this project's own below the target directory, such as `venv`.
pub fn scratch(name: &str) -> PathBuf {
    let dir = target_dir().join(name);
    std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("creating {}: {error}", dir.display()));
    dir
}

/// The cargo that runs this test, or the one on the path.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The server's binary. Builds the workspace first, unless `cargo xtask` says (by `SYRINX_BUILT`) that it just did.
pub fn syrinx() -> PathBuf {
    build();
    existing(profile_dir().join(format!("syrinx{}", env::consts::EXE_SUFFIX)))
}

/// The library of the plugin `family`, as built.
pub fn plugin(family: &str) -> PathBuf {
    build();
    let (prefix, suffix) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    existing(profile_dir().join(format!("{prefix}syrinx_plugin_{family}{suffix}")))
}

fn existing(file: PathBuf) -> PathBuf {
    assert!(file.is_file(), "{} is not there; run `cargo build --release --workspace --all-targets`", file.display());
    file
}

fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if env::var_os("SYRINX_BUILT").is_some() {
            return;
        }
        // The same selection as `cargo xtask test`: another one would unify features differently and build twice.
        let mut command = cargo();
        command.args(["build", "--quiet", "--workspace", "--all-targets", "--target-dir"]).arg(target_dir());
        if profile_dir().ends_with("release") {
            command.arg("--release");
        }
        let status = command.current_dir(root()).status().expect("cargo starts");
        assert!(status.success(), "building the workspace failed: {status}");
    });
}

/// Says, past the test harness's capture, that something was not tested. `cargo xtask test` counts these lines.
pub fn skipped(what: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "\nSKIPPED {what}: {why}");
}
