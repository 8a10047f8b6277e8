//! Opening a plugin in a process that may die of it.
//!
//! Opening runs the dynamic linker over the file and initialisers in it. A file that is subtly broken faults there, and no
//! check of its headers finds all of that. So every file is opened by another process of this program first, which tells
//! what the plugin says of itself. This one opens it only when a model is to run in it: a host whose models all have
//! processes of their own has no plugin mapped.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use syrinx_plugin_api::{
    Device, Error, Level, LoadRequest, Manifest, MetricKind, ModelCard,
    host_side::{HostServices, PluginLibrary},
};

/// Why there is no manifest, or no model.
#[derive(Debug, thiserror::Error)]
pub enum InspectionError {
    /// No such process can be had.
    #[error("no process to open it in can be started: {0}")]
    Unstartable(io::Error),
    /// It was opened, and is no plugin for this host.
    #[error("{0}")]
    Refused(String),
    /// The dynamic linker can't open it.
    #[error("{0}")]
    Unlinkable(String),
    /// It was opened, and doesn't load the model.
    #[error("the model can't be loaded: {0}")]
    Unloadable(String),
    /// Opening it, or loading the model, took its process down.
    #[error("{step} ends the process ({ending}); {advice}{last_words}")]
    Deadly {
        /// What was being done.
        step: &'static str,
        /// How that process ended.
        ending: String,
        /// What to do.
        advice: &'static str,
        /// What it printed.
        last_words: String,
    },
    /// Nothing came.
    #[error("{step} takes longer than {seconds} s")]
    Endless {
        /// What was being done.
        step: &'static str,
        /// How long was waited.
        seconds: u64,
    },
}

/// A model to be loaded for a look at it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// What to load.
    pub(crate) request: LoadRequest,
    /// Native runtimes by name.
    pub(crate) runtimes: BTreeMap<String, PathBuf>,
    /// The plugin's own directory.
    pub(crate) cache_dir: PathBuf,
}

/// A question to the process in which a plugin is opened: its name, what to do when it is deadly, and how long it may take.
struct Question {
    step: &'static str,
    advice: &'static str,
    patience: Duration,
}

/// What the plugin says of itself. Opening takes milliseconds; a machine may be very busy.
const OPEN: Question = Question { step: "opening it", advice: "rebuild it", patience: Duration::from_secs(30) };

/// What a model says of itself.
const fn load_within(patience: Duration) -> Question {
    Question { step: "loading the model", advice: "see whether its files are those that the plugin is for", patience }
}

/// What a model says of itself that is loaded, and runs once.
fn card_of(library: &PluginLibrary, trial: Trial) -> Result<ModelCard, Error> {
    let Trial { request, runtimes, cache_dir } = trial;
    let model = library.load(&request, Arc::new(Services { runtimes, cache_dir }))?;
    model.warm_up()?;
    Ok(model.card().clone())
}

/// What a model needs that serves nobody.
struct Services {
    runtimes: BTreeMap<String, PathBuf>,
    cache_dir: PathBuf,
}

impl HostServices for Services {
    /// What may tell why the process ends.
    fn log(&self, level: Level, message: &str) {
        if matches!(level, Level::Error | Level::Warn) {
            let _ = writeln!(io::stderr(), "{message}");
        }
    }

    fn metric(&self, _: MetricKind, _: &str, _: &BTreeMap<String, String>, _: f64) {}

    fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone()
    }

    fn runtime_library(&self, name: &str) -> Option<PathBuf> {
        self.runtimes.get(name).cloned()
    }

    fn progress(&self, _: f32, _: &str) {}

    fn is_cancelled(&self) -> bool {
        false
    }

    fn devices(&self) -> Vec<Device> {
        crate::machine::devices()
    }
}

#[cfg(unix)]
pub(crate) use process::answer;
pub(crate) use process::{inspect, load};

#[cfg(unix)]
mod process {
    use super::{InspectionError, Manifest, OPEN, Question, Trial, card_of, load_within};
    use crate::program;
    use serde::{Deserialize, Serialize, de::DeserializeOwned};
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
    use syrinx_plugin_api::{
        Error, ModelCard,
        host_side::{OpenError, PluginLibrary},
    };

    /// The command that [`answer`]s.
    pub(crate) const COMMAND: &str = "inspect-plugin";

    /// Bytes of its last words that are shown, and how long they may be on their way after the end.
    const LAST_WORDS: usize = 2000;
    const ECHO: Duration = Duration::from_millis(200);

    /// What is wrong with a file or a model, on its way.
    #[derive(Serialize, Deserialize)]
    enum Complaint {
        Linkers(String),
        Hosts(String),
        Models(String),
    }

    impl From<OpenError> for Complaint {
        fn from(error: OpenError) -> Self {
            let message = error.to_string();
            if matches!(error, OpenError::Linker(_)) { Self::Linkers(message) } else { Self::Hosts(message) }
        }
    }

    impl From<Error> for Complaint {
        fn from(error: Error) -> Self {
            Self::Models(error.to_string())
        }
    }

