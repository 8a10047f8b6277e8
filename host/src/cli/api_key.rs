//! `syrinx api-key`.

use super::{Failure, Outcome};
use crate::auth::{self, StoredKey};
use clap::Args;
use std::{fs::OpenOptions, io::Write as _, path::PathBuf};

/// Makes a key for clients, and the line to store on the server: the key itself is stored nowhere.
#[derive(Debug, Args)]
pub(super) struct ApiKey {
    /// Whose key it is, for people who read the key file
    #[arg(long, short = 'n', value_name = "NAME")]
    name: Option<String>,
    /// Key file to add the line to; it is made if there is none, and a running server reads it again
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl ApiKey {
    pub(super) fn run(self) -> Outcome {
        let key = auth::generate();
        let mut line = StoredKey::of(&key).line();
        if let Some(name) = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            if name.chars().any(char::is_control) {
                return Err(Failure::new("--name must be one line of text"));
            }
            line = format!("{line}  # {name}");
        }
        match &self.key_file {
            Some(path) => {
                append(path, &line).map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
                println!("{key}");
                eprintln!("Give this key to the client; it is shown only once. Its digest is in {}.", path.display());
            }
            None => {
                println!("key:  {key}");
                println!("line: {line}");
                eprintln!(
                    "Give the key to the client. Put the line into the server's key file (--key-file), or its first word into \
                     `keys` below [auth] in syrinx.toml or into SYRINX_API_KEYS."
                );
            }
        }
        Ok(())
    }
}

/// Adds a line, after ending the last one if an editor has left it open. A new file is for its owner only.
fn append(path: &std::path::Path, line: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let open_end = std::fs::read(path).is_ok_and(|text| text.last().is_some_and(|last| *last != b'\n'));
    let mut file = options.open(path)?;
    file.write_all(format!("{}{line}\n", if open_end { "\n" } else { "" }).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_key_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        for name in ["one", "two"] {
            ApiKey { name: Some(name.to_owned()), key_file: Some(path.clone()) }.run().unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(auth::parse_lines(&text).unwrap().len(), 2, "{text}");
        assert!(text.lines().all(|line| line.starts_with("sha256:")) && text.contains("# two"), "{text}");
        std::fs::write(&path, "open end").unwrap();
        append(&path, "next").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "open end\nnext\n");
        assert!(ApiKey { name: Some("a\nb".to_owned()), key_file: None }.run().is_err());
    }
}
