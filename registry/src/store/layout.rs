//! The store's directories.
//!
//! ```text
//! models/<name>/<fingerprint>/…    complete files of one source of a model, and .syrinx.json, which says what they are
//! assets/<name>/<fingerprint>/…    likewise for shared assets
//! runtimes/<name>/<fingerprint>/…  likewise for shared libraries
//! partial/                         downloads that can be resumed, packages of an installation that was interrupted
//! scratch/                         directories in the making; they are renamed into place when they are complete
//! tools/                           Node.js, where the machine has none
//! locks/                           one file per name
//! registrations/                   models that clients have registered to stay
//! ```
//! A directory below `models`, `assets` or `runtimes` is complete or not there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cancel::CancelToken;
use crate::error::StoreError;

/// How often a lock is tried while somebody else has it.
const LOCK_POLL: Duration = Duration::from_millis(200);
/// Scratch directories that nobody holds and that are older than this were left by a process that was killed.
const SCRATCH_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Interrupted downloads older than this are not expected to go on.
const PARTIAL_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// The file that says what a directory holds.
const MANIFEST: &str = ".syrinx.json";

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Files of one model.
    Model,
    /// Files that models share.
    Asset,
    /// A shared library.
    Runtime,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Model, Self::Asset, Self::Runtime];

    fn directory(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Asset => "assets",
            Self::Runtime => "runtimes",
        }
    }
}

/// What a complete directory holds; written last, as `.syrinx.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// Name of the source.
    pub(crate) source: String,
    /// Where it came from, for people.
    pub(crate) origin: String,
    pub(crate) fingerprint: String,
    pub(crate) revision: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) quantization: Option<String>,
    /// Unix time. [s]
    pub(crate) created: u64,
    pub(crate) files: Vec<ManifestFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestFile {
    pub(crate) path: String,
    pub(crate) size: u64,
}

