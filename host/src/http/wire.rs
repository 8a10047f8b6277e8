//! The common shape for errors that no handler sees: requests that hyper refuses because they aren't HTTP, because their headers
//! are too large or their target too long. Hyper answers those itself, with a head and no body, and hangs up.
//!
//! [`Wire`] stands between hyper and the socket. A head that hyper wrote for itself has no `x-request-id`, which all
//! of ours have; it is replaced as it passes. What can't be changed: a client that takes too long for its headers is hung up on
//! without a word, and one that speaks HTTP/2 at once too.

use super::{error::ApiError, request_id};
use axum::http::StatusCode;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// How long the rest of a refused request is still taken off the wire: closing with unread input would reset the connection,
/// and the client might never see the answer.
const LINGER: Duration = Duration::from_secs(2);

/// How much of it. [bytes]
const LINGER_BYTES: usize = 4 << 20;

/// A socket whose refusals have a body.
pub(crate) struct Wire<S> {
    socket: S,
    /// Whether pages of any origin may read the answers.
    any_origin: bool,
    refusal: Option<Refusal>,
}

/// A replaced answer on its way.
struct Refusal {
    bytes: Vec<u8>,
    written: usize,
    /// After the answer: the rest of the request.
    rest: Option<Pin<Box<Sleep>>>,
    thrown_away: usize,
}

impl<S> Wire<S> {
    pub(crate) fn new(socket: S, any_origin: bool) -> Self {
        Self { socket, any_origin, refusal: None }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Sends the refusal in place of a head of hyper's, which counts as written when all of it is.
    fn poll_refusal(&mut self, context: &mut Context<'_>, replaced: usize) -> Poll<io::Result<usize>> {
        let Some(refusal) = &mut self.refusal else { return Poll::Ready(Ok(replaced)) };
        while refusal.written < refusal.bytes.len() {
            let left = &refusal.bytes[refusal.written..];
            match ready!(Pin::new(&mut self.socket).poll_write(context, left))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => refusal.written += written,
            }
        }
        Poll::Ready(Ok(replaced))
    }
}

/// The status of a head that hyper wrote for itself.
fn refused(head: &[u8]) -> Option<StatusCode> {
    let text = std::str::from_utf8(head).ok()?;
    let (line, headers) = text.strip_suffix("\r\n\r\n")?.split_once("\r\n")?;
    let status = line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let ours = |header: &str| {
        let name = header.split(':').next().unwrap_or_default();
        !["content-length", "connection", "date"].iter().any(|known| name.eq_ignore_ascii_case(known))
    };
    let refusal =
        matches!(status, 400 | 414 | 431) && !headers.contains("\r\n\r\n") && !headers.split("\r\n").any(ours);
    StatusCode::from_u16(status).ok().filter(|_| refusal)
}

/// The whole answer.
fn answer(status: StatusCode, any_origin: bool) -> Vec<u8> {
    let message = match status.as_u16() {
        414 => "the request target is too long",
        431 => "the request's target and headers are too large, or too many",
        _ => "this is not a well-formed HTTP/1.1 request",
    };
    let body = serde_json::to_string(&ApiError::new(status, message).body()).unwrap_or_default();
    let origin = if any_origin { "access-control-allow-origin: *\r\n" } else { "" };
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{origin}\
         x-request-id: {}\r\n\r\n{body}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        request_id::fresh().to_str().unwrap_or_default(),
    )
    .into_bytes()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_none()
            && let Some(status) = refused(bytes)
        {
            tracing::debug!(status = status.as_u16(), "a request that can't be read");
            let bytes = answer(status, this.any_origin);
            this.refusal = Some(Refusal { bytes, written: 0, rest: None, thrown_away: 0 });
        }
        if this.refusal.is_some() {
            return this.poll_refusal(context, bytes.len());
        }
        Pin::new(&mut this.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces.iter().find(|piece| !piece.is_empty()) {
            Some(head) if self.refusal.is_some() || refused(head).is_some() => self.poll_write(context, head),
            _ => Pin::new(&mut self.get_mut().socket).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(refusal) = &mut this.refusal else { return Pin::new(&mut this.socket).poll_shutdown(context) };
        let rest = match &mut refusal.rest {
            Some(rest) => rest,
            none => {
                ready!(Pin::new(&mut this.socket).poll_shutdown(context))?;
                none.insert(Box::pin(tokio::time::sleep(LINGER)))
            }
        };
        let mut scratch = [0; 8192];
        while refusal.thrown_away < LINGER_BYTES && rest.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.socket).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => refusal.thrown_away += buffer.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_heads_that_hyper_wrote_are_replaced() {
        let own = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\n";
        assert_eq!(refused(own), Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        for ours in [
            &b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: a\r\n\r\n"[..],
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            b"{\"text\": \"HTTP/1.1 400 Bad Request\\r\\n\"}",
            b"\xff\xfb\x90\x00",
            b"",
        ] {
            assert_eq!(refused(ours), None, "{}", String::from_utf8_lossy(ours));
        }
    }

    #[test]
    fn the_answer_has_both_shapes() {
        let answer = String::from_utf8(answer(StatusCode::URI_TOO_LONG, true)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 414 URI Too Long\r\n") && head.contains("x-request-id: req_"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["detail"], body["error"]["message"]);
    }
}
