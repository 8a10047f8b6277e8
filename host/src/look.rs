//! Tells two states of a file apart without reading it. Its date alone doesn't: whoever copies a file may keep the date, and
//! clocks are turned.

use std::{fs, path::Path, time::SystemTime};

/// What a file looks like from outside. Links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    length: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and when its rights or name changed, in seconds and nanoseconds.
    identity: (u64, u64, i64, i64),
}

impl Look {
    /// None: there is no such file.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0, 0);
        Some(Self { length: metadata.len(), modified: metadata.modified().ok(), identity })
    }
}
