//! Runs pip and npm: bounded in time, ended with all their children when the caller cancels, their last words kept for the error.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;

/// How often the child, the token and the caller's progress are looked at.
const POLL: Duration = Duration::from_millis(100);
/// How much of a child's output is kept. [bytes]
const KEPT: usize = 32 * 1024;
/// How long output is waited for once the child is gone: something it started may hold the pipes open.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a child gave no success.
#[derive(Debug)]
pub(super) enum ChildError {
    /// There is no such program.
    NotFound,
    /// It could not be started.
    Start(std::io::Error),
    /// It ended with an error; what it wrote, standard error last.
    Failed(String),
    /// It took longer than allowed.
    TooSlow(Duration),
    Cancelled,
}

/// Runs a command to its end. `tick` is called several times a second.
pub(super) fn run(
    command: &mut Command,
    limit: Duration,
    cancel: &CancelToken,
    mut tick: impl FnMut(),
) -> Result<String, ChildError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    own_group(command);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ChildError::NotFound,
        _ => ChildError::Start(error),
    })?;
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(error) => {
                end(&mut child);
                return Err(ChildError::Start(error));
            }
        }
        if cancel.is_cancelled() {
            end(&mut child);
            return Err(ChildError::Cancelled);
        }
        if started.elapsed() > limit {
            end(&mut child);
            return Err(ChildError::TooSlow(limit));
        }
        tick();
        std::thread::sleep(POLL);
    };
    let out = out.map(Collected::take).unwrap_or_default();
    let err = err.map(Collected::take).unwrap_or_default();
    if status.success() { Ok(out) } else { Err(ChildError::Failed(last_words(status, &out, &err))) }
}

fn last_words(status: ExitStatus, out: &str, err: &str) -> String {
    const SHOWN: usize = 6;
    let text = if err.trim().is_empty() { out } else { err };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let shown = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    if shown.is_empty() { status.to_string() } else { shown }
}

/// Output of a child, read on a thread of its own so that a full pipe never blocks it.
struct Collected {
    text: mpsc::Receiver<String>,
    _thread: JoinHandle<()>,
}

fn collect(mut pipe: impl Read + Send + 'static) -> Collected {
    let (to, text) = mpsc::sync_channel(1);
    let thread = std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut buffer = [0u8; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            kept.extend_from_slice(&buffer[..count]);
            if kept.len() > 2 * KEPT {
                kept.drain(..kept.len() - KEPT);
            }
        }
        let _ = to.send(String::from_utf8_lossy(&kept).into_owned());
    });
    Collected { text, _thread: thread }
}

impl Collected {
    fn take(self) -> String {
        self.text.recv_timeout(DRAIN).unwrap_or_default()
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_command: &mut Command) {}

/// Ends the child and what it started.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    // Either may fail because the child is gone already, which is what was wanted.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_failure_and_absence() {
        let cancel = CancelToken::new();
        let limit = Duration::from_secs(10);
        assert_eq!(run(&mut shell("echo hi"), limit, &cancel, || {}).unwrap(), "hi\n");
        let Err(ChildError::Failed(words)) = run(&mut shell("echo out; echo err >&2; exit 3"), limit, &cancel, || {})
        else {
            panic!()
        };
        assert_eq!(words, "err");
        assert!(matches!(
            run(&mut Command::new("no-such-program-at-all"), limit, &cancel, || {}),
            Err(ChildError::NotFound)
        ));
    }

    #[test]
    fn cancelled_with_its_children() {
        let cancel = CancelToken::new();
        let mut ticks = 0;
        let started = Instant::now();
        let result = run(&mut shell("sleep 30 & sleep 30; wait"), Duration::from_secs(60), &cancel, || {
            ticks += 1;
            if ticks == 3 {
                cancel.cancel();
            }
        });
        assert!(matches!(result, Err(ChildError::Cancelled)), "{result:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn limited_in_time() {
        let result = run(&mut shell("sleep 30"), Duration::from_millis(300), &CancelToken::new(), || {});
        assert!(matches!(result, Err(ChildError::TooSlow(_))), "{result:?}");
    }

    #[test]
    fn a_background_child_does_not_hold_the_output() {
        let started = Instant::now();
        let result = run(&mut shell("sleep 30 & echo $!"), Duration::from_secs(20), &CancelToken::new(), || {});
        assert!(started.elapsed() < Duration::from_secs(10));
        assert!(result.is_ok());
    }
}
