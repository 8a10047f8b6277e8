//! CUDA's libraries, opened when a card is asked for.
//!
//! `cargo xtask plugin FAMILY --cuda` leaves the addresses of their functions to be found at the first call, so that the plugin also loads,
//! and computes on the processor, where there is no CUDA. By then the libraries have to be there: a function that isn't found ends the
//! process. So nothing of CUDA may be called before [`load`] has succeeded. A plugin that was linked in the usual way has them already.

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Opens the libraries that candle calls, once in the life of the process. `version` is the one that the plugin was built with, as
/// CUDA writes it (`CUDA_VERSION`, such as 13000): libraries of other major versions have other functions.
///
/// # Errors
/// One is missing or can't be used; the message names it and what to do.
pub fn load(version: u32) -> Result<(), String> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    LOADED.get_or_init(|| load_all(version / 1000)).clone()
}

fn load_all(major: u32) -> Result<(), String> {
    open("libcuda.so.1").map_err(|error| format!("{error}; it is part of NVIDIA's driver"))?;
    // cuRAND's own version is 10 in CUDA 11 to 13.
    let names = ["libcublasLt", "libcublas", "libnvrtc"].map(|name| format!("{name}.so.{major}"));
    for name in names.iter().map(String::as_str).chain(["libcurand.so.10"]) {
        open(name).map_err(|error| {
            format!("{error}; it is part of CUDA {major}: install it, or name its folder in LD_LIBRARY_PATH")
        })?;
    }
    Ok(())
}

fn open(name: &str) -> Result<(), String> {
    // SAFETY: NVIDIA's libraries may be opened at any time, from any thread.
    let library = unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) };
    // Never closed: functions of the plugin hold addresses in it.
    library.map(std::mem::forget).map_err(|error| match std::error::Error::source(&error) {
        // It begins with the name.
        Some(reason) => reason.to_string(),
        None => format!("{name}: {error}"),
    })
}
