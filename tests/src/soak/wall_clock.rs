//! The server's wall clock, which the campaign turns: a library between the server and the system adds what a file says to the
//! time of the day. Deadlines, queues and pauses go by another clock, which nobody turns.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The library.
const SOURCE: &str = include_str!("turned_clock.c");

/// A clock that can be turned, for whoever is started with its [variables](Self::variables).
#[derive(Debug)]
pub(super) struct WallClock {
    dir: tempfile::TempDir,
    file: File,
    turned_by: AtomicI64, // s
}

impl WallClock {
    /// Builds the library with the C compiler that is there, `$CC` or `cc`.
    ///
    /// # Errors
    /// When there is none, or no temporary directory.
    pub(super) fn build() -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let dir = tempfile::tempdir().map_err(told)?;
        let source = dir.path().join("turned_clock.c");
        fs::write(&source, SOURCE).map_err(told)?;
        let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(&compiler);
        command.args(["-shared", "-fPIC", "-O2", "-o"]).arg(library(dir.path())).arg(&source).arg("-ldl");
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("the C compiler {compiler:?} does not start: {error}"))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("the C compiler {compiler:?} can't build it: {complaint}"));
        }
        let file = File::options().write(true).create_new(true).open(offset(dir.path())).map_err(told)?;
        let clock = Self { dir, file, turned_by: AtomicI64::new(0) };
        clock.turn(0).map_err(told)?;
        Ok(clock)
    }

    /// What a program is to be started with.
    pub(super) fn variables(&self) -> [(String, String); 2] {
        let mut libraries = OsString::from(library(self.dir.path()));
        if let Some(others) = env::var_os("LD_PRELOAD") {
            libraries.push(":");
            libraries.push(others);
        }
        [
            ("LD_PRELOAD".to_owned(), libraries.to_string_lossy().into_owned()),
            ("TURNED_CLOCK".to_owned(), offset(self.dir.path()).display().to_string()),
        ]
    }

    /// Turns it by so many seconds more.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn turn(&self, seconds: i64) -> std::io::Result<()> {
        let turned_by = self.turned_by.fetch_add(seconds, Ordering::Relaxed) + seconds;
        self.file.write_all_at(&turned_by.to_ne_bytes(), 0)
    }

    /// How far it is turned. [s]
    pub(super) fn turned_by(&self) -> i64 {
        self.turned_by.load(Ordering::Relaxed)
    }

    /// What it shows. [s since 1970]
    pub(super) fn now(&self) -> f64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        real + self.turned_by() as f64
    }
}

fn library(dir: &Path) -> PathBuf {
    dir.join("libturned_clock.so")
}

fn offset(dir: &Path) -> PathBuf {
    dir.join("turned_by")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Programs that ask in different ways.
    #[test]
    fn programs_see_the_turned_clock() {
        let clock = WallClock::build().expect("there is a C compiler");
        let shown = |program: &[&str]| -> f64 {
            let mut command = Command::new(program[0]);
            let output = command.args(&program[1..]).envs(clock.variables()).output().expect("it starts");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
        };
        for by in [0, 3600, -2 * 3600, 400 * 24 * 3600] {
            clock.turn(by).expect("it is our file");
            for program in [&["date", "+%s"][..], &["python3", "-c", "import time; print(time.time())"]] {
                assert!((shown(program) - clock.now()).abs() < 30.0, "{program:?} after {by} s");
            }
        }
        let monotonic = ["python3", "-c", "import time; print(time.monotonic())"];
        let before = shown(&monotonic);
        clock.turn(-500 * 24 * 3600).expect("it is our file");
        assert!((0.0..30.0).contains(&(shown(&monotonic) - before)), "nobody turns this one");
    }
}
