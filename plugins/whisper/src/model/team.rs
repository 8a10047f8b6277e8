//! The threads that a model computes with: as many as the host allots, no more.

use std::ops::Range;

use rayon::prelude::*;

/// A fixed number of threads; one thread means the caller's own.
#[derive(Debug)]
pub(crate) struct Team {
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Team {
    /// `threads` threads, at least one. Where the system refuses threads the caller's own has to do.
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let pool = (threads > 1)
            .then(|| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .thread_name(|i| format!("whisper-{i}"))
                    .build()
                    .ok()
            })
            .flatten();
        Self { threads: if pool.is_some() { threads } else { 1 }, pool }
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` on the team; calls of [`Team::ranges`] and [`Team::each`] inside it start without delay.
    pub(crate) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Divides `0..n` among the threads in ranges of equal size, multiples of `grain`.
    pub(crate) fn ranges(&self, n: usize, grain: usize, work: &(impl Fn(Range<usize>) + Sync)) {
        let pieces = self.threads.min(n.div_ceil(grain)).max(1);
        let size = n.div_ceil(pieces).next_multiple_of(grain);
        halve(0, pieces, &|piece| work((piece * size).min(n)..((piece + 1) * size).min(n)));
    }

    /// Runs `work(0)` … `work(n - 1)`, each on whichever thread is free.
    pub(crate) fn each(&self, n: usize, work: &(impl Fn(usize) + Sync + Send)) {
        if self.threads == 1 { (0..n).for_each(work) } else { (0..n).into_par_iter().with_max_len(1).for_each(work) }
    }
}

fn halve(from: usize, count: usize, work: &(impl Fn(usize) + Sync)) {
    if count <= 1 {
        return work(from);
    }
    let left = count / 2;
    rayon::join(|| halve(from, left, work), || halve(from + left, count - left, work));
}

/// A slice that several threads write to, each at places of its own.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    life: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: it hands out parts of an exclusively borrowed slice; that the parts are disjoint is promised at `part`.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), life: std::marker::PhantomData }
    }

    /// Where element `index` is, for kernels that write with a stride.
    ///
    /// # Panics
    /// It is outside the slice.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "an element of the slice");
        // SAFETY: within the slice.
        unsafe { self.start.add(index) }
    }

    /// The elements in `range`.
    ///
    /// # Safety
    /// No two parts that are alive at the same time overlap.
    ///
    /// # Panics
    /// The range is outside the slice.
    #[expect(clippy::mut_from_ref, reason = "that is what it is for; the caller promises disjoint parts")]
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "part of the slice");
        // SAFETY: within the slice; exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn all_is_done_once() {
        for threads in [1, 2, 3] {
            let team = Team::new(threads);
            for n in [0, 1, 7, 64, 101] {
                let mut counts: Vec<AtomicUsize> = Vec::new();
                counts.resize_with(n, AtomicUsize::default);
                team.run(|| {
                    let count = |i: usize| {
                        counts[i].fetch_add(1, Ordering::Relaxed);
                    };
                    team.ranges(n, 4, &|range| range.for_each(count));
                    team.each(n, &count);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 2));
            }
        }
    }
}
