//! One file from a web server into a partial file that survives interruptions.
//!
//! `partial/<key>.part` holds the bytes so far, `<key>.json` what the server said about the file (size, ETag). A later attempt asks for the
//! rest with `Range` and `If-Range`; a server that has another version by then answers with the whole file and the old bytes go. A file that is
//! complete but not what it should be is removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::digest::{Expected, Hasher, Mismatch, hash_file};
use super::http::{Exchange, HttpError, Request, backoff, pause};
use super::url;
use crate::catalogue::Sha256Digest;
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;
use crate::store::ensure_space;

/// Attempts in a row that bring no byte before a download is given up.
const MAX_FRUITLESS: u32 = 4;

/// What to download.
pub(super) struct Download<'a> {
    /// The request without any range.
    pub(super) request: Request,
    /// Names the content independently of signed or mirrored addresses, e.g. `hf:owner/name@commit/file`.
    pub(super) identity: String,
    /// Shown to people.
    pub(super) label: &'a str,
    pub(super) expected: Expected,
}

/// What the server said when the partial file was begun.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Validator {
    identity: String,
    etag: Option<String>,
    total: Option<u64>,
}

/// Downloads to `target` (which must not exist yet), resuming what an earlier attempt left.
pub(super) fn download(
    context: &mut Context<'_>,
    job: &Download<'_>,
    target: &Path,
) -> Result<Sha256Digest, SourceError> {
    let mut partial = Partial::open(context, job)?;
    let mut fruitless = 0;
    // The most that was ever here: starting again from nothing is no progress, or a server with a wrong file would be asked for ever.
    let mut most = partial.length;
    loop {
        let error = match partial.continue_download(context, job) {
            Ok(sha256) => {
                partial.move_to(target)?;
                return Ok(sha256);
            }
            Err(Stop::Source(error)) => return Err(error),
            Err(Stop::Http(HttpError::Cancelled)) => return Err(SourceError::Cancelled),
            Err(Stop::Http(error)) => error,
        };
        fruitless = if partial.length > most { 1 } else { fruitless + 1 };
        most = most.max(partial.length);
        // A server that was there a moment ago may be back in a moment; one that never answered is not waited for.
        let reached_before = partial.length > 0 && matches!(error, HttpError::Unreachable { .. });
        if !(error.is_transient() || reached_before) || fruitless >= MAX_FRUITLESS {
            let reason = format!("{}: {error}", job.label);
            return Err(match error {
                HttpError::Unreachable { .. } => SourceError::Unreachable(reason),
                _ => SourceError::Failed(reason),
            });
        }
        context.note(&format!("{}: {error}; trying again", job.label));
        pause(backoff(fruitless, &error), context.cancel).map_err(|_| SourceError::Cancelled)?;
    }
}

enum Stop {
    Http(HttpError),
    Source(SourceError),
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Source(SourceError::Store(error))
    }
}

struct Partial {
    path: PathBuf,
    validator_path: PathBuf,
    /// Also the lock: nobody else writes to it while this is open.
    file: File,
    length: u64,
    validator: Validator,
}

