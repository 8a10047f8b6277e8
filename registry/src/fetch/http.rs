//! Blocking HTTP with what model downloads need: short connect times, redirects that keep secrets at home, stall detection,
//! and cancellation that takes effect at once.
//!
//! Each exchange runs on its own thread that hands pieces of the body over a bounded channel. The caller waits on the channel, so it notices a
//! cancellation within [`POLL`] even while the network says nothing; the thread ends when its next read ends, at the latest after the stall time.

use std::io::{ErrorKind, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};

use super::digest::CHUNK;
use super::url;
use crate::cancel::CancelToken;

/// How often a waiting caller looks at its token. [s]
const POLL: Duration = Duration::from_millis(100);
/// Hubs answer with one or two redirects (to the renamed repository, to the storage).
const MAX_REDIRECTS: usize = 10;
/// Pieces of the body that may wait between network and disk.
const QUEUE: usize = 8;
/// Longest listing of a repository that is read. [bytes]
const MAX_DOCUMENT: usize = 32 << 20;

/// Limits of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For finding and reaching a server, TLS included. Short, so that an unreachable hub costs little before the next source is tried.
    pub connect: Duration,
    /// For the beginning of an answer.
    pub answer: Duration,
    /// For the next bytes of a body.
    pub stall: Duration,
    /// For pip or npm to fetch one package.
    pub package: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            package: Duration::from_secs(30 * 60),
        }
    }
}

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{host} can't be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} answered {status} for {url}{}", advice(*.status))]
    Status { host: String, url: String, status: u16, retry_after: Option<u64> },
    #[error("{host} sends nothing any more")]
    Stalled { host: String },
    #[error("the connection to {host} broke: {reason}")]
    Broken { host: String, reason: String },
    #[error("{host} answered with something unexpected: {reason}")]
    Protocol { host: String, reason: String },
    #[error("cancelled")]
    Cancelled,
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => {
            " (no access: set a token, HF_TOKEN for Hugging Face or MODELSCOPE_API_TOKEN for ModelScope, and accept the terms on the model's page if it has any)"
        }
        404 => " (not found: the repository, revision or file doesn't exist, or is private)",
        429 => " (too many requests: try later or set a token)",
        _ => "",
    }
}

impl HttpError {
    /// True when the same request may work a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Stalled { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status == 408 || *status >= 500,
            Self::Unreachable { .. } | Self::Protocol { .. } | Self::Cancelled => false,
        }
    }
}

/// What to ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) url: String,
    /// Sent as `Authorization: Bearer …`, to the first origin only.
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// The beginning of an answer; the body follows by [`Exchange::next_piece`].
pub(crate) struct Exchange {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    host: String,
    pieces: Receiver<Result<Vec<u8>, HttpError>>,
}

enum News {
    Head(Box<(u16, HeaderMap, String)>),
    Failed(HttpError),
}

/// Settings and connections, shared by all downloads of a store.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    agent: ureq::Agent,
    timeouts: Timeouts,
}

impl HttpClient {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        let tls = TlsConfig::builder().root_certs(roots()).build();
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.answer))
            .timeout_per_read(Some(timeouts.stall.max(timeouts.answer)))
            .user_agent(concat!("syrinx/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Self { agent: config.new_agent(), timeouts }
    }

    /// Sends a GET and waits for the beginning of the answer. Any final status is an answer, also 404.
    pub(crate) fn get(&self, request: &Request, cancel: &CancelToken) -> Result<Exchange, HttpError> {
        let (head_to, head) = mpsc::sync_channel(1);
        let (pieces_to, pieces) = mpsc::sync_channel(QUEUE);
        let agent = self.agent.clone();
        let job = request.clone();
        std::thread::Builder::new()
            .name("syrinx-http".to_owned())
            .spawn(move || exchange(&agent, &job, &head_to, &pieces_to))
            .map_err(|error| HttpError::Broken {
                host: url::host(&request.url).to_owned(),
                reason: error.to_string(),
            })?;
        loop {
            if cancel.is_cancelled() {
                return Err(HttpError::Cancelled);
            }
            match head.recv_timeout(POLL) {
                Ok(News::Head(parts)) => {
                    let (status, headers, host) = *parts;
                    return Ok(Exchange { status, headers, host, pieces });
                }
                Ok(News::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(HttpError::Broken {
                        host: url::host(&request.url).to_owned(),
                        reason: "the download thread ended".to_owned(),
                    });
                }
            }
        }
    }

    /// GETs a whole JSON document. `Err` for every status but 200.
    pub(crate) fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        request: &Request,
        cancel: &CancelToken,
    ) -> Result<T, HttpError> {
        let mut attempt = 0;
        loop {
            match self.get_json_once(request, cancel) {
                Err(error) if error.is_transient() && attempt < 2 => {
                    attempt += 1;
                    pause(backoff(attempt, &error), cancel)?;
                }
                other => return other,
            }
        }
    }

    fn get_json_once<T: serde::de::DeserializeOwned>(
        &self,
        request: &Request,
        cancel: &CancelToken,
    ) -> Result<T, HttpError> {
        let exchange = self.get(request, cancel)?;
        exchange.expect(&[200], &request.url)?;
        let mut body = Vec::new();
        while let Some(piece) = exchange.next_piece(cancel, self.timeouts.stall)? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_DOCUMENT {
                return Err(HttpError::Protocol {
                    host: exchange.host.clone(),
                    reason: format!("a listing of more than {MAX_DOCUMENT} bytes"),
                });
            }
        }
        serde_json::from_slice(&body).map_err(|error| HttpError::Protocol {
            host: exchange.host.clone(),
            reason: format!("not the JSON it should be: {error}"),
        })
    }

    pub(crate) fn stall(&self) -> Duration {
        self.timeouts.stall
    }
}

