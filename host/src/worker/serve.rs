//! The worker's side: loads a model, runs its jobs, each on a thread that it has to itself.

use super::{
    connection::{self, Receiver, Sender},
    frame, lock,
    messages::{Assignment, ClipHead, JobHead, JobTask, LoadProgress, LogLine, Measurement, Order, Word},
};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use syrinx_plugin_api::{
    Clip, Device, Error, Flow, Level, MetricKind, ReceivePcm, ReceiveTranscript, SpeechEvent, TranscriptEvent,
    host_side::{HostServices, LoadedModel, PluginLibrary, WholeAudio},
};
use tokio::signal::unix::{SignalKind, signal};

/// Pushes that may be on their way to the host: enough to keep both sides busy, little enough that a slow reader slows the
/// plugin down.
const WINDOW: u32 = 8;

thread_local! {
    /// The job that a thread runs; 0: none.
    static JOB: Cell<u64> = const { Cell::new(0) };
}

/// How long native libraries may take to clean up at the end.
const ENDING: Duration = Duration::from_secs(1);

/// Serves the host at the other end of standard input, until it closes it.
///
/// # Errors
/// When standard input is no such connection.
pub(crate) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    // A service manager may send these to every process of the service. The host is the one who ends; we follow.
    let _ignored = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (host, mut orders) = connection::open(stream)?;
    let worker =
        Worker { host: Arc::new(host), model: OnceLock::new(), cancelled: Arc::default(), jobs: Mutex::default() };
    let worker = Arc::new(worker);
    worker.obey(&mut orders)?;
    // The host is gone or wants no more: whatever still runs is of no use, and may not be able to stop.
    thread::Builder::new().name("last resort".to_owned()).spawn(|| {
        thread::sleep(ENDING);
        process::abort()
    })?;
    process::exit(0)
}

struct Worker {
    host: Arc<Sender<Word>>,
    model: OnceLock<LoadedModel>,
    /// The load is no longer wanted.
    cancelled: Arc<AtomicBool>,
    jobs: Mutex<HashMap<u64, Arc<Running>>>,
}

/// A job whose samples are still on their way.
struct Arriving {
    head: JobHead,
    samples: Vec<f32>,
}

/// What a job's thread and the orders about it share.
#[derive(Default)]
struct Running {
    credit: Mutex<Credit>,
    changed: Condvar,
}

#[derive(Default)]
struct Credit {
    /// Pushes that the host will take.
    left: u32,
    is_stopped: bool,
}

impl Worker {
    fn obey(self: &Arc<Self>, orders: &mut Receiver<Order>) -> io::Result<()> {
        let mut arriving: HashMap<u64, Arriving> = HashMap::new();
        while let Some((job, order)) = orders.receive()? {
            match order {
                Order::Load(assignment) => {
                    let worker = self.clone();
                    thread::Builder::new().name("load".to_owned()).spawn(move || worker.load(*assignment))?;
                }
                Order::CancelLoad => self.cancelled.store(true, Ordering::Relaxed),
                Order::Begin(head) => {
                    let running = Running {
                        credit: Mutex::new(Credit { left: WINDOW, is_stopped: false }),
                        ..Running::default()
                    };
                    lock(&self.jobs).insert(job, Arc::new(running));
                    arriving.insert(job, Arriving { head, samples: Vec::new() });
                }
                Order::Samples(samples) => {
                    if let Some(arriving) = arriving.get_mut(&job) {
                        arriving.samples.extend(samples);
                    }
                }
                Order::Taken(count) => self.change(job, |credit| credit.left = credit.left.saturating_add(count)),
                Order::Stop => self.change(job, |credit| credit.is_stopped = true),
            }
            if arriving.get(&job).is_some_and(|job| job.samples.len() >= job.head.samples())
                && let Some(Arriving { head, samples }) = arriving.remove(&job)
            {
                let worker = self.clone();
                // On threads that stay for the next job: what models keep for each thread needn't be made again.
                tokio::task::spawn_blocking(move || worker.run(job, head, &samples));
            }
        }
        Ok(())
    }

    fn change(&self, job: u64, change: impl FnOnce(&mut Credit)) {
        // A job that has just ended is none any more.
        let Some(running) = lock(&self.jobs).get(&job).cloned() else { return };
        change(&mut lock(&running.credit));
        running.changed.notify_all();
    }

    fn load(&self, assignment: Assignment) {
        let Assignment { plugin, request, runtimes, cache_dir, devices } = assignment;
        let services =
            Services { host: self.host.clone(), cancelled: self.cancelled.clone(), runtimes, cache_dir, devices };
        let loaded = contained(|| {
            let library = PluginLibrary::open(&plugin).map_err(|error| Error::internal(error.to_string()))?;
            let model = library.load(&request, Arc::new(services))?;
            model.warm_up()?;
            Ok(model)
        });
        let card = loaded.map(|model| Box::new(self.model.get_or_init(|| model).card().clone()));
        self.conclude(0, &Word::Loaded(card));
    }

