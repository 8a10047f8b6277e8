//! The recordings of `tests/kits/whisper/audio`, with what is said in them.

use crate::workspace;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// A recording.
#[derive(Clone, Debug, Deserialize)]
pub struct Clip {
    /// Below the kit.
    file: PathBuf,
    /// ISO 639-1.
    pub language: String,
    /// What is said, where that is known.
    pub transcript: Option<String>,
    /// Length.
    pub seconds: f64,
}

impl Clip {
    /// Where the file is.
    pub fn path(&self) -> PathBuf {
        kit().join(&self.file)
    }
}

fn kit() -> PathBuf {
    workspace::tests_dir().join("kits/whisper")
}

/// The recording called `name`, such as `en_jfk`.
pub fn clip(name: &str) -> Clip {
    let index = fs::read_to_string(kit().join("audio/index.json")).expect("the index of the recordings");
    let mut clips: BTreeMap<String, Clip> = serde_json::from_str(&index).expect("the index is valid");
    clips.remove(name).unwrap_or_else(|| panic!("no recording called {name}"))
}
