//! Continuous batching: all jobs of a model share its weights and its threads, and take turns at them.
//!
//! A job hands in what it needs next — a window to encode, or a step of its sessions — and waits for the result. There is no thread of
//! the scheduler's own: the first job that finds nobody computing takes the *lead*, computes the next turn for everybody who waits,
//! and hands the lead on. A job alone therefore computes on its own thread as if there were no scheduler.
//!
//! The rules:
//! - A turn takes all that waits of one kind: all steps, in one pass over the decoder's weights; or all windows (and alignments of words, which
//!   are as long), one per job.
//! - While both kinds wait, turns alternate. So between two steps of a job at most one window of every other job is encoded (or as many as
//!   the device encodes at once), and a window waits for one turn of steps at most.
//! - Jobs that got logits are back with their next step in no time. A turn of steps waits for them, so that jobs stay together, but never
//!   longer than the last such turn took: waiting can't cost more than it saves.
//! - A job is not held by anything while it waits for nothing: one that stops just doesn't come back.
//! - A panic or a failure in a turn is the result of the jobs in that turn. The next turn starts afresh.

mod network;
mod seat;
mod session;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use network::{Network, Step};
pub use session::{Lane, SharedSession};

use crate::model::{CrossAttention, ModelError, WhisperModel};
use seat::Seat;

/// Divides the compute of a network among jobs.
pub struct Scheduler<N: Network = WhisperModel> {
    network: Arc<N>,
    desk: Mutex<Desk<N>>,
    /// Rung when the last job that was awaited is back.
    all_back: Condvar,
    work: Mutex<N::Work>,
}

/// What waits, and who will be back soon.
struct Desk<N: Network> {
    windows: Vec<Window<N>>,
    steps: Vec<Steps<N>>,
    /// Some job has the lead.
    is_led: bool,
    last: Kind,
    /// Number of the last turn of steps.
    round: u64,
    /// Jobs of that turn that are not back yet.
    away: usize,
    /// How long that turn took.
    patience: Duration,
}

/// What a turn consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Windows,
    Steps,
}

/// Work on a whole window.
enum Window<N: Network> {
    Encode { windows: Vec<Vec<f32>>, seat: Arc<Seat<Encoded<N>>> },
    Attend { audio: Arc<N::Audio>, tokens: Vec<u32>, heads: Vec<(usize, usize)>, seat: Arc<Seat<Attended>> },
}

/// A result for each window.
type Encoded<N> = Vec<Result<Arc<<N as Network>::Audio>, ModelError>>;
type Attended = Result<CrossAttention, ModelError>;

/// A job's step.
struct Steps<N: Network> {
    steps: Vec<Step<N::Session>>,
    seat: Arc<Seat<Fed<N>>>,
}

/// What becomes of a step.
struct Fed<N: Network> {
    /// With their logits.
    steps: Vec<Step<N::Session>>,
    /// The turn that it was in.
    round: Result<u64, ModelError>,
}

impl<N: Network> Scheduler<N> {
    /// A scheduler without any job.
    #[must_use]
    pub fn new(network: Arc<N>) -> Self {
        let desk = Desk {
            windows: Vec::new(),
            steps: Vec::new(),
            is_led: false,
            last: Kind::Steps,
            round: 0,
            away: 0,
            patience: Duration::ZERO,
        };
        Self { network, desk: Mutex::new(desk), all_back: Condvar::new(), work: Mutex::default() }
    }

    /// Windows that a job should hand in at once, see [`Network::windows_at_once`].
    #[must_use]
    pub fn windows_at_once(&self) -> usize {
        self.network.windows_at_once().max(1)
    }

    /// Encodes windows of log-mel features, `[n_mels, 3000]` each.
    ///
    /// # Errors
    /// A window has the wrong shape; the network failed.
    pub fn encode(&self, windows: Vec<Vec<f32>>) -> Result<Vec<Arc<N::Audio>>, ModelError> {
        self.submit(|desk, seat| desk.windows.push(Window::Encode { windows, seat })).into_iter().collect()
    }

    /// Feeds `tokens` in one go and watches where the given (layer, head) pairs look.
    ///
    /// # Errors
    /// The tokens don't fit; a head doesn't exist or is named twice; the network failed.
    pub fn cross_attention(
        &self,
        audio: &Arc<N::Audio>,
        tokens: Vec<u32>,
        heads: Vec<(usize, usize)>,
    ) -> Result<CrossAttention, ModelError> {
        let audio = Arc::clone(audio);
        self.submit(|desk, seat| desk.windows.push(Window::Attend { audio, tokens, heads, seat }))
    }

