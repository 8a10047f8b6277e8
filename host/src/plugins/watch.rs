//! Notices changes in plugin and catalogue directories and reports each file once it has settled.

use notify::{RecursiveMode, Watcher};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How long a file must be left alone before it is looked at: compilers and copies write in many steps.
pub const SETTLE: Duration = Duration::from_millis(250);

/// Watches until it is dropped.
pub struct Watch {
    _watcher: notify::RecommendedWatcher,
}

impl Watch {
    /// Calls `changed` with every path below `dirs` that was made, changed, moved or removed, once it has been left alone
    /// for [`SETTLE`]. `changed` runs on a thread of its own, one path at a time.
    ///
    /// # Errors
    /// When a directory can't be watched.
    pub fn start(dirs: &[PathBuf], mut changed: impl FnMut(&Path) + Send + 'static) -> notify::Result<Self> {
        let (sender, receiver) = mpsc::channel::<PathBuf>();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) if !event.kind.is_access() => {
                for path in event.paths {
                    // The receiving thread ends only with this watcher.
                    let _ = sender.send(path);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "watching files"),
        })?;
        for dir in dirs {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
        }
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let mut pending: HashMap<PathBuf, Instant> = HashMap::new();
                loop {
                    match receiver.recv_timeout(SETTLE / 4) {
                        Ok(path) => {
                            pending.insert(path, Instant::now());
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                    let settled: Vec<PathBuf> = pending
                        .iter()
                        .filter(|(_, last)| last.elapsed() >= SETTLE)
                        .map(|(path, _)| path.clone())
                        .collect();
                    for path in settled {
                        pending.remove(&path);
                        changed(&path);
                    }
                }
            })
            .map_err(notify::Error::io)?;
        Ok(Self { _watcher: watcher })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn reports_a_settled_file_once() {
        let dir = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel();
        let _watch = Watch::start(&[dir.path().to_owned()], move |path| sender.send(path.to_owned()).unwrap()).unwrap();
        let file = dir.path().join("a.so");
        for step in 0..5 {
            fs::write(&file, format!("step {step}")).unwrap();
            thread::sleep(SETTLE / 10);
        }
        assert_eq!(receiver.recv_timeout(SETTLE * 20).unwrap(), file);
        assert!(receiver.recv_timeout(SETTLE * 2).is_err(), "reported twice");
    }
}
