//! Building with cargo, and which test binaries come out.
//!
//! Everything is built as one selection, the whole workspace with all targets, and with libtorch where it is. Cargo unifies features over what is
//! selected, so another selection would build heavy dependencies a second time.

use crate::{command, libtorch, place};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Selection and profile of every build here.
const WORKSPACE: [&str; 4] = ["build", "--release", "--workspace", "--all-targets"];

/// A test binary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TestBinary {
    /// Package that it belongs to.
    pub(crate) package: String,
    /// `lib`, `bin` or `test`.
    pub(crate) kind: String,
    /// Name of the target.
    pub(crate) name: String,
    /// The program.
    pub(crate) executable: PathBuf,
    /// Directory of the package, where it expects to be run.
    pub(crate) directory: PathBuf,
}

/// Builds the workspace and lists its test binaries.
pub(crate) fn workspace() -> Result<Vec<TestBinary>, String> {
    test_binaries(&WORKSPACE)
}

/// Builds the test binaries named `kit` and lists them.
pub(crate) fn kit_binaries() -> Result<Vec<TestBinary>, String> {
    // All targets, for the same reason as above.
    Ok(workspace()?.into_iter().filter(|binary| binary.name == "kit").collect())
}

fn test_binaries(arguments: &[&str]) -> Result<Vec<TestBinary>, String> {
    let mut cargo = command::cargo(arguments);
    libtorch::configure(&mut cargo);
    cargo.arg("--message-format=json-render-diagnostics");
    let messages = command::output(&mut cargo)?;
    let mut binaries: Vec<_> = messages.lines().filter_map(test_binary).collect();
    binaries.sort();
    Ok(binaries)
}

/// The test binary that a message of cargo's announces, if it does.
fn test_binary(line: &str) -> Option<TestBinary> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
    let target = &message["target"];
    let kind = match target["kind"][0].as_str()? {
        kind @ ("bin" | "test") => kind,
        "bench" | "example" => return None,
        // `lib`, `rlib`, `cdylib`, `proc-macro`.
        _ => "lib",
    };
    let directory = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    // `path+file:///…/host#syrinx@0.1.0`, or without a name when it is the directory's.
    let id = message["package_id"].as_str()?.rsplit('#').next()?;
    let package = match id.split_once('@') {
        Some((name, _version)) => name.to_owned(),
        None => directory.file_name()?.to_string_lossy().into_owned(),
    };
    is_test.then_some(TestBinary {
        package,
        kind: kind.to_owned(),
        name: target["name"].as_str()?.to_owned(),
        executable: message["executable"].as_str()?.into(),
        directory,
    })
}

/// Puts the plugins that were built, be it all or one, into the folder next to the server that it looks into by itself. Each is replaced
/// in one step, so that a running server takes the change as a new generation.
pub(crate) fn place_plugins() -> Result<PathBuf, String> {
    let folder = place::release().join("plugins");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for family in place::families()? {
        let name = place::plugin_library(&family);
        let (built, part, placed) =
            (place::release().join(&name), folder.join(format!(".{name}.part")), folder.join(&name));
        let same = || Some(fs::read(&built).ok()? == fs::read(&placed).ok()?);
        if built.exists() && same() != Some(true) {
            fs::copy(&built, &part)
                .and_then(|_| fs::rename(&part, &placed))
                .map_err(|error| format!("placing {}: {error}", built.display()))?;
        }
    }
    Ok(folder)
}

/// Builds the programs and plugins, for serving: no tests.
pub(crate) fn programs() -> Result<(), String> {
    let mut cargo = command::cargo(&["build", "--release", "--workspace"]);
    libtorch::configure(&mut cargo);
    command::run(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_are_read_from_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///x/plugins/kokoro#syrinx-plugin-kokoro@0.1.0",
            "manifest_path":"/x/plugins/kokoro/Cargo.toml","target":{"kind":["test"],"name":"kit"},"profile":{"test":true},
            "executable":"/x/target/release/deps/kit-1"}"#;
        let binary = test_binary(&line.replace('\n', "")).expect("it is one");
        assert_eq!(
            (binary.package.as_str(), binary.kind.as_str(), binary.name.as_str()),
            ("syrinx-plugin-kokoro", "test", "kit")
        );
        assert_eq!(binary.directory, Path::new("/x/plugins/kokoro"));
        let unnamed = line.replace("syrinx-plugin-kokoro@0.1.0", "0.1.0").replace('\n', "");
        assert_eq!(test_binary(&unnamed).expect("it is one").package, "kokoro");
        assert_eq!(test_binary(&line.replace("\"test\":true", "\"test\":false").replace('\n', "")), None);
        assert_eq!(test_binary("not JSON"), None);
    }
}
