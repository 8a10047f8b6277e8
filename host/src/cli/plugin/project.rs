//! The project that `syrinx plugin new` makes. Its files are in `template/`, and the ABI crate goes with it: it isn't on
//! crates.io, and this program's own copy is the one that certainly fits.

use super::super::Failure;
use std::path::Path;

/// Files of the template: where they go (`NAME` is replaced), and their text.
const TEMPLATE: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.txt")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore.txt")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("src/tone.rs", include_str!("template/tone.rs")),
    ("tests/speaks.rs", include_str!("template/speaks.rs")),
    ("models/NAME.toml", include_str!("template/models.toml")),
    ("models/NAME/pitch.txt", include_str!("template/pitch.txt")),
];

/// Where the copy of the ABI crate goes.
const API_DIR: &str = "syrinx-plugin-api";

/// Files of the ABI crate.
const API: [(&str, &str); 17] = [
    ("Cargo.toml", include_str!("../../../../plugin-api/Cargo.toml")),
    ("build.rs", include_str!("../../../../plugin-api/build.rs")),
    ("README.md", include_str!("../../../../plugin-api/README.md")),
    ("src/abi/current.rs", include_str!("../../../../plugin-api/src/abi/current.rs")),
    ("src/abi/mod.rs", include_str!("../../../../plugin-api/src/abi/mod.rs")),
    ("src/abi/v1_0.rs", include_str!("../../../../plugin-api/src/abi/v1_0.rs")),
    ("src/audio.rs", include_str!("../../../../plugin-api/src/audio.rs")),
    ("src/describe.rs", include_str!("../../../../plugin-api/src/describe.rs")),
    ("src/error.rs", include_str!("../../../../plugin-api/src/error.rs")),
    ("src/event.rs", include_str!("../../../../plugin-api/src/event.rs")),
    ("src/export.rs", include_str!("../../../../plugin-api/src/export.rs")),
    ("src/host.rs", include_str!("../../../../plugin-api/src/host.rs")),
    ("src/host_side.rs", include_str!("../../../../plugin-api/src/host_side.rs")),
    ("src/lib.rs", include_str!("../../../../plugin-api/src/lib.rs")),
    ("src/plugin.rs", include_str!("../../../../plugin-api/src/plugin.rs")),
    ("src/request.rs", include_str!("../../../../plugin-api/src/request.rs")),
    ("src/sink.rs", include_str!("../../../../plugin-api/src/sink.rs")),
];

/// What the ABI crate takes from the workspace around it, and what that is.
const FROM_THE_WORKSPACE: [(&str, &str); 3] = [
    ("license.workspace = true", "license = \"Apache-2.0\""),
    ("publish.workspace = true", "publish = false"),
    ("[lints]\nworkspace = true\n\n", ""),
];

/// Where a project gets `syrinx-plugin-api` from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// A copy within the project.
    Copy,
    /// A directory.
    Dir(String),
    /// A git repository.
    Git(String),
}

impl Api {
    /// # Errors
    /// When a directory is named that isn't the ABI crate's.
    pub(super) fn of(named: Option<&str>) -> Result<Self, Failure> {
        let Some(named) = named else { return Ok(Self::Copy) };
        if named.contains("://") || named.starts_with("git@") {
            return Ok(Self::Git(named.to_owned()));
        }
        let wrong = |reason: &str| {
            Failure::new(format!(
                "`--api`: {named} {reason}; give the directory `plugin-api` of a checkout of Syrinx, or the address of a git \
                 repository"
            ))
        };
        let dir = Path::new(named).canonicalize().map_err(|error| wrong(&format!("can't be read ({error})")))?;
        let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
        if !manifest.contains("name = \"syrinx-plugin-api\"") {
            return Err(wrong("is not the crate syrinx-plugin-api"));
        }
        Ok(Self::Dir(dir.display().to_string()))
    }

    /// What `Cargo.toml` says of it.
    fn dependency(&self) -> String {
        match self {
            Self::Copy => format!("{{ path = {API_DIR:?} }}"),
            Self::Dir(dir) => format!("{{ path = {dir:?} }}"),
            Self::Git(url) => format!("{{ git = {url:?} }}"),
        }
    }
}

/// Paths and texts of a project.
pub(super) fn files(name: &str, api: &Api) -> Vec<(String, String)> {
    let filled = |text: &str| {
        text.replace("NAME_AS_CRATE", &name.replace('-', "_"))
            .replace("API_DEPENDENCY", &api.dependency())
            .replace("NAME", name)
    };
    let own = TEMPLATE.iter().map(|(path, text)| (filled(path), filled(text)));
    let copied = API.iter().filter(|_| *api == Api::Copy).map(|(path, text)| {
        let standing_alone = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        let text = match *path {
            "Cargo.toml" => FROM_THE_WORKSPACE.iter().fold((*text).to_owned(), standing_alone),
            _ => (*text).to_owned(),
        };
        (format!("{API_DIR}/{path}"), text)
    });
    own.chain(copied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs};

    #[test]
    fn the_copy_of_the_abi_is_complete_and_stands_alone() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
        let mut there = BTreeSet::new();
        for dir in ["", "src", "src/abi"] {
            for entry in fs::read_dir(root.join(dir)).unwrap().map(Result::unwrap) {
                if entry.path().is_file() {
                    there.insert(entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(there, API.iter().map(|(path, _)| (*path).to_owned()).collect());
        let files = files("my-parrot", &Api::Copy);
        let (_, manifest) = files.iter().find(|(path, _)| path == "syrinx-plugin-api/Cargo.toml").unwrap();
        assert!(!manifest.contains("workspace = true"), "{manifest}");
    }

    #[test]
    fn names_are_filled_in() {
        for (path, text) in files("my-parrot", &Api::Git("https://example.org/x.git".to_owned())) {
            assert!(!path.contains("NAME") && !text.contains("NAME") && !text.contains("API_DEPENDENCY"), "{path}");
            assert!(path != "Cargo.toml" || text.contains("{ git = \"https://example.org/x.git\" }"), "{text}");
        }
    }

    #[test]
    fn the_abi_must_be_the_abi() {
        assert_eq!(Api::of(None).ok(), Some(Api::Copy));
        assert!(matches!(Api::of(Some("git@example.org:x.git")), Ok(Api::Git(_))));
        assert!(matches!(Api::of(Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../plugin-api"))), Ok(Api::Dir(_))));
        assert!(Api::of(Some(env!("CARGO_MANIFEST_DIR"))).is_err());
        assert!(Api::of(Some("/nowhere")).is_err());
    }
}
