//! Running other programs.

use crate::place;
use std::{
    env,
    fs::File,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Cargo, in the workspace, building where this program was built.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(place::root()).env("CARGO_TARGET_DIR", place::target());
    command
}

/// Runs to the end, with its output on ours.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| unstartable(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", describe(command))) }
}

/// Runs to the end and returns what it printed on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| unstartable(command, &error))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{}: {}\n{}", describe(command), output.status, String::from_utf8_lossy(&output.stdout)))
    }
}

/// How a run with its output in a file ended.
pub(crate) struct Logged {
    /// Whether it ended well.
    pub(crate) success: bool,
    /// How it ended, in words.
    pub(crate) ending: String,
    /// Everything that it printed.
    pub(crate) text: String,
}

/// Runs with both outputs in the file `log`, and ends the program when it takes longer than `limit`.
pub(crate) fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<Logged, String> {
    let named = |error: std::io::Error| format!("{}: {error}", log.display());
    let file = File::create(log).map_err(named)?;
    command.stdin(Stdio::null()).stdout(file.try_clone().map_err(named)?).stderr(file);
    let mut child = command.spawn().map_err(|error| unstartable(command, &error))?;
    let started = Instant::now();
    let (success, ending) = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break (status.success(), status.to_string()),
            None if started.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                break (false, format!("ended after {} s without a result", limit.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let text = std::fs::read(log).map_err(named)?;
    Ok(Logged { success, ending, text: String::from_utf8_lossy(&text).into_owned() })
}

/// The command as one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn unstartable(command: &Command, error: &std::io::Error) -> String {
    format!("{} does not start: {error}", command.get_program().to_string_lossy())
}
