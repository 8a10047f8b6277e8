//! Work for several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a function for each index below a number, on whatever threads there are.
pub type Parallel<'p> = dyn Fn(usize, &(dyn Fn(usize) + Sync)) + 'p;

/// All on the caller's thread.
pub fn one_after_the_other(count: usize, job: &(dyn Fn(usize) + Sync)) {
    (0..count).for_each(job);
}

/// On so many threads of its own, for work outside of a runtime that has some.
pub fn on_threads(threads: usize, count: usize, job: &(dyn Fn(usize) + Sync)) {
    let threads = threads.min(count);
    if threads <= 1 {
        return one_after_the_other(count, job);
    }
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            job(index);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

/// An output that several threads write, each its own part.
#[derive(Clone, Copy, Debug)]
pub struct Shared<T>(*mut T);

// SAFETY: a pointer; those who write through it say why their parts don't overlap.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Shared<T> {
    /// Parts of `output` can be taken while nothing else touches it.
    #[must_use]
    pub fn new(output: &mut [T]) -> Self {
        Self(output.as_mut_ptr())
    }

    /// The part of `length` values from `start`.
    ///
    /// # Safety
    ///
    /// It lies within the output, which outlives it, and nobody else reads or writes it meanwhile.
    #[expect(clippy::mut_from_ref, reason = "that the parts don't overlap is the caller's promise")]
    #[must_use]
    pub unsafe fn part(&self, start: usize, length: usize) -> &mut [T] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_index_comes_up_once() {
        for threads in [0, 1, 2, 5] {
            let mut counts = vec![0; 100];
            let shared = Shared::new(&mut counts);
            // SAFETY: each index has a place of its own.
            on_threads(threads, 100, &|index| unsafe { shared.part(index, 1)[0] += 1 });
            assert_eq!(counts, [1; 100]);
        }
    }
}
