//! Times at which the whole machine stood still, as virtual machines and laptops do: what runs out of time then is nobody's
//! fault.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(200);
/// A look that comes this much too late wasn't only waiting for a CPU.
const STILL: Duration = Duration::from_secs(5);

/// When the machine stood still last.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Instant>>);

impl Clock {
    /// Looks until `goes_on` says no.
    pub(super) fn watch(&self, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let begun = Instant::now();
            thread::sleep(LOOK);
            if begun.elapsed() > STILL {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
        }
    }

    /// Whether it has stood still since then.
    pub(super) fn stood_still_since(&self, then: Instant) -> bool {
        // Whoever wakes first may ask before the watch has looked.
        thread::sleep(2 * LOOK);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|last| last > then)
    }
}
