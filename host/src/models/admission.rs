//! The gate of one model: who may run, who waits, who is sent away. Bounded in every direction.
//!
//! One lock, one [`Queue`]. A job that can't start at once leaves a channel in the queue, and whoever gives a place back sends
//! it to the next.

use super::{
    JobError, Ticket,
    queue::{Caller, Next, Queue},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout_at};

/// Longest time that a client is told to wait before it tries again. OpenAI's clients don't believe in more than this.
const LONGEST_RETRY: u64 = 60; // seconds

/// The gate of one model.
pub(crate) struct Admission {
    uid: String,
    queue_limit: usize,
    /// More jobs than this at a time, running or waiting, are sent away.
    request_limit: Option<usize>,
    state: Mutex<State>,
}

struct State {
    queue: Queue<oneshot::Sender<Place>>,
    /// Requests that are about to bring a job.
    leases: usize,
    /// When the model was of use last.
    used: Instant,
    closed: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.leases + self.queue.running() + self.queue.waiting() == 0
    }
}

/// A place to run. Gives it back when dropped.
pub(crate) struct Place {
    gate: Arc<Admission>,
    caller: Caller,
    since: Instant,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.queue.finish(&self.caller, self.since.elapsed());
        state.used = Instant::now();
        self.gate.clone().hand_out(state);
    }
}

/// Keeps a model from being unloaded while a request prepares its job.
pub(crate) struct Lease(Arc<Admission>);

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.leases = state.leases.saturating_sub(1);
        state.used = Instant::now();
    }
}

/// Takes a job out of the queue that is given up while it waits.
struct Waiting<'a> {
    gate: &'a Admission,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.state().queue.leave(self.number);
    }
}