    fn run(&self, job: u64, head: JobHead, samples: &[f32]) {
        JOB.set(job);
        let result = contained(|| {
            let model = self.model.get().ok_or_else(|| Error::internal("the model is not loaded"))?;
            let (input, mut rest) = samples.split_at(head.input.min(samples.len()));
            let clips: Vec<Clip<'_>> = head.clips.iter().map(|clip| next_clip(clip, &mut rest)).collect();
            let running = lock(&self.jobs).get(&job).cloned().unwrap_or_default();
            let mut sink = Sink { worker: self, job, running };
            match &head.task {
                JobTask::Transcribe(settings) => {
                    model.transcribe(settings, &mut WholeAudio::new(input), &clips, &mut sink)
                }
                JobTask::Synthesize(settings) => model.synthesize(settings, &clips, &mut sink),
            }
        });
        lock(&self.jobs).remove(&job);
        self.conclude(job, &Word::Done(result));
    }

    /// Says the last word of a load or a job.
    fn conclude(&self, job: u64, word: &Word) {
        // Without a host there is nobody to tell that telling it failed; the end of its orders ends the process.
        let _ = self.host.send(job, word);
    }
}

fn next_clip<'a>(head: &'a ClipHead, rest: &mut &'a [f32]) -> Clip<'a> {
    let (samples, after) = rest.split_at(head.samples.min(rest.len()));
    *rest = after;
    Clip { name: &head.name, samples, sample_rate: head.sample_rate }
}

/// Plugins' panics are errors already; this is for our own.
fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::internal("the worker panicked")))
}

/// Takes what a job brings forth to the host.
struct Sink<'a> {
    worker: &'a Worker,
    job: u64,
    running: Arc<Running>,
}

impl Sink<'_> {
    fn send(&self, word: &Word) -> Flow {
        self.when_taken(|host| host.send(self.job, word))
    }

    /// Waits until the host takes another push, and makes it.
    fn when_taken(&self, send: impl FnOnce(&Sender<Word>) -> io::Result<()>) -> Flow {
        let mut credit = lock(&self.running.credit);
        while credit.left == 0 && !credit.is_stopped {
            credit = self.running.changed.wait(credit).unwrap_or_else(PoisonError::into_inner);
        }
        if credit.is_stopped {
            return Flow::Stop;
        }
        credit.left -= 1;
        drop(credit);
        if send(&self.worker.host).is_ok() { Flow::Continue } else { Flow::Stop }
    }

    fn flow_now(&self) -> Flow {
        if lock(&self.running.credit).is_stopped { Flow::Stop } else { Flow::Continue }
    }
}

impl ReceiveTranscript for Sink<'_> {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        self.send(&Word::Transcript(event))
    }

    fn flow(&self) -> Flow {
        self.flow_now()
    }
}

impl ReceivePcm for Sink<'_> {
    fn push(&mut self, samples: &[f32]) -> Flow {
        samples.chunks(frame::SAMPLES).fold(Flow::Continue, |flow, piece| match flow {
            Flow::Continue => self.when_taken(|host| host.send_samples(self.job, piece)),
            Flow::Stop => Flow::Stop,
        })
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        self.send(&Word::Note(event))
    }

    fn flow(&self) -> Flow {
        self.flow_now()
    }
}

/// The host's services, by message.
struct Services {
    host: Arc<Sender<Word>>,
    cancelled: Arc<AtomicBool>,
    runtimes: BTreeMap<String, PathBuf>,
    cache_dir: PathBuf,
    devices: Vec<Device>,
}

impl Services {
    fn say(&self, word: &Word) {
        // See `Worker::conclude`.
        let _ = self.host.send(0, word);
    }
}

impl HostServices for Services {
    /// Says also for which job, so that the line gets that request's id. Threads that a plugin starts by itself have none.
    fn log(&self, level: Level, message: &str) {
        // See `Worker::conclude`.
        let _ = self.host.send(JOB.get(), &Word::Log(LogLine { level: level as u8, message: message.to_owned() }));
    }

    fn metric(&self, kind: MetricKind, name: &str, labels: &BTreeMap<String, String>, value: f64) {
        let name = name.to_owned();
        self.say(&Word::Metric(Measurement { kind: kind as u8, name, labels: labels.clone(), value }));
    }

    fn cache_dir(&self) -> PathBuf {
        self.cache_dir.clone()
    }

    fn runtime_library(&self, name: &str) -> Option<PathBuf> {
        self.runtimes.get(name).cloned()
    }

    fn progress(&self, fraction: f32, stage: &str) {
        self.say(&Word::Progress(LoadProgress { fraction, stage: stage.to_owned() }));
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn devices(&self) -> Vec<Device> {
        self.devices.clone()
    }
}
