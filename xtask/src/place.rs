//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// Root of the checkout.
pub(crate) fn root() -> &'static Path {
    // `xtask` is a folder of the workspace, so there is a parent.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target directory: where this program was built (`<target>/release/xtask`), unless the environment says.
pub(crate) fn target() -> PathBuf {
    let built = env::current_exe().ok().and_then(|own| Some(own.parent()?.parent()?.to_owned()));
    env::var_os("CARGO_TARGET_DIR")
        .map(PathBuf::from)
        .or(built)
        .map_or_else(|| root().join("target"), |dir| if dir.is_absolute() { dir } else { root().join(dir) })
}

/// `<target>/release`.
pub(crate) fn release() -> PathBuf {
    target().join("release")
}

/// The server's binary.
pub(crate) fn syrinx() -> PathBuf {
    release().join(format!("syrinx{}", env::consts::EXE_SUFFIX))
}

/// File name of a plugin's library.
pub(crate) fn plugin_library(family: &str) -> String {
    format!("{}syrinx_plugin_{family}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX)
}

/// The plugin families of this checkout.
pub(crate) fn families() -> Result<Vec<String>, String> {
    let dir = root().join("plugins");
    let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut families: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "common")
        .collect();
    families.sort();
    Ok(families)
}
