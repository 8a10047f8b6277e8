//! One uid of the table: what was asked for, where it is, and how far.

use super::{Launch, LaunchError, LaunchSpec, ReloadStatus, Running, redact::redacted};
use serde::Serialize;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use syrinx_plugin_api::{ModelCard, Object};
use syrinx_registry::{CancelToken, ModelEntry};
use tokio::sync::{Notify, watch};

/// Where a launch is.
#[derive(Clone, Debug)]
pub enum State {
    /// The uid is taken, work has not begun.
    Creating,
    /// Files are on their way, or the plugin loads.
    Loading,
    /// It serves.
    Ready(Arc<Running>),
    /// It is loaded when a request needs it; the last try may have failed.
    Unloaded(Option<Failure>),
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
            Self::Unloaded(_) => "UNLOADED",
            Self::Failed(_) => "ERROR",
            Self::Terminating => "TERMINATING",
        }
    }

    /// It doesn't serve yet, but will unless something goes wrong.
    pub(super) fn is_launching(&self) -> bool {
        matches!(self, Self::Creating | Self::Loading)
    }
}

/// A load for requests that came to nothing.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub error: LaunchError,
    /// When.
    pub at: Instant,
}

/// How far a launch is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaunchProgress {
    /// `pending`, `downloading`, `launching`, `loading`, `completed` or `cancelled`; one that failed stays where it was.
    pub stage: &'static str,
    /// 0…1 over the whole launch; never goes back.
    pub progress: f64,
    /// Details for a person: the file in work, what went wrong.
    pub info: String,
    /// Files that were or are being fetched.
    pub files: Vec<FileProgress>,
    /// When any of this changed last.
    #[serde(skip)]
    pub updated: SystemTime,
}

/// How far a file of a download is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileProgress {
    /// Path in the model's directory, or the name of the package that it is in.
    pub name: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes altogether, when known.
    pub total: Option<u64>,
}

impl Default for LaunchProgress {
    fn default() -> Self {
        Self { stage: "pending", progress: 0.0, info: String::new(), files: Vec::new(), updated: SystemTime::now() }
    }
}

impl LaunchProgress {
    fn set(&mut self, stage: Option<&'static str>, progress: f64, info: &str) {
        self.stage = stage.unwrap_or(self.stage);
        self.progress = self.progress.max(progress);
        info.clone_into(&mut self.info);
        self.updated = SystemTime::now();
    }
}

/// Most files that a launch's progress lists.
const FILES_SHOWN: usize = 500;

/// Which files a model was loaded from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// `model_version`; none for a directory of the caller's.
    pub version: Option<String>,
    /// Revision of the repository or version of the package.
    pub revision: Option<String>,
    /// Format of the weights.
    pub format: Option<&'static str>,
    /// Quantization of the weights.
    pub quantization: Option<String>,
}

/// A model of the table, running or not.
pub struct ModelStatus {
    /// Its uid.
    pub uid: String,
    /// What was asked for.
    pub spec: LaunchSpec,
    /// The catalogue entry.
    pub entry: Arc<ModelEntry>,
    /// Launch options that it was loaded with: the caller's over the catalogue's.
    pub options: Object,
    /// When the launch began.
    pub created: SystemTime,
    /// Where it is.
    pub state: State,
    /// How far the launch is or was.
    pub progress: LaunchProgress,
    /// The files it was loaded from, once they are known.
    pub provenance: Provenance,
    /// The model's own description, once it has been ready.
    pub card: Option<Arc<ModelCard>>,
    /// Generation of the plugin that serves it.
    pub generation: Option<u64>,
    /// Whether requests load it.
    pub is_on_demand: bool,
    /// Bytes that it takes: measured where it has a process of its own, estimated from its files otherwise.
    pub memory: Option<u64>,
    /// When it was of use last.
    pub last_used: Option<SystemTime>,
    /// When it is unloaded if nobody uses it until then.
    pub idle_unload_at: Option<SystemTime>,
}

