//! Where a job waits for what it asked for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A place to wait in. One thread waits; others bring the answer, or the lead.
#[derive(Debug)]
pub(super) struct Seat<T> {
    news: Mutex<News<T>>,
    came: Condvar,
}

/// What a waiting job has been told.
#[derive(Debug)]
enum News<T> {
    None,
    /// To compute the next turn itself.
    Lead,
    Answer(T),
}

impl<T> Default for Seat<T> {
    fn default() -> Self {
        Self { news: Mutex::new(News::None), came: Condvar::new() }
    }
}

impl<T> Seat<T> {
    fn lock(&self) -> MutexGuard<'_, News<T>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the answer.
    pub(super) fn answer(&self, answer: T) {
        *self.lock() = News::Answer(answer);
        self.came.notify_one();
    }

    /// Tells the job to compute the next turn.
    pub(super) fn lead(&self) {
        *self.lock() = News::Lead;
        self.came.notify_one();
    }

    /// The answer, if it is here.
    pub(super) fn take(&self) -> Option<T> {
        match std::mem::replace(&mut *self.lock(), News::None) {
            News::Answer(answer) => Some(answer),
            News::None | News::Lead => None,
        }
    }

    /// Waits for the answer; `None` when the lead comes first.
    pub(super) fn wait(&self) -> Option<T> {
        let waiting = self.came.wait_while(self.lock(), |news| matches!(news, News::None));
        match std::mem::replace(&mut *waiting.unwrap_or_else(PoisonError::into_inner), News::None) {
            News::Answer(answer) => Some(answer),
            News::None | News::Lead => None,
        }
    }
}
