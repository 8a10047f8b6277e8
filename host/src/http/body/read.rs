//! Reading a body within limits: of size, decided before the first byte where the client says how much will come, and of
//! patience with a client that stops sending.

use crate::http::error::ApiError;
use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use std::time::Duration;
use tokio::time::timeout;

/// What a body may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Most bytes.
    pub(crate) bytes: u64,
    /// Longest silence in the middle of it.
    pub(crate) silence: Duration,
}

/// How much of a refused body is still taken off the wire, so that a client which is busy sending gets to read the refusal
/// before the connection ends (closing with unread input resets it): for this long, and this many bytes.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 256 << 20; // bytes

/// A body being read.
pub(crate) struct LimitedBody {
    stream: BodyDataStream,
    limits: BodyLimits,
    taken: u64,
}

impl LimitedBody {
    /// Checks what the headers announce.
    ///
    /// # Errors
    /// 413 when the announced length is over the limit; nothing has been read then.
    pub(crate) fn new(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Self, ApiError> {
        let limited = Self { stream: body.into_data_stream(), limits, taken: 0 };
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        match announced {
            Some(length) if length > limits.bytes => {
                // A client that waits for `100 Continue` has sent nothing and won't.
                if !headers.contains_key(header::EXPECT) {
                    limited.linger();
                }
                Err(ApiError::too_large(limits.bytes))
            }
            _ => Ok(limited),
        }
    }

    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = match timeout(self.limits.silence, self.stream.next()).await {
            Err(_) => {
                let seconds = self.limits.silence.as_secs();
                let message = format!("the request body stopped arriving for {seconds} s");
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message).closing());
            }
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "request body cut short");
                return Err(ApiError::bad_request("the request body was cut short or is badly framed").closing());
            }
            Ok(Some(Ok(piece))) => piece,
        };
        self.taken += piece.len() as u64;
        Ok(Some(piece))
    }

    /// Like [`next`](Self::next), and refuses what is over the limit.
    async fn next_within_limit(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        let piece = self.next().await?;
        if self.taken > self.limits.bytes {
            let limit = self.limits.bytes;
            self.linger();
            return Err(ApiError::too_large(limit));
        }
        Ok(piece.map(|piece| (piece, self)))
    }

    /// The pieces as they arrive, within the limits.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, ApiError>> + Send + 'static {
        stream::try_unfold(self, Self::next_within_limit)
    }

    /// All of it.
    ///
    /// # Errors
    /// As the limits say.
    pub(crate) async fn collect(self) -> Result<Bytes, ApiError> {
        let mut all = BytesMut::new();
        let mut pieces = std::pin::pin!(self.into_stream());
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }

    /// Reads on and throws away, in the background.
    fn linger(mut self) {
        let start = self.taken;
        tokio::spawn(timeout(LINGER, async move {
            while self.taken - start < LINGER_BYTES && matches!(self.next().await, Ok(Some(_))) {}
        }));
    }
}
