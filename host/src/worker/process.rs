//! The host's side: an executor whose jobs run in a worker, and what keeps a worker there.

use super::{
    connection::{self, Receiver, Sender},
    frame,
    limits::{self, Leash},
    lock,
    messages::{Assignment, ClipHead, JobHead, JobTask, LogLine, Measurement, Order, Word},
};
use crate::{
    machine::resident_bytes,
    metrics,
    models::{Executor, Job, JobKind, OwnedClip, WorkerLimits},
    plugins::InUse,
    program,
};
use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead as _, BufReader, PipeReader, Read as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};
use syrinx_plugin_api::{
    Error, Flow, Level, LoadRequest, MetricKind, ModelCard,
    host_side::{HostServices, ProvideAudio},
};

/// How often a job looks whether it is still wanted while its worker says nothing.
const LOOK: Duration = Duration::from_millis(50);

/// How long a stopped job may go on: its next step may be one of a large model. Then its worker is killed.
const LAST_STEP: Duration = Duration::from_secs(30);

/// How long a write to a worker may take that doesn't read. Then it counts as hung.
const STUCK: Duration = Duration::from_secs(30);

/// How long a worker that was told to end may take.
const ENDING: Duration = Duration::from_secs(2);

/// How long its last words may be on their way after its end.
const ECHO: Duration = Duration::from_millis(500);

/// So many ends within [`CRASH_WINDOW`] and no new worker is started.
const MOST_CRASHES: usize = 5;
const CRASH_WINDOW: Duration = Duration::from_secs(120);

/// Wait before the second new worker in a row, and what it doubles to at most. The first one is started at once.
const BACKOFF: Duration = Duration::from_millis(500);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// Lines of a worker's last words that are kept, and how long each may be.
const LAST_WORDS: usize = 20;
const LONGEST_LINE: u64 = 1000; // bytes

/// A model for a process of its own: everything needed to start it, and to start it again.
pub(crate) struct Isolated {
    /// The model's uid.
    pub(crate) uid: String,
    /// The plugin, and its private copy.
    pub(crate) generation: InUse,
    pub(crate) plugin: PathBuf,
    /// What to load.
    pub(crate) request: LoadRequest,
    /// What the host does for the model.
    pub(crate) services: Arc<dyn HostServices>,
    /// Native runtimes by name.
    pub(crate) runtimes: std::collections::BTreeMap<String, PathBuf>,
    /// What the process may take of the machine.
    pub(crate) limits: WorkerLimits,
}

/// Runs jobs in a worker.
pub(crate) struct Process {
    keeper: Arc<Keeper>,
    card: Arc<ModelCard>,
}

/// Keeps a worker there.
struct Keeper {
    isolated: Isolated,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    /// The next worker is on its way.
    Starting,
    Serving(Arc<Worker>),
    /// It ended too often: why, and its last words.
    Broken(String),
    /// Nobody needs it any more.
    Closed,
}

impl Process {
    /// Starts a worker and waits until it has loaded the model.
    ///
    /// # Errors
    /// The plugin's, or when no process can be started.
    pub(crate) fn start(isolated: Isolated) -> Result<Self, Error> {
        let (worker, card) = Worker::start(&isolated, true)?;
        let state = Mutex::new(State::Serving(worker.clone()));
        let keeper = Arc::new(Keeper { isolated, state, changed: Condvar::new() });
        {
            let keeper = keeper.clone();
            let spawned = thread::Builder::new().name("worker keeper".to_owned()).spawn(move || keeper.keep(worker));
            spawned.map_err(|error| Error::out_of_resources(format!("no thread can be started: {error}")))?;
        }
        Ok(Self { keeper, card: Arc::new(card) })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.keeper.state), State::Closed);
        self.keeper.changed.notify_all();
        if let State::Serving(worker) = state {
            worker.orders.close();
        }
    }
}

impl Executor for Process {
    fn card(&self) -> Arc<ModelCard> {
        self.card.clone()
    }

    fn generation(&self) -> u64 {
        self.keeper.isolated.generation.number
    }

    fn process(&self) -> Option<u32> {
        match &*lock(&self.keeper.state) {
            State::Serving(worker) => Some(worker.process),
            _ => None,
        }
    }

