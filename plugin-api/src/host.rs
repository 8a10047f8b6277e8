//! What the host does for a model.

use crate::{abi::RawHostBox, Device};
use abi_stable::std_types::RStr;
use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
    Trace = 5,
}

/// What a metric's value does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// The value is added.
    Counter = 0,
    /// The value replaces the old one.
    Gauge = 1,
    /// The value is one observation.
    Histogram = 2,
}

/// The host's services. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Host(Target);

#[derive(Clone)]
enum Target {
    Real(Arc<RawHostBox>),
    Detached(Arc<Detached>),
}

/// Settings of a host that isn't there: what a model sees in unit tests and kit runs.
#[derive(Clone, Debug, Default)]
pub struct Detached {
    /// Answer of [`Host::cache_dir`].
    pub cache_dir: PathBuf,
    /// Answers of [`Host::runtime_library`].
    pub runtime_libraries: BTreeMap<String, PathBuf>,
}

impl Host {
    pub(crate) fn from_raw(raw: RawHostBox) -> Self {
        Self(Target::Real(Arc::new(raw)))
    }

    /// A host without a server, for tests and tools: log lines go to standard error, metrics nowhere.
    pub fn detached(settings: Detached) -> Self {
        Self(Target::Detached(Arc::new(settings)))
    }

    /// Writes into the host's log.
    pub fn log(&self, level: Level, message: &str) {
        match &self.0 {
            Target::Real(raw) => raw.log(level as u8, RStr::from_str(message)),
            Target::Detached(_) => eprintln!("{level:?}: {message}"),
        }
    }

    /// Reports a measurement under `syrinx_plugin_<name>`.
    pub fn metric(&self, kind: MetricKind, name: &str, labels: &BTreeMap<String, String>, value: f64) {
        if let Target::Real(raw) = &self.0 {
            let labels = serde_json::to_string(labels).unwrap_or_default();
            raw.metric(kind as u8, RStr::from_str(name), RStr::from_str(&labels), value);
        }
    }

    /// A directory that belongs to this plugin and survives restarts.
    pub fn cache_dir(&self) -> PathBuf {
        match &self.0 {
            Target::Real(raw) => PathBuf::from(raw.cache_dir().as_str()),
            Target::Detached(settings) => settings.cache_dir.clone(),
        }
    }

    /// Path of a native runtime's shared library, when it is provisioned: `onnxruntime`, `libtorch`.
    pub fn runtime_library(&self, name: &str) -> Option<PathBuf> {
        match &self.0 {
            Target::Real(raw) => {
                raw.runtime_library(RStr::from_str(name)).into_option().map(|path| PathBuf::from(path.as_str()))
            }
            Target::Detached(settings) => settings.runtime_libraries.get(name).cloned(),
        }
    }

    /// Tells how far a load is: fraction 0…1, and what is being done.
    pub fn progress(&self, fraction: f32, stage: &str) {
        if let Target::Real(raw) = &self.0 {
            raw.progress(fraction, RStr::from_str(stage));
        }
    }

    /// Whether the load is no longer wanted. Long loads ask now and then.
    pub fn is_cancelled(&self) -> bool {
        match &self.0 {
            Target::Real(raw) => raw.is_cancelled(),
            Target::Detached(_) => false,
        }
    }

    /// What there is to compute on. Empty where the host is too old to say.
    #[cfg(not(feature = "test-abi-1-0"))]
    pub fn devices(&self) -> Vec<Device> {
        match &self.0 {
            Target::Real(raw) => serde_json::from_str(raw.devices().as_str()).unwrap_or_default(),
            Target::Detached(_) => Vec::new(),
        }
    }

    /// ABI 1.0 has no device list.
    #[cfg(feature = "test-abi-1-0")]
    pub fn devices(&self) -> Vec<Device> {
        Vec::new()
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Target::Real(_) => "Host",
            Target::Detached(_) => "Host(detached)",
        })
    }
}
