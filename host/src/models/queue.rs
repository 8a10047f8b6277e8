//! The order in which the jobs of one model run. No clock and no waiting in here: [`admission`](super::admission) has both.
//!
//! The rule, from first to last:
//! 1. The more urgent first. After each [`AGEING`] of waiting a job counts as one step more urgent, so none waits forever.
//! 2. Among those, the caller with the fewest jobs running, then the one whose turn is longest ago: a caller with a hundred
//!    jobs in the queue doesn't keep another one waiting.
//! 3. Of one caller's, the one that came first.

use super::Priority;
use crate::auth::StoredKey;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// A job that has waited this long counts as one step more urgent.
const AGEING: Duration = Duration::from_secs(10);

/// Weight of the newest job in the mean of how long they take: follows a change within a dozen jobs.
const NEWEST: u32 = 8; // one part in so many

/// Whose a job is; none for requests without a key.
pub(super) type Caller = Option<StoredKey>;

/// A job that waits, and what wakes it.
#[derive(Debug)]
struct Waiting<W> {
    number: u64,
    caller: Caller,
    priority: Priority,
    since: Instant,
    wake: W,
}

impl<W> Waiting<W> {
    /// 0 is the most urgent.
    fn rank(&self, now: Instant) -> u64 {
        let steps = now.saturating_duration_since(self.since).as_secs() / AGEING.as_secs();
        (self.priority as u64).saturating_sub(steps)
    }
}

/// What is known of a caller. There are no more of them than API keys.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    running: usize,
    /// Number of its latest start.
    last_turn: u64,
}

/// A job that may start.
#[derive(Debug)]
pub(super) struct Next<W> {
    pub(super) caller: Caller,
    pub(super) wake: W,
}

/// The jobs of one model.
#[derive(Debug)]
pub(super) struct Queue<W> {
    capacity: usize,
    running: usize,
    waiting: Vec<Waiting<W>>,
    shares: HashMap<Caller, Share>,
    /// Jobs that have come so far.
    arrivals: u64,
    /// Jobs that have started so far.
    starts: u64,
    /// How long jobs take, once one is done.
    mean: Option<Duration>,
}

