//! Building for NVIDIA cards without an installed CUDA: the compiler comes out of NVIDIA's wheels, pinned in `xtask/cuda/*.txt`.
//!
//! CUDA's libraries are not linked. Where the linker looks for them it finds empty ones, and the addresses of their functions are left to be
//! found at the first call, so that what is built also runs where there is no CUDA. `plugins/common/src/cuda.rs` opens the
//! real libraries before. Only the runtime (`cudart`), which is called while a library is being loaded, is linked into it.

use crate::{command, place, wheels};
use std::{env, fs, path::PathBuf, process::Command};

/// Where the wheels put everything, below the folder that they are installed in.
const ROOT: &str = "nvidia/cu13";
/// Libraries that candle asks the linker for.
const LIBRARIES: [&str; 5] = ["cuda", "nvrtc", "curand", "cublas", "cublasLt"];
/// Functions are bound when they are called first, and may be missing until then. Without the first flag they would be bound at once.
const LAZY_BINDING: &str =
    "-C relro-level=partial -C link-arg=-Wl,-z,lazy -C link-arg=-Wl,--unresolved-symbols=ignore-all";
/// With a target named, flags are for what is built, not for the tools that build it.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Oldest cards: Ampere. Newer ones compile what they need from it. Set the variable for others (75 for Turing, without bfloat16).
const COMPUTE_CAPABILITY: (&str, &str) = ("CUDA_COMPUTE_CAP", "80");

/// A CUDA compiler, and the place where the linker looks.
pub(crate) struct Toolkit {
    root: PathBuf,
}

/// Everything for CUDA has a target directory of its own, since other flags build everything anew.
fn folder() -> PathBuf {
    place::target().join("cuda")
}

/// Where what was built for CUDA is.
pub(crate) fn release() -> PathBuf {
    folder().join(TARGET).join("release")
}

/// Fetches the compiler, unless it is there.
pub(crate) fn toolkit() -> Result<Toolkit, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("CUDA's compiler is fetched for Linux on x86_64 only; elsewhere install CUDA and use cargo's --features cuda".to_owned());
    }
    let root = install("toolkit")?.join(ROOT);
    let libraries = root.join("lib");
    for name in LIBRARIES {
        let library = libraries.join(format!("lib{name}.so"));
        if !library.exists() {
            command::run(Command::new("cc").args(["-shared", "-x", "c", "/dev/null", "-o"]).arg(library))?;
        }
    }
    // The linker finds this one where it is asked for the shared one.
    let runtime = libraries.join("libcudart.a");
    fs::copy(libraries.join("libcudart_static.a"), &runtime)
        .map_err(|error| format!("{}: {error}", runtime.display()))?;
    Ok(Toolkit { root })
}

impl Toolkit {
    /// Makes `cargo` build for cards.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        let mut path = self.root.join("bin").into_os_string();
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        cargo.args(["--features", "cuda", "--target", TARGET]);
        cargo.env("CARGO_TARGET_DIR", folder()).env("CUDA_HOME", &self.root).env("PATH", path);
        cargo.env("RUSTFLAGS", LAZY_BINDING);
        if env::var_os(COMPUTE_CAPABILITY.0).is_none() {
            cargo.env(COMPUTE_CAPABILITY.0, COMPUTE_CAPABILITY.1);
        }
    }
}

/// Fetches the libraries that programs open, unless they are there, and makes `program` find them.
pub(crate) fn libraries(program: &mut Command) -> Result<(), String> {
    let mut path = install("libraries")?.join(ROOT).join("lib").into_os_string();
    if let Some(rest) = env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(rest);
    }
    program.env("LD_LIBRARY_PATH", path);
    Ok(())
}

/// Installs the wheels of `xtask/cuda/<name>.txt`, unless they are there.
fn install(name: &str) -> Result<PathBuf, String> {
    let list = place::root().join("xtask/cuda").join(name).with_extension("txt");
    let target = folder().join(name);
    wheels::install(&list, &target)?;
    Ok(target)
}
