//! Models: launching, finding, replacing and ending them. See [`running`] for a model that serves and [`launch`] for
//! how it gets there.

mod admission;
mod drift;
mod error;
mod events;
mod executor;
mod isolation;
mod job;
mod launch;
mod loading;
mod measured;
mod on_demand;
mod parameters;
mod provision;
mod queue;
mod redact;
pub mod reload;
mod room;
mod running;
mod services;
mod slot;
mod ticket;

pub use drift::Drift;
pub use error::{JobError, LaunchError, ModelError};
pub use events::{Event, Severity};
pub use executor::{Executor, InProcess, Job, JobKind};
pub use isolation::Isolation;
pub use job::{Events, OwnedClip, SpeechOutput};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use launch::check_uid;
pub use launch::{Launch, LaunchSpec};
pub use parameters::{ReloadError, ReloadStatus};
pub use provision::{Choice, Files, Provision, ProvisionError, RegistryProvision};
pub use running::{Leased, Load, Running};
pub use slot::{Failure, FileProgress, LaunchProgress, ModelStatus, Provenance, State};
pub use ticket::{Priority, Ticket};

use crate::{config::Config, plugins::Plugins};
use events::EventLog;
use serde::Serialize;
use slot::Slot;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// Launches and reloads that work at a time. The others wait, and leave threads to the jobs.
const LOADING: usize = 64;

/// Limits and places that hold for all models of a host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Jobs that may wait for a place per model, beyond those that run.
    pub queue_limit: usize,
    /// CPU threads per model.
    pub threads: usize,
    /// Where plugins keep what they want to keep.
    pub cache_dir: PathBuf,
    /// Where models run whose launch doesn't say.
    pub isolation: Isolation,
    /// What processes of models may take whose launch doesn't say.
    pub worker: WorkerLimits,
    /// How long models may be idle whose launch doesn't say; none: forever.
    pub idle: Option<Duration>,
    /// Bytes that all models together may take; none: as many as there are.
    pub memory: Option<u64>,
    /// Whether requests launch what they name.
    pub auto_launch: bool,
}

/// What the process of a model may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WorkerLimits {
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// CPUs.
    pub cpus: Option<usize>,
}

impl WorkerLimits {
    /// These, and `others` where there are none.
    fn or(self, others: Self) -> Self {
        Self { memory_bytes: self.memory_bytes.or(others.memory_bytes), cpus: self.cpus.or(others.cpus) }
    }
}

impl Settings {
    /// Those of a server.
    pub fn of(config: &Config, cache_dir: PathBuf) -> Self {
        let limits = &config.limits;
        Self {
            queue_limit: limits.queue,
            threads: limits.threads,
            cache_dir,
            isolation: config.isolation,
            worker: limits.worker,
            idle: Some(limits.idle).filter(|idle| !idle.is_zero()),
            memory: Some(limits.model_memory).filter(|bytes| *bytes > 0),
            auto_launch: config.auto_launch,
        }
    }
}

/// All models of a host.
pub struct Models {
    plugins: Arc<Plugins>,
    provision: Arc<dyn Provision>,
    settings: Settings,
    /// Slots by uid. A failed one stays until its uid is used again, because clients poll for what went wrong.
    table: Mutex<BTreeMap<String, Arc<Slot>>>,
    events: EventLog,
    loading: Arc<Semaphore>,
    /// Held while room is made for a model.
    making_room: Mutex<()>,
    /// Held while plugins change and running models move to them.
    moving: Mutex<()>,
}

