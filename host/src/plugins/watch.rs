//! Notices changes in plugin and catalogue directories and reports each file once it has settled.
//!
//! The operating system tells of most changes at once. What it doesn't tell is found by looking, every [`RESCAN`]: a link
//! whose target changes elsewhere, a directory that was removed and is back, a file system without notifications.

use crate::look::Look;
use notify::{EventKind, RecursiveMode, Watcher, event::ModifyKind};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How long a file must be left alone before it is looked at: compilers and copies write in many steps. One that is moved
/// into its place is looked at at once.
pub const SETTLE: Duration = Duration::from_millis(250);

/// How often the directories are looked through.
pub const RESCAN: Duration = Duration::from_secs(2);

/// Watches until it is dropped.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Calls `changed` with every path below `dirs` that is made, changed, moved or removed from now on, once it has been
    /// left alone for [`SETTLE`]. Paths are absolute. `changed` runs on a thread of its own, one path at a time.
    ///
    /// # Errors
    /// When nothing can be watched. A directory that isn't there is no error: it may come.
    pub fn start(dirs: &[PathBuf], mut changed: impl FnMut(&Path) + Send + 'static) -> notify::Result<Self> {
        let dirs = dirs
            .iter()
            .map(std::path::absolute)
            .collect::<std::io::Result<Vec<PathBuf>>>()
            .map_err(notify::Error::io)?;
        let (sender, receiver) = mpsc::channel::<(PathBuf, Instant)>();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if !event.kind.is_access() => {
                let is_move = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)));
                for path in event.paths {
                    // What is moved into its place is whole. What is moved away may be about to be replaced.
                    let since = if is_move && path.exists() { Instant::now().checked_sub(SETTLE) } else { None };
                    // The receiving thread ends only with this watcher.
                    let _ = sender.send((path, since.unwrap_or_else(Instant::now)));
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching files"),
        })?;
        for dir in &dirs {
            if let Err(error) = watcher.watch(dir, RecursiveMode::NonRecursive) {
                tracing::warn!(dir = %dir.display(), %error, "changes are noticed late");
            }
        }
        let mut seen = Seen::new(dirs);
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let mut pending: HashMap<PathBuf, Instant> = HashMap::new();
                let mut scanned = Instant::now();
                loop {
                    let rest = if pending.is_empty() { RESCAN.saturating_sub(scanned.elapsed()) } else { SETTLE / 4 };
                    match receiver.recv_timeout(rest) {
                        Ok((path, since)) => {
                            pending.insert(path, since);
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    if scanned.elapsed() >= RESCAN {
                        for path in seen.differences() {
                            pending.entry(path).or_insert_with(Instant::now);
                        }
                        scanned = Instant::now();
                    }
                    let settled: Vec<PathBuf> = pending
                        .iter()
                        .filter(|(_, last)| last.elapsed() >= SETTLE)
                        .map(|(path, _)| path.clone())
                        .collect();
                    for path in settled {
                        pending.remove(&path);
                        seen.note(&path);
                        changed(&path);
                    }
                }
            })
            .map_err(notify::Error::io)?;
        Ok(Self { _watcher: watcher })
    }
}

/// What the files of some directories looked like when they were last reported.
struct Seen {
    dirs: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Look>,
}

impl Seen {
    /// Everything that is there.
    fn new(dirs: Vec<PathBuf>) -> Self {
        let mut seen = Self { dirs, files: BTreeMap::new() };
        seen.files = seen.look();
        seen
    }

    fn look(&self) -> BTreeMap<PathBuf, Look> {
        let entries = self.dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
        entries.filter_map(|entry| Some((entry.path(), Look::at(&entry.path())?))).collect()
    }

    /// Takes the present state of a file for reported.
    fn note(&mut self, path: &Path) {
        match Look::at(path) {
            Some(look) => self.files.insert(path.to_owned(), look),
            None => self.files.remove(path),
        };
    }

    /// Files that look otherwise than when they were reported, or are new or gone.
    fn differences(&self) -> Vec<PathBuf> {
        let now = self.look();
        let gone = self.files.keys().filter(|path| !now.contains_key(*path));
        let other = now.iter().filter(|(path, look)| self.files.get(*path) != Some(look)).map(|(path, _)| path);
        gone.chain(other).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longest time until a change is told.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn watched(dir: &Path) -> (Watch, mpsc::Receiver<PathBuf>) {
        let (sender, receiver) = mpsc::channel();
        let watch = Watch::start(&[dir.to_owned()], move |path| drop(sender.send(path.to_owned()))).unwrap();
        (watch, receiver)
    }

    #[test]
    fn reports_a_settled_file_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_watch, receiver) = watched(dir.path());
        let file = dir.path().join("a.so");
        for step in 0..5 {
            fs::write(&file, format!("step {step}")).unwrap();
            thread::sleep(SETTLE / 10);
        }
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), file);
        assert!(receiver.recv_timeout(RESCAN + SETTLE * 2).is_err(), "reported twice");
    }

    #[test]
    fn finds_by_looking_what_nobody_tells() {
        let dir = tempfile::tempdir().unwrap();
        let (watched_dir, target) = (dir.path().join("watched"), dir.path().join("target"));
        fs::write(&target, "one").unwrap();
        let (_watch, receiver) = watched(&watched_dir);
        fs::create_dir(&watched_dir).unwrap();
        let file = watched_dir.join("a.so");
        fs::write(&file, "one").unwrap();
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), file, "in a directory that wasn't there");
        #[cfg(unix)]
        {
            let link = watched_dir.join("b.so");
            std::os::unix::fs::symlink(&target, &link).unwrap();
            assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), link);
            fs::write(&target, "another").unwrap();
            assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), link, "its target changes");
        }
        fs::remove_dir_all(&watched_dir).unwrap();
        assert!(receiver.recv_timeout(PATIENCE).unwrap().starts_with(&watched_dir), "it is gone");
    }
}
