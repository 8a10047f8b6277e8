//! Debian's packages, unpacked below the target directory. Nothing is installed into the system.

use crate::workspace;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// The root of a tree with these packages (`name` or `name=version`) and what they need that this system lacks.
/// `home` is a name below the target directory.
///
/// # Errors
/// When apt can't provide them; says why.
pub fn unpacked(home: &str, packages: impl FnOnce() -> Result<Vec<String>, String>) -> Result<PathBuf, String> {
    let home = workspace::scratch(home);
    let (root, complete) = (home.join("root"), home.join("complete"));
    // Two test programs may want it at once.
    let lock = File::create(home.join(".lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if complete.is_file() {
        return Ok(root);
    }
    let downloads = home.join("packages");
    for dir in [&root, &downloads] {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    download(&packages()?, &downloads)?;
    for package in fs::read_dir(&downloads).map_err(|error| error.to_string())? {
        let package = package.map_err(|error| error.to_string())?.path();
        output(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
    }
    fs::write(&complete, "").map_err(|error| error.to_string())?;
    let _ = fs::remove_dir_all(&downloads);
    Ok(root)
}

/// What programs below `root` need as `LD_LIBRARY_PATH`.
pub fn libraries(root: &Path) -> String {
    let dirs = ["usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|dir| root.join(dir));
    let dirs = dirs.iter().filter(|dir| dir.is_dir()).map(|dir| dir.display().to_string());
    dirs.collect::<Vec<_>>().join(":")
}

/// Versions of a package that apt offers, newest first.
///
/// # Errors
/// When apt isn't there, or can't fetch its lists.
pub fn versions(package: &str) -> Result<Vec<String>, String> {
    let ask = || output(Command::new("apt-cache").args(["madison", package]));
    let mut table = ask()?;
    if table.trim().is_empty() {
        // A fresh container has no package lists; only its root may fetch them.
        output(Command::new("apt-get").arg("update"))?;
        table = ask()?;
    }
    Ok(table.lines().filter_map(|line| line.split('|').nth(1)).map(|version| version.trim().to_owned()).collect())
}

fn download(wanted: &[String], into: &Path) -> Result<(), String> {
    let plan = output(Command::new("apt-get").args(["install", "--simulate", "--no-install-recommends"]).args(wanted))?;
    let packages: Vec<String> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| {
            let (name, rest) = line.split_once(" (")?;
            // `Inst name [installed] (new …`: the old version, when there is one, is of no interest.
            let name = name.split(' ').next()?;
            Some(format!("{name}={}", rest.split(' ').next()?))
        })
        .collect();
    output(Command::new("apt-get").arg("download").args(&packages).current_dir(into)).map(drop)
}

/// The standard output of a command that succeeds.
///
/// # Errors
/// When it doesn't; with its standard error.
pub fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{:?} does not start: {error}", command.get_program()))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