impl Models {
    /// No models yet.
    pub fn new(plugins: Arc<Plugins>, provision: Arc<dyn Provision>, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            plugins,
            provision,
            settings,
            table: Mutex::default(),
            events: EventLog::default(),
            loading: Arc::new(Semaphore::new(LOADING)),
            making_room: Mutex::default(),
            moving: Mutex::default(),
        })
    }

    /// The plugins that models come from.
    pub fn plugins(&self) -> &Arc<Plugins> {
        &self.plugins
    }

    /// Where models come from.
    pub fn provision(&self) -> &Arc<dyn Provision> {
        &self.provision
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Slot>>> {
        // Every change is one insert or remove: a panic elsewhere can't leave it half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, uid: &str) -> Result<Arc<Slot>, ModelError> {
        self.table().get(uid).cloned().ok_or_else(|| ModelError::NotFound { uid: uid.to_owned() })
    }

    /// What has happened to `uid`, oldest first; none if nothing has, or too long ago.
    pub fn events(&self, uid: &str) -> Option<Vec<Event>> {
        self.events.of(uid)
    }

    /// What there is to say about `uid`, if it was ever launched.
    pub fn status(&self, uid: &str) -> Option<ModelStatus> {
        let slot = self.table().get(uid).cloned()?;
        Some(slot.status(self.settings.idle))
    }

    /// The same for every uid, sorted by it.
    pub fn statuses(&self) -> Vec<ModelStatus> {
        self.slots().iter().map(|slot| slot.status(self.settings.idle)).collect()
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        self.table().values().cloned().collect()
    }

    /// Statuses of launches that serve or will, at once or when a request needs them.
    pub fn live(&self) -> Vec<ModelStatus> {
        self.statuses().into_iter().filter(|status| !matches!(status.state, State::Failed(_))).collect()
    }

    /// The model that serves under `uid`. It may be unloaded before it is used: see [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// When there is none, or none yet.
    pub fn running(&self, uid: &str) -> Result<Arc<Running>, ModelError> {
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        let state = self.slot(uid)?.state.borrow().clone();
        match state {
            State::Ready(running) => Ok(running),
            State::Creating | State::Loading => Err(ModelError::Loading { uid: uid.to_owned() }),
            State::Unloaded(_) => Err(ModelError::Unloaded { uid: uid.to_owned() }),
            State::Failed(_) | State::Terminating => Err(not_found()),
        }
    }

    /// Ends a model: new jobs are refused at once; returns when the jobs in flight are done or `patience` is over, in
    /// which case they are stopped. A model that is still being launched is cancelled.
    ///
    /// # Errors
    /// When there is no such model.
    pub async fn terminate(&self, uid: &str, patience: Duration) -> Result<(), ModelError> {
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        let slot = self.slot(uid)?;
        if slot.cancel_launch() {
            let mut state = slot.state.subscribe();
            // The slot stays until it is removed below, so the channel can't close.
            drop(state.wait_for(|state| !state.is_launching()).await);
            self.remove(&slot);
            tracing::info!(uid, "launch terminated");
            self.events.note(uid, Severity::Info, "terminated", "terminated while it was being launched");
            return Ok(());
        }
        if let Some(running) = slot.begin_termination().ok_or_else(not_found)? {
            running.close(patience).await;
        }
        self.remove(&slot);
        tracing::info!(uid, "model terminated");
        self.events.note(uid, Severity::Info, "terminated", "terminated");
        Ok(())
    }

    /// Cancels a launch and waits for its end, after which the uid is free. A launch that doesn't end soon is left behind.
    ///
    /// # Errors
    /// When `uid` isn't being launched.
    pub async fn cancel(&self, uid: &str) -> Result<(), ModelError> {
        let slot = self.slot(uid)?;
        if !slot.cancel_launch() {
            return Err(ModelError::NotFound { uid: uid.to_owned() });
        }
        let mut state = slot.state.subscribe();
        // The slot outlives this, so the channel can't close.
        drop(state.wait_for(|state| !state.is_launching()).await);
        Ok(())
    }

    /// Ends all models, for a server that stops.
    pub async fn shut_down(&self, patience: Duration) {
        let mut endings = tokio::task::JoinSet::new();
        for slot in self.slots() {
            slot.cancel_launch();
            if let Some(Some(running)) = slot.begin_termination() {
                endings.spawn(async move { running.close(patience).await });
            }
        }
        endings.join_all().await;
    }

    /// Takes a slot out of the table, unless its uid has been given to another one meanwhile.
    fn remove(&self, slot: &Arc<Slot>) {
        let mut table = self.table();
        if table.get(&slot.uid).is_some_and(|current| Arc::ptr_eq(current, slot)) {
            table.remove(&slot.uid);
        }
    }
}
