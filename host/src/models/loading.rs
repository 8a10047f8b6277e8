//! The work behind a launch: getting the files, loading the plugin's model as often as asked for, and what is told of it
//! meanwhile.

use super::{
    Choice, Executor, Failure, Files, InProcess, LaunchError, LaunchSpec, Models, ProvisionError, Running, Severity,
    Slot, State, WorkerLimits, redact::redacted, room::bytes_below, running::RunningSettings, services::Services,
};
use crate::plugins::Generation;
#[cfg(unix)]
use crate::worker::{Isolated, Process};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use syrinx_plugin_api::{Error, ErrorKind, LoadRequest, Object};
use syrinx_registry::{Progress, ProgressUpdate};

/// Told of stage, progress 0…1 and details.
pub(super) type Report = Arc<dyn Fn(&'static str, f64, &str) + Send + Sync>;

/// Told how far a plugin is with one load: 0…1 and details.
pub(super) type LoadReport = Arc<dyn Fn(f32, &str) + Send + Sync>;

/// Share of a launch's progress that downloads take.
const DOWNLOADED: f64 = 0.8;

/// How the message of a panic begins, see `syrinx_plugin_api::export`. It is nobody's business but the operator's.
const PANICKED: &str = "the plugin panicked";

/// How long a cancelled launch gets to end by itself. Then it is left behind: what it still loads is dropped.
const CANCELLATION: Duration = Duration::from_secs(2);

impl Models {
    /// Takes a slot from created to ready or failed.
    pub(super) async fn bring_up(self: Arc<Self>, slot: Arc<Slot>, plugin: Arc<Generation>) {
        let started = Instant::now();
        slot.reserve(0);
        let result = self.load_unless_cancelled(&slot, &plugin).await;
        match result {
            Ok(executors) => self.make_ready(&slot, executors, started.elapsed()),
            Err(error) => self.make_failed(&slot, error),
        }
        // Its plugin may have been replaced meanwhile.
        self.catch_up(&plugin);
    }

    async fn load_unless_cancelled(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        plugin: &Arc<Generation>,
    ) -> Result<Vec<Arc<dyn Executor>>, LaunchError> {
        let cancelled = || Err(LaunchError::Cancelled { uid: slot.uid.clone() });
        let place = tokio::select! {
            place = self.loading.clone().acquire_owned() => place,
            () = slot.cancelled.notified() => return cancelled(),
        };
        slot.state.send_if_modified(|state| {
            let begins = matches!(state, State::Creating);
            if begins {
                *state = State::Loading;
            }
            begins
        });
        let mut loading = {
            let (models, slot, plugin) = (self.clone(), slot.clone(), plugin.clone());
            tokio::task::spawn_blocking(move || {
                let _place = place;
                let report: Report = {
                    let slot = slot.clone();
                    Arc::new(move |stage, progress, info| slot.report_work(stage, progress, info))
                };
                models.load_replicas(&slot, &slot.options(), &plugin, &report)
            })
        };
        let result = tokio::select! {
            result = &mut loading => result,
            () = slot.cancelled.notified() => match tokio::time::timeout(CANCELLATION, &mut loading).await {
                Ok(result) => result,
                Err(_) => {
                    tracing::warn!(uid = slot.uid, "a cancelled launch does not end; leaving it behind");
                    return cancelled();
                }
            },
        };
        if slot.cancel.is_cancelled() {
            // Whatever the plugin says of it, that is the reason.
            return cancelled();
        }
        result.unwrap_or_else(|_| Err(LaunchError::Internal("loading the model failed".to_owned())))
    }

    fn make_ready(&self, slot: &Arc<Slot>, executors: Vec<Arc<dyn Executor>>, elapsed: Duration) {
        let settings = RunningSettings {
            request_defaults: slot.entry.request_parameters(),
            queue_limit: slot.spec.queue.unwrap_or(self.settings.queue_limit),
            request_limit: slot.spec.request_limits,
        };
        let running = Arc::new(Running::new(&slot.uid, executors, settings));
        let card = running.card();
        slot.remember(card.clone());
        slot.report(Some("completed"), 1.0, "");
        // A cancellation that came in time wins.
        let ready = slot.state.send_if_modified(|state| {
            let in_time = !slot.cancel.is_cancelled();
            if in_time {
                *state = State::Ready(running.clone());
            }
            in_time
        });
        if !ready {
            // Freeing a large model takes a while.
            tokio::task::spawn_blocking(move || drop(running));
            return self.make_failed(slot, LaunchError::Cancelled { uid: slot.uid.clone() });
        }
        let seconds = elapsed.as_secs_f64();
        tracing::info!(
            uid = slot.uid,
            model = slot.entry.name,
            device = card.device,
            dtype = card.dtype,
            seconds,
            "model is ready"
        );
        let content = format!("ready on {} after {seconds:.1} s", card.device);
        self.events.note(&slot.uid, Severity::Info, "ready", content);
    }

    fn make_failed(&self, slot: &Arc<Slot>, error: LaunchError) {
        tracing::warn!(uid = slot.uid, model = slot.entry.name, %error, "launch failed");
        if let LaunchError::Cancelled { .. } = error {
            slot.report(Some("cancelled"), 0.0, &error.to_string());
            self.events.note(&slot.uid, Severity::Warning, "cancelled", error.to_string());
        } else {
            let told = error.told();
            slot.report(None, 0.0, &told);
            self.events.note(&slot.uid, Severity::Error, "error", told);
        }
        let stays = slot.is_on_demand() && !matches!(error, LaunchError::Cancelled { .. });
        slot.state.send_replace(if stays {
            State::Unloaded(Some(Failure { error, at: Instant::now() }))
        } else {
            State::Failed(error)
        });
    }

    /// Gets the files and loads as many copies as the launch asked for, telling `report` stage, progress and details.
    /// Blocks.
    pub(super) fn load_replicas(
        &self,
        slot: &Arc<Slot>,
        options: &Object,
        plugin: &Arc<Generation>,
        report: &Report,
    ) -> Result<Vec<Arc<dyn Executor>>, LaunchError> {
        let cancelled = || LaunchError::Cancelled { uid: slot.uid.clone() };
        let unavailable = |error: ProvisionError| match error {
            ProvisionError::Choice { field, message } => LaunchError::Invalid { field, message },
            ProvisionError::Cancelled => cancelled(),
            ProvisionError::Offline(message) => LaunchError::invalid("model_name", message),
            ProvisionError::Failed(message) => LaunchError::Unavailable(redacted(&message, known_path(&slot.spec))),
        };
        let download = DownloadProgress::new(self, slot, report);
        report("downloading", 0.0, "");
        let choice = Choice::of(&slot.spec);
        let path = slot.spec.model_path.as_deref();
        let entry = self.provision.catalogue().with_companions(&slot.entry, options);
        let files = self.provision.fetch(&entry, path, &choice, &slot.cancel, &download).map_err(unavailable)?;
        slot.set_provenance(files.provenance.clone());
        let mut runtimes = BTreeMap::new();
        for name in &plugin.manifest().runtimes {
            let path = self.provision.runtime(name, &slot.cancel, &download).map_err(unavailable)?;
            runtimes.insert(name.clone(), path);
        }
        report("launching", DOWNLOADED, "");
        let replicas = slot.spec.replica.max(1);
        self.make_room(slot, slot.expect_memory(bytes_below(&files.dir).saturating_mul(replicas as u64)))?;
        let mut executors: Vec<Arc<dyn Executor>> = Vec::with_capacity(replicas);
        for replica in 0..replicas {
            if slot.cancel.is_cancelled() {
                return Err(cancelled());
            }
            self.events.note(
                &slot.uid,
                Severity::Info,
                "loading",
                format!("loading replica {} of {replicas}", replica + 1),
            );
            let report: LoadReport = {
                let report = report.clone();
                Arc::new(move |fraction: f32, info: &str| {
                    let share = (replica as f64 + f64::from(fraction)) / replicas as f64;
                    report("loading", DOWNLOADED + (1.0 - DOWNLOADED) * share, info);
                })
            };
            let loaded = self.load_one(slot, options, plugin, &files, &runtimes, report);
            // Whatever a plugin says when it is told to stop.
            executors.push(loaded.map_err(|error| if slot.cancel.is_cancelled() { cancelled() } else { error })?);
        }
        Ok(executors)
    }

    fn load_one(
        &self,
        slot: &Arc<Slot>,
        options: &Object,
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
        let is_isolated = self.is_isolated(&slot.spec, plugin)?;
        let limits = if is_isolated { slot.spec.worker.or(self.settings.worker) } else { WorkerLimits::default() };
        let request = LoadRequest {
            model: slot.entry.name.clone(),
            model_dir: files.dir.clone(),
            assets: files.assets.clone(),
            options: options.clone(),
            threads: threads(options, self.settings.threads, &limits),
        };
        let told = |message: &str| redacted(message, known_path(&slot.spec));
        let failed = |error: Error| match error.kind {
            ErrorKind::InvalidInput | ErrorKind::NotSupported => {
                LaunchError::invalid(error.field.as_deref().unwrap_or("model_name"), told(&error.message))
            }
            ErrorKind::OutOfResources => LaunchError::Unavailable(told(&error.message)),
            _ if error.message.starts_with(PANICKED) => LaunchError::Internal(error.message),
            // Files that are not what they should be, nearly always.
            _ if slot.spec.model_path.is_some() => {
                LaunchError::invalid("model_path", format!("`model_path` can't be loaded: {}", told(&error.message)))
            }
            _ => LaunchError::Unavailable(format!("loading the model failed: {}", told(&error.message))),
        };
        let services = Arc::new(services);
        #[cfg(unix)]
        if is_isolated && let Some(staged) = plugin.staged() {
            let isolated = Isolated {
                uid: slot.uid.clone(),
                plugin: staged.to_owned(),
                generation: plugin.used_by(&slot.uid),
                request,
                services,
                runtimes: runtimes.clone(),
                limits,
            };
            return Ok(Arc::new(Process::start(isolated).map_err(failed)?));
        }
        let generation = plugin.used_by(&slot.uid);
        let library = plugin.library().map_err(|error| LaunchError::Unavailable(error.to_string()))?;
        let model = library.load(&request, services).map_err(failed)?;
        model.warm_up().map_err(failed)?;
        Ok(Arc::new(InProcess::new(model, generation)))
    }
}

/// CPU threads for a model: as its launch says, else as the settings say, else one for each CPU that its process may use; 0
/// leaves it to the plugin. Models that are busy at the same time share the CPUs: dividing threads among them was slower, since
/// whoever works alone then leaves CPUs idle.
fn threads(options: &Object, setting: usize, limits: &WorkerLimits) -> usize {
    let asked = options.get("threads").and_then(Value::as_u64).and_then(|threads| usize::try_from(threads).ok());
    [asked, Some(setting), limits.cpus].into_iter().flatten().find(|threads| *threads > 0).unwrap_or(0)
}

/// What the caller knows of this machine's directories: the one it named itself.
fn known_path(spec: &LaunchSpec) -> Option<&str> {
    spec.model_path.as_deref().and_then(|path| path.to_str())
}

/// Shows a download in the launch's progress and its milestones in the events.
struct DownloadProgress<'a> {
    models: &'a Models,
    slot: &'a Slot,
    report: Report,
    /// What is fetched, and quarters of it that were told.
    told: Mutex<(String, u64)>,
}

