//! Who may run, who waits, who is sent away: bounded in every direction.

use super::JobError;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The gate of one model.
pub(crate) struct Admission {
    uid: String,
    places: Arc<Semaphore>,
    capacity: usize,
    queue_limit: usize,
    /// More jobs than this at a time, running or waiting, are sent away.
    request_limit: Option<usize>,
    waiting: AtomicUsize,
    closed: AtomicBool,
    /// Moving average of how long jobs take.
    mean: Mutex<Duration>,
}

/// A place to run. Gives it back when dropped.
pub(crate) struct Place {
    gate: Arc<Admission>,
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut mean = self.gate.mean.lock().unwrap_or_else(PoisonError::into_inner);
        // 1/8 of the newest: follows a change within a dozen jobs.
        *mean = (*mean * 7 + self.since.elapsed()) / 8;
    }
}

/// Counts a waiting job, also when it is given up half way.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    pub(crate) fn new(uid: &str, capacity: usize, queue_limit: usize, request_limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            uid: uid.to_owned(),
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            queue_limit,
            request_limit,
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            mean: Mutex::new(Duration::from_secs(1)),
        })
    }

    /// Waits for a place, first come first served.
    pub(crate) async fn admit(self: &Arc<Self>) -> Result<Place, JobError> {
        let closed = || JobError::Closed { uid: self.uid.clone() };
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let waiting = self.waiting.fetch_add(1, Ordering::AcqRel);
        let guard = Waiting(&self.waiting);
        let running = self.running();
        let over_queue = running >= self.capacity && waiting >= self.queue_limit;
        if let Some(limit) = self.request_limit.filter(|limit| running + waiting >= *limit) {
            let retry_after = self.retry_after(waiting);
            return Err(JobError::LimitReached { uid: self.uid.clone(), limit, retry_after });
        }
        if over_queue {
            return Err(JobError::QueueFull { uid: self.uid.clone(), waiting, retry_after: self.retry_after(waiting) });
        }
        let permit = self.places.clone().acquire_owned().await.map_err(|_| closed())?;
        drop(guard);
        Ok(Place { gate: self.clone(), since: Instant::now(), _permit: permit })
    }

    /// When about `waiting` jobs will have been worked off. Whole seconds, 1…60.
    fn retry_after(&self, waiting: usize) -> Duration {
        let mean = *self.mean.lock().unwrap_or_else(PoisonError::into_inner);
        let rounds = (waiting + 1).div_ceil(self.capacity);
        let seconds = (mean * u32::try_from(rounds).unwrap_or(u32::MAX).min(1000)).as_secs() + 1;
        Duration::from_secs(seconds.clamp(1, 60))
    }

    /// Jobs that run.
    pub(crate) fn running(&self) -> usize {
        self.capacity.saturating_sub(self.places.available_permits())
    }

    /// Jobs that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Lets nobody in any more; waiting jobs are sent away.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.places.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sends_away_what_does_not_fit() {
        let gate = Admission::new("m", 1, 1, None);
        let place = gate.admit().await.unwrap();
        let second = tokio::spawn({
            let gate = gate.clone();
            async move { gate.admit().await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let error = gate.admit().await.err().unwrap();
        assert!(matches!(error, JobError::QueueFull { waiting: 1, .. }), "{error:?}");
        drop(place);
        second.await.unwrap().unwrap();
        assert_eq!((gate.running(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_waiting_job_that_is_given_up_leaves_the_queue() {
        let gate = Admission::new("m", 1, 5, None);
        let _place = gate.admit().await.unwrap();
        let patience = Duration::from_millis(20);
        assert!(tokio::time::timeout(patience, gate.admit()).await.is_err());
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn closing_sends_the_queue_away() {
        let gate = Admission::new("m", 1, 5, None);
        let _place = gate.admit().await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.admit().await.map(drop) }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        gate.close();
        assert_eq!(waiting.await.unwrap(), Err(JobError::Closed { uid: "m".to_owned() }));
    }

    #[tokio::test]
    async fn request_limit_counts_running_jobs() {
        let gate = Admission::new("m", 4, 5, Some(1));
        let _place = gate.admit().await.unwrap();
        assert!(matches!(gate.admit().await.err(), Some(JobError::LimitReached { limit: 1, .. })));
        let nobody = Admission::new("m", 4, 5, Some(0));
        assert!(matches!(nobody.admit().await.err(), Some(JobError::LimitReached { limit: 0, .. })));
    }
}
