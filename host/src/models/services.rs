//! What the host does for one model: the other end of `syrinx_plugin_api::Host`.

use super::loading::LoadReport;
use std::{collections::BTreeMap, path::PathBuf};
use syrinx_plugin_api::{Device, Level, MetricKind, host_side::HostServices};
use syrinx_registry::CancelToken;

/// Services for a model that is being loaded or serves.
pub(crate) struct Services {
    pub(crate) uid: String,
    pub(crate) plugin: String,
    pub(crate) cache_dir: PathBuf,
    pub(crate) runtimes: BTreeMap<String, PathBuf>,
    pub(crate) cancel: CancelToken,
    pub(crate) report: LoadReport,
}

impl HostServices for Services {
    fn log(&self, level: Level, message: &str) {
        let (plugin, uid) = (self.plugin.as_str(), self.uid.as_str());
        match level {
            Level::Error => tracing::error!(plugin, uid, "{message}"),
            Level::Warn => tracing::warn!(plugin, uid, "{message}"),
            Level::Info => tracing::info!(plugin, uid, "{message}"),
            Level::Debug => tracing::debug!(plugin, uid, "{message}"),
            Level::Trace => tracing::trace!(plugin, uid, "{message}"),
        }
    }

    fn metric(&self, kind: MetricKind, name: &str, labels: &BTreeMap<String, String>, value: f64) {
        crate::metrics::reported(kind, name, labels, &self.uid, value);
    }

    fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone()
    }

    fn runtime_library(&self, name: &str) -> Option<PathBuf> {
        self.runtimes.get(name).cloned()
    }

    fn progress(&self, fraction: f32, stage: &str) {
        (self.report)(fraction.clamp(0.0, 1.0), stage);
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    fn devices(&self) -> Vec<Device> {
        crate::machine::devices()
    }
}
