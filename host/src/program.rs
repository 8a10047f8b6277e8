//! This program, for starting it again.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The program that runs, also when its file has been replaced since: Linux keeps it under this name.
pub(crate) fn running() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    if running.exists() { Ok(running.to_owned()) } else { std::env::current_exe() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_running_program_can_be_started() {
        assert!(std::process::Command::new(super::running().unwrap()).arg("--list").output().unwrap().status.success());
    }
}