impl Manifest {
    /// Reads the manifest of a directory and compares names and sizes with what is there. `None` when anything is amiss.
    pub(crate) fn of_complete(directory: &Path) -> Option<Self> {
        let manifest: Self = serde_json::from_slice(&fs::read(directory.join(MANIFEST)).ok()?).ok()?;
        let is_there = |file: &ManifestFile| {
            fs::metadata(directory.join(&file.path)).is_ok_and(|metadata| metadata.len() == file.size)
        };
        manifest.files.iter().all(is_there).then_some(manifest)
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<(), StoreError> {
        let path = directory.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        fs::write(&path, text).map_err(StoreError::io("write", &path))
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// All files below a directory, without the manifest, by path.
pub(crate) fn list_files(directory: &Path) -> Result<Vec<ManifestFile>, StoreError> {
    fn walk(root: &Path, below: &str, files: &mut Vec<ManifestFile>) -> Result<(), StoreError> {
        let directory = root.join(below);
        for entry in fs::read_dir(&directory).map_err(StoreError::io("list", &directory))? {
            let entry = entry.map_err(StoreError::io("list", &directory))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() { name } else { format!("{below}/{name}") };
            let metadata = entry.metadata().map_err(StoreError::io("look at", entry.path()))?;
            if metadata.is_dir() {
                walk(root, &path, files)?;
            } else if path != MANIFEST {
                files.push(ManifestFile { path, size: metadata.len() });
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(directory, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Paths below the store's root.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    partial: PathBuf,
    scratch: PathBuf,
    tools: PathBuf,
    locks: PathBuf,
}

impl Layout {
    /// Makes the directories that are needed for writing, and clears what a killed process left.
    pub(crate) fn create(root: &Path) -> Result<Self, StoreError> {
        let layout = Self {
            root: root.to_owned(),
            partial: root.join("partial"),
            scratch: root.join("scratch"),
            tools: root.join("tools"),
            locks: root.join("locks"),
        };
        for directory in [&layout.partial, &layout.scratch, &layout.locks] {
            fs::create_dir_all(directory).map_err(StoreError::io("create", directory))?;
        }
        Self::clear_old(&layout.scratch, SCRATCH_LIFETIME);
        Self::clear_old(&layout.partial, PARTIAL_LIFETIME);
        Ok(layout)
    }

    /// Removes what is old, unless somebody holds it: a clock that was wrong and is put right makes everything look old.
    /// Somebody else may clear the same at the same time, and what can't be removed is tried again another day.
    fn clear_old(directory: &Path, lifetime: Duration) {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if modified.is_ok_and(|time| age(time) > lifetime) && !is_held(&entry.path()) {
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    pub(crate) fn tools(&self) -> &Path {
        &self.tools
    }

    pub(crate) fn directory_of(&self, kind: Kind, name: &str) -> PathBuf {
        self.root.join(kind.directory()).join(name)
    }

    /// An empty directory that goes away again unless it is moved into place.
    pub(crate) fn scratch(&self, name: &str) -> Result<Scratch, StoreError> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let unique = format!("{name}.{}.{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let path = self.scratch.join(unique);
        // Left by an earlier process with the same number, if at all.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(StoreError::io("create", &path))?;
        // Where a directory can't be locked, its age alone protects it.
        let lock = File::open(&path).ok().filter(|directory| directory.try_lock().is_ok());
        Ok(Scratch { path, _lock: lock })
    }

    /// Waits for the lock with this name. `None` when cancelled. `waiting` is called once if somebody else has it.
    pub(crate) fn lock(
        &self,
        name: &str,
        cancel: &CancelToken,
        waiting: impl FnOnce(),
    ) -> Result<Option<Lock>, StoreError> {
        let path = self.locks.join(format!("{name}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Lock { _file: file })),
                Err(TryLockError::Error(source)) => return Err(StoreError::Io { what: "lock", path, source }),
                Err(TryLockError::WouldBlock) => {}
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if cancel.is_cancelled() {
                return Ok(None);
            }
            std::thread::sleep(LOCK_POLL);
        }
    }

    /// Moves a complete scratch directory to where it is found.
    pub(crate) fn publish(&self, scratch: Scratch, target: &Path) -> Result<(), StoreError> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
        }
        sync_tree(&scratch.path)?;
        if target.exists() {
            // Incomplete or damaged, or nobody would have fetched it again.
            self.remove(target)?;
        }
        fs::rename(&scratch.path, target).map_err(StoreError::io("move into place", target))
    }

    /// Removes a directory so that nobody ever sees half of it.
    pub(crate) fn remove(&self, directory: &Path) -> Result<(), StoreError> {
        let away = self.scratch("removed")?;
        let inside = away.path.join("it");
        fs::rename(directory, &inside).map_err(StoreError::io("remove", directory))?;
        fs::remove_dir_all(&inside).map_err(StoreError::io("remove", directory))
    }
}

/// The files are on disk before the rename that makes them count is.
fn sync_tree(directory: &Path) -> Result<(), StoreError> {
    for file in list_files(directory)? {
        let path = directory.join(&file.path);
        File::open(&path).and_then(|file| file.sync_all()).map_err(StoreError::io("write", &path))?;
    }
    Ok(())
}

/// How long ago it was; or how long until then, when the clock was turned back since.
fn age(time: SystemTime) -> Duration {
    time.elapsed().unwrap_or_else(|ahead| ahead.duration())
}

/// Whether a process that lives has locked it.
fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Held until it is dropped; the system releases it when the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// A directory in the making.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Tells other processes that it is in use.
    _lock: Option<File>,
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now is cleared after a day. One that was moved into its place isn't here any more.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// An error when less than `bytes` (and a little) is free where `path` lies. Says nothing on systems that don't tell.
pub(crate) fn ensure_space(path: &Path, bytes: u64) -> Result<(), String> {
    /// Left free for everybody else. [bytes]
    const RESERVE: u64 = 64 << 20;
    match free_space(path) {
        Some(free) if free < bytes.saturating_add(RESERVE) => Err(format!(
            "not enough space: {} are needed and {} are free in {}; make room or set SYRINX_HOME to another disk",
            megabytes(bytes.saturating_add(RESERVE)),
            megabytes(free),
            path.display()
        )),
        _ => Ok(()),
    }
}

/// Bytes for people: 1 500 000 are `2 MB`.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(unix)]
fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_space(_path: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_checked() {
        let here = std::env::temp_dir();
        assert_eq!(ensure_space(&here, 0), Ok(()));
        if cfg!(unix) {
            let error = ensure_space(&here, u64::MAX).unwrap_err();
            assert!(error.contains("not enough space") && error.contains("SYRINX_HOME"), "{error}");
        }
    }

    #[test]
    fn only_what_is_old_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("directory")).unwrap();
        fs::write(root.path().join("directory/file"), "").unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        Layout::clear_old(root.path(), Duration::from_secs(3600));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        std::thread::sleep(Duration::from_millis(20));
        Layout::clear_old(root.path(), Duration::from_millis(1));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    /// When a clock is put right, what is being made seems to be of another year, before or after.
    #[cfg(unix)]
    #[test]
    fn what_is_in_use_stays_whatever_the_clock_says() {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::create(root.path()).unwrap();
        let date = |path: &Path, time| File::open(path).unwrap().set_modified(time).unwrap();
        for time in [SystemTime::now() - YEAR, SystemTime::now() + YEAR] {
            let scratch = layout.scratch("in-use").unwrap();
            let download = File::create(layout.partial().join("in-use.part")).unwrap();
            download.lock().unwrap();
            let (left, begun) = (layout.scratch.join("left"), layout.partial().join("left.part"));
            fs::create_dir(&left).unwrap();
            fs::write(&begun, "").unwrap();
            for path in [scratch.path(), &left, &layout.partial().join("in-use.part"), &begun] {
                date(path, time);
            }
            Layout::create(root.path()).unwrap();
            assert!(scratch.path().exists() && layout.partial().join("in-use.part").exists(), "somebody uses them");
            assert!(!left.exists() && !begun.exists(), "nobody uses them");
        }
    }

    #[test]
    fn scratch_goes_away() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::create(root.path()).unwrap();
        let scratch = layout.scratch("x").unwrap();
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn a_manifest_counts_only_with_its_files() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/b"), "1234").unwrap();
        let manifest = Manifest {
            kind: Kind::Model,
            name: "m".to_owned(),
            source: "hf".to_owned(),
            origin: String::new(),
            fingerprint: "0".to_owned(),
            revision: None,
            format: None,
            quantization: None,
            created: 0,
            files: list_files(root.path()).unwrap(),
        };
        assert_eq!(manifest.files, [ManifestFile { path: "a/b".to_owned(), size: 4 }]);
        assert_eq!(Manifest::of_complete(root.path()), None);
        manifest.write(root.path()).unwrap();
        assert_eq!(Manifest::of_complete(root.path()), Some(manifest));
        fs::write(root.path().join("a/b"), "123").unwrap();
        assert_eq!(Manifest::of_complete(root.path()), None);
    }
}
