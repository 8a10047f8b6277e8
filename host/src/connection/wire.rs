//! The stream below HTTP.
//!
//! What is no HTTP at all (broken request lines, headers that are too large) is answered by hyper itself, with a bare status.
//! Clients expect every error in one shape, so the bare answer is replaced on its way out. Nothing else that this server sends
//! looks like it: all other errors have a body.

use crate::http;
use axum::http::StatusCode;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// How long, and how many bytes of it, the rest of a refused request is taken off the wire before the connection is closed:
/// closing with unread input would take the answer away from the client.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 4 << 20; // bytes

/// A client's connection.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Origins that may read answers, for the errors written here.
    any_origin: bool,
    /// What replaces an answer of hyper's, as far as it isn't sent.
    answer: Vec<u8>,
    /// After such an answer: how long to go on reading, and how much.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, any_origin: bool) -> Self {
        Self { stream, any_origin, answer: Vec::new(), linger: None }
    }

    /// Sends what is left of an answer.
    fn send_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.answer.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.answer))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answer.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes `bytes` for sent if they are a bare error, and keeps a better one.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        let Some(status) = bare_error(bytes) else { return false };
        self.answer = http::malformed(status, self.any_origin);
        self.linger = Some((Box::pin(sleep(LINGER)), LINGER_BYTES));
        true
    }
}

/// The status of an answer that is an error without a body.
fn bare_error(bytes: &[u8]) -> Option<StatusCode> {
    const LONGEST: usize = 512; // bytes; hyper's has about 110
    let is_bare = bytes.len() <= LONGEST
        && bytes.starts_with(b"HTTP/1.")
        && bytes.ends_with(b"\r\n\r\n")
        && bytes.windows(21).any(|window| window == b"\r\ncontent-length: 0\r\n");
    let status = StatusCode::from_bytes(bytes.get(9..12)?).ok()?;
    (is_bare && status.is_client_error()).then_some(status)
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.send_answer(context))?;
        if self.replaces(bytes) {
            if let Poll::Ready(Err(error)) = self.send_answer(context) {
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        ready!(self.send_answer(context))?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_answer(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_answer(context))?;
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        let Self { stream, linger, .. } = &mut *self;
        while let Some((time, bytes)) = linger {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *bytes > buffer.filled().len() => {
                    *bytes -= buffer.filled().len();
                }
                Poll::Pending if time.as_mut().poll(context).is_pending() => return Poll::Pending,
                _ => *linger = None,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_errors_are_replaced() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n";
        assert_eq!(bare_error(bare).unwrap(), 431);
        for other in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 10\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK",
            b"HTTP/1.1",
            b"",
        ] {
            assert_eq!(bare_error(other), None);
        }
    }
}