impl<'a> DownloadProgress<'a> {
    fn new(models: &'a Models, slot: &'a Slot, report: &Report) -> Self {
        Self { models, slot, report: report.clone(), told: Mutex::default() }
    }

    fn milestone(&self, update: &ProgressUpdate, fraction: f64) {
        let quarters = (fraction * 4.0) as u64;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.0 != update.name {
            *told = (update.name.clone(), 0);
        }
        if quarters > told.1 {
            told.1 = quarters;
            let content =
                format!("{}: {} % of {} bytes", update.name, quarters * 25, update.total.unwrap_or(update.done));
            self.models.events.note(&self.slot.uid, Severity::Info, "downloading", content);
        }
    }
}

impl Progress for DownloadProgress<'_> {
    fn update(&self, update: &ProgressUpdate) {
        let info = format!("{} {} {} ({} bytes)", update.name, update.stage.as_str(), update.file, update.done);
        let fraction = update.fraction().unwrap_or(0.0);
        (self.report)("downloading", fraction * DOWNLOADED, &info);
        if !update.file.is_empty() && (update.file_done > 0 || update.file_total.is_some()) {
            self.slot.report_file(&update.file, update.file_done, update.file_total);
        }
        self.milestone(update, fraction);
    }

    fn note(&self, message: &str) {
        tracing::info!(uid = self.slot.uid, "{message}");
        let content = redacted(message, known_path(&self.slot.spec));
        self.models.events.note(&self.slot.uid, Severity::Warning, "downloading", content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launch_decides_about_threads_before_the_settings_and_those_before_the_cpus() {
        let launch = |threads| Object::from_iter([("threads".to_owned(), Value::from(threads))]);
        let two_cpus = WorkerLimits { cpus: Some(2), memory_bytes: None };
        assert_eq!(threads(&launch(3), 4, &two_cpus), 3);
        assert_eq!(threads(&launch(0), 4, &two_cpus), 4);
        assert_eq!(threads(&Object::new(), 0, &two_cpus), 2);
        assert_eq!(threads(&Object::new(), 0, &WorkerLimits::default()), 0);
    }
}
