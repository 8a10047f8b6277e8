//! Plugins that are built for the tests: [`beeper`] in its variants.

use crate::{other_rustc, workspace};
use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Which build of the beeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As an author would build it.
    Plain,
    /// A later release of it: version 0.2.0, an octave higher.
    SecondEdition,
    /// By another version of rustc.
    OtherCompiler,
    /// Against ABI 1.0.
    Abi1_0,
    /// Against ABI 2.0, which doesn't exist yet.
    Abi2_0,
    /// Against types that are laid out differently, under the right version.
    BrokenLayout,
    /// Panics when the plugin object is made.
    PanicInCreate,
    /// Panics when asked for its manifest.
    PanicInManifest,
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::SecondEdition => "second-edition",
            Self::OtherCompiler => "other-compiler",
            Self::Abi1_0 => "test-abi-1-0",
            Self::Abi2_0 => "test-abi-2-0",
            Self::BrokenLayout => "test-abi-broken-layout",
            Self::PanicInCreate => "panic-in-create",
            Self::PanicInManifest => "panic-in-manifest",
        }
    }

    fn feature(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::OtherCompiler => None,
            variant => Some(variant.name()),
        }
    }
}

/// The beeper's library in a variant. Built at most once per process; cargo decides whether anything is to be done.
///
/// # Errors
/// For [`Variant::OtherCompiler`] when there is none to be had; says why.
pub fn beeper(variant: Variant) -> Result<PathBuf, String> {
    static BUILT: OnceLock<Mutex<HashMap<Variant, Result<PathBuf, String>>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    built.entry(variant).or_insert_with(|| build(variant)).clone()
}

/// [`beeper`] for the variants that can always be built.
pub fn plain_beeper() -> PathBuf {
    beeper(Variant::Plain).expect("the beeper builds")
}

fn build(variant: Variant) -> Result<PathBuf, String> {
    let fixtures = workspace::scratch("fixtures");
    // All variants come out of cargo under one name, and several test processes may be at it.
    let lock = File::create(fixtures.join(".lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;

    let crate_dir = workspace::tests_dir().join("fixtures/beeper");
    let mut command = workspace::cargo();
    command.args(["build", "--quiet", "--release"]).current_dir(&crate_dir);
    let target = if variant == Variant::OtherCompiler {
        other_rustc::configure(&mut command)?;
        workspace::scratch("other-rustc/target")
    } else {
        workspace::target_dir()
    };
    command.arg("--target-dir").arg(&target);
    if let Some(feature) = variant.feature() {
        command.args(["--features", feature]);
    }
    run(&mut command);
    let built = target.join("release").join(library_name("beeper"));
    let kept = fixtures.join(library_name(variant.name()));
    replace(&built, &kept);
    Ok(kept)
}

/// The host of ABI 1.0, `fixtures/old-host`.
pub fn old_host() -> PathBuf {
    let mut command = workspace::cargo();
    command.args(["build", "--quiet", "--release", "--target-dir"]).arg(workspace::target_dir());
    run(command.current_dir(workspace::tests_dir().join("fixtures/old-host")));
    workspace::target_dir().join("release").join(format!("old-host{}", env::consts::EXE_SUFFIX))
}

/// What is in `fixtures/abi-1.2`, by its package.
fn frozen(package: &str, file: &str) -> PathBuf {
    let mut command = workspace::cargo();
    command.args(["build", "--quiet", "--release", "--locked", "--package", package, "--target-dir"]);
    command.arg(workspace::target_dir());
    run(command.current_dir(workspace::tests_dir().join("fixtures/abi-1.2")));
    workspace::target_dir().join("release").join(file)
}

/// The plugin `songbird`, built against the API as it was at 1.2.0.
pub fn golden() -> PathBuf {
    frozen("songbird", &library_name("songbird"))
}

/// The host of ABI 1.2.
pub fn golden_host() -> PathBuf {
    frozen("perch", &format!("perch{}", env::consts::EXE_SUFFIX))
}

/// A copy of an ELF library whose first relocation points to where nothing is mapped: its headers are in order, and the dynamic
/// linker faults.
pub fn with_wild_relocations(library: &[u8]) -> Vec<u8> {
    const WITH_ADDENDS: u64 = 4; // SHT_RELA
    let number = |at: usize, bytes: usize| {
        library[at..at + bytes].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (headers, size, count) = (number(0x28, 8) as usize, number(0x3a, 2) as usize, number(0x3c, 2) as usize);
    let header = (0..count).map(|i| headers + i * size).find(|header| number(header + 4, 4) == WITH_ADDENDS);
    let relocations = number(header.expect("a library has relocations") + 0x18, 8) as usize;
    let mut spoilt = library.to_owned();
    spoilt[relocations..relocations + 8].copy_from_slice(&0x1234_5678_9000_u64.to_le_bytes());
    spoilt
}

/// `libname.so`, as this system spells it.
pub fn library_name(name: &str) -> String {
    format!("{}{name}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// Puts a copy of `from` at `to` in one step, as whoever updates a plugin should: a mapped file is never written to.
pub fn replace(from: &Path, to: &Path) {
    // Tests of one program may do so at the same time.
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let mut fresh = OsString::from(to);
    fresh.push(format!(".part{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    fs::copy(from, &fresh).unwrap_or_else(|error| panic!("copying {}: {error}", from.display()));
    fs::rename(&fresh, to).unwrap_or_else(|error| panic!("renaming to {}: {error}", to.display()));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}
