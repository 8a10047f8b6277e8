//! This program: for starting it again, and what lies beside it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The program that runs, also when its file has been replaced since: Linux keeps it under this name.
pub(crate) fn running() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

/// The directory `plugins` next to the program, which need not exist.
pub(crate) fn plugins() -> io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("plugins"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_running_program_can_be_started() {
        assert!(std::process::Command::new(super::running().unwrap()).arg("--list").output().unwrap().status.success());
    }
}