impl<W> Queue<W> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            running: 0,
            waiting: Vec::new(),
            shares: HashMap::new(),
            arrivals: 0,
            starts: 0,
            mean: None,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a job that comes now starts at once.
    pub(super) fn has_place(&self) -> bool {
        self.running < self.capacity && self.waiting.is_empty()
    }

    /// A job joins the queue. Its number takes it out again.
    pub(super) fn join(&mut self, caller: Caller, priority: Priority, now: Instant, wake: W) -> u64 {
        self.arrivals += 1;
        self.waiting.push(Waiting { number: self.arrivals, caller, priority, since: now, wake });
        self.arrivals
    }

    /// A job is given up, if it still waits.
    pub(super) fn leave(&mut self, number: u64) {
        self.waiting.retain(|job| job.number != number);
    }

    /// All of them are given up.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Takes a place for a job of this caller.
    pub(super) fn start(&mut self, caller: &Caller) {
        self.starts += 1;
        self.running += 1;
        let share = self.shares.entry(caller.clone()).or_default();
        share.running += 1;
        share.last_turn = self.starts;
    }

    /// Gives the place back of a job that took so long.
    pub(super) fn finish(&mut self, caller: &Caller, took: Duration) {
        self.running = self.running.saturating_sub(1);
        if let Some(share) = self.shares.get_mut(caller) {
            share.running = share.running.saturating_sub(1);
        }
        self.mean = Some(self.mean.map_or(took, |mean| (mean * (NEWEST - 1) + took) / NEWEST));
    }

    /// The next job, with its place taken, if there is one and a place.
    pub(super) fn next(&mut self, now: Instant) -> Option<Next<W>> {
        if self.running >= self.capacity {
            return None;
        }
        let share = |caller: &Caller| self.shares.get(caller).copied().unwrap_or_default();
        let order = |job: &Waiting<W>| {
            let Share { running, last_turn } = share(&job.caller);
            (job.rank(now), running, last_turn, job.number)
        };
        let index = (0..self.waiting.len()).min_by_key(|&index| order(&self.waiting[index]))?;
        let Waiting { caller, wake, .. } = self.waiting.remove(index);
        self.start(&caller);
        Some(Next { caller, wake })
    }

    /// How long a job that comes now would wait for its place, by what jobs took so far; none before the first is done.
    pub(super) fn expected_wait(&self, caller: &Caller, priority: Priority, now: Instant) -> Option<Duration> {
        if self.has_place() {
            return Some(Duration::ZERO);
        }
        let rounds = self.ahead(caller, priority, now) + 1;
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        Some(self.mean?.saturating_mul(rounds) / u32::try_from(self.capacity).unwrap_or(u32::MAX))
    }

    /// Jobs in the queue whose turn comes before that of one that comes now.
    fn ahead(&self, caller: &Caller, priority: Priority, now: Instant) -> usize {
        /// Of one caller: more urgent ones, and equally urgent ones.
        #[derive(Default)]
        struct Of {
            before: usize,
            beside: usize,
        }
        let rank = priority as u64;
        let mut callers: BTreeMap<&Caller, Of> = BTreeMap::new();
        for job in &self.waiting {
            let of = callers.entry(&job.caller).or_default();
            match job.rank(now).cmp(&rank) {
                std::cmp::Ordering::Less => of.before += 1,
                std::cmp::Ordering::Equal => of.beside += 1,
                std::cmp::Ordering::Greater => {}
            }
        }
        let own = callers.get(caller).map_or(0, |of| of.beside);
        // Turns go around: of every other caller as many as there are rounds until ours.
        callers.iter().map(|(other, of)| of.before + if *other == caller { own } else { of.beside.min(own + 1) }).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Caller {
        Some(StoredKey::of(name))
    }

    /// A model with one place, which is taken.
    fn busy() -> (Queue<&'static str>, Instant) {
        let mut queue = Queue::new(1);
        queue.start(&None);
        (queue, Instant::now())
    }

    /// Works the queue off: the names in their order, one a second from `now`.
    fn order(mut queue: Queue<&'static str>, now: Instant) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut caller = None;
        loop {
            queue.finish(&caller, Duration::from_secs(1));
            let Some(next) = queue.next(now + Duration::from_secs(names.len() as u64)) else { return names };
            names.push(next.wake);
            caller = next.caller;
        }
    }

    #[test]
    fn the_more_urgent_first_then_the_earlier() {
        let (mut queue, now) = busy();
        queue.join(None, Priority::Low, now, "batch");
        queue.join(None, Priority::Normal, now, "whole 1");
        queue.join(None, Priority::High, now, "stream 1");
        queue.join(None, Priority::Normal, now, "whole 2");
        queue.join(None, Priority::High, now, "stream 2");
        assert_eq!(order(queue, now), ["stream 1", "stream 2", "whole 1", "whole 2", "batch"]);
    }

    #[test]
    fn callers_take_turns() {
        let (mut queue, now) = busy();
        for name in ["a1", "a2", "a3", "a4"] {
            queue.join(key("a"), Priority::Normal, now, name);
        }
        queue.join(key("b"), Priority::Normal, now, "b1");
        queue.join(key("c"), Priority::Normal, now, "c1");
        queue.join(key("b"), Priority::Normal, now, "b2");
        assert_eq!(order(queue, now), ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
    }

    #[test]
    fn whoever_asks_one_by_one_does_not_keep_a_queue_waiting() {
        // Two callers come back as soon as they are done; a third has a queue.
        let (mut queue, now) = busy();
        for _ in 0..3 {
            queue.join(key("queue"), Priority::Normal, now, "queue");
        }
        queue.join(key("one"), Priority::Normal, now, "one");
        queue.finish(&None, Duration::from_secs(1));
        let mut served = Vec::new();
        let mut back = None;
        for _ in 0..6 {
            let next = queue.next(now).unwrap();
            if let Some((caller, name)) = back.take() {
                queue.join(caller, Priority::Normal, now, name);
            }
            if next.wake == "one" {
                back = Some((next.caller.clone(), "one"));
            }
            served.push(next.wake);
            queue.finish(&next.caller, Duration::from_secs(1));
        }
        assert_eq!(served.iter().filter(|name| **name == "queue").count(), 3, "{served:?}");
    }

    #[test]
    fn with_several_places_nobody_gets_all_of_them() {
        let mut queue = Queue::new(2);
        let now = Instant::now();
        queue.start(&key("a"));
        queue.start(&key("a"));
        queue.join(key("a"), Priority::Normal, now, "a3");
        queue.join(key("b"), Priority::Normal, now, "b1");
        queue.join(key("b"), Priority::Normal, now, "b2");
        queue.finish(&key("a"), Duration::from_secs(1));
        assert_eq!(queue.next(now).unwrap().wake, "b1");
        queue.finish(&key("a"), Duration::from_secs(1));
        assert_eq!(queue.next(now).unwrap().wake, "a3", "b has one running, a has none");
        assert!(queue.next(now).is_none(), "both places are taken");
    }

    #[test]
    fn waiting_makes_urgent() {
        let (mut queue, start) = busy();
        queue.join(key("batch"), Priority::Low, start, "old");
        let later = start + 2 * AGEING - Duration::from_secs(1);
        queue.join(key("stream"), Priority::High, later, "new 1");
        queue.join(key("stream"), Priority::High, later, "new 2");
        queue.finish(&None, Duration::from_secs(1));
        let first = queue.next(later).unwrap();
        assert_eq!(first.wake, "new 1", "one second too early");
        queue.finish(&first.caller, Duration::from_secs(1));
        assert_eq!(queue.next(later + Duration::from_secs(1)).unwrap().wake, "old");
    }

    #[test]
    fn the_wait_is_computed_from_what_jobs_took() {
        let (mut queue, now) = busy();
        let wait = |queue: &Queue<_>, name, priority| queue.expected_wait(&key(name), priority, now);
        assert_eq!(wait(&queue, "a", Priority::Normal), None, "nothing is known yet");
        queue.finish(&None, Duration::from_secs(4));
        assert_eq!(wait(&queue, "a", Priority::Normal), Some(Duration::ZERO), "there is a place");
        queue.start(&None);
        assert_eq!(wait(&queue, "a", Priority::Normal), Some(Duration::from_secs(4)));
        for _ in 0..10 {
            queue.join(key("a"), Priority::Normal, now, "a");
        }
        assert_eq!(wait(&queue, "a", Priority::Normal), Some(Duration::from_secs(44)));
        assert_eq!(wait(&queue, "b", Priority::Normal), Some(Duration::from_secs(8)), "one of a goes first");
        assert_eq!(wait(&queue, "b", Priority::High), Some(Duration::from_secs(4)));
        assert_eq!(wait(&queue, "b", Priority::Low), Some(Duration::from_secs(44)));
        queue.finish(&None, Duration::from_secs(12));
        queue.start(&None);
        assert_eq!(wait(&queue, "b", Priority::High), Some(Duration::from_secs(5)), "the mean follows");
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let (mut queue, now) = busy();
        let number = queue.join(None, Priority::Normal, now, "left");
        queue.join(None, Priority::Normal, now, "stays");
        queue.leave(number);
        queue.leave(number);
        assert_eq!((queue.waiting(), order(queue, now)), (1, vec!["stays"]));
    }
}
