//! A disk that is small enough to be filled.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// A file system in memory, unmounted when dropped.
pub(super) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB.
    ///
    /// # Errors
    /// Where this user may not mount anything.
    pub(super) fn mount(mebibytes: u32) -> io::Result<Self> {
        let dir = tempfile::tempdir()?;
        let target = c_path(dir.path())?;
        let options = CString::new(format!("size={mebibytes}m"))?;
        // SAFETY: all four texts end with a NUL and live as long as the call.
        let result =
            unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast()) };
        if result == 0 { Ok(Self { dir }) } else { Err(io::Error::last_os_error()) }
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no byte free. Says whether it is full, which nothing else should prevent.
    pub(super) fn fill(&self) -> bool {
        let Ok(mut ballast) = File::create(self.ballast()) else { return false };
        let block = vec![0; 1 << 20];
        while ballast.write_all(&block).is_ok() {}
        // What is less than a block.
        while ballast.write_all(&[0]).is_ok() {}
        true
    }

    pub(super) fn empty(&self) {
        let _ = fs::remove_file(self.ballast());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Ok(target) = c_path(self.dir.path()) {
            // SAFETY: the text ends with a NUL and lives as long as the call.
            unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
        }
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