/// One uid.
pub(crate) struct Slot {
    pub(super) uid: String,
    pub(super) spec: LaunchSpec,
    pub(super) entry: Arc<ModelEntry>,
    /// When the launch began, for people.
    pub(super) created: SystemTime,
    /// The same, by a clock that nobody turns.
    pub(super) begun: Instant,
    pub(super) state: watch::Sender<State>,
    pub(super) cancel: CancelToken,
    /// Wakes whoever waits for the launch when it is cancelled.
    pub(super) cancelled: Notify,
    /// Requests load it, and may find it unloaded.
    is_on_demand: AtomicBool,
    /// Bytes that it will take, as far as one can tell before it is there.
    expected_memory: AtomicU64,
    /// Bytes that were made free for it.
    reserved: AtomicU64,
    last_card: Mutex<Option<Arc<ModelCard>>>,
    /// Of an unloaded model.
    last_used: Mutex<Option<Instant>>,
    /// Launch options after the catalogue's defaults.
    options: Mutex<Object>,
    progress: Mutex<LaunchProgress>,
    provenance: Mutex<Provenance>,
    pub(super) reload: Mutex<Option<ReloadStatus>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment: a panic elsewhere can't leave it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slot {
    pub(super) fn new(uid: String, spec: LaunchSpec, entry: Arc<ModelEntry>, options: Object) -> Self {
        let state = if spec.lazy { State::Unloaded(None) } else { State::Creating };
        Self {
            uid,
            is_on_demand: AtomicBool::new(spec.lazy),
            spec,
            entry,
            created: SystemTime::now(),
            begun: Instant::now(),
            state: watch::Sender::new(state),
            cancel: CancelToken::new(),
            cancelled: Notify::new(),
            expected_memory: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            last_card: Mutex::default(),
            last_used: Mutex::default(),
            options: Mutex::new(options),
            progress: Mutex::default(),
            provenance: Mutex::default(),
            reload: Mutex::default(),
        }
    }

    /// What there is to say about it. Idle models are unloaded after `idle` if their launch doesn't say otherwise.
    pub(super) fn status(&self, idle: Option<Duration>) -> ModelStatus {
        let mut state = self.state.borrow().clone();
        let running = if let State::Ready(running) = &state { Some(running.clone()) } else { None };
        let used = running.as_ref().map(|running| running.last_used()).or(*lock(&self.last_used));
        let idle_since = running.as_ref().and_then(|running| running.idle_since());
        if let Some(fault) = running.as_ref().and_then(|running| running.fault()) {
            state = State::Failed(LaunchError::Unavailable(redacted(&fault, None)));
        }
        ModelStatus {
            uid: self.uid.clone(),
            spec: self.spec.clone(),
            entry: self.entry.clone(),
            options: self.options(),
            created: self.created,
            progress: lock(&self.progress).clone(),
            provenance: lock(&self.provenance).clone(),
            card: running.as_ref().map(|running| running.card()).or_else(|| lock(&self.last_card).clone()),
            generation: running.as_ref().map(|running| running.generation()),
            is_on_demand: self.is_on_demand(),
            memory: running.as_ref().map(|running| self.memory(running)),
            last_used: used.map(wall_clock),
            idle_unload_at: idle_since
                .zip(self.idle_limit(idle))
                .and_then(|(since, limit)| wall_clock(since).checked_add(limit)),
            state,
        }
    }

    /// Whether requests load it.
    pub(super) fn is_on_demand(&self) -> bool {
        self.is_on_demand.load(Ordering::Acquire)
    }

    /// How long it may be idle; none: forever.
    pub(super) fn idle_limit(&self, default: Option<Duration>) -> Option<Duration> {
        let limit = self.spec.idle.or(default).filter(|limit| !limit.is_zero());
        limit.filter(|_| !self.spec.pinned)
    }

    /// Bytes that it takes while it serves.
    pub(super) fn memory(&self, running: &Running) -> u64 {
        running.memory().unwrap_or_else(|| self.expected_memory())
    }