impl Exchange {
    /// The next bytes of the body, `None` at its end.
    pub(crate) fn next_piece(&self, cancel: &CancelToken, stall: Duration) -> Result<Option<Vec<u8>>, HttpError> {
        let mut waited = Duration::ZERO;
        loop {
            if cancel.is_cancelled() {
                return Err(HttpError::Cancelled);
            }
            match self.pieces.recv_timeout(POLL) {
                Ok(piece) => return piece.map(Some),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => waited += POLL,
            }
            if waited >= stall {
                return Err(HttpError::Stalled { host: self.host.clone() });
            }
        }
    }

    /// An error unless the status is one of these.
    pub(crate) fn expect(&self, statuses: &[u16], asked: &str) -> Result<(), HttpError> {
        if statuses.contains(&self.status) {
            return Ok(());
        }
        let retry_after = self.header("retry-after").and_then(|text| text.trim().parse().ok());
        Err(HttpError::Status {
            host: self.host.clone(),
            url: url::without_secrets(asked).to_owned(),
            status: self.status,
            retry_after,
        })
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

/// Waits before attempt number `attempt` (from 1), as long as a server asked, but not for ages.
pub(crate) fn backoff(attempt: u32, error: &HttpError) -> Duration {
    const LONGEST: Duration = Duration::from_secs(20);
    let own = Duration::from_millis(250) * 2u32.saturating_pow(attempt.min(6));
    let asked = match error {
        HttpError::Status { retry_after: Some(seconds), .. } => Duration::from_secs(*seconds),
        _ => Duration::ZERO,
    };
    own.max(asked).min(LONGEST)
}

/// Sleeps, but wakes for a cancellation.
pub(crate) fn pause(time: Duration, cancel: &CancelToken) -> Result<(), HttpError> {
    let mut left = time;
    while !left.is_zero() {
        if cancel.is_cancelled() {
            return Err(HttpError::Cancelled);
        }
        let step = left.min(POLL);
        std::thread::sleep(step);
        left -= step;
    }
    Ok(())
}

/// The system's certificates where there are any (they include a company's own), else Mozilla's, which are built in.
fn roots() -> RootCerts {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
    let usual = ["/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/cert.pem"]
        .iter()
        .any(|path| std::path::Path::new(path).exists());
    if named || usual || !cfg!(target_os = "linux") { RootCerts::PlatformVerifier } else { RootCerts::WebPki }
}

/// The thread's work: follow redirects, report the head, pass the body on until nobody wants it any more.
fn exchange(
    agent: &ureq::Agent,
    request: &Request,
    head: &SyncSender<News>,
    pieces: &SyncSender<Result<Vec<u8>, HttpError>>,
) {
    // A receiver that is gone means that the caller was cancelled: then there is nobody to tell.
    match follow(agent, request) {
        Err(error) => drop(head.send(News::Failed(error))),
        Ok((response, at)) => {
            let host = url::host(&at).to_owned();
            let (parts, mut body) = response.into_parts();
            if head.send(News::Head(Box::new((parts.status.as_u16(), parts.headers, host.clone())))).is_err() {
                return;
            }
            let mut reader = body.as_reader();
            loop {
                let mut piece = vec![0u8; CHUNK];
                let news = match reader.read(&mut piece) {
                    Ok(0) => return,
                    Ok(count) => {
                        piece.truncate(count);
                        Ok(piece)
                    }
                    Err(error) if error.kind() == ErrorKind::TimedOut => Err(HttpError::Stalled { host: host.clone() }),
                    Err(error) => Err(HttpError::Broken { host: host.clone(), reason: error.to_string() }),
                };
                let last = news.is_err();
                if pieces.send(news).is_err() || last {
                    return;
                }
            }
        }
    }
}

/// Sends the request, again wherever the answers lead; gives the final answer and its address.
fn follow(agent: &ureq::Agent, request: &Request) -> Result<(ureq::http::Response<ureq::Body>, String), HttpError> {
    let home = url::origin(&request.url).unwrap_or_default().to_owned();
    let mut at = request.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        let mut call = agent.get(&at);
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        if let Some(token) = request.token.as_ref().filter(|_| url::origin(&at) == Some(home.as_str())) {
            call = call.header("Authorization", format!("Bearer {token}"));
        }
        let response = call.call().map_err(|error| explain(&at, &error))?;
        let is_redirect = matches!(
            response.status(),
            StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT
        );
        if !is_redirect {
            return Ok((response, at));
        }
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        at = location.and_then(|location| url::resolve(&at, location)).ok_or_else(|| HttpError::Protocol {
            host: url::host(&at).to_owned(),
            reason: format!("a redirect that leads nowhere ({})", location.map_or("no address", url::without_secrets)),
        })?;
    }
    Err(HttpError::Protocol {
        host: url::host(&request.url).to_owned(),
        reason: format!("more than {MAX_REDIRECTS} redirects"),
    })
}

fn explain(at: &str, error: &ureq::Error) -> HttpError {
    let host = url::host(at).to_owned();
    let reason = error.to_string();
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Tls(_)
        | ureq::Error::Rustls(_)
        | ureq::Error::ConnectProxyFailed(_) => HttpError::Unreachable { host, reason },
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
            HttpError::Unreachable { host, reason: "no answer in time".to_owned() }
        }
        ureq::Error::Timeout(_) => HttpError::Stalled { host },
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut => HttpError::Stalled { host },
            // A connection that was there.
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => HttpError::Broken { host, reason },
            // No address, no route, refused.
            _ => HttpError::Unreachable { host, reason },
        },
        _ => HttpError::Protocol { host, reason },
    }
}
