//! A job in flight: the plugin's thread on one end of a bounded channel, the response on the other.

use super::{JobError, Ticket};
use crate::callers::Turn;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use syrinx_plugin_api::{Flow, ReceivePcm, ReceiveTranscript, SpeechEvent, TranscriptEvent};
use tokio::{
    runtime::Handle,
    sync::mpsc::{self, error::TrySendError},
    time::timeout_at,
};

/// Events that may wait for the response: enough to keep both sides busy, little enough that a slow reader slows the
/// plugin down instead of filling the memory.
const CHANNEL: usize = 16;

/// Samples per message, at most. A plugin that pushes more at once is cut to pieces, so that the first bytes of its
/// sentence don't wait for the encoding of the last.
const PIECE: usize = 1 << 15;

/// A reference clip that the job owns.
#[derive(Clone, Debug)]
pub struct OwnedClip {
    /// The request field that it came in.
    pub name: String,
    /// Mono samples in -1…1.
    pub samples: Vec<f32>,
    /// In Hz.
    pub sample_rate: u32,
}

/// What a speech job brings forth.
#[derive(Clone, Debug)]
pub enum SpeechOutput {
    /// Mono samples at the card's output rate.
    Pcm(Vec<f32>),
    /// A mark or a warning.
    Event(SpeechEvent),
}

/// How long after its deadline a job may go on until its response ends without it.
const GRACE: Duration = Duration::from_secs(2);

/// What a job brings forth, as it comes. Dropping it stops the job.
pub struct Events<T> {
    receiver: mpsc::Receiver<Result<T, JobError>>,
    limits: Limits,
    /// The request's place among those of its key, held until it is answered.
    _turn: Option<Turn>,
}

impl<T> Events<T> {
    /// The next event; none when the job is done. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<T, JobError>> {
        match timeout_at((self.limits.deadline + GRACE).into(), self.receiver.recv()).await {
            Ok(event) => event,
            Err(_) => {
                // The plugin doesn't notice that it should stop. Nobody waits for it.
                self.receiver.close();
                Some(Err(JobError::Deadline(self.limits.allowed)))
            }
        }
    }
}

/// The plugin's end.
pub(crate) struct Outlet<T> {
    sender: mpsc::Sender<Result<T, JobError>>,
    runtime: Handle,
    limits: Limits,
}

/// When a job has to end although somebody still listens.
#[derive(Clone)]
pub(crate) struct Limits {
    deadline: Instant,
    allowed: Duration,
    /// Set when the model is taken down and has waited long enough.
    stop: Arc<AtomicBool>,
}

impl Limits {
    /// Those of a request, which `stop` may end early.
    pub(crate) fn new(ticket: &Ticket, stop: Arc<AtomicBool>) -> Self {
        Self { deadline: ticket.finish_by(), allowed: ticket.finish_within, stop }
    }

    fn reached(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() > self.deadline
    }
}

/// Must be called within a runtime; the outlet is then used from a thread that may block.
pub(crate) fn channel<T>(limits: Limits, turn: Option<Turn>) -> (Outlet<T>, Events<T>) {
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let outlet = Outlet { sender, runtime: Handle::current(), limits: limits.clone() };
    (outlet, Events { receiver, limits, _turn: turn })
}

impl<T> Outlet<T> {
    /// Waits for a slow reader, but not beyond the deadline.
    fn send(&self, item: T) -> Flow {
        if self.limits.reached() {
            return Flow::Stop;
        }
        let item = match self.sender.try_send(Ok(item)) {
            Ok(()) => return Flow::Continue,
            Err(TrySendError::Closed(_)) => return Flow::Stop,
            Err(TrySendError::Full(item)) => item,
        };
        let sent = self.runtime.block_on(timeout_at(self.limits.deadline.into(), self.sender.send(item)));
        if matches!(sent, Ok(Ok(()))) { Flow::Continue } else { Flow::Stop }
    }

    pub(super) fn flow_now(&self) -> Flow {
        if self.sender.is_closed() || self.limits.reached() { Flow::Stop } else { Flow::Continue }
    }

    /// Ends the job with what the plugin returned. A job that was stopped by its limits tells so.
    pub(crate) fn finish(self, uid: &str, result: Result<(), syrinx_plugin_api::Error>) {
        let error = match result {
            Ok(()) if self.limits.stop.load(Ordering::Relaxed) => JobError::Closed { uid: uid.to_owned() },
            Ok(()) if self.limits.reached() => JobError::Deadline(self.limits.allowed),
            Ok(()) => return,
            Err(error) => JobError::Plugin(error),
        };
        // A reader that is gone or stuck must not hold this thread: it gets the closed channel instead.
        let grace = Duration::from_secs(5);
        let _ = self.runtime.block_on(tokio::time::timeout(grace, self.sender.send(Err(error))));
    }
}

impl ReceiveTranscript for Outlet<TranscriptEvent> {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        self.send(event)
    }

    fn flow(&self) -> Flow {
        self.flow_now()
    }
}

impl ReceivePcm for Outlet<SpeechOutput> {
    fn push(&mut self, samples: &[f32]) -> Flow {
        samples.chunks(PIECE).fold(Flow::Continue, |flow, piece| match flow {
            Flow::Continue => self.send(SpeechOutput::Pcm(piece.to_vec())),
            Flow::Stop => Flow::Stop,
        })
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        self.send(SpeechOutput::Event(event))
    }

    fn flow(&self) -> Flow {
        self.flow_now()
    }
}