    /// Bytes that it will take.
    pub(super) fn expected_memory(&self) -> u64 {
        self.expected_memory.load(Ordering::Acquire)
    }

    /// Nothing is known better than what it took before.
    pub(super) fn expect_memory(&self, at_least: u64) -> u64 {
        self.expected_memory.fetch_max(at_least, Ordering::AcqRel).max(at_least)
    }

    /// Bytes that were made free for it, while it loads.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }

    pub(super) fn reserve(&self, bytes: u64) {
        self.reserved.store(bytes, Ordering::Release);
    }

    /// Keeps what clients may ask of a model that isn't there.
    pub(super) fn remember(&self, card: Arc<ModelCard>) {
        *lock(&self.last_card) = Some(card);
    }

    /// Goes from ready to unloaded, unless it is in use or has been given up. What served is then to be dropped, which may
    /// take a while.
    pub(super) fn unload(&self) -> Option<Arc<Running>> {
        let State::Ready(running) = self.state.borrow().clone() else { return None };
        let used = running.last_used();
        if !running.close_if_idle() {
            return None;
        }
        self.expect_memory(running.memory().unwrap_or(0));
        *lock(&self.last_used) = Some(used);
        self.is_on_demand.store(true, Ordering::Release);
        self.state.send_if_modified(|state| {
            let is_ours = matches!(state, State::Ready(_));
            if is_ours {
                *state = State::Unloaded(None);
            }
            is_ours
        });
        Some(running)
    }

    pub(super) fn handle(&self) -> Launch {
        Launch { uid: self.uid.clone(), state: self.state.subscribe() }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.state.borrow(), State::Failed(_))
    }

    pub(super) fn options(&self) -> Object {
        lock(&self.options).clone()
    }

    pub(super) fn set_options(&self, options: Object) {
        *lock(&self.options) = options;
    }

    pub(super) fn set_provenance(&self, provenance: Provenance) {
        *lock(&self.provenance) = provenance;
    }

    /// Changes what the launch tells of itself. What is not given stays.
    pub(super) fn report(&self, stage: Option<&'static str>, progress: f64, info: &str) {
        lock(&self.progress).set(stage, progress, info);
    }

    /// [`Self::report`] for the work of the launch, which may go on for a while after its cancellation: then nobody listens.
    pub(super) fn report_work(&self, stage: &'static str, progress: f64, info: &str) {
        // Under the lock: what is told once the launch is cancelled stays the last word.
        let mut current = lock(&self.progress);
        if !self.cancel.is_cancelled() {
            current.set(Some(stage), progress, info);
        }
    }

    pub(super) fn report_file(&self, name: &str, done: u64, total: Option<u64>) {
        let mut current = lock(&self.progress);
        current.updated = SystemTime::now();
        // The file in work is the last one, nearly always.
        if let Some(file) = current.files.iter_mut().rev().find(|file| file.name == name) {
            file.done = done;
            file.total = total.or(file.total);
        } else if current.files.len() < FILES_SHOWN {
            current.files.push(FileProgress { name: name.to_owned(), done, total });
        }
    }

    /// Goes from ready or unloaded to terminating: what served, if it did. None if it was in neither state.
    pub(super) fn begin_termination(&self) -> Option<Option<Arc<Running>>> {
        let mut ended = None;
        self.state.send_if_modified(|state| {
            ended = match state {
                State::Ready(running) => Some(Some(running.clone())),
                State::Unloaded(_) => Some(None),
                _ => return false,
            };
            *state = State::Terminating;
            true
        });
        ended
    }

    /// Cancels the launch, unless it is over. Says whether it did.
    pub(super) fn cancel_launch(&self) -> bool {
        let mut launching = false;
        // Under the lock of the state, which it would need to become ready.
        self.state.send_if_modified(|state| {
            launching = state.is_launching();
            if launching {
                self.cancel.cancel();
            }
            false
        });
        if launching {
            self.cancelled.notify_one();
        }
        launching
    }
}

/// The time of the day at a moment of the past.
fn wall_clock(moment: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(moment.elapsed()).unwrap_or(now)
}
