//! One end of the socket between host and worker: many threads write, one reads.

use super::{frame, messages::Message};
use std::{
    io::{self, BufReader},
    marker::PhantomData,
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Mutex, PoisonError},
};

/// Writes messages of one kind; whole ones, whoever writes.
pub(super) struct Sender<M> {
    stream: Mutex<UnixStream>,
    /// The same socket, for closing it while a write is stuck.
    socket: UnixStream,
    messages: PhantomData<fn(M)>,
}

impl<M: Message> Sender<M> {
    /// Sends a message about a job (0: about none).
    ///
    /// # Errors
    /// When the other end is gone.
    pub(super) fn send(&self, job: u64, message: &M) -> io::Result<()> {
        let (kind, payload) = message.encode()?;
        self.write(job, kind, &payload)
    }

    /// Sends samples of a job, without a copy of them.
    ///
    /// # Errors
    /// When the other end is gone.
    pub(super) fn send_samples(&self, job: u64, samples: &[f32]) -> io::Result<()> {
        self.write(job, M::SAMPLES, frame::to_bytes(samples))
    }

    fn write(&self, job: u64, kind: u8, payload: &[u8]) -> io::Result<()> {
        // A panic within leaves half a frame at worst, which the other end takes for our end.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        frame::write(&mut *stream, kind, job, payload)
    }

    /// Closes the connection in both directions.
    pub(super) fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Reads messages of one kind.
pub(super) struct Receiver<M> {
    stream: BufReader<UnixStream>,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message> Receiver<M> {
    /// The next message and the job that it is about; none when the other end is gone.
    ///
    /// # Errors
    /// When it is gone in the middle of a message, or sends something else.
    pub(super) fn receive(&mut self) -> io::Result<Option<(u64, M)>> {
        let Some(frame) = frame::read(&mut self.stream)? else { return Ok(None) };
        Ok(Some((frame.job, M::decode(frame)?)))
    }
}

/// Both directions of a socket.
///
/// # Errors
/// When the socket can't be doubled.
pub(super) fn open<Out, In>(stream: UnixStream) -> io::Result<(Sender<Out>, Receiver<In>)> {
    let reader = BufReader::with_capacity(1 << 16, stream.try_clone()?);
    let sender = Sender { socket: stream.try_clone()?, stream: Mutex::new(stream), messages: PhantomData };
    Ok((sender, Receiver { stream: reader, messages: PhantomData }))
}