impl Partial {
    fn open(context: &Context<'_>, job: &Download<'_>) -> Result<Self, SourceError> {
        let key = Sha256Digest::of(&job.identity).first_digits(32);
        let path = context.layout.partial().join(format!("{key}.part"));
        let validator_path = path.with_extension("json");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    pause(Duration::from_millis(200), context.cancel).map_err(|_| SourceError::Cancelled)?
                }
                Err(TryLockError::Error(source)) => return Err(StoreError::Io { what: "lock", path, source }.into()),
            }
        }
        let length = file.metadata().map_err(StoreError::io("look at", &path))?.len();
        let validator =
            fs::read(&validator_path).ok().and_then(|bytes| serde_json::from_slice::<Validator>(&bytes).ok());
        let mut partial = Self { path, validator_path, file, length, validator: Validator::default() };
        match validator {
            Some(validator) if validator.identity == job.identity => partial.validator = validator,
            _ => partial.reset()?,
        }
        Ok(partial)
    }

    /// Back to nothing.
    fn reset(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0).map_err(StoreError::io("empty", &self.path))?;
        self.length = 0;
        self.validator = Validator::default();
        Ok(())
    }

    fn remove(&self) {
        // Should it stay, the next attempt finds out that it is wrong and starts again.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.validator_path);
    }

    fn move_to(self, target: &Path) -> Result<(), StoreError> {
        self.file.sync_all().map_err(StoreError::io("write", &self.path))?;
        fs::rename(&self.path, target).map_err(StoreError::io("move into place", target))?;
        let _ = fs::remove_file(&self.validator_path);
        Ok(())
    }

    fn continue_download(&mut self, context: &mut Context<'_>, job: &Download<'_>) -> Result<Sha256Digest, Stop> {
        let mut hasher = Hasher::new(&job.expected);
        let total = job.expected.size.or(self.validator.total);
        if self.length > 0 {
            hash_file(&self.path, &mut hasher).map_err(StoreError::io("read", &self.path))?;
        }
        if total.is_some_and(|total| self.length == total) && self.length > 0 {
            return self.finish(job, hasher, true);
        }
        // Without a digest or an ETag nobody could tell whether the rest belongs to the beginning.
        let can_resume = self.length > 0
            && (self.validator.etag.is_some() || job.expected.sha256.is_some() || job.expected.git_blob.is_some());
        let mut request = job.request.clone();
        if can_resume {
            request.headers.push(("Range", format!("bytes={}-", self.length)));
            if let Some(etag) = &self.validator.etag {
                request.headers.push(("If-Range", etag.clone()));
            }
        }
        context.stage(Stage::Downloading, job.label);
        context.file_size(total);
        let exchange = context.http.get(&request, context.cancel)?;
        let resumed = exchange.status == 206;
        match exchange.status {
            206 if can_resume && range_start(&exchange) == Some(self.length) => {}
            // The whole file: the server doesn't do ranges or has another version.
            200 => {
                self.reset()?;
                hasher = Hasher::new(&job.expected);
            }
            // Nothing after what is here: complete, or longer than the file is. Either way the next round decides from the start.
            206 | 416 => {
                self.reset()?;
                return Err(Stop::Http(HttpError::Broken {
                    host: exchange.host().to_owned(),
                    reason: "the partial file doesn't fit any more".to_owned(),
                }));
            }
            _ => exchange.expect(&[200, 206], &job.request.url)?,
        }
        self.remember(&exchange, job)?;
        context.file_size(job.expected.size.or(self.validator.total));
        let rest = self.validator.total.unwrap_or(0).saturating_sub(self.length);
        ensure_space(context.layout.root(), rest).map_err(|reason| Stop::Source(SourceError::Failed(reason)))?;
        self.receive(context, &exchange, job, &mut hasher)?;
        if let Some(total) = job.expected.size.or(self.validator.total)
            && self.length < total
        {
            let reason = format!("it ended after {} of {total} bytes", self.length);
            return Err(Stop::Http(HttpError::Broken { host: exchange.host().to_owned(), reason }));
        }
        self.finish(job, hasher, resumed)
    }

    fn remember(&mut self, exchange: &Exchange, job: &Download<'_>) -> Result<(), Stop> {
        let rest: Option<u64> = exchange.header("content-length").and_then(|text| text.trim().parse().ok());
        // Weak tags (W/"…") promise the same meaning, not the same bytes.
        let etag = exchange.header("etag").filter(|etag| etag.starts_with('"')).map(str::to_owned);
        let total = rest.map(|rest| rest + self.length);
        self.validator = Validator { identity: job.identity.clone(), etag, total };
        if let (Some(got), Some(want)) = (total, job.expected.size)
            && got != want
        {
            return Err(self.refuse(job, &Mismatch::Size { got, want }));
        }
        let text = serde_json::to_vec(&self.validator).unwrap_or_default();
        fs::write(&self.validator_path, text).map_err(StoreError::io("write", &self.validator_path))?;
        Ok(())
    }

    fn receive(
        &mut self,
        context: &mut Context<'_>,
        exchange: &Exchange,
        job: &Download<'_>,
        hasher: &mut Hasher,
    ) -> Result<(), Stop> {
        self.file.seek(SeekFrom::Start(self.length)).map_err(StoreError::io("write", &self.path))?;
        context.file_progress(self.length);
        while let Some(piece) = exchange.next_piece(context.cancel, context.http.stall())? {
            self.file.write_all(&piece).map_err(StoreError::io("write", &self.path))?;
            hasher.update(&piece);
            self.length += piece.len() as u64;
            context.file_progress(self.length);
            if let Some(want) = job.expected.size.filter(|want| self.length > *want) {
                return Err(self.refuse(job, &Mismatch::Size { got: self.length, want }));
            }
        }
        Ok(())
    }

    fn finish(&mut self, job: &Download<'_>, hasher: Hasher, resumed: bool) -> Result<Sha256Digest, Stop> {
        match hasher.finish(&job.expected) {
            Ok(sha256) => Ok(sha256),
            Err(_) if resumed => {
                // The old part may be to blame; the whole file gets one chance of its own.
                self.reset()?;
                let host = url::host(&job.request.url).to_owned();
                Err(Stop::Http(HttpError::Broken { host, reason: "the resumed file is wrong".to_owned() }))
            }
            Err(mismatch) => Err(self.refuse(job, &mismatch)),
        }
    }

    /// The file is another one than wanted: nothing of it is kept.
    fn refuse(&self, job: &Download<'_>, mismatch: &Mismatch) -> Stop {
        self.remove();
        let reason = format!("{} is not the file that the catalogue or the hub describes: {mismatch}", job.label);
        Stop::Source(SourceError::failed(reason))
    }
}

/// `Content-Range: bytes 100-199/200` → 100.
fn range_start(exchange: &Exchange) -> Option<u64> {
    let range = exchange.header("content-range")?.trim().strip_prefix("bytes")?.trim_start();
    range.split('-').next()?.trim().parse().ok()
}
