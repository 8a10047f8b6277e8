//! Reading a body within limits: of size, decided before the first byte where the client says how much will come, and of
//! patience with a client that stops sending.

use crate::{
    http::error::ApiError,
    memory::{Exhausted, Memory, Reservation},
};
use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use std::time::Duration;
use tokio::{runtime::Handle, time::timeout};

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub(crate) bytes: u64,
    /// Longest silence in the middle of it.
    pub(crate) silence: Duration,
}

/// How much of a refused body is still taken off the wire, so that a client which is busy sending gets to read the refusal
/// (closing with unread input resets the connection) and can go on using it: for this long, and this many bytes.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 256 << 20; // bytes

/// When a client whose upload finds no memory should come back.
const MEMORY_RETRY: Duration = Duration::from_secs(5);

/// 503: the uploads of others take all the memory.
impl From<Exhausted> for ApiError {
    fn from(error: Exhausted) -> Self {
        Self::unavailable(error.to_string(), Some(MEMORY_RETRY)).with_code("upload_memory_exhausted")
    }
}

/// A body being read. Dropped before its end, it is read on in the background and thrown away.
pub(crate) struct LimitedBody {
    /// None after the end.
    stream: Option<BodyDataStream>,
    limits: BodyLimits,
    taken: u64,
    /// Memory for what has been announced or taken.
    reservation: Reservation,
    /// The client sends nothing until it is asked to, which reading does.
    expects_continue: bool,
}

impl LimitedBody {
    /// Checks what the headers announce.
    ///
    /// # Errors
    /// 413 when the announced length is over the limit, 503 when there is no memory for it; nothing has been read then.
    pub(crate) fn new(headers: &HeaderMap, body: Body, limits: BodyLimits, memory: &Memory) -> Result<Self, ApiError> {
        let stream = Some(body.into_data_stream());
        let expects_continue = headers.contains_key(header::EXPECT);
        let mut limited = Self { stream, limits, taken: 0, reservation: memory.reserve(0)?, expects_continue };
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match announced {
            Some(length) if length > limits.bytes => return Err(ApiError::too_large(limits.bytes)),
            Some(length) => limited.reservation.resize(length)?,
            None => {}
        }
        Ok(limited)
    }

    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let piece = match timeout(self.limits.silence, stream.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(None) => {
                self.stream = None;
                return Ok(None);
            }
            Ok(Some(Err(error))) => {
                self.stream = None;
                tracing::debug!(%error, "request body cut short");
                return Err(ApiError::bad_request("the request body was cut short or is badly framed").closing());
            }
            Err(_) => {
                self.stream = None;
                let message = format!("the request body stopped arriving for {} s", self.limits.silence.as_secs_f64());
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message).closing());
            }
        };
        self.taken += piece.len() as u64;
        if self.taken > self.limits.bytes {
            return Err(ApiError::too_large(self.limits.bytes));
        }
        self.reservation.resize(self.taken.max(self.reservation.bytes()))?;
        Ok(Some(piece))
    }

    /// The pieces as they arrive, within the limits.
    pub(crate) fn stream(&mut self) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
        stream::try_unfold(self, |body| async move { Ok(body.next().await?.map(|piece| (piece, body))) })
    }

    /// Ends the reading; the memory stays taken as long as this is kept.
    pub(crate) fn into_reservation(mut self) -> Reservation {
        self.reservation.split()
    }

    /// All of it.
    ///
    /// # Errors
    /// As the limits say.
    pub(crate) async fn collect(&mut self) -> Result<Bytes, ApiError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl Drop for LimitedBody {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else { return };
        if self.expects_continue && self.taken == 0 {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER, async move {
                let mut thrown_away = 0;
                while let Some(Ok(piece)) = stream.next().await {
                    thrown_away += piece.len() as u64;
                    if thrown_away > LINGER_BYTES {
                        break;
                    }
                }
            }));
        }
    }
}
