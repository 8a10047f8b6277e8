//! A model in a process of its own: a crash in native code costs that process's jobs, not the server.
//!
//! The worker is the same binary (`syrinx worker`). It loads one model through the same ABI and talks to the host over a
//! Unix socket, its standard input, with the frames of [`frame`]. Host side: [`Process`] is an
//! [`Executor`](crate::models::Executor) like any other; it starts the worker, starts another one when it dies, and gives
//! up when it keeps dying. Worker side: [`serve`].
//!
//! When the host dies, however it does, the socket closes and the worker ends.

#[cfg(target_os = "linux")]
mod cgroup;
mod connection;
mod frame;
mod limits;
mod messages;
mod process;
mod serve;

pub(crate) use process::{Isolated, Process};
pub(crate) use serve::serve;

use std::sync::{Mutex, MutexGuard, PoisonError};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment, insert or remove: a panic elsewhere can't leave it half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