    /// Starts decoding a window by steps that share their turns with those of other jobs.
    #[must_use]
    pub fn session(&self, audio: &Arc<N::Audio>) -> SharedSession<'_, N> {
        SharedSession::new(self.lane(), self.new_session(audio))
    }

    /// Starts decoding a window by steps of a [`Lane`].
    #[must_use]
    pub fn new_session(&self, audio: &Arc<N::Audio>) -> N::Session {
        self.network.session(audio)
    }

    /// Takes part in turns of steps with sessions of one's own.
    #[must_use]
    pub fn lane(&self) -> Lane<'_, N> {
        Lane::new(self)
    }

    fn desk(&self) -> MutexGuard<'_, Desk<N>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something in, and waits for what becomes of it.
    fn submit<T>(&self, hand_in: impl FnOnce(&mut Desk<N>, Arc<Seat<T>>)) -> T {
        let seat = Arc::new(Seat::default());
        let is_led = {
            let mut desk = self.desk();
            hand_in(&mut desk, Arc::clone(&seat));
            self.ring(&desk);
            std::mem::replace(&mut desk.is_led, true)
        };
        if is_led && let Some(answer) = seat.wait() {
            return answer;
        }
        let _lead = Lead(self);
        loop {
            self.turn();
            if let Some(answer) = seat.take() {
                return answer;
            }
        }
    }

    /// Wakes the leader if all are back whom it may wait for.
    fn ring(&self, desk: &Desk<N>) {
        if desk.away == 0 {
            self.all_back.notify_one();
        }
    }

    /// Computes the next turn.
    fn turn(&self) {
        let mut desk = self.desk();
        desk.last = desk.next();
        match desk.last {
            Kind::Windows => {
                let windows = std::mem::take(&mut desk.windows);
                drop(desk);
                self.windows(windows);
            }
            Kind::Steps => {
                let patience = desk.patience;
                if desk.away > 0 {
                    let back = self.all_back.wait_timeout_while(desk, patience, |desk| desk.away > 0);
                    desk = back.unwrap_or_else(PoisonError::into_inner).0;
                }
                // Who is not back by now is not waited for again.
                desk.away = 0;
                desk.round += 1;
                let steps = std::mem::take(&mut desk.steps);
                let round = desk.round;
                drop(desk);
                self.steps(steps, round);
            }
        }
    }

    /// A turn of windows.
    fn windows(&self, waiting: Vec<Window<N>>) {
        let mut to_encode = Vec::new();
        let mut seats = Vec::new();
        for window in waiting {
            match window {
                Window::Encode { windows, seat } => {
                    seats.push((windows.len(), seat));
                    to_encode.extend(windows);
                }
                Window::Attend { audio, tokens, heads, seat } => {
                    let watch = || self.network.cross_attention(&audio, &tokens, &heads);
                    seat.answer(contained(watch).and_then(|attended| attended));
                }
            }
        }
        let mut encoded = to_encode.chunks(self.windows_at_once()).flat_map(|windows| {
            contained(|| self.network.encode(windows))
                .unwrap_or_else(|error| windows.iter().map(|_| Err(error.clone())).collect())
        });
        for (count, seat) in seats {
            seat.answer(encoded.by_ref().take(count).collect());
        }
    }

    /// A turn of steps.
    fn steps(&self, mut jobs: Vec<Steps<N>>, round: u64) {
        let started = Instant::now();
        let mut steps: Vec<&mut Step<N::Session>> = jobs.iter_mut().flat_map(|job| &mut job.steps).collect();
        let fed = {
            let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
            let fed = contained(|| self.network.forward(&mut work, &mut steps)).and_then(|fed| fed);
            if matches!(fed, Err(ModelError::Panicked(_))) {
                *work = N::Work::default();
            }
            fed
        };
        let mut desk = self.desk();
        desk.patience = started.elapsed();
        desk.away = if fed.is_ok() { jobs.len() } else { 0 };
        drop(desk);
        for Steps { steps, seat } in jobs {
            seat.answer(Fed { steps, round: fed.clone().map(|()| round) });
        }
    }
}

impl<N: Network> Desk<N> {
    /// The kind of the next turn.
    fn next(&self) -> Kind {
        match (self.windows.is_empty(), self.steps.is_empty()) {
            (false, false) if self.last == Kind::Windows => Kind::Steps,
            (false, _) => Kind::Windows,
            (true, _) => Kind::Steps,
        }
    }

    /// A job of `round` is back, or won't come back.
    fn is_back(&mut self, round: u64) {
        if round == self.round {
            self.away -= 1;
        }
    }
}

impl<N: Network> Window<N> {
    fn lead(&self) {
        match self {
            Self::Encode { seat, .. } => seat.lead(),
            Self::Attend { seat, .. } => seat.lead(),
        }
    }
}

/// The right and the duty to compute; hands itself on.
struct Lead<'s, N: Network>(&'s Scheduler<N>);

impl<N: Network> Drop for Lead<'_, N> {
    fn drop(&mut self) {
        let mut desk = self.0.desk();
        match (desk.next(), desk.windows.first(), desk.steps.first()) {
            (Kind::Windows, Some(next), _) => next.lead(),
            (_, _, Some(next)) => next.seat.lead(),
            _ => desk.is_led = false,
        }
    }
}

/// Runs `work`; a panic becomes an error.
fn contained<R>(work: impl FnOnce() -> R) -> Result<R, ModelError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        ModelError::Panicked(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    })
}
