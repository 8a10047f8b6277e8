//! From a request to launch to a model that serves.

use super::{
    Choice, Executor, Files, InProcess, LaunchError, LaunchProgress, ModelStatus, Models, ProvisionError, Running,
    Slot, State, running::RunningSettings, services::Services,
};
use crate::{plugins::Generation, schema};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};
use syrinx_plugin_api::{Error, ErrorKind, LoadRequest, Object};
use syrinx_registry::{CancelToken, ModelEntry, Progress, ProgressUpdate};
use tokio::sync::watch;

/// A request to launch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LaunchSpec {
    /// Catalogue name.
    pub model_name: String,
    /// Uid to serve under; none: the name, or the name with a random ending when that is taken.
    pub model_uid: Option<String>,
    /// A directory with the model's files, instead of downloading.
    pub model_path: Option<PathBuf>,
    /// Copies to load; 0 counts as 1.
    pub replica: usize,
    /// More jobs than this at a time are sent away.
    pub request_limits: Option<usize>,
    /// `huggingface`, `modelscope`, …
    pub download_hub: Option<String>,
    /// `int8`, …
    pub quantization: Option<String>,
    /// `ctranslate2`, `onnx`, …
    pub model_format: Option<String>,
    /// Every further key: launch options of the plugin.
    pub options: Object,
}

/// A launch under way.
#[derive(Debug)]
pub struct Launch {
    /// The uid that it has taken.
    pub uid: String,
    state: watch::Receiver<State>,
}

