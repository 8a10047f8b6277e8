//! Which files may become part of this server: those that nobody else can write, and, where there is a list, those on it.

use super::Digest;
use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// Whom a plugin file must come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Contents that may be loaded; none: all.
    pub allow: Option<Vec<Digest>>,
}

/// Why a file isn't trusted.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Somebody else can write it, or put another file in its place.
    #[error("{} can be written by {who}, who could run anything in this server: run `chmod {change} {}`", .path.display(), .path.display())]
    Writable {
        /// The file, or the directory that it lies in.
        path: PathBuf,
        /// Everybody, or a group.
        who: String,
        /// What takes that away.
        change: &'static str,
    },
    /// It is somebody else's.
    #[error(
        "{} belongs to user {owner}, but plugins must be root's or those of the user that the server runs as ({own}): run `chown {own} {}`",
        .path.display(),
        .path.display()
    )]
    Foreign {
        /// The file, or the directory that it lies in.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Whose this process is.
        own: u32,
    },
    /// There is a list, and it isn't on it.
    #[error("its SHA-256 is not in the list `plugins.allow` of the settings: add \"{digest}\" there if you trust it")]
    Unlisted {
        /// What it has.
        digest: Digest,
    },
}

/// The content of a file that is trusted.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: Digest,
}

/// Why there is no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("cannot read the file: {0}")]
    Unreadable(#[from] io::Error),
    #[error("not trusted: {0}")]
    Distrusted(#[from] Distrust),
}

impl Trust {
    /// Reads a file that is trusted.
    pub(super) fn read(&self, path: &Path) -> Result<Content, Refusal> {
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file").into());
        }
        let mut file = File::open(path)?;
        check_place(path, &file.metadata()?)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let digest = Digest::of(&bytes);
        self.check_digest(digest)?;
        Ok(Content { bytes, digest })
    }

    /// Whether a file with this digest would be read.
    pub(crate) fn check(&self, path: &Path, digest: Digest) -> Result<(), Refusal> {
        check_place(path, &fs::metadata(path)?)?;
        Ok(self.check_digest(digest)?)
    }

    fn check_digest(&self, digest: Digest) -> Result<(), Distrust> {
        match &self.allow {
            Some(allow) if !allow.contains(&digest) => Err(Distrust::Unlisted { digest }),
            _ => Ok(()),
        }
    }
}

/// Looks at the rights of a file, and of the directories in which somebody could exchange it: the one of `path`, and for a
/// link the one of the file, too.
fn check_place(path: &Path, file: &Metadata) -> Result<(), Refusal> {
    let real = fs::canonicalize(path)?;
    for dir in [path.parent(), real.parent()].into_iter().flatten().filter(|dir| !dir.as_os_str().is_empty()) {
        check_rights(dir, &fs::metadata(dir)?)?;
    }
    Ok(check_rights(path, file)?)
}

/// Everybody's right to write is refused. A group's is, unless it is the server's own group, which it is where every user
/// has a group and new files are writable by it.
#[cfg(unix)]
fn check_rights(path: &Path, metadata: &Metadata) -> Result<(), Distrust> {
    use rustix::process::{getegid, geteuid};
    use std::os::unix::fs::MetadataExt as _;
    const WRITABLE_BY_ALL: u32 = 0o002;
    const WRITABLE_BY_GROUP: u32 = 0o020;
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    let path = path.to_owned();
    if owner != 0 && owner != own {
        return Err(Distrust::Foreign { path, owner, own });
    }
    if metadata.mode() & WRITABLE_BY_ALL != 0 {
        return Err(Distrust::Writable { path, who: "everybody".to_owned(), change: "o-w" });
    }
    let group = metadata.gid();
    if metadata.mode() & WRITABLE_BY_GROUP != 0 && group != getegid().as_raw() {
        return Err(Distrust::Writable { path, who: format!("group {group}"), change: "g-w" });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_rights(_: &Path, _: &Metadata) -> Result<(), Distrust> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{fs::Permissions, os::unix::fs::PermissionsExt as _};

    fn reason(trust: &Trust, path: &Path) -> String {
        trust.read(path).err().map_or_else(String::new, |refusal| refusal.to_string())
    }

    #[test]
    fn what_everybody_can_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&file, "content").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let trust = Trust::default();
        for path in [&file, &link] {
            mode(&file, 0o644);
            assert_eq!(reason(&trust, path), "");
            mode(&file, 0o646);
            assert!(reason(&trust, path).contains(&format!("chmod o-w {}", path.display())));
            mode(&file, 0o664);
            assert_eq!(reason(&trust, path), "", "the server's own group may");
            mode(dir.path(), 0o777);
            assert!(reason(&trust, path).contains(&format!("chmod o-w {}", dir.path().display())));
            mode(dir.path(), 0o700);
        }
        assert!(reason(&trust, dir.path()).contains("not a regular file"));
    }

    #[test]
    fn a_list_admits_what_is_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plugin");
        fs::write(&file, "one").unwrap();
        let digest = Trust::default().read(&file).unwrap().digest;
        let trust = Trust { allow: Some(vec![digest]) };
        assert_eq!(reason(&trust, &file), "");
        fs::write(&file, "two").unwrap();
        assert!(reason(&trust, &file).contains("plugins.allow"));
        assert!(reason(&Trust { allow: Some(Vec::new()) }, &file).contains("plugins.allow"));
    }
}
