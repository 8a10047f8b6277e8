//! `syrinx plugin new NAME`.

use super::{
    super::{Failure, Outcome, screen},
    about, project,
};
use clap::Args;
use std::{fs, path::PathBuf};
use syrinx_registry::Catalogue;

/// Longest name.
const LONGEST: usize = 40; // characters

/// Names that cargo or rustc keep for themselves, and the ABI's.
const RESERVED: [&str; 54] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "syrinx-plugin-api",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "use",
    "where",
];

/// Makes a directory NAME with a plugin in it that builds, and says what to do next.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Name of the plugin: small letters, digits and `-`
    #[arg(value_name = "NAME")]
    name: String,
    /// Directory to make it in [default: the working directory]
    #[arg(long, value_name = "DIR", default_value = ".", hide_default_value = true)]
    dir: PathBuf,
    /// Where syrinx-plugin-api comes from: its directory in a checkout, or a git repository [default: a copy of this
    /// program's, in the project]
    #[arg(long, value_name = "DIR|URL")]
    api: Option<String>,
}

impl New {
    pub(super) fn run(self) -> Outcome {
        check_name(&self.name)
            .map_err(|reason| Failure::new(format!("`{}` can't be the name: {reason}", self.name)))?;
        let api = project::Api::of(self.api.as_deref())?;
        let dir = self.dir.join(&self.name);
        if dir.exists() {
            return Err(Failure::new(format!("{} exists already", dir.display())));
        }
        for (path, text) in project::files(&self.name, &api) {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(about(parent))?;
            }
            fs::write(&path, text).map_err(about(&path))?;
        }
        screen::line(format_args!("made {}; read its README.md, or try it:", dir.display()));
        let name = &self.name;
        screen::line(format_args!("  cd {}", dir.display()));
        screen::line("  cargo test --release");
        screen::line("  syrinx plugin install . --plugins plugins");
        screen::line(format_args!("  syrinx serve --plugins plugins --catalogue models --launch {name}"));
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.len() > LONGEST
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.ends_with(is_small)
        || name.contains("--")
        || !name.chars().all(|c| is_small(c) || c == '-')
    {
        return Err(format!(
            "at most {LONGEST} small letters, digits and single `-` between them, beginning with a letter"
        ));
    }
    if RESERVED.contains(&name) {
        return Err("it means something else in Rust".to_owned());
    }
    let catalogue = Catalogue::builtin();
    match catalogue
        .models()
        .find(|entry| [&entry.name, &entry.family, &entry.plugin].iter().any(|taken| *taken == name))
    {
        Some(entry) => Err(format!("the catalogue has it, for the model {}", entry.name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["parrot", "my-parrot", "p2", "x"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "Parrot",
            "2p",
            "-p",
            "p-",
            "a--b",
            "a_b",
            "a/b",
            "../a",
            "pä",
            "fn",
            "test",
            "kokoro",
            &"p".repeat(41),
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
