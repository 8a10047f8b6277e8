//! Continuous batching: one thread computes the steps of all rows of all requests.
//!
//! - A row joins between two steps. While others are under way, at most one joins before each step, so that nobody waits longer than for the
//!   prompt of one other row.
//! - Of the rows that wait, the next one is of the request that has the fewest rows under way; among those the one that came first.
//! - A row whose receiver is gone leaves before the next step.
//! - A failure or a panic in a step is the result of the rows in that step; of a row that joins, its own. The next step starts afresh.

mod batch;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError},
    thread::{self, JoinHandle},
    time::Duration,
};

pub use batch::{Batch, Outcome, Prompt};

use crate::{error::ChatTtsError, generate::Row, network::LanguageModel};

/// Computes rows until it is dropped.
pub struct Engine {
    sender: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A row that waits, or is under way.
struct Job {
    /// The request that it belongs to.
    request: u64,
    prompt: Prompt,
    row: Row,
    events: Sender<Result<Outcome, ChatTtsError>>,
}

/// A row from its request's side. Dropping it ends the row.
pub struct Generation {
    events: Receiver<Result<Outcome, ChatTtsError>>,
}

impl Generation {
    /// Waits for the next outcome for so long; none if there is nothing yet.
    ///
    /// # Errors
    /// The row failed.
    pub fn next(&self, patience: Duration) -> Result<Option<Outcome>, ChatTtsError> {
        match self.events.recv_timeout(patience) {
            Ok(outcome) => outcome.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ChatTtsError::Closed),
        }
    }
}

impl Engine {
    /// Starts the thread; at most `most_rows` are under way at a time.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(model: LanguageModel, most_rows: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("chattts".to_owned()).spawn(move || {
            Work {
                model,
                receiver,
                most_rows: most_rows.max(1),
                waiting: Vec::new(),
                running: Vec::new(),
                number: 0,
                batch: Batch::default(),
            }
            .run();
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Adds a row of a request.
    #[must_use]
    pub fn generate(&self, request: u64, prompt: Prompt, row: Row) -> Generation {
        let (events, receiver) = mpsc::channel();
        if let Some(sender) = &self.sender {
            // When the thread is gone, the receiver says so.
            let _ = sender.send(Job { request, prompt, row, events });
        }
        Generation { events: receiver }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are contained.
            let _ = thread.join();
        }
    }
}

/// What the thread works on.
struct Work {
    model: LanguageModel,
    receiver: Receiver<Job>,
    most_rows: usize,
    waiting: Vec<Job>,
    running: Vec<Running>,
    /// Of the last row.
    number: u64,
    batch: Batch,
}

struct Running {
    id: u64,
    request: u64,
    events: Sender<Result<Outcome, ChatTtsError>>,
}

impl Work {
    fn run(mut self) {
        while self.take_in() {
            self.admit();
            self.step();
        }
    }

    /// Takes in what is there, and waits when there is nothing to do. False: nothing will come any more.
    fn take_in(&mut self) -> bool {
        if self.running.is_empty() && self.waiting.is_empty() {
            match self.receiver.recv() {
                Ok(job) => self.waiting.push(job),
                Err(_) => return false,
            }
        }
        loop {
            match self.receiver.try_recv() {
                Ok(job) => self.waiting.push(job),
                Err(TryRecvError::Empty) => return true,
                // Rows whose requests are gone end one after the other.
                Err(TryRecvError::Disconnected) => return !(self.running.is_empty() && self.waiting.is_empty()),
            }
        }
    }

    /// Lets waiting rows join: one while others are under way, else as many as there is room for.
    fn admit(&mut self) {
        let at_once = if self.running.is_empty() { self.most_rows } else { 1 };
        for _ in 0..at_once {
            if self.running.len() >= self.most_rows {
                return;
            }
            let rows_of = |request: u64| self.running.iter().filter(|running| running.request == request).count();
            let next = (0..self.waiting.len()).min_by_key(|&index| rows_of(self.waiting[index].request));
            let Some(index) = next else { return };
            let Job { request, prompt, row, events } = self.waiting.remove(index);
            self.number += 1;
            let id = self.number;
            match contained(|| self.batch.admit(&self.model, id, &prompt, row)) {
                Ok(()) => self.running.push(Running { id, request, events }),
                Err(error) => {
                    let is_panic = matches!(error, ChatTtsError::Panicked(_));
                    // Nobody is left to be told when its request is gone.
                    let _ = events.send(Err(error));
                    if is_panic {
                        self.start_afresh(|| ChatTtsError::Panicked("another row's prompt".to_owned()));
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        if self.running.is_empty() {
            return;
        }
        let outcomes = match contained(|| self.batch.step(&self.model)) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let text = error.to_string();
                let mut first = Some(error);
                return self.start_afresh(|| first.take().unwrap_or_else(|| ChatTtsError::Panicked(text.clone())));
            }
        };
        for (id, outcome) in outcomes {
            let Some(index) = self.running.iter().position(|running| running.id == id) else { continue };
            let is_end = matches!(outcome, Outcome::End(_));
            let is_gone = self.running[index].events.send(Ok(outcome)).is_err();
            if is_end || is_gone {
                self.running.remove(index);
            }
            if is_gone && let Err(error) = contained(|| self.batch.remove(id)) {
                let text = error.to_string();
                return self.start_afresh(|| ChatTtsError::Panicked(text.clone()));
            }
        }
    }

    /// Gives up the rows under way, each with an error.
    fn start_afresh(&mut self, mut error: impl FnMut() -> ChatTtsError) {
        for running in self.running.drain(..) {
            let _ = running.events.send(Err(error()));
        }
        self.batch = Batch::default();
    }
}

/// Runs `work`; a panic becomes an error.
fn contained<R>(work: impl FnOnce() -> Result<R, ChatTtsError>) -> Result<R, ChatTtsError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload: Box<dyn Any + Send>| {
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(ChatTtsError::Panicked(text.unwrap_or_else(|| "a panic without a message".to_owned())))
    })
}
