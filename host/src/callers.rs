//! How much each API key may ask: requests at a time, and requests a minute.

use crate::auth::{KeyLimits, Settings, StoredKey};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What `requests_per_minute` counts in.
const MINUTE: Duration = Duration::from_secs(60);

/// When to try again if a key has too many requests at a time: nobody knows when one of them will end.
const SOON: Duration = Duration::from_secs(1);

/// The keys, and what they are doing. There are no more of them than keys that were accepted.
#[derive(Debug)]
pub(crate) struct Callers {
    default: KeyLimits,
    own: HashMap<StoredKey, KeyLimits>,
    activities: Arc<Mutex<HashMap<StoredKey, Activity>>>,
}

/// What a key is doing.
#[derive(Debug, Default)]
struct Activity {
    in_flight: usize,
    /// When its requests of the last minute came, oldest first. Kept only where they are counted.
    recent: VecDeque<Instant>,
}

/// A request's place among those of its key. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    key: StoredKey,
    activities: Arc<Mutex<HashMap<StoredKey, Activity>>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut activities = self.activities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(activity) = activities.get_mut(&self.key) {
            activity.in_flight = activity.in_flight.saturating_sub(1);
        }
    }
}

/// A key asks too much. 429.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// At a time.
    #[error("this API key may have {0} requests at a time (`requests` of its limits), and has them")]
    AtATime(usize),
    /// In a minute.
    #[error("this API key may make {limit} requests a minute (`requests_per_minute` of its limits), and has made them")]
    InAMinute {
        /// How many.
        limit: usize,
        /// When the next one may come.
        retry_after: Duration,
    },
}

impl TooMuch {
    /// When to try again.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::AtATime(_) => SOON,
            // Not a moment before: whole seconds, rounded up.
            Self::InAMinute { retry_after, .. } => Duration::from_secs(retry_after.as_secs() + 1),
        }
    }
}

impl Callers {
    pub(crate) fn new(settings: &Settings) -> Self {
        let own = settings.own.iter().map(|own| (own.key.clone(), own.limits.clone())).collect();
        Self { default: settings.limits.clone(), own, activities: Arc::default() }
    }

    /// What a key may do.
    pub(crate) fn limits(&self, key: &StoredKey) -> &KeyLimits {
        self.own.get(key).unwrap_or(&self.default)
    }

    /// A request of `key` comes `now`.
    ///
    /// # Errors
    /// When that is too much.
    pub(crate) fn enter(&self, key: &StoredKey, now: Instant) -> Result<Turn, TooMuch> {
        let limits = self.limits(key);
        let mut activities = self.activities.lock().unwrap_or_else(PoisonError::into_inner);
        let activity = activities.entry(key.clone()).or_default();
        if let Some(limit) = limits.requests.filter(|limit| activity.in_flight >= *limit) {
            return Err(TooMuch::AtATime(limit));
        }
        if let Some(limit) = limits.requests_per_minute {
            let age = |came: &Instant| now.saturating_duration_since(*came);
            while activity.recent.front().is_some_and(|came| age(came) >= MINUTE) {
                activity.recent.pop_front();
            }
            if activity.recent.len() >= limit {
                let retry_after = activity.recent.front().map_or(MINUTE, |oldest| MINUTE - age(oldest));
                return Err(TooMuch::InAMinute { limit, retry_after });
            }
            activity.recent.push_back(now);
        }
        activity.in_flight += 1;
        Ok(Turn { key: key.clone(), activities: self.activities.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::LimitedKey;

    fn callers() -> Callers {
        let limits = KeyLimits { requests: Some(2), requests_per_minute: Some(3), ..KeyLimits::default() };
        let own = LimitedKey { key: StoredKey::of("free"), limits: KeyLimits::default() };
        Callers::new(&Settings { limits, own: vec![own], ..Settings::default() })
    }

    #[test]
    fn so_many_at_a_time() {
        let (callers, now) = (callers(), Instant::now());
        let enter = |name| callers.enter(&StoredKey::of(name), now);
        let (first, _second) = (enter("a").unwrap(), enter("a").unwrap());
        assert_eq!(enter("a").unwrap_err(), TooMuch::AtATime(2));
        let _other = enter("b").unwrap();
        drop(first);
        let _third = enter("a").unwrap();
        let _many: Vec<Turn> = (0..10).map(|_| enter("free").unwrap()).collect();
    }

    #[test]
    fn so_many_a_minute() {
        let (callers, start) = (callers(), Instant::now());
        let enter = |seconds| callers.enter(&StoredKey::of("a"), start + Duration::from_secs(seconds)).map(drop);
        for second in [0, 10, 20] {
            enter(second).unwrap();
        }
        let error = enter(21).unwrap_err();
        assert_eq!(error, TooMuch::InAMinute { limit: 3, retry_after: Duration::from_secs(39) });
        assert_eq!(error.retry_after(), Duration::from_secs(40));
        assert!(error.to_string().contains("3 requests a minute"), "{error}");
        enter(60).unwrap();
        assert!(enter(69).is_err(), "those that were refused do not count, the others do");
        enter(70).unwrap();
    }
}
