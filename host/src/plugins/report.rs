//! What `syrinx plugins` and `GET /v1/plugins` show.

use super::{Digest, Generation};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use syrinx_plugin_api::Manifest;

/// A plugin, or a file that is none.
#[derive(Clone, Debug, Serialize)]
pub struct PluginReport {
    /// The plugin's name; the file's where it could not be asked.
    pub name: String,
    /// `active`; `refused`, with the reason in `error`; `removed` while models go on without the file.
    pub state: &'static str,
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Version, compiler and so on, of the generation in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// Number of the generation that new jobs go to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// SHA-256 of that generation; none for a plugin that is built in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// When it was found, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_at: Option<u64>,
    /// Uids of the models that it serves.
    pub models: Vec<String>,
    /// Why the file, or its latest content, is not in use. The generation above, if any, serves on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Generations that finish what they have begun.
    pub draining: Vec<GenerationReport>,
    /// Builds of it that are mapped into the server's process, where they stay.
    pub mapped: usize,
}

/// A generation that was replaced, or whose file is gone, and that models still use.
#[derive(Clone, Debug, Serialize)]
pub struct GenerationReport {
    /// Its number.
    pub generation: u64,
    /// The file that it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// SHA-256 of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// The plugin's version.
    pub version: String,
    /// The ABI that it was built against.
    pub abi_version: String,
    /// The compiler that built it.
    pub built_with: String,
    /// When it was found, in seconds since 1970.
    pub loaded_at: u64,
    /// Uids of the models that use it.
    pub models: Vec<String>,
}

impl PluginReport {
    /// A plugin that takes new models.
    pub(super) fn active(generation: &Generation, error: Option<String>) -> Self {
        Self {
            name: generation.manifest().name.clone(),
            state: "active",
            path: generation.path.clone(),
            manifest: Some(generation.manifest().clone()),
            generation: Some(generation.number),
            sha256: generation.digest,
            loaded_at: Some(seconds(generation)),
            models: generation.users(),
            error,
            draining: Vec::new(),
            mapped: 0,
        }
    }

    /// A file that isn't in use.
    pub(super) fn refused(path: &Path, reason: &str) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self { path: Some(path.to_owned()), error: Some(reason.to_owned()), ..Self::nothing(name, "refused") }
    }

    /// A plugin whose file is gone.
    pub(super) fn removed(name: &str) -> Self {
        Self::nothing(name.to_owned(), "removed")
    }

    fn nothing(name: String, state: &'static str) -> Self {
        Self {
            name,
            state,
            path: None,
            manifest: None,
            generation: None,
            sha256: None,
            loaded_at: None,
            models: Vec::new(),
            error: None,
            draining: Vec::new(),
            mapped: 0,
        }
    }
}

impl GenerationReport {
    pub(super) fn of(generation: &Generation) -> Self {
        let manifest = generation.manifest();
        Self {
            generation: generation.number,
            path: generation.path.clone(),
            sha256: generation.digest,
            version: manifest.version.clone(),
            abi_version: manifest.abi_version.clone(),
            built_with: manifest.built_with.clone(),
            loaded_at: seconds(generation),
            models: generation.users(),
        }
    }
}

fn seconds(generation: &Generation) -> u64 {
    generation.loaded_at.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}
