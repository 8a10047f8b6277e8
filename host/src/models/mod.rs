//! Models: launching, finding, replacing and ending them. See [`running`] for a model that serves and [`launch`] for
//! how it gets there.

mod admission;
mod error;
mod executor;
mod job;
mod launch;
mod provision;
pub mod reload;
mod running;
mod services;

pub use error::{JobError, LaunchError, ModelError};
pub use executor::{Executor, InProcess, Job, JobKind};
pub use job::{Events, OwnedClip, SpeechOutput};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use launch::check_uid;
pub use launch::{Launch, LaunchSpec};
pub use provision::{Choice, Files, Provision, ProvisionError, RegistryProvision};
pub use running::{Load, Running};

use crate::plugins::Plugins;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use syrinx_plugin_api::{ModelCard, Object};
use syrinx_registry::{CancelToken, ModelEntry};
use tokio::sync::watch;

/// Limits and places that hold for all models of a host.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Jobs that may wait for a place per model, beyond those that run.
    pub queue_limit: usize,
    /// CPU threads per job.
    pub threads: usize,
    /// Where plugins keep what they want to keep.
    pub cache_dir: PathBuf,
    /// How long a job may take; then it is stopped.
    pub job_deadline: Duration,
}

/// Where a launch is.
#[derive(Clone, Debug)]
pub enum State {
    /// The uid is taken, work has not begun.
    Creating,
    /// Files are on their way, or the plugin loads.
    Loading,
    /// It serves.
    Ready(Arc<Running>),
    /// It never served. The uid is free again.
    Failed(LaunchError),
    /// It finishes what it has begun.
    Terminating,
}

impl State {
    /// Xinference's word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Loading => "LOADING",
            Self::Ready(_) => "READY",
            Self::Failed(_) => "ERROR",
            Self::Terminating => "TERMINATING",
        }
    }
}

/// How far a launch is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaunchProgress {
    /// `pending`, `downloading`, `loading`, `completed` or `cancelled`.
    pub stage: String,
    /// 0…1 over the whole launch.
    pub progress: f64,
    /// Details for a person: the file in work, bytes.
    pub info: String,
}

/// A model of the table, running or not.
pub struct ModelStatus {
    /// Its uid.
    pub uid: String,
    /// What was asked for.
    pub spec: LaunchSpec,
    /// The catalogue entry.
    pub entry: Arc<ModelEntry>,
    /// When the launch began.
    pub created: SystemTime,
    /// Where it is.
    pub state: State,
    /// How far the launch is or was.
    pub progress: LaunchProgress,
    /// The model's own description, once it is ready.
    pub card: Option<Arc<ModelCard>>,
    /// Generation of the plugin that serves it.
    pub generation: Option<u64>,
}

/// One uid.
pub(crate) struct Slot {
    uid: String,
    spec: LaunchSpec,
    entry: Arc<ModelEntry>,
    /// Launch options after the catalogue's defaults.
    options: Object,
    created: SystemTime,
    state: watch::Sender<State>,
    progress: Mutex<LaunchProgress>,
    cancel: CancelToken,
}

impl Slot {
    fn status(&self) -> ModelStatus {
        let state = self.state.borrow().clone();
        let running = if let State::Ready(running) = &state { Some(running.clone()) } else { None };
        ModelStatus {
            uid: self.uid.clone(),
            spec: self.spec.clone(),
            entry: self.entry.clone(),
            created: self.created,
            progress: self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            card: running.as_ref().map(|running| running.card()),
            generation: running.as_ref().map(|running| running.generation()),
            state,
        }
    }

    fn report(&self, stage: &str, progress: f64, info: &str) {
        let mut current = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        stage.clone_into(&mut current.stage);
        current.progress = progress;
        info.clone_into(&mut current.info);
    }
}

/// All models of a host.
pub struct Models {
    plugins: Arc<Plugins>,
    provision: Arc<dyn Provision>,
    settings: Settings,
    /// Slots by uid. A failed one stays until its uid is used again, because clients poll for what went wrong.
    table: Mutex<BTreeMap<String, Arc<Slot>>>,
}

impl Models {
    /// No models yet.
    pub fn new(plugins: Arc<Plugins>, provision: Arc<dyn Provision>, settings: Settings) -> Arc<Self> {
        Arc::new(Self { plugins, provision, settings, table: Mutex::default() })
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

    /// What there is to say about `uid`, if it was ever launched.
    pub fn status(&self, uid: &str) -> Option<ModelStatus> {
        let slot = self.table().get(uid).cloned()?;
        Some(slot.status())
    }

    /// The same for every uid, sorted by it.
    pub fn statuses(&self) -> Vec<ModelStatus> {
        let slots: Vec<Arc<Slot>> = self.table().values().cloned().collect();
        slots.iter().map(|slot| slot.status()).collect()
    }

    /// The model that serves under `uid`.
    ///
    /// # Errors
    /// When there is none, or none yet.
    pub fn running(&self, uid: &str) -> Result<Arc<Running>, ModelError> {
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        let slot = self.table().get(uid).cloned().ok_or_else(not_found)?;
        let state = slot.state.borrow().clone();
        match state {
            State::Ready(running) => Ok(running),
            State::Creating | State::Loading => Err(ModelError::Loading { uid: uid.to_owned() }),
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
        let slot = self.table().get(uid).cloned().ok_or_else(not_found)?;
        let mut running = None;
        let mut launching = false;
        slot.state.send_if_modified(|state| match state {
            State::Ready(model) => {
                running = Some(model.clone());
                *state = State::Terminating;
                true
            }
            State::Creating | State::Loading => {
                launching = true;
                false
            }
            State::Failed(_) | State::Terminating => false,
        });
        if launching {
            slot.cancel.cancel();
            let mut state = slot.state.subscribe();
            let settled = state.wait_for(|state| !matches!(state, State::Creating | State::Loading)).await;
            drop(settled);
            // The launch may have finished before it noticed.
            if matches!(*slot.state.borrow(), State::Ready(_)) {
                return Box::pin(self.terminate(uid, patience)).await;
            }
            return Ok(());
        }
        let running = running.ok_or_else(not_found)?;
        running.close(patience).await;
        self.remove(&slot);
        tracing::info!(uid, "model terminated");
        Ok(())
    }

    /// Cancels a launch.
    ///
    /// # Errors
    /// When `uid` isn't being launched.
    pub fn cancel(&self, uid: &str) -> Result<(), ModelError> {
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        let slot = self.table().get(uid).cloned().ok_or_else(not_found)?;
        if !matches!(*slot.state.borrow(), State::Creating | State::Loading) {
            return Err(not_found());
        }
        slot.cancel.cancel();
        Ok(())
    }

    /// Ends all models, for a server that stops.
    pub async fn shut_down(&self, patience: Duration) {
        let uids: Vec<String> = self.table().keys().cloned().collect();
        let mut endings = tokio::task::JoinSet::new();
        for uid in uids {
            let slot = self.table().get(&uid).cloned();
            let Some(slot) = slot else { continue };
            slot.cancel.cancel();
            let state = slot.state.borrow().clone();
            if let State::Ready(running) = state {
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
