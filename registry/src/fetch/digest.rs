//! Digests of files, computed while something else is done with the bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::catalogue::Sha256Digest;

/// Size of the pieces in which files are read and copied. [bytes]
pub(crate) const CHUNK: usize = 256 * 1024;

/// What a file must be, as far as anybody told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) sha256: Option<Sha256Digest>,
    /// Id of the file as a git blob: SHA-1 over "blob <size>\0" and the content. [40 hexadecimal digits]
    pub(crate) git_blob: Option<String>,
    pub(crate) size: Option<u64>,
}

/// A file is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("its SHA-256 is {got}, expected {want}")]
    Sha256 { got: Sha256Digest, want: Sha256Digest },
    #[error("its git blob id is {got}, expected {want}")]
    GitBlob { got: String, want: String },
    #[error("it has {got} bytes, expected {want}")]
    Size { got: u64, want: u64 },
}

/// Hashes what passes by.
#[derive(Clone)]
pub(crate) struct Hasher {
    sha256: Sha256,
    git_blob: Option<Sha1>,
    size: u64,
}

impl Hasher {
    /// The git id needs the size first; without one it can't be checked.
    pub(crate) fn new(expected: &Expected) -> Self {
        let git_blob = match (&expected.git_blob, expected.size) {
            (Some(_), Some(size)) => Some(Sha1::new_with_prefix(format!("blob {size}\0"))),
            _ => None,
        };
        Self { sha256: Sha256::new(), git_blob, size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(git_blob) = &mut self.git_blob {
            git_blob.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    /// Compares with what was expected and gives the SHA-256.
    pub(crate) fn finish(self, expected: &Expected) -> Result<Sha256Digest, Mismatch> {
        if let Some(want) = expected.size
            && want != self.size
        {
            return Err(Mismatch::Size { got: self.size, want });
        }
        let got = Sha256Digest::from_bytes(self.sha256.finalize().into());
        if let Some(want) = expected.sha256
            && want != got
        {
            return Err(Mismatch::Sha256 { got, want });
        }
        if let (Some(git_blob), Some(want)) = (self.git_blob, &expected.git_blob) {
            let got: String = git_blob.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            if got != *want {
                return Err(Mismatch::GitBlob { got, want: want.clone() });
            }
        }
        Ok(got)
    }
}

/// Copies everything from `reader` to `writer`, calling `step` with the bytes of every piece. `step` may end it by an error.
pub(crate) fn copy(
    reader: &mut dyn Read,
    writer: &mut dyn Write,
    mut step: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0u8; CHUNK];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..count])?;
        step(&buffer[..count])?;
    }
}

/// Feeds a file into a hasher.
pub(crate) fn hash_file(path: &Path, hasher: &mut Hasher) -> io::Result<()> {
    copy(&mut File::open(path)?, &mut io::sink(), |bytes| {
        hasher.update(bytes);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_known_texts() {
        // printf 'hello\n' | sha256sum; printf 'hello\n' | git hash-object --stdin
        let sha256 = Sha256Digest::parse("5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
        let expected =
            Expected { sha256, git_blob: Some("ce013625030ba8dba906f756967f9e9ca394464a".to_owned()), size: Some(6) };
        let mut hasher = Hasher::new(&expected);
        hasher.update(b"hel");
        hasher.update(b"lo\n");
        assert_eq!(hasher.clone().finish(&expected), Ok(sha256.unwrap()));
        hasher.update(b"x");
        assert_eq!(hasher.finish(&expected), Err(Mismatch::Size { got: 7, want: 6 }));
        let mut other = Hasher::new(&expected);
        other.update(b"hellO\n");
        assert!(matches!(other.clone().finish(&expected), Err(Mismatch::Sha256 { .. })));
        let only_git = Expected { sha256: None, ..expected };
        assert!(matches!(other.finish(&only_git), Err(Mismatch::GitBlob { .. })));
    }
}
