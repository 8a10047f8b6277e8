//! Private, content-addressed copies of plugin files.

use sha2::{Digest as _, Sha256};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// SHA-256 of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A copy that nobody but this host writes to.
pub struct Staged {
    /// The copy.
    pub path: PathBuf,
    /// Its content.
    pub digest: Digest,
}

/// The directory that holds the copies.
pub struct Staging {
    dir: PathBuf,
}

impl Staging {
    /// # Errors
    /// When the directory can't be made.
    pub fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Copies what is at `source` now to `<dir>/<digest>/<file name>`, unless that copy is there already.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub fn stage(&self, source: &Path) -> io::Result<Staged> {
        let content = fs::read(source)?;
        let digest = Digest(Sha256::digest(&content).into());
        let name = source.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file"))?;
        let dir = self.dir.join(&digest.to_string()[..16]);
        let path = dir.join(name);
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == content.len() as u64) {
            return Ok(Staged { path, digest });
        }
        fs::create_dir_all(&dir)?;
        // Another host may stage the same content at this moment: each writes its own file, the rename is atomic.
        let temporary = dir.join(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        fs::write(&temporary, &content)?;
        fs::rename(&temporary, &path)?;
        Ok(Staged { path, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_per_content() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("plugin.so");
        let staging = Staging::new(&dir.path().join("staged")).unwrap();
        fs::write(&source, "one").unwrap();
        let first = staging.stage(&source).unwrap();
        let again = staging.stage(&source).unwrap();
        assert_eq!(first.path, again.path);
        fs::write(&source, "two").unwrap();
        let second = staging.stage(&source).unwrap();
        assert_ne!(first.path, second.path);
        assert_eq!(fs::read(&first.path).unwrap(), b"one");
        assert_eq!(fs::read(&second.path).unwrap(), b"two");
    }
}
