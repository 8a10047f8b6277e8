//! What has happened to each model, for people who look at it later: a short list per uid, bounded in both directions.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

/// Events kept per uid; the oldest go.
const PER_UID: usize = 100;
/// Uids with events; the one that was quiet for longest goes.
const UIDS: usize = 500;
/// Longest text of an event. [characters]
const CONTENT_LIMIT: usize = 2000;

/// How serious an event is; Xinference's words are its names in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Somebody may want to know.
    Warning,
    /// Something failed.
    Error,
}

/// Something that happened to a model.
#[derive(Clone, Debug)]
pub struct Event {
    /// How serious it is.
    pub severity: Severity,
    /// A stable word: `created`, `downloading`, `loading`, `ready`, `error`, `cancelled`, `reloaded`, `catalogue`,
    /// `terminated`.
    pub name: &'static str,
    /// When it happened, by the clock on the wall.
    pub time: SystemTime,
    /// Details, for a person.
    pub content: String,
}

/// The events of all models.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    table: Mutex<BTreeMap<String, History>>,
}

/// What has happened to one uid.
#[derive(Debug)]
struct History {
    /// Oldest first.
    events: VecDeque<Event>,
    /// When the last of them happened, by a clock that nobody turns.
    last: Instant,
}

impl EventLog {
    pub(crate) fn note(&self, uid: &str, severity: Severity, name: &'static str, content: impl Into<String>) {
        let content: String = content.into().chars().take(CONTENT_LIMIT).collect();
        let event = Event { severity, name, time: SystemTime::now(), content };
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.contains_key(uid) && table.len() >= UIDS {
            let quietest = table.iter().min_by_key(|(_, history)| history.last).map(|(uid, _)| uid.clone());
            quietest.and_then(|quietest| table.remove(&quietest));
        }
        let now = Instant::now();
        let history = table.entry(uid.to_owned()).or_insert_with(|| History { events: VecDeque::new(), last: now });
        history.last = now;
        if history.events.len() >= PER_UID {
            history.events.pop_front();
        }
        history.events.push_back(event);
    }

    /// Oldest first; none for a uid that nothing has happened to.
    pub(crate) fn of(&self, uid: &str) -> Option<Vec<Event>> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(uid).map(|history| history.events.iter().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay() {
        let log = EventLog::default();
        for number in 0..PER_UID + 5 {
            log.note("a", Severity::Info, "loading", format!("{number}"));
        }
        let events = log.of("a").unwrap();
        assert_eq!((events.len(), events[0].content.as_str()), (PER_UID, "5"));
        for number in 0..UIDS {
            log.note(&format!("m{number}"), Severity::Error, "error", "x".repeat(CONTENT_LIMIT * 2));
        }
        assert!(log.of("a").is_none(), "the quietest stays");
        assert_eq!(log.of("m0").unwrap()[0].content.len(), CONTENT_LIMIT);
        assert_eq!(log.table.lock().unwrap().len(), UIDS);
    }

    #[test]
    fn the_quietest_goes_whatever_the_clock_said() {
        let log = EventLog::default();
        for number in 0..UIDS {
            log.note(&format!("m{number}"), Severity::Info, "ready", "");
        }
        // The clock was far ahead when the first ones came, and is right by now.
        for history in log.table.lock().unwrap().values_mut() {
            history.events[0].time += std::time::Duration::from_secs(400 * 24 * 3600);
        }
        log.note("new", Severity::Info, "ready", "");
        log.note("newer", Severity::Info, "ready", "");
        assert!(log.of("new").is_some() && log.of("newer").is_some());
        assert!(log.of("m0").is_none() && log.of("m1").is_none());
    }
}