    fn fault(&self) -> Option<String> {
        match &*lock(&self.keeper.state) {
            State::Broken(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    fn memory(&self) -> Option<u64> {
        // One that is being started again takes some, too, soon.
        Some(self.process().and_then(resident_bytes).unwrap_or(0))
    }

    /// A job whose worker ends is begun once more if nothing was heard of it yet.
    fn run(&self, job: Job<'_>) -> Result<(), Error> {
        let mut task = Task::new(job.kind);
        for is_last in [false, true] {
            let Some(worker) = self.keeper.worker(&task)? else { return Ok(()) };
            match worker.run(&mut task) {
                Ending::Done(result) => return result,
                Ending::Lost => {}
            }
            // It may be the one that took all the memory.
            if let Some(excess) = worker.excess.get() {
                return Err(Error::out_of_resources(excess.clone()));
            }
            if is_last || task.has_pushed {
                break;
            }
        }
        Err(Error::out_of_resources("the process that ran the model ended in the middle of the request; try again"))
    }
}

impl Keeper {
    /// The worker that serves now. Waits while one is being started, for as long as somebody waits for the job; then none.
    fn worker(&self, task: &Task<'_>) -> Result<Option<Arc<Worker>>, Error> {
        let mut state = lock(&self.state);
        loop {
            match &*state {
                State::Serving(worker) if !worker.has_ended() => return Ok(Some(worker.clone())),
                State::Serving(_) | State::Starting => {}
                State::Broken(reason) => return Err(Error::out_of_resources(reason.clone())),
                State::Closed => return Err(Error::out_of_resources("the model is being terminated")),
            }
            if task.flow() == Flow::Stop {
                return Ok(None);
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Starts another worker whenever one ends, until nobody needs it or it ends too often.
    fn keep(&self, mut worker: Arc<Worker>) {
        let uid = &self.isolated.uid;
        let mut crashes: VecDeque<Instant> = VecDeque::new();
        loop {
            let mut reason = worker.wait_for_end();
            loop {
                if !self.set(State::Starting) {
                    return;
                }
                metrics::worker_ended(uid);
                crashes.push_back(Instant::now());
                while crashes.front().is_some_and(|crash| crash.elapsed() > CRASH_WINDOW) {
                    crashes.pop_front();
                }
                if crashes.len() >= MOST_CRASHES {
                    tracing::error!(uid, reason, "the model's process ended too often; giving up");
                    let told =
                        format!("the model's process ended {MOST_CRASHES} times in a row: {reason}; launch it again");
                    self.set(State::Broken(told));
                    return;
                }
                tracing::error!(uid, reason, "the model's process ended; starting another one");
                if !self.pause(backoff(crashes.len())) {
                    return;
                }
                match Worker::start(&self.isolated, false) {
                    Ok((next, _)) => {
                        worker = next;
                        break;
                    }
                    Err(error) => reason = error.to_string(),
                }
            }
            if !self.set(State::Serving(worker.clone())) {
                worker.orders.close();
                return;
            }
            tracing::info!(uid, "the model's new process is ready");
        }
    }

    /// Says whether somebody still needs a worker.
    fn set(&self, next: State) -> bool {
        let mut state = lock(&self.state);
        if matches!(*state, State::Closed) {
            return false;
        }
        *state = next;
        self.changed.notify_all();
        true
    }

    /// Waits. Says whether somebody still needs a worker.
    fn pause(&self, time: Duration) -> bool {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, time, |state| !matches!(state, State::Closed));
        !matches!(*waited.unwrap_or_else(PoisonError::into_inner).0, State::Closed)
    }
}

fn backoff(crashes: usize) -> Duration {
    match crashes {
        0 | 1 => Duration::ZERO,
        more => BACKOFF.saturating_mul(1 << (more - 2).min(10)).min(LONGEST_BACKOFF),
    }
}

/// A job in the host's hands.
struct Task<'a> {
    kind: JobKind<'a>,
    /// Something was heard of it, and may have been sent to the client.
    has_pushed: bool,
}

impl<'a> Task<'a> {
    fn new(kind: JobKind<'a>) -> Self {
        Self { kind, has_pushed: false }
    }

    fn flow(&self) -> Flow {
        match &self.kind {
            JobKind::Transcribe { receiver, .. } => receiver.flow(),
            JobKind::Synthesize { receiver, .. } => receiver.flow(),
        }
    }

    /// Takes a push; none for words that are none.
    fn take(&mut self, word: Word) -> Option<Flow> {
        let flow = match (&mut self.kind, word) {
            (JobKind::Transcribe { receiver, .. }, Word::Transcript(event)) => receiver.push(event),
            (JobKind::Synthesize { receiver, .. }, Word::Pcm(samples)) => receiver.push(&samples),
            (JobKind::Synthesize { receiver, .. }, Word::Note(event)) => receiver.note(event),
            _ => return None,
        };
        self.has_pushed = true;
        Some(flow)
    }

    /// Sends the job to a worker.
    fn send(&mut self, orders: &Sender<Order>, job: u64) -> io::Result<()> {
        match &mut self.kind {
            JobKind::Transcribe { settings, audio, known_speakers, .. } => {
                let input = whole(*audio);
                let task = JobTask::Transcribe(settings.clone());
                send_job(orders, job, task, &input, known_speakers)
            }
            JobKind::Synthesize { settings, clips, .. } => {
                send_job(orders, job, JobTask::Synthesize(settings.clone()), &[], clips)
            }
        }
    }
}

/// All of the input. It must be there whole if the job is to be begun twice, which it is in this host.
fn whole(audio: &mut dyn ProvideAudio) -> std::borrow::Cow<'_, [f32]> {
    if audio.whole().is_some() {
        return audio.whole().unwrap_or_default().into();
    }
    let mut all = Vec::new();
    loop {
        let filled = all.len();
        all.resize(filled + frame::SAMPLES, 0.0);
        let count = audio.read(&mut all[filled..]);
        all.truncate(filled + count);
        if count == 0 {
            return all.into();
        }
    }
}

fn send_job(orders: &Sender<Order>, job: u64, task: JobTask, input: &[f32], clips: &[OwnedClip]) -> io::Result<()> {
    let heads = clips.iter().map(|clip| ClipHead {
        name: clip.name.clone(),
        samples: clip.samples.len(),
        sample_rate: clip.sample_rate,
    });
    orders.send(job, &Order::Begin(JobHead { task, input: input.len(), clips: heads.collect() }))?;
    let clips = clips.iter().map(|clip| clip.samples.as_slice());
    for piece in std::iter::once(input).chain(clips).flat_map(|samples| samples.chunks(frame::SAMPLES)) {
        orders.send_samples(job, piece)?;
    }
    Ok(())
}

/// How a job ended.
enum Ending {
    /// The worker says so.
    Done(Result<(), Error>),
    /// The worker is gone.
    Lost,
}

/// A worker's process.
struct Worker {
    orders: Sender<Order>,
    child: Mutex<Child>,
    /// Its id.
    process: u32,
    /// Who hears what is said of each job; none after the end.
    jobs: Mutex<Option<HashMap<u64, Listener>>>,
    next_job: AtomicU64,
    /// Why it ended.
    end: Mutex<Option<String>>,
    ended: Condvar,
    last_words: Arc<Mutex<VecDeque<String>>>,
    /// The thread that takes them down.
    hearing: thread::JoinHandle<()>,
    leash: Leash,
    /// It took more memory than it may: what is told of that.
    excess: OnceLock<String>,
}

/// A job that waits for what its worker says.
struct Listener {
    words: mpsc::Sender<Word>,
    /// Around the lines that are logged for it.
    span: tracing::Span,
}

impl Worker {
    /// Starts a process and waits until it has loaded the model. Only a first load is reported.
    fn start(isolated: &Isolated, is_first: bool) -> Result<(Arc<Self>, ModelCard), Error> {
        let failed =
            |error: io::Error| Error::out_of_resources(format!("the model's process can't be started: {error}"));
        let (worker, words) = Self::spawn(&isolated.uid, isolated.limits).map_err(failed)?;
        let worker = Arc::new(worker);
        if worker.leash.needs_watch() {
            let worker = worker.clone();
            let watch = move || worker.watch();
            thread::Builder::new().name("worker memory".to_owned()).spawn(watch).map_err(failed)?;
        }
        let (loaded, card) = mpsc::channel();
        {
            let (worker, services) = (worker.clone(), isolated.services.clone());
            let listen = move || worker.listen(words, &*services, is_first, &loaded);
            thread::Builder::new().name("worker words".to_owned()).spawn(listen).map_err(failed)?;
        }
        let assignment = Assignment {
            plugin: isolated.plugin.clone(),
            request: isolated.request.clone(),
            runtimes: isolated.runtimes.clone(),
            cache_dir: isolated.services.cache_dir(),
            devices: isolated.services.devices(),
        };
        // A worker that is gone already is noticed below.
        let _ = worker.orders.send(0, &Order::Load(Box::new(assignment)));
        let mut is_cancelled = false;
        loop {
            match card.recv_timeout(LOOK) {
                Ok(Ok(card)) => return Ok((worker, *card)),
                Ok(Err(error)) => {
                    worker.orders.close();
                    return Err(error);
                }
                Err(RecvTimeoutError::Timeout) if !is_cancelled && isolated.services.is_cancelled() => {
                    is_cancelled = true;
                    let _ = worker.orders.send(0, &Order::CancelLoad);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let reason = worker.wait_for_end();
                    if let Some(excess) = worker.excess.get() {
                        return Err(Error::out_of_resources(excess.clone()));
                    }
                    return Err(Error::internal(format!("the process that loads the model ended: {reason}")));
                }
            }
        }
    }

    fn spawn(uid: &str, limits: WorkerLimits) -> io::Result<(Self, Receiver<Word>)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_write_timeout(Some(STUCK))?;
        let (said, says) = io::pipe()?;
        let child = Command::new(program::running()?)
            .arg0("syrinx")
            .arg("worker")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(says.try_clone()?)
            .stderr(says)
            // Ctrl-C in a terminal is for the host, which lets jobs finish.
            .process_group(0)
            .spawn()?;
        let leash = Leash::around(child.id(), limits, uid);
        let last_words = Arc::default();
        let hearing = {
            let (uid, last_words) = (uid.to_owned(), Arc::clone(&last_words));
            let hear = move || hear(said, &uid, &last_words);
            thread::Builder::new().name("worker output".to_owned()).spawn(hear)?
        };
        let (orders, words) = connection::open(ours)?;
        let worker = Self {
            orders,
            process: child.id(),
            child: Mutex::new(child),
            jobs: Mutex::new(Some(HashMap::new())),
            next_job: AtomicU64::new(1),
            end: Mutex::new(None),
            ended: Condvar::new(),
            last_words,
            hearing,
            leash,
            excess: OnceLock::new(),
        };
        Ok((worker, words))
    }

    /// Takes in what the worker says, until it ends.
    fn listen(
        &self,
        mut words: Receiver<Word>,
        services: &dyn HostServices,
        is_first: bool,
        loaded: &mpsc::Sender<Result<Box<ModelCard>, Error>>,
    ) {
        let confusion = loop {
            match words.receive() {
                Ok(Some((job, Word::Log(LogLine { level, message })))) => {
                    self.span_of(job).in_scope(|| services.log(level_of(level), &message));
                }
                Ok(Some((_, Word::Metric(Measurement { kind, name, labels, value })))) => {
                    services.metric(kind_of(kind), &name, &labels, value);
                }
                Ok(Some((_, Word::Progress(progress)))) if is_first => {
                    services.progress(progress.fraction, &progress.stage);
                }
                Ok(Some((_, Word::Progress(_)))) => {}
                Ok(Some((_, Word::Loaded(result)))) => {
                    let _ = loaded.send(result);
                }
                Ok(Some((job, word))) => self.pass_on(job, word),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let reason = self.reap(confusion);
        // In this order: whoever finds its channel closed finds the reason, too.
        *lock(&self.end) = Some(reason);
        self.ended.notify_all();
        *lock(&self.jobs) = None;
    }

    /// The span of a job that runs; else none.
    fn span_of(&self, job: u64) -> tracing::Span {
        let jobs = lock(&self.jobs);
        let listener = jobs.as_ref().and_then(|jobs| jobs.get(&job));
        listener.map_or_else(tracing::Span::none, |listener| listener.span.clone())
    }

    fn pass_on(&self, job: u64, word: Word) {
        let mut jobs = lock(&self.jobs);
        let Some(jobs) = jobs.as_mut() else { return };
        let is_last = matches!(word, Word::Done(_));
        // A job that has given up its worker listens no more.
        if let Some(listener) = jobs.get(&job) {
            let _ = listener.words.send(word);
        }
        if is_last {
            jobs.remove(&job);
        }
    }

    /// Waits for the end of a process that has closed its connection, or makes one; says how it ended.
    fn reap(&self, confusion: Option<io::Error>) -> String {
        self.orders.close();
        let begun = Instant::now();
        let status = loop {
            let status = lock(&self.child).try_wait();
            match status {
                Ok(Some(status)) => break status.to_string(),
                Ok(None) if begun.elapsed() < ENDING => thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let mut child = lock(&self.child);
                    let _ = child.kill();
                    break child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                }
                Err(error) => break error.to_string(),
            }
        };
        if let Some(excess) = self.leash.verdict() {
            self.excess.get_or_init(|| excess);
        }
        let mut reason = self.excess.get().cloned().unwrap_or(status);
        if let Some(error) = confusion {
            reason = format!("{reason} ({error})");
        }
        // What it printed may still be in the pipe. A process that it started may hold that open for longer.
        let ended = Instant::now();
        while !self.hearing.is_finished() && ended.elapsed() < ECHO {
            thread::sleep(Duration::from_millis(1));
        }
        let last_words = lock(&self.last_words);
        if !last_words.is_empty() {
            let lines: Vec<&str> = last_words.iter().map(String::as_str).collect();
            reason = format!("{reason}; its last words: {}", lines.join(" | "));
        }
        reason
    }

    fn has_ended(&self) -> bool {
        lock(&self.end).is_some()
    }

    fn wait_for_end(&self) -> String {
        let end = lock(&self.end);
        let end = self.ended.wait_while(end, |end| end.is_none()).unwrap_or_else(PoisonError::into_inner);
        end.clone().unwrap_or_default()
    }

    fn run(&self, task: &mut Task<'_>) -> Ending {
        let job = self.next_job.fetch_add(1, Ordering::Relaxed);
        let (sender, words) = mpsc::channel();
        match lock(&self.jobs).as_mut() {
            Some(jobs) => drop(jobs.insert(job, Listener { words: sender, span: tracing::Span::current() })),
            None => return Ending::Lost,
        }
        let _listed = Listed { worker: self, job };
        if let Err(error) = task.send(&self.orders, job) {
            self.kill(&format!("it takes no jobs: {error}"));
            return Ending::Lost;
        }
        let mut stopped: Option<Instant> = None;
        loop {
            match words.recv_timeout(LOOK) {
                Ok(Word::Done(result)) => return Ending::Done(result),
                Ok(word) => {
                    // A worker that is gone is noticed when the channel closes.
                    if task.take(word) == Some(Flow::Continue) {
                        let _ = self.orders.send(job, &Order::Taken(1));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ending::Lost,
            }
            match stopped {
                None if task.flow() == Flow::Stop => {
                    stopped = Some(Instant::now());
                    let _ = self.orders.send(job, &Order::Stop);
                }
                Some(since) if since.elapsed() > LAST_STEP => {
                    self.kill("a job of its does not stop");
                    return Ending::Done(Ok(()));
                }
                _ => {}
            }
        }
    }

    /// Ends the process when it takes more memory than it may. Returns when it has ended.
    fn watch(&self) {
        while !self.has_ended() {
            if let Some(excess) = self.leash.excess() {
                let excess = self.excess.get_or_init(|| excess);
                self.kill(excess);
                return;
            }
            thread::sleep(limits::LOOK);
        }
    }

    /// Ends a process that hangs or takes too much.
    fn kill(&self, reason: &str) {
        tracing::error!(reason, "killing a model's process");
        let _ = lock(&self.child).kill();
        self.orders.close();
    }
}

/// A job that its worker is to tell of.
struct Listed<'a> {
    worker: &'a Worker,
    job: u64,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        if let Some(jobs) = lock(&self.worker.jobs).as_mut() {
            jobs.remove(&self.job);
        }
    }
}

/// Logs what a worker's native code prints, and keeps the end of it.
fn hear(said: PipeReader, uid: &str, last_words: &Mutex<VecDeque<String>>) {
    let mut said = BufReader::new(said);
    let mut line = Vec::new();
    while said.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        tracing::warn!(uid, "the model's process prints: {text}");
        let mut last_words = lock(last_words);
        if last_words.len() == LAST_WORDS {
            last_words.pop_front();
        }
        last_words.push_back(text);
    }
}

fn level_of(level: u8) -> Level {
    match level {
        1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    }
}

fn kind_of(kind: u8) -> MetricKind {
    match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        _ => MetricKind::Histogram,
    }
}
