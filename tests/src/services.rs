//! Services for models that are loaded without a server.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use syrinx_plugin_api::{Device, Level, MetricKind, host_side::HostServices};

/// A host that remembers what it was told.
#[derive(Debug, Default)]
pub struct Services {
    /// Answer to `cache_dir`.
    pub cache_dir: PathBuf,
    /// Answers to `runtime_library`.
    pub runtimes: BTreeMap<String, PathBuf>,
    log: Mutex<Vec<String>>,
    stages: Mutex<Vec<String>>,
}

impl Services {
    /// A host with these native runtimes.
    pub fn with_runtimes(runtimes: BTreeMap<String, PathBuf>) -> Self {
        Self { runtimes, ..Self::default() }
    }

    /// Lines logged so far.
    pub fn log_lines(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stages of loading so far.
    pub fn stages(&self) -> Vec<String> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HostServices for Services {
    fn log(&self, level: Level, message: &str) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{level:?} {message}"));
    }

    fn metric(&self, _kind: MetricKind, _name: &str, _labels: &BTreeMap<String, String>, _value: f64) {}

    fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone()
    }

    fn runtime_library(&self, name: &str) -> Option<PathBuf> {
        self.runtimes.get(name).cloned()
    }

    fn progress(&self, _fraction: f32, stage: &str) {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).push(stage.to_owned());
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn devices(&self) -> Vec<Device> {
        vec![Device { id: "cpu".into(), name: "test".into(), memory_bytes: None }]
    }
}