impl Launch {
    /// Waits until the model serves.
    ///
    /// # Errors
    /// When it came to nothing.
    pub async fn ready(mut self) -> Result<(), LaunchError> {
        let uid = self.uid.clone();
        let settled = self.state.wait_for(|state| !matches!(state, State::Creating | State::Loading)).await;
        match settled.as_deref() {
            Ok(State::Failed(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(LaunchError::Cancelled { uid }),
        }
    }
}

/// Told of stage, progress 0…1 and details.
pub(super) type Report = Arc<dyn Fn(&str, f64, &str) + Send + Sync>;

/// Told how far a plugin is with one load: 0…1 and details.
pub(super) type LoadReport = Arc<dyn Fn(f32, &str) + Send + Sync>;

/// Share of a launch's progress that downloads take.
const DOWNLOADED: f64 = 0.8;

/// Longest uid.
const UID_LIMIT: usize = 100; // characters, as in Xinference

impl Models {
    /// Takes the uid and starts launching in the background.
    ///
    /// # Errors
    /// When the request itself can't be met; what goes wrong later is told by [`Launch::ready`].
    pub fn launch(self: &Arc<Self>, spec: LaunchSpec) -> Result<Launch, LaunchError> {
        let catalogue = self.provision.catalogue();
        let entry =
            catalogue.model(&spec.model_name).map_err(|error| LaunchError::invalid("model_name", error.to_string()))?;
        let plugin = self.plugins.current(&entry.plugin).ok_or_else(|| {
            let names = self.plugins.names();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            LaunchError::invalid(
                "model_name",
                format!(
                    "`{}` needs the plugin `{}`, which is not installed (installed: {there})",
                    entry.name, entry.plugin
                ),
            )
        })?;
        if let Some(path) = spec.model_path.as_ref().filter(|path| !path.is_dir()) {
            return Err(LaunchError::invalid("model_path", format!("there is no directory {path:?}")));
        }
        let mut options: Object = entry.launch_options();
        options.extend(spec.options.clone());
        schema::check(&plugin.manifest().launch_options, &options)
            .map_err(|mismatch| LaunchError::invalid(&mismatch.field, mismatch.to_string()))?;

        let slot = self.take_uid(spec, entry, options)?;
        let launch = Launch { uid: slot.uid.clone(), state: slot.state.subscribe() };
        tracing::info!(uid = slot.uid, model = slot.entry.name, "launching");
        let models = self.clone();
        tokio::spawn(async move { models.bring_up(slot, plugin).await });
        Ok(launch)
    }

    fn take_uid(&self, spec: LaunchSpec, entry: Arc<ModelEntry>, options: Object) -> Result<Arc<Slot>, LaunchError> {
        let mut table = self.table();
        let taken = |uid: &str| table.get(uid).is_some_and(|slot| !matches!(*slot.state.borrow(), State::Failed(_)));
        let uid = match &spec.model_uid {
            Some(uid) => {
                check_uid(uid)?;
                if taken(uid) {
                    return Err(LaunchError::invalid("model_uid", format!("a model `{uid}` is already running")));
                }
                uid.clone()
            }
            None if !taken(&spec.model_name) => spec.model_name.clone(),
            None => loop {
                let uid = format!("{}-{}", spec.model_name, random_suffix());
                if !taken(&uid) {
                    break uid;
                }
            },
        };
        let progress = LaunchProgress { stage: "pending".to_owned(), progress: 0.0, info: String::new() };
        let slot = Arc::new(Slot {
            uid: uid.clone(),
            spec,
            entry,
            options,
            created: SystemTime::now(),
            state: watch::Sender::new(State::Creating),
            progress: Mutex::new(progress),
            cancel: CancelToken::new(),
        });
        table.insert(uid, slot.clone());
        Ok(slot)
    }

    async fn bring_up(self: Arc<Self>, slot: Arc<Slot>, plugin: Arc<Generation>) {
        slot.state.send_replace(State::Loading);
        let started = std::time::Instant::now();
        let result = {
            let (models, slot) = (self.clone(), slot.clone());
            tokio::task::spawn_blocking(move || {
                let report: Report = {
                    let slot = slot.clone();
                    Arc::new(move |stage, progress, info| slot.report(stage, progress, info))
                };
                models.load_replicas(&slot, &plugin, &report)
            })
            .await
        };
        let result = result.unwrap_or_else(|_| Err(LaunchError::Internal("loading the model failed".to_owned())));
        let result =
            if slot.cancel.is_cancelled() { Err(LaunchError::Cancelled { uid: slot.uid.clone() }) } else { result };
        match result {
            Ok(executors) => {
                let settings = RunningSettings {
                    request_defaults: slot.entry.request_parameters(),
                    queue_limit: self.settings.queue_limit,
                    request_limit: slot.spec.request_limits,
                    deadline: self.settings.job_deadline,
                };
                let running = Arc::new(Running::new(&slot.uid, executors, settings));
                slot.report("completed", 1.0, "");
                let card = running.card();
                tracing::info!(
                    uid = slot.uid,
                    model = slot.entry.name,
                    device = card.device,
                    dtype = card.dtype,
                    seconds = started.elapsed().as_secs_f64(),
                    "model is ready"
                );
                slot.state.send_replace(State::Ready(running));
            }
            Err(error) => {
                tracing::warn!(uid = slot.uid, model = slot.entry.name, %error, "launch failed");
                let stage = if matches!(error, LaunchError::Cancelled { .. }) { "cancelled" } else { "failed" };
                slot.report(stage, 0.0, &error.to_string());
                slot.state.send_replace(State::Failed(error));
            }
        }
    }

    /// Gets the files and loads as many copies as the launch asked for, telling `report` stage, progress and details.
    /// Blocks.
    pub(super) fn load_replicas(
        &self,
        slot: &Arc<Slot>,
        plugin: &Arc<Generation>,
        report: &Report,
    ) -> Result<Vec<Arc<dyn Executor>>, LaunchError> {
        let cancelled = || LaunchError::Cancelled { uid: slot.uid.clone() };
        let unavailable = |error: ProvisionError| match error {
            ProvisionError::Choice { field, message } => LaunchError::Invalid { field, message },
            ProvisionError::Cancelled => LaunchError::Cancelled { uid: slot.uid.clone() },
            ProvisionError::Offline(message) => LaunchError::invalid("model_name", message),
            ProvisionError::Failed(message) => LaunchError::Unavailable(message),
        };
        let download = DownloadProgress { uid: slot.uid.clone(), report: report.clone() };
        report("downloading", 0.0, "");
        let choice = Choice {
            hub: slot.spec.download_hub.clone(),
            quantization: slot.spec.quantization.clone(),
            format: slot.spec.model_format.clone(),
        };
        let path = slot.spec.model_path.as_deref();
        let files = self.provision.fetch(&slot.entry, path, &choice, &slot.cancel, &download).map_err(unavailable)?;
        let mut runtimes = BTreeMap::new();
        for name in &plugin.manifest().runtimes {
            let path = self.provision.runtime(name, &slot.cancel, &download).map_err(unavailable)?;
            runtimes.insert(name.clone(), path);
        }
        let replicas = slot.spec.replica.max(1);
        let mut executors: Vec<Arc<dyn Executor>> = Vec::with_capacity(replicas);
        for replica in 0..replicas {
            if slot.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let report: LoadReport = {
                let report = report.clone();
                Arc::new(move |fraction: f32, info: &str| {
                    let share = (replica as f64 + f64::from(fraction)) / replicas as f64;
                    report("loading", DOWNLOADED + (1.0 - DOWNLOADED) * share, info);
                })
            };
            executors.push(self.load_one(slot, plugin, &files, &runtimes, report)?);
        }
        Ok(executors)
    }

    fn load_one(
        &self,
        slot: &Arc<Slot>,
        plugin: &Arc<Generation>,
        files: &Files,
        runtimes: &BTreeMap<String, PathBuf>,
        report: LoadReport,
    ) -> Result<Arc<dyn Executor>, LaunchError> {
        let name = &plugin.manifest().name;
        let cache_dir = self.settings.cache_dir.join("plugins").join(name);
        std::fs::create_dir_all(&cache_dir)
            .map_err(|error| LaunchError::Unavailable(format!("the cache directory cannot be made: {error}")))?;
        report(0.0, "");
        let services = Services {
            uid: slot.uid.clone(),
            plugin: name.clone(),
            cache_dir,
            runtimes: runtimes.clone(),
            cancel: slot.cancel.clone(),
            report,
        };
        let request = LoadRequest {
            model: slot.entry.name.clone(),
            model_dir: files.dir.clone(),
            assets: files.assets.clone(),
            options: slot.options.clone(),
            threads: self.settings.threads,
        };
        let failed = |error: Error| match error.kind {
            ErrorKind::InvalidInput | ErrorKind::NotSupported => {
                LaunchError::invalid(error.field.as_deref().unwrap_or("model_name"), error.message)
            }
            ErrorKind::OutOfResources => LaunchError::Unavailable(error.message),
            _ => LaunchError::Internal(error.message),
        };
        let model = plugin.library().load(&request, Arc::new(services)).map_err(failed)?;
        model.warm_up().map_err(failed)?;
        Ok(Arc::new(InProcess::new(model, plugin.clone())))
    }

    /// Statuses of launches that serve or will.
    pub fn live(&self) -> Vec<ModelStatus> {
        self.statuses().into_iter().filter(|status| !matches!(status.state, State::Failed(_))).collect()
    }
}

/// Shows a download in the launch's progress.
struct DownloadProgress {
    uid: String,
    report: Report,
}

impl Progress for DownloadProgress {
    fn update(&self, update: &ProgressUpdate) {
        let info = format!("{} {} {} ({} bytes)", update.name, update.stage.as_str(), update.file, update.done);
        (self.report)("downloading", update.fraction().unwrap_or(0.0) * DOWNLOADED, &info);
    }

    fn note(&self, message: &str) {
        tracing::info!(uid = self.uid, "{message}");
    }
}

/// # Errors
/// When a uid would break URLs or Xinference's clients.
pub(crate) fn check_uid(uid: &str) -> Result<(), LaunchError> {
    let reason = if uid.is_empty() || uid.chars().count() > UID_LIMIT {
        format!("must have 1 to {UID_LIMIT} characters")
    } else if let Some(character) = uid.chars().find(|c| "/?#\\".contains(*c) || c.is_whitespace() || c.is_control()) {
        format!("must not contain {character:?}")
    } else if uid == "." || uid == ".." {
        "must not be a dot or two, which clients take out of URLs".to_owned()
    } else if uid.rsplit_once("-rep").is_some_and(|(_, end)| !end.is_empty() && end.chars().all(|c| c.is_ascii_digit()))
    {
        "must not end in `-rep` and a number, which names replicas".to_owned()
    } else {
        return Ok(());
    };
    Err(LaunchError::invalid("model_uid", format!("`model_uid` {reason}")))
}

/// Eight letters or digits.
fn random_suffix() -> String {
    use std::hash::{BuildHasher, RandomState};
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut bits = RandomState::new().hash_one(SystemTime::now());
    let mut suffix = String::with_capacity(8);
    for _ in 0..8 {
        suffix.push(char::from(ALPHABET[(bits % 36) as usize]));
        bits /= 36;
    }
    suffix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids() {
        for good in ["a", "whisper-base", "模型", "x-rep", "x-repa1"] {
            assert_eq!(check_uid(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "a?b", "a#b", "a\\b", "a\n", "x-rep0", &"x".repeat(101)] {
            assert!(check_uid(bad).is_err(), "{bad}");
        }
    }
}
