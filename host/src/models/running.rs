//! A model that serves.

use super::{
    Executor, Job, JobError, JobKind, Ticket,
    admission::{Admission, Lease, Place},
    job::{self, Events, Limits, Outlet, OwnedClip, SpeechOutput},
    measured::Counted,
};
use crate::metrics::{self, Outcome, Refusal, Task};
use arc_swap::ArcSwap;
use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use syrinx_plugin_api::{
    Error, Flow, ModelCard, Object, SpeechSettings, TranscribeSettings, TranscriptEvent, host_side::WholeAudio,
};

/// How busy a model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Jobs that run.
    pub running: usize,
    /// Jobs that wait.
    pub waiting: usize,
}

/// A model that serves, in one or several replicas.
pub struct Running {
    uid: String,
    request_defaults: Object,
    replicas: ArcSwap<Vec<Replica>>,
    admission: Arc<Admission>,
    stop: Arc<AtomicBool>,
}

/// A running model that isn't unloaded as long as this is there.
pub struct Leased {
    running: Arc<Running>,
    _lease: Lease,
}

impl Deref for Leased {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// One loaded copy, and how many jobs it runs.
#[derive(Clone)]
struct Replica {
    executor: Arc<dyn Executor>,
    active: Arc<AtomicUsize>,
}

impl Replica {
    fn all(executors: Vec<Arc<dyn Executor>>) -> Vec<Self> {
        executors.into_iter().map(|executor| Self { executor, active: Arc::default() }).collect()
    }
}

/// Counts a job on its replica.
struct Active(Arc<AtomicUsize>);

impl Active {
    fn on(replica: &Replica) -> Self {
        replica.active.fetch_add(1, Ordering::AcqRel);
        Self(replica.active.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a launch decides about a running model.
pub(crate) struct RunningSettings {
    pub(crate) request_defaults: Object,
    pub(crate) queue_limit: usize,
    pub(crate) request_limit: Option<usize>,
}

impl Running {
    /// # Panics
    /// Without at least one executor.
    pub(crate) fn new(uid: &str, executors: Vec<Arc<dyn Executor>>, settings: RunningSettings) -> Self {
        assert!(!executors.is_empty(), "a running model has a replica");
        let capacity = executors.iter().map(|executor| executor.card().max_concurrency.max(1)).sum();
        Self {
            uid: uid.to_owned(),
            request_defaults: settings.request_defaults,
            replicas: ArcSwap::from_pointee(Replica::all(executors)),
            admission: Admission::new(uid, capacity, settings.queue_limit, settings.request_limit),
            stop: Arc::default(),
        }
    }

    /// The uid that it serves under.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The model's description of itself.
    pub fn card(&self) -> Arc<ModelCard> {
        self.replicas.load()[0].executor.card()
    }

    /// Generation of the plugin that new jobs go to.
    pub fn generation(&self) -> u64 {
        self.replicas.load()[0].executor.generation()
    }

    /// Why none of its replicas runs jobs any more, when that is so.
    pub(crate) fn fault(&self) -> Option<String> {
        let faults: Option<Vec<String>> = self.replicas.load().iter().map(|replica| replica.executor.fault()).collect();
        faults?.pop()
    }

    /// The process of each replica, where it isn't this one.
    pub(crate) fn processes(&self) -> Vec<Option<u32>> {
        self.replicas.load().iter().map(|replica| replica.executor.process()).collect()
    }

    /// Request parameters that the catalogue sets when a caller doesn't.
    pub fn request_defaults(&self) -> &Object {
        &self.request_defaults
    }

    /// How busy it is.
    pub fn load(&self) -> Load {
        Load { running: self.admission.running(), waiting: self.admission.waiting() }
    }

    /// Bytes that its processes take; none if it has none of its own.
    pub fn memory(&self) -> Option<u64> {
        self.replicas.load().iter().map(|replica| replica.executor.memory()).sum()
    }

    /// When it was of use last.
    pub fn last_used(&self) -> Instant {
        self.admission.last_used()
    }

    /// Since when nobody has used it; none when somebody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.admission.idle_since()
    }

    /// Keeps it from being unloaded; none when it is too late for that.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Leased> {
        let lease = self.admission.lease()?;
        Some(Leased { running: self.clone(), _lease: lease })
    }

    /// Lets nobody in any more, if nobody uses it. Says whether that is so.
    pub(crate) fn close_if_idle(&self) -> bool {
        self.admission.close_if_idle()
    }

    /// Number of replicas.
    pub fn replicas(&self) -> usize {
        self.replicas.load().len()
    }

    /// Starts a transcription as soon as it is the ticket's turn: mono `samples` at the card's input rate, spoken by
    /// `known_speakers` among others.
    ///
    /// # Errors
    /// When there are too many jobs, it waits too long, or the model is being terminated.
    pub async fn transcribe(
        &self,
        settings: TranscribeSettings,
        samples: impl AsRef<[f32]> + Send + 'static,
        known_speakers: Vec<OwnedClip>,
        ticket: Ticket,
    ) -> Result<Events<TranscriptEvent>, JobError> {
        self.start(Task::Transcribe, ticket, move |executor, outlet| {
            let samples = samples.as_ref();
            let seconds = executor.card().input_sample_rate.map_or(0.0, |rate| samples.len() as f64 / f64::from(rate));
            let mut audio = WholeAudio::new(samples);
            let kind = JobKind::Transcribe { settings, audio: &mut audio, known_speakers, receiver: outlet };
            (executor.run(Job { kind }), seconds)
        })
        .await
    }

    /// Starts speaking as soon as it is the ticket's turn.
    ///
    /// # Errors
    /// When there are too many jobs, it waits too long, or the model is being terminated.
    pub async fn synthesize(
        &self,
        settings: SpeechSettings,
        clips: Vec<OwnedClip>,
        ticket: Ticket,
    ) -> Result<Events<SpeechOutput>, JobError> {
        self.start(Task::Speak, ticket, move |executor, outlet| {
            let mut counted = Counted::new(outlet);
            let result = executor.run(Job { kind: JobKind::Synthesize { settings, clips, receiver: &mut counted } });
            (result, counted.seconds(executor.card().output_sample_rate))
        })
        .await
    }

    /// `run` also says how many seconds of sound there were.
    async fn start<T: Send + 'static>(
        &self,
        task: Task,
        ticket: Ticket,
        run: impl FnOnce(&dyn Executor, &mut Outlet<T>) -> (Result<(), Error>, f64) + Send + 'static,
    ) -> Result<Events<T>, JobError> {
        let came = Instant::now();
        let place = self.admission.admit(&ticket).await.inspect_err(|error| self.count_refusal(error))?;
        metrics::waited(&self.uid, came.elapsed());
        let (replica, active) = self.least_busy();
        let (mut outlet, events) = job::channel(Limits::new(&ticket, self.stop.clone()), ticket.turn);
        let uid = self.uid.clone();
        let generation = replica.executor.generation();
        let span = tracing::info_span!("job", uid, generation, task = task.name());
        tokio::task::spawn_blocking(move || {
            let _entered = span.entered();
            let _place: Place = place;
            let _active = active;
            let measured = metrics::Job::begin(&uid, generation, task);
            let (result, seconds) = run(&*replica.executor, &mut outlet);
            if let Err(error) = &result {
                tracing::debug!(%error, "job failed");
            }
            let outcome = match &result {
                Err(_) => Outcome::Failed,
                Ok(()) if outlet.flow_now() == Flow::Stop => Outcome::Stopped,
                Ok(()) => Outcome::Done,
            };
            measured.end(outcome, seconds);
            outlet.finish(&uid, result);
        });
        Ok(events)
    }

