//! Private copies of plugin files. Each host has a directory of its own for them, which goes with it.

use super::trust::Content;
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Held by the host that a directory belongs to, for as long as it lives.
const LOCK: &str = ".lock";

/// Characters of a digest that name a copy's directory.
const DIGITS: usize = 16;

/// A copy that nobody but this host writes to. Goes when it is dropped; code of it that is mapped stays mapped.
pub(super) struct Staged {
    path: PathBuf,
}

impl Staged {
    /// The copy.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // What is left over goes with the host's directory.
        let _ = fs::remove_file(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
    }
}

/// This host's directory of copies.
pub(super) struct Staging {
    dir: PathBuf,
    counter: AtomicU64,
    _lock: File,
}

impl Staging {
    /// A new directory below `root`. Those of hosts that have ended are removed.
    ///
    /// # Errors
    /// When it can't be made.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        // One host at a time looks around here: a directory whose lock isn't taken yet must not look like a leftover.
        let all = File::create(root.join(LOCK))?;
        all.lock()?;
        for entry in fs::read_dir(root)?.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
            if !is_in_use(&entry.path())
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "a leftover can't be removed");
            }
        }
        let dir = root.join(uuid::Uuid::new_v4().to_string());
        make_private(&dir)?;
        let lock = File::create(dir.join(LOCK))?;
        lock.lock()?;
        Ok(Self { dir, counter: AtomicU64::new(1), _lock: lock })
    }

    /// Copies a content to `<dir>/<digest>-<number>/<name>`, with a new number each time.
    ///
    /// # Errors
    /// When writing fails.
    pub(super) fn stage(&self, content: &Content, name: &std::ffi::OsStr) -> io::Result<Staged> {
        let (digest, number) = (content.digest.to_string(), self.counter.fetch_add(1, Ordering::Relaxed));
        let dir = self.dir.join(format!("{}-{number}", &digest[..DIGITS]));
        make_private(&dir)?;
        let staged = Staged { path: dir.join(name) };
        fs::write(&staged.path, &content.bytes)?;
        Ok(staged)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Whether the host that made a directory lives.
fn is_in_use(dir: &Path) -> bool {
    match File::open(dir.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Ok(()) | Err(TryLockError::Error(_))),
        Err(_) => false,
    }
}

fn make_private(dir: &Path) -> io::Result<()> {
    #[allow(unused_mut)]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::super::Digest;
    use super::*;

    fn count(root: &Path) -> usize {
        fs::read_dir(root).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
    }

    #[test]
    fn copies_go_with_their_generation_and_leftovers_with_the_next_host() {
        let root = tempfile::tempdir().unwrap();
        let content = Content { bytes: b"one".to_vec(), digest: Digest::of(b"one") };
        let first = Staging::new(root.path()).unwrap();
        let copy = first.stage(&content, "a.so".as_ref()).unwrap();
        let path = copy.path().to_owned();
        assert_eq!(fs::read(&path).unwrap(), b"one");

        let leftover = root.path().join("of-a-host-that-was-killed");
        fs::create_dir_all(leftover.join("x")).unwrap();
        let second = Staging::new(root.path()).unwrap();
        assert!(path.exists(), "its host lives");
        assert!(!leftover.exists());
        assert_eq!(count(root.path()), 2);

        drop(copy);
        assert!(!path.exists());
        drop((first, second));
        assert_eq!(count(root.path()), 0);
    }
}
