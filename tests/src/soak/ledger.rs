//! What became of each request. Every one that was sent has one entry in the end.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Offences that are told in full; the rest is counted.
const TOLD: usize = 20;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Answered, and byte for byte what it should be.
    Right,
    /// Refused or failed with a status and a message that clients understand.
    CleanError,
    /// A stream that broke off, which clients notice; right as far as it went.
    Cut,
    /// The client left, or sent nonsense on purpose, and the server took it as it should.
    Client,
    /// Its time ran out while the whole machine stood still.
    StoodStill,
    /// No answer.
    Lost,
    /// An answer that is not what was asked for.
    Corrupted,
    /// An error that clients can't make sense of, or that has no business there.
    Unclean,
}

impl Verdict {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 8] = [
        Self::Right,
        Self::CleanError,
        Self::Cut,
        Self::Client,
        Self::StoodStill,
        Self::Lost,
        Self::Corrupted,
        Self::Unclean,
    ];

    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Right => "answered right",
            Self::CleanError => "answered with a clean error",
            Self::Cut => "cut off in the middle of a stream",
            Self::Client => "given up or spoilt by the client",
            Self::StoodStill => "out of time while the machine stood still",
            Self::Lost => "lost",
            Self::Corrupted => "corrupted",
            Self::Unclean => "answered with an unclean error",
        }
    }

    /// Whether it must not happen.
    pub fn is_offence(self) -> bool {
        matches!(self, Self::Lost | Self::Corrupted | Self::Unclean)
    }
}

/// Counts of everything.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Entries>);

#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) sent: u64,
    pub(super) verdicts: BTreeMap<Verdict, u64>,
    /// Statuses of errors.
    pub(super) errors: BTreeMap<u16, u64>,
    /// Faults by name.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// What must not be, in words.
    pub(super) offences: Vec<String>,
}

impl Ledger {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sent(&self) {
        self.entries().sent += 1;
    }

    pub(super) fn verdict(&self, verdict: Verdict, words: impl FnOnce() -> String) {
        let mut entries = self.entries();
        *entries.verdicts.entry(verdict).or_default() += 1;
        if verdict.is_offence() && entries.offences.len() < TOLD {
            let words = format!("{}: {}", verdict.name(), words());
            entries.offences.push(words);
        }
    }

    pub(super) fn error(&self, status: u16) {
        *self.entries().errors.entry(status).or_default() += 1;
    }

    pub(super) fn fault(&self, name: &'static str) {
        *self.entries().faults.entry(name).or_default() += 1;
    }

    /// Something else that must not be.
    pub(super) fn offence(&self, words: String) {
        self.entries().offences.push(words);
    }

    pub(super) fn into_entries(self) -> Entries {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
