//! Why something could not be fetched.

use std::fmt;
use std::path::PathBuf;

use crate::catalogue::UnknownName;

/// One source that was tried, and why it didn't work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Name of the source in its entry, e.g. `hf`.
    pub source: String,
    /// Where it fetches from, e.g. `Hugging Face openai/whisper-base@main`.
    pub origin: String,
    /// What went wrong and what to do.
    pub reason: String,
    /// Whether anything answered there. If not, the source may be fine and this machine offline.
    pub reached: bool,
}

/// A source that would do if its files were there; what an offline machine needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needed {
    /// Name of the source in its entry.
    pub source: String,
    /// Where it fetches from.
    pub origin: String,
    /// The files of a complete directory.
    pub files: Vec<String>,
}

/// Why a model, asset or runtime could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// No such entry.
    #[error(transparent)]
    Unknown(#[from] UnknownName),

    /// The caller's choice of source, quantization or format matches none of the entry's sources.
    #[error("{name} has no source with {wanted}{}", list_after("; it has ", .available))]
    NoSuchSource {
        /// The entry.
        name: String,
        /// What was asked for, e.g. `quantization "int3"`.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },

    /// Every source was tried.
    #[error("{name} could not be fetched:{}", tried(.attempts))]
    AllSourcesFailed {
        /// The entry.
        name: String,
        /// The sources in the order they were tried.
        attempts: Vec<Attempt>,
        /// The file sets of which one is needed.
        needed: Vec<Needed>,
    },

    /// Offline, and nothing complete is stored.
    #[error(
        "{name} is not stored completely and downloads are switched off (SYRINX_OFFLINE, HF_HUB_OFFLINE, or by the \
         caller). Fetch it once with a network and copy {}, or launch it with a `model_path`. One of these file sets \
         is needed:{}",
        .directory.display(), needs(.needed)
    )]
    Offline {
        /// The entry.
        name: String,
        /// Where the store would look.
        directory: PathBuf,
        /// The file sets of which one is needed.
        needed: Vec<Needed>,
    },

    /// There is no build of the runtime for this machine.
    #[error("there is no {name} for {os} on {arch} in the catalogue; install it and name the library in {}", env.join(" or "))]
    NoBuild {
        /// The runtime.
        name: String,
        /// This operating system.
        os: &'static str,
        /// This architecture.
        arch: &'static str,
        /// Environment variables that name a library of the user's own.
        env: Vec<String>,
    },

    /// A model directory that the caller named isn't there.
    #[error("{} is not a directory", .0.display())]
    NoSuchDirectory(PathBuf),

    /// A library that the user named isn't there.
    #[error("{variable} names {}, which is not a file", .path.display())]
    NoSuchLibrary {
        /// The environment variable or setting.
        variable: String,
        /// What it says.
        path: PathBuf,
    },

    /// The caller's token was set.
    #[error("the download was cancelled")]
    Cancelled,

    /// The store itself can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store's directory can't be used as it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// An operation on a file failed.
    #[error("can't {what} {}: {source}", .path.display())]
    Io {
        /// What was to be done, e.g. `create`.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// Neither `SYRINX_HOME` nor a home directory is known.
    #[error("no place for downloads is known: set SYRINX_HOME (or HOME)")]
    NoHome,
}

impl StoreError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}

fn list_after(before: &str, items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!("{before}{}", items.join(", ")) }
}

fn tried(attempts: &[Attempt]) -> String {
    if attempts.is_empty() {
        return " its catalogue entry names no source".to_owned();
    }
    lines(attempts.iter().map(|attempt| (&attempt.source, &attempt.origin, attempt.reason.clone())))
}

fn needs(needed: &[Needed]) -> String {
    lines(needed.iter().map(|need| (&need.source, &need.origin, shorten(&need.files))))
}

fn lines<'a>(rows: impl Iterator<Item = (&'a String, &'a String, String)>) -> String {
    let mut text = String::new();
    for (source, origin, detail) in rows {
        text.push_str(&format!("\n  {source} ({origin}): {}", detail.replace('\n', "\n    ")));
    }
    text
}

/// The first names of a long list and how many there are more.
fn shorten(files: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<&str> = files.iter().take(SHOWN).map(String::as_str).collect();
    match files.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Why one source failed. Becomes an [`Attempt`], or ends everything.
#[derive(Debug)]
pub(crate) enum SourceError {
    /// This source can't be used; the next may.
    Failed(String),
    /// Nothing answers there, or the settings forbid to ask; the next source may do.
    Unreachable(String),
    /// The caller wants no more.
    Cancelled,
    /// The store is broken; another source won't help.
    Store(StoreError),
}

impl SourceError {
    pub(crate) fn failed(reason: impl fmt::Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

impl From<StoreError> for SourceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
