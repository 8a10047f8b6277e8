//! Connections: how many there may be, and which one goes when there are too many.
//!
//! A place is taken by every connection. When none is left, the one goes that has waited longest for its client: one that is
//! kept alive without a request, or whose request doesn't get past its headers. So neither a crowd of idle clients nor one that
//! sends a letter a minute keeps others out. Connections with a request in work are never closed for this.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;

/// A connection that has waited for less isn't closed: its request may be on its way.
const PATIENCE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The connection that the current task serves.
    static CURRENT: Arc<Activity>;
}

/// What a connection does.
#[derive(Debug)]
pub(crate) struct Activity {
    /// Requests whose response isn't finished.
    requests: AtomicUsize,
    /// When the last one ended, or the connection began.
    waiting_since: Mutex<Instant>,
}

impl Default for Activity {
    fn default() -> Self {
        Self { requests: AtomicUsize::new(0), waiting_since: Mutex::new(Instant::now()) }
    }
}

impl Activity {
    /// How long it has been waiting for a request; none while there is one.
    fn waiting(&self) -> Option<Duration> {
        let since = *self.waiting_since.lock().unwrap_or_else(PoisonError::into_inner);
        (self.requests.load(Ordering::Acquire) == 0).then(|| since.elapsed())
    }

    /// Serves a connection with this activity.
    pub(crate) async fn during<F: Future>(self: Arc<Self>, serving: F) -> F::Output {
        CURRENT.scope(self, serving).await
    }
}

/// A request in work; kept until its response is finished.
#[derive(Debug)]
pub(crate) struct Busy(Option<Arc<Activity>>);

impl Busy {
    /// Marks the current task's connection, if it serves one, as busy.
    pub(crate) fn begin() -> Self {
        let activity = CURRENT.try_with(Arc::clone).ok();
        if let Some(activity) = &activity {
            activity.requests.fetch_add(1, Ordering::AcqRel);
        }
        Self(activity)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(activity) = &self.0 {
            *activity.waiting_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            activity.requests.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// All connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, (Arc<Activity>, AbortHandle)>,
}

impl Connections {
    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in.
    pub(crate) fn add(&self, activity: Arc<Activity>, task: AbortHandle) {
        let mut open = self.open();
        open.next += 1;
        let number = open.next;
        open.all.insert(number, (activity, task));
    }

    /// Forgets the connections that have ended.
    pub(crate) fn sweep(&self) {
        self.open().all.retain(|_, (_, task)| !task.is_finished());
    }

    /// Closes the connection that has waited longest for its client. False when all are busy or young.
    pub(crate) fn close_idlest(&self) -> bool {
        let mut open = self.open();
        let idlest = open
            .all
            .iter()
            .filter(|(_, (_, task))| !task.is_finished())
            .filter_map(|(number, (activity, _))| Some((activity.waiting().filter(|&time| time >= PATIENCE)?, *number)))
            .max();
        let Some((waited, number)) = idlest else { return false };
        if let Some((_, task)) = open.all.remove(&number) {
            tracing::debug!(seconds = waited.as_secs_f64(), "closing an idle connection: others wait for its place");
            task.abort();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle_for(seconds: u64) -> Arc<Activity> {
        let activity = Activity::default();
        *activity.waiting_since.lock().unwrap() = Instant::now() - Duration::from_secs(seconds);
        Arc::new(activity)
    }

    #[tokio::test]
    async fn the_idlest_goes_and_busy_ones_stay() {
        let connections = Connections::default();
        let spawn = || tokio::spawn(std::future::pending::<()>());
        let (old, older, busy, young) = (spawn(), spawn(), spawn(), spawn());
        connections.add(idle_for(5), old.abort_handle());
        connections.add(idle_for(50), older.abort_handle());
        let working = idle_for(500);
        connections.add(working.clone(), busy.abort_handle());
        connections.add(idle_for(0), young.abort_handle());
        let request = working.clone().during(async { Busy::begin() }).await;
        assert!(connections.close_idlest());
        assert!(older.await.unwrap_err().is_cancelled());
        assert!(connections.close_idlest());
        assert!(old.await.unwrap_err().is_cancelled());
        assert!(!connections.close_idlest(), "one is busy, one is young");
        drop(request);
        assert!(working.waiting().unwrap() < PATIENCE, "it has just ended");
        busy.abort();
        let _ = busy.await;
        connections.sweep();
        assert_eq!(connections.open().all.len(), 1);
    }
}
