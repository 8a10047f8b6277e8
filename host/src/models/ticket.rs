//! What a request brings to the gate of a model: who it is, how urgent, and until when it is of use.

use crate::{auth::StoredKey, callers::Turn};
use std::{
    str::FromStr,
    time::{Duration, Instant},
};

/// How urgent a request is. The more urgent come first; those that wait become more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody listens or reads while it is made.
    High,
    /// Somebody waits for the result.
    #[default]
    Normal,
    /// Nobody is in a hurry.
    Low,
}

impl Priority {
    /// What there is to choose from.
    pub const NAMES: &str = "high, normal, low";
}

impl FromStr for Priority {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.trim().to_ascii_lowercase().as_str() {
            "high" => Ok(Self::High),
            "normal" => Ok(Self::Normal),
            "low" => Ok(Self::Low),
            _ => Err(()),
        }
    }
}

/// A request on its way to a model.
#[derive(Debug)]
pub struct Ticket {
    /// The API key that it came with; none where keys aren't checked: those requests count as one caller's.
    pub caller: Option<StoredKey>,
    /// How urgent it is.
    pub priority: Priority,
    /// When it came.
    pub arrived: Instant,
    /// How long after that it must have begun.
    pub start_within: Duration,
    /// How long after that it must be done.
    pub finish_within: Duration,
    /// The place that it takes among the requests of its key.
    pub(crate) turn: Option<Turn>,
}

impl Ticket {
    /// A request of nobody in particular that comes now and has this long.
    pub fn within(allowed: Duration) -> Self {
        Self {
            caller: None,
            priority: Priority::default(),
            arrived: Instant::now(),
            start_within: allowed,
            finish_within: allowed,
            turn: None,
        }
    }

    /// When it must have begun.
    pub(crate) fn start_by(&self) -> Instant {
        self.arrived + self.start_within
    }

    /// When it must be done.
    pub(crate) fn finish_by(&self) -> Instant {
        self.arrived + self.finish_within
    }
}
