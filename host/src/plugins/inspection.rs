//! Opening a plugin in a process that may die of it.
//!
//! Opening runs the dynamic linker over the file and initialisers in it. A file that is subtly broken faults there, and no
//! check of its headers finds all of that. So every file is opened by another process of this program first, which tells
//! what the plugin says of itself. This one opens it only when a model is to run in it: a host whose models all have
//! processes of their own has no plugin mapped.

use syrinx_plugin_api::Manifest;

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// No such process can be had.
    #[error("no process to open it in can be started: {0}")]
    Unstartable(std::io::Error),
    /// It was opened, and is no plugin for this host.
    #[error("{0}")]
    Refused(String),
    /// The dynamic linker can't open it.
    #[error("{0}")]
    Unlinkable(String),
    /// Opening it took its process down.
    #[error("opening it ends the process ({ending}); rebuild it{last_words}")]
    Deadly {
        /// How that process ended.
        ending: String,
        /// What it printed.
        last_words: String,
    },
    /// Nothing came.
    #[error("opening it takes longer than {0} s")]
    Endless(u64),
}

#[cfg(unix)]
pub(crate) use process::answer;
pub(crate) use process::inspect;

#[cfg(unix)]
mod process {
    use super::{InspectionError, Manifest};
    use crate::program;
    use serde::{Deserialize, Serialize};
    use std::{
        io::{self, PipeReader, Read as _, Write as _},
        os::{
            fd::{AsFd as _, OwnedFd},
            unix::{net::UnixStream, process::CommandExt as _},
        },
        path::Path,
        process::{Command, Stdio},
        sync::mpsc,
        thread,
        time::Duration,
    };
    use syrinx_plugin_api::host_side::{OpenError, PluginLibrary};

    /// The command that [`answer`]s.
    pub(crate) const COMMAND: &str = "inspect-plugin";

    /// Opening takes milliseconds; a machine may be very busy.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Bytes of its last words that are shown, and how long they may be on their way after the end.
    const LAST_WORDS: u64 = 2000;
    const ECHO: Duration = Duration::from_millis(200);

    /// What is wrong with a file, on its way.
    #[derive(Serialize, Deserialize)]
    struct Complaint {
        message: String,
        is_linkers: bool,
    }

    impl Complaint {
        fn of(error: OpenError) -> Self {
            Self { is_linkers: matches!(error, OpenError::Linker(_)), message: error.to_string() }
        }
    }

    impl From<Complaint> for InspectionError {
        fn from(complaint: Complaint) -> Self {
            if complaint.is_linkers { Self::Unlinkable(complaint.message) } else { Self::Refused(complaint.message) }
        }
    }

    /// What the plugin in `file` says of itself.
    pub(crate) fn inspect(file: &Path) -> Result<Manifest, InspectionError> {
        let (ours, theirs) = UnixStream::pair().map_err(InspectionError::Unstartable)?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(InspectionError::Unstartable)?;
        let (said, says) = io::pipe().map_err(InspectionError::Unstartable)?;
        let mut command = Command::new(program::running().map_err(InspectionError::Unstartable)?);
        command.arg(COMMAND).arg(file).stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(says.try_clone().map_err(InspectionError::Unstartable)?).stderr(says).process_group(0);
        let mut child = command.spawn().map_err(InspectionError::Unstartable)?;
        // Its ends of socket and pipe must be its own, or their end would never be seen.
        drop(command);
        let last_words = listen(said);
        let answer = Result::<Manifest, Complaint>::deserialize(&mut serde_json::Deserializer::from_reader(&ours));
        let ended_itself = matches!(&answer, Err(error) if error.is_eof());
        if !ended_itself {
            let _ = child.kill();
        }
        let ending = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        match answer {
            Ok(answer) => answer.map_err(Complaint::into),
            Err(_) if !ended_itself => Err(InspectionError::Endless(PATIENCE.as_secs())),
            Err(_) => {
                let words = last_words.recv_timeout(ECHO).unwrap_or_default();
                let last_words = if words.is_empty() { words } else { format!("; its last words: {words}") };
                Err(InspectionError::Deadly { ending, last_words })
            }
        }
    }

    fn listen(said: PipeReader) -> mpsc::Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut words = Vec::new();
            let _ = said.take(LAST_WORDS).read_to_end(&mut words);
            let words = String::from_utf8_lossy(&words);
            let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let _ = sender.send(lines.join(" | "));
        });
        receiver
    }

    /// The other process: opens `file` and answers on standard input, which is a socket.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn answer(file: &Path) -> io::Result<()> {
        let mut asker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let answer = PluginLibrary::open(file).map_err(Complaint::of);
        let answer = answer.as_ref().map(PluginLibrary::manifest);
        asker.write_all(&serde_json::to_vec(&answer)?)
    }
}

#[cfg(not(unix))]
mod process {
    use super::{InspectionError, Manifest};
    use std::path::Path;
    use syrinx_plugin_api::host_side::PluginLibrary;

    /// What the plugin in `file` says of itself. Opens it in this process.
    pub(crate) fn inspect(file: &Path) -> Result<Manifest, InspectionError> {
        let library = PluginLibrary::open(file).map_err(|error| InspectionError::Refused(error.to_string()))?;
        Ok(library.manifest().clone())
    }
}