    fn count_refusal(&self, error: &JobError) {
        let why = match error {
            JobError::QueueFull { .. } => Refusal::QueueFull,
            JobError::LimitReached { .. } => Refusal::RequestLimit,
            JobError::Overloaded { .. } => Refusal::Overloaded,
            JobError::Expired { .. } => Refusal::Expired,
            JobError::Closed { .. } => Refusal::Closed,
            JobError::Deadline(_) | JobError::Plugin(_) => return,
        };
        metrics::refused(&self.uid, why);
    }

    /// One that has been given up is the least busy of all, and the last choice.
    fn least_busy(&self) -> (Replica, Active) {
        let replicas = self.replicas.load();
        let least = replicas
            .iter()
            .min_by_key(|replica| (replica.executor.fault().is_some(), replica.active.load(Ordering::Acquire)));
        let replica = least.unwrap_or(&replicas[0]).clone();
        let active = Active::on(&replica);
        (replica, active)
    }

    /// New jobs go to `executors` from now on. Jobs in flight finish where they are; the old ones are dropped after them.
    pub(crate) fn replace(&self, executors: Vec<Arc<dyn Executor>>) {
        self.replicas.store(Arc::new(Replica::all(executors)));
    }

    /// Lets nobody in any more, waits for the jobs in flight, and stops them when `patience` is over.
    pub(crate) async fn close(&self, patience: Duration) {
        /// A job notices at its next step; a step of a large model may take this long.
        const LAST_STEP: Duration = Duration::from_secs(10);
        self.admission.close();
        if tokio::time::timeout(patience, self.idle()).await.is_err() {
            self.stop.store(true, Ordering::Relaxed);
            if tokio::time::timeout(LAST_STEP, self.idle()).await.is_err() {
                tracing::warn!(uid = self.uid, "jobs do not stop; leaving them behind");
            }
        }
    }

    async fn idle(&self) {
        let active = || self.replicas.load().iter().any(|replica| replica.active.load(Ordering::Acquire) > 0);
        while active() || self.admission.running() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.uid)
    }
}