impl Admission {
    pub(crate) fn new(uid: &str, capacity: usize, queue_limit: usize, request_limit: Option<usize>) -> Arc<Self> {
        let state = State { queue: Queue::new(capacity), leases: 0, used: Instant::now(), closed: false };
        Arc::new(Self { uid: uid.to_owned(), queue_limit, request_limit, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic happens under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place, until the ticket's time is over.
    pub(crate) async fn admit(self: &Arc<Self>, ticket: &Ticket) -> Result<Place, JobError> {
        let (number, mut place) = {
            let now = Instant::now();
            let mut state = self.state();
            self.refuse(&state, ticket, now)?;
            let queue = &mut state.queue;
            if queue.has_place() {
                queue.start(&ticket.caller);
                return Ok(self.place(ticket.caller.clone()));
            }
            let (wake, place) = oneshot::channel();
            (queue.join(ticket.caller.clone(), ticket.priority, now, wake), place)
        };
        // Dropped before the channel: a place that was sent meanwhile is given back with that.
        let _waiting = Waiting { gate: self, number };
        match timeout_at(ticket.start_by().into(), &mut place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => {
                let state = self.state();
                Err(JobError::Expired {
                    uid: self.uid.clone(),
                    allowed: ticket.start_within,
                    retry_after: retry_after(&state, ticket),
                })
            }
        }
    }

    /// # Errors
    /// When a job must not even wait.
    fn refuse(&self, state: &State, ticket: &Ticket, now: Instant) -> Result<(), JobError> {
        let uid = || self.uid.clone();
        let (running, waiting) = (state.queue.running(), state.queue.waiting());
        if state.closed {
            return Err(self.closed());
        }
        if let Some(limit) = self.request_limit.filter(|limit| running + waiting >= *limit) {
            return Err(JobError::LimitReached { uid: uid(), limit, retry_after: retry_after(state, ticket) });
        }
        if state.queue.has_place() {
            return Ok(());
        }
        if waiting >= self.queue_limit {
            return Err(JobError::QueueFull { uid: uid(), waiting, retry_after: retry_after(state, ticket) });
        }
        // Waiting for nothing helps nobody: neither those behind it, nor the client, who could ask another server.
        let expected = state.queue.expected_wait(&ticket.caller, ticket.priority, now).unwrap_or_default();
        if expected > ticket.start_by().saturating_duration_since(now) {
            return Err(JobError::Overloaded {
                uid: uid(),
                expected,
                allowed: ticket.start_within,
                retry_after: retry_after(state, ticket),
            });
        }
        Ok(())
    }

    fn closed(&self) -> JobError {
        JobError::Closed { uid: self.uid.clone() }
    }

    fn place(self: &Arc<Self>, caller: Caller) -> Place {
        Place { gate: self.clone(), caller, since: Instant::now() }
    }

    /// Gives free places to those who wait. They are sent when the lock is open again, because a place that nobody takes comes
    /// back here.
    fn hand_out(self: Arc<Self>, mut state: MutexGuard<'_, State>) {
        let now = Instant::now();
        let next: Vec<Next<_>> = std::iter::from_fn(|| state.queue.next(now)).collect();
        drop(state);
        for Next { caller, wake } in next {
            let _ = wake.send(self.place(caller));
        }
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> usize {
        self.state().queue.running()
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().queue.waiting()
    }

    /// Keeps the model from being unloaded; none when it is too late for that.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.leases += 1;
        Some(Lease(self.clone()))
    }

    /// When it was of use last: now, if it is in use.
    pub(crate) fn last_used(&self) -> Instant {
        let state = self.state();
        if state.is_idle() { state.used } else { Instant::now() }
    }

    /// Since when nobody has used it; none when somebody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.is_idle().then_some(state.used)
    }

    /// Lets nobody in any more; waiting jobs are sent away.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.queue.clear();
    }

    /// Lets nobody in any more, if nobody is in. Says whether that is so.
    pub(crate) fn close_if_idle(&self) -> bool {
        let mut state = self.state();
        let closes = state.is_idle() && !state.closed;
        state.closed |= closes;
        closes
    }
}

/// When a client should try again, by how long jobs take and how many wait. Whole seconds.
fn retry_after(state: &State, ticket: &Ticket) -> Duration {
    let wait = state.queue.expected_wait(&ticket.caller, ticket.priority, Instant::now()).unwrap_or_default();
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(seconds.clamp(1, LONGEST_RETRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket::within(Duration::from_secs(60))
    }

    /// A job that waits at the gate, and does so already.
    async fn waiting(gate: &Arc<Admission>) -> tokio::task::JoinHandle<Result<(), JobError>> {
        let before = gate.waiting();
        let task = tokio::spawn({
            let gate = gate.clone();
            async move { gate.admit(&ticket()).await.map(drop) }
        });
        while gate.waiting() == before {
            tokio::task::yield_now().await;
        }
        task
    }

    #[tokio::test]
    async fn sends_away_what_does_not_fit() {
        let gate = Admission::new("m", 1, 1, None);
        let place = gate.admit(&ticket()).await.unwrap();
        let second = waiting(&gate).await;
        let error = gate.admit(&ticket()).await.err().unwrap();
        assert!(matches!(error, JobError::QueueFull { waiting: 1, .. }), "{error:?}");
        drop(place);
        second.await.unwrap().unwrap();
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_waiting_job_that_is_given_up_leaves_the_queue() {
        let gate = Admission::new("m", 1, 5, None);
        let place = gate.admit(&ticket()).await.unwrap();
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, gate.admit(&ticket())).await.is_err());
        assert_eq!(gate.waiting(), 0);
        // Given up between the moment that a place is sent and the one that it is taken: it comes back.
        let late = waiting(&gate).await;
        late.abort();
        drop(place);
        let _ = late.await;
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
        gate.admit(&ticket()).await.unwrap();
    }

    #[tokio::test]
    async fn a_job_does_not_wait_longer_than_it_has() {
        let gate = Admission::new("m", 1, 5, None);
        let place = gate.admit(&ticket()).await.unwrap();
        let error = gate.admit(&Ticket::within(Duration::from_millis(20))).await.err().unwrap();
        assert!(matches!(error, JobError::Expired { .. }), "{error:?}");
        assert_eq!((gate.running(), gate.waiting()), (1, 0));
        // Jobs are known to take longer than the next one has: it is told so at once.
        gate.state().queue.finish(&None, Duration::from_secs(9));
        gate.state().queue.start(&None);
        let error = gate.admit(&Ticket::within(Duration::from_secs(5))).await.err().unwrap();
        let JobError::Overloaded { expected, retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!((expected, retry_after), (Duration::from_secs(9), Duration::from_secs(9)));
        drop(place);
    }

    #[tokio::test]
    async fn closing_sends_the_queue_away() {
        let gate = Admission::new("m", 1, 5, None);
        let _place = gate.admit(&ticket()).await.unwrap();
        let waiting = waiting(&gate).await;
        gate.close();
        assert_eq!(waiting.await.unwrap(), Err(JobError::Closed { uid: "m".to_owned() }));
    }

    #[tokio::test]
    async fn request_limit_counts_running_jobs() {
        let gate = Admission::new("m", 4, 5, Some(1));
        let _place = gate.admit(&ticket()).await.unwrap();
        assert!(matches!(gate.admit(&ticket()).await.err(), Some(JobError::LimitReached { limit: 1, .. })));
        let nobody = Admission::new("m", 4, 5, Some(0));
        assert!(matches!(nobody.admit(&ticket()).await.err(), Some(JobError::LimitReached { limit: 0, .. })));
    }

    #[tokio::test]
    async fn whoever_uses_a_model_keeps_it() {
        let gate = Admission::new("m", 1, 5, None);
        let lease = gate.lease().unwrap();
        assert!(!gate.close_if_idle() && gate.idle_since().is_none());
        let place = gate.admit(&ticket()).await.unwrap();
        drop(lease);
        assert!(!gate.close_if_idle() && gate.idle_since().is_none());
        drop(place);
        assert!(gate.idle_since().is_some() && gate.close_if_idle());
        assert!(gate.lease().is_none() && gate.admit(&ticket()).await.is_err());
        assert!(!gate.close_if_idle(), "only once");
    }
}
