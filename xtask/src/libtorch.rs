//! libtorch, for the plugin `chattts`. The libraries are those of the catalogue's runtime, in the user's store, where the built plugin then
//! looks for them; the headers, which only building needs, come out of the same wheel. For cards everything is installed beside what is built.

use crate::{command, place, wheels};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The plugin's family.
pub(crate) const FAMILY: &str = "chattts";
/// The plugin's feature that needs libtorch.
const FEATURE: &str = "syrinx-plugin-chattts/torch";
/// Name of the runtime in the catalogue.
const RUNTIME: &str = "libtorch";

/// Takes a wheel's headers out: `wheel folder`.
const TAKE_HEADERS: &str = "import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.startswith('torch/include/')])";

/// Headers and libraries.
pub(crate) struct Libtorch {
    /// Holds `include`.
    headers: PathBuf,
    /// Holds `lib`.
    libraries: PathBuf,
}

impl Libtorch {
    /// Makes `cargo`, which builds the whole workspace or the plugin's package, build the plugin with libtorch.
    pub(crate) fn configure(&self, cargo: &mut Command) {
        cargo.args(["--features", FEATURE]);
        cargo.env("LIBTORCH", &self.libraries).env("LIBTORCH_INCLUDE", &self.headers);
        // Others would win over these.
        cargo.env_remove("LIBTORCH_LIB").env_remove("LIBTORCH_USE_PYTORCH");
    }
}

/// Makes `cargo`, which builds the whole workspace, build the plugin with libtorch if that was provided before.
pub(crate) fn configure(cargo: &mut Command) {
    if let Some(libtorch) = provided() {
        libtorch.configure(cargo);
    }
}

fn folder() -> PathBuf {
    place::target().join("libtorch")
}

fn list(name: &str) -> PathBuf {
    place::root().join("xtask/libtorch").join(name).with_extension("txt")
}

/// Where the libraries are is noted here, beside the headers.
fn note() -> PathBuf {
    folder().join("libraries.txt")
}

/// What is there already, without asking the network.
fn provided() -> Option<Libtorch> {
    let libraries = PathBuf::from(fs::read_to_string(note()).ok()?);
    let is_there = wheels::is_there(&list("torch"), &folder()) && libraries.join("lib").is_dir();
    is_there.then(|| Libtorch { headers: folder().join("torch"), libraries })
}

/// Fetches headers and libraries, unless they are there: 0.5 GB.
pub(crate) fn provide() -> Result<Libtorch, String> {
    if let Some(provided) = provided() {
        return Ok(provided);
    }
    let folder = folder();
    wheels::provide(&list("torch"), &folder, || {
        let wheel = download(&folder.join("wheels"))?;
        command::run(Command::new("python3").args(["-c", TAKE_HEADERS]).arg(&wheel).arg(&folder))?;
        let libraries = libraries(&folder.join("wheels"))?;
        fs::write(note(), libraries.display().to_string()).map_err(|error| format!("{}: {error}", note().display()))?;
        // The store has what it needs of it.
        let _ = fs::remove_dir_all(folder.join("wheels"));
        Ok(())
    })?;
    provided().ok_or_else(|| format!("libtorch is not where it was put; remove {} and try again", folder.display()))
}

/// Fetches libtorch for cards, unless it is there: 3.2 GB.
pub(crate) fn provide_cuda() -> Result<Libtorch, String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err("libtorch for NVIDIA cards is fetched for Linux on x86_64 only; elsewhere name yours in LIBTORCH and use cargo's --features torch".to_owned());
    }
    let target = place::target().join("libtorch-cuda");
    wheels::install(&list("cuda"), &target)?;
    let torch = target.join("torch");
    Ok(Libtorch { headers: torch.clone(), libraries: torch })
}

/// The wheel for this machine, in `into`.
fn download(into: &Path) -> Result<PathBuf, String> {
    let platform = match (env::consts::OS, env::consts::ARCH) {
        ("linux", arch @ ("x86_64" | "aarch64")) => format!("manylinux_2_28_{arch}"),
        ("macos", "aarch64") => "macosx_11_0_arm64".to_owned(),
        (os, arch) => {
            return Err(format!(
                "there is no libtorch for {os} on {arch} here; name yours in LIBTORCH and use cargo's --features torch"
            ));
        }
    };
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]);
    pip.args(["--implementation", "cp", "--python-version", "3.12", "--abi", "cp312", "--platform", &platform]);
    command::run(pip.arg("--dest").arg(into).arg("--requirement").arg(list("torch")))?;
    let mut files = fs::read_dir(into).map_err(|error| format!("{}: {error}", into.display()))?.filter_map(Result::ok);
    files.next().map(|entry| entry.path()).ok_or_else(|| "pip downloaded nothing".to_owned())
}

/// The directory that holds `lib`, in the user's store. `wheels` saves a second download of the large one.
fn libraries(wheels: &Path) -> Result<PathBuf, String> {
    let mut links = wheels.as_os_str().to_owned();
    if let Some(others) = env::var_os("PIP_FIND_LINKS") {
        links.push(" ");
        links.push(others);
    }
    let mut fetch =
        command::cargo(&["run", "--quiet", "--release", "--package", "syrinx-registry", "--example", "fetch"]);
    fetch.arg("--").arg(format!("runtime:{RUNTIME}")).env("PIP_FIND_LINKS", links);
    let printed = command::output(&mut fetch)?;
    let library = printed.lines().last().and_then(|line| line.split('\t').next_back()).map(PathBuf::from);
    let root = library.as_deref().and_then(Path::parent).and_then(Path::parent).map(Path::to_owned);
    root.ok_or_else(|| format!("fetching {RUNTIME} printed {printed:?}"))
}