    impl From<Complaint> for InspectionError {
        fn from(complaint: Complaint) -> Self {
            match complaint {
                Complaint::Linkers(message) => Self::Unlinkable(message),
                Complaint::Hosts(message) => Self::Refused(message),
                Complaint::Models(message) => Self::Unloadable(message),
            }
        }
    }

    /// What the plugin in `file` says of itself.
    pub(crate) fn inspect(file: &Path) -> Result<Manifest, InspectionError> {
        ask(file, None, &OPEN)
    }

    /// What a model says of itself that the plugin in `file` loads, and runs once, for no longer than `patience`.
    pub(crate) fn load(file: &Path, trial: Trial, patience: Duration) -> Result<ModelCard, InspectionError> {
        ask(file, Some(&trial), &load_within(patience))
    }

    fn ask<T: DeserializeOwned>(file: &Path, trial: Option<&Trial>, question: &Question) -> Result<T, InspectionError> {
        let Question { step, advice, patience } = *question;
        let (mut ours, theirs) = UnixStream::pair().map_err(InspectionError::Unstartable)?;
        ours.set_read_timeout(Some(patience)).map_err(InspectionError::Unstartable)?;
        let (said, says) = io::pipe().map_err(InspectionError::Unstartable)?;
        let mut command = Command::new(program::running().map_err(InspectionError::Unstartable)?);
        command.arg(COMMAND).arg(file).stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(says.try_clone().map_err(InspectionError::Unstartable)?).stderr(says).process_group(0);
        let mut child = command.spawn().map_err(InspectionError::Unstartable)?;
        // Its ends of socket and pipe must be its own, or their end would never be seen.
        drop(command);
        let last_words = listen(said);
        let words = serde_json::to_vec(&trial).map_err(|error| InspectionError::Unstartable(error.into()))?;
        // One that has ended already doesn't answer, either.
        let _ = ours.write_all(&words);
        let answer = Result::<T, Complaint>::deserialize(&mut serde_json::Deserializer::from_reader(&ours));
        let ended_itself = matches!(&answer, Err(error) if error.is_eof() || is_reset(error));
        if !ended_itself {
            let _ = child.kill();
        }
        let ending = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        match answer {
            Ok(answer) => answer.map_err(Complaint::into),
            Err(_) if !ended_itself => Err(InspectionError::Endless { step, seconds: patience.as_secs() }),
            Err(_) => {
                let words = last_words.recv_timeout(ECHO).unwrap_or_default();
                let last_words = if words.is_empty() { words } else { format!("; its last words: {words}") };
                Err(InspectionError::Deadly { step, ending, advice, last_words })
            }
        }
    }

    /// What the end of a process looks like that has not read everything.
    fn is_reset(error: &serde_json::Error) -> bool {
        error.io_error_kind() == Some(io::ErrorKind::ConnectionReset)
    }

    /// Hears everything, or whoever prints would fail at it, and keeps the end.
    fn listen(mut said: PipeReader) -> mpsc::Receiver<String> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let (mut words, mut piece) = (Vec::new(), [0; LAST_WORDS]);
            while let Ok(count @ 1..) = said.read(&mut piece) {
                words.extend_from_slice(&piece[..count]);
                words.drain(..words.len().saturating_sub(LAST_WORDS));
            }
            let words = String::from_utf8_lossy(&words);
            let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
            let _ = sender.send(lines.join(" | "));
        });
        receiver
    }

    /// The other process: opens `file`, loads a model if that is asked for, and answers on standard input, which is a socket.
    ///
    /// # Errors
    /// When nobody is there.
    pub(crate) fn answer(file: &Path) -> io::Result<()> {
        let mut asker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let trial = Option::<Trial>::deserialize(&mut serde_json::Deserializer::from_reader(&asker))?;
        let library = PluginLibrary::open(file).map_err(Complaint::from);
        let answer = match trial {
            None => serde_json::to_vec(&library.as_ref().map(PluginLibrary::manifest)),
            Some(trial) => {
                let card = library.and_then(|library| card_of(&library, trial).map_err(Complaint::from));
                serde_json::to_vec(&card)
            }
        };
        asker.write_all(&answer?)
    }
}

#[cfg(not(unix))]
mod process {
    use super::{InspectionError, Manifest, Trial, card_of};
    use std::{path::Path, time::Duration};
    use syrinx_plugin_api::{ModelCard, host_side::PluginLibrary};

    /// What the plugin in `file` says of itself. Opens it in this process.
    pub(crate) fn inspect(file: &Path) -> Result<Manifest, InspectionError> {
        Ok(open(file)?.manifest().clone())
    }

    /// What a model says of itself that the plugin in `file` loads. Loads it in this process, for as long as that takes.
    pub(crate) fn load(file: &Path, trial: Trial, _patience: Duration) -> Result<ModelCard, InspectionError> {
        card_of(&open(file)?, trial).map_err(|error| InspectionError::Unloadable(error.to_string()))
    }

    fn open(file: &Path) -> Result<PluginLibrary, InspectionError> {
        PluginLibrary::open(file).map_err(|error| InspectionError::Refused(error.to_string()))
    }
}
