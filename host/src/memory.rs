//! How much memory the uploads of all requests together may take: their bytes, and the samples that come out of them.
//!
//! A request that would go over it is sent away with 503 and `Retry-After`. That is simpler than spooling to disk, and safer:
//! decoding needs the bytes at hand, samples are larger than most files, and a full disk is worse than a client that waits.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::available_parallelism,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Files that are decoded at a time, for every CPU. What a decoder needs for itself (resampling from an odd rate: up to 67 MB)
/// isn't accounted for, so there must not be too many.
const DECODERS_PER_CPU: usize = 2;

/// The memory that is shared.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
    decoders: Semaphore,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Memory,
    bytes: u64,
}

/// There isn't as much left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the uploads of other requests take all the memory that this server has for them; try again")]
pub(crate) struct Exhausted;

impl Memory {
    /// `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        let decoders = DECODERS_PER_CPU * available_parallelism().map_or(1, NonZero::get);
        Self(Arc::new(Inner { limit, used: AtomicU64::new(0), decoders: Semaphore::new(decoders) }))
    }

    /// Waits for the turn to decode a file; it lasts until the permit is dropped.
    pub(crate) async fn turn_to_decode(&self) -> Option<SemaphorePermit<'_>> {
        // None only if the semaphore were closed, which nothing does.
        self.0.decoders.acquire().await.ok()
    }

    /// A reservation of `bytes`, if there are as many.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation, Exhausted> {
        let mut reservation = Reservation { memory: self.clone(), bytes: 0 };
        reservation.resize(bytes).map(|()| reservation)
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Acquire)
    }
}

impl Reservation {
    /// Makes it as large as `bytes`.
    pub(crate) fn resize(&mut self, bytes: u64) -> Result<(), Exhausted> {
        let Inner { limit, used, .. } = &*self.memory.0;
        if bytes <= self.bytes {
            used.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        } else {
            let more = bytes - self.bytes;
            used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                used.checked_add(more).filter(|sum| sum <= limit)
            })
            .map_err(|_| Exhausted)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of it as another reservation; this one is empty then.
    pub(crate) fn split(&mut self) -> Self {
        Self { memory: self.memory.clone(), bytes: std::mem::take(&mut self.bytes) }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.0.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_there_is() {
        let memory = Memory::new(100);
        let mut first = memory.reserve(60).unwrap();
        assert_eq!(memory.reserve(41).unwrap_err(), Exhausted);
        let second = memory.reserve(40).unwrap();
        assert!(first.resize(61).is_err());
        assert_eq!(memory.used(), 100);
        first.resize(10).unwrap();
        assert_eq!((memory.used(), first.bytes()), (50, 10));
        let moved = first.split();
        drop(first);
        assert_eq!(memory.used(), 50);
        drop((moved, second));
        assert_eq!(memory.used(), 0);
        assert!(memory.reserve(u64::MAX).is_err());
    }
}
