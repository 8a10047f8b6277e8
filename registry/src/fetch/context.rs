//! What every fetcher needs at hand: where to put things, how to reach the network, whom to tell, and when to stop.

use super::http::HttpClient;
use crate::cancel::CancelToken;
use crate::error::SourceError;
use crate::progress::{Progress, ProgressUpdate, Stage};
use crate::store::{Layout, StoreConfig};

pub(crate) struct Context<'a> {
    pub(crate) config: &'a StoreConfig,
    pub(crate) layout: &'a Layout,
    pub(crate) http: &'a HttpClient,
    pub(crate) cancel: &'a CancelToken,
    progress: &'a dyn Progress,
    state: ProgressUpdate,
    /// Bytes of the files that are finished.
    finished: u64,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        config: &'a StoreConfig,
        layout: &'a Layout,
        http: &'a HttpClient,
        cancel: &'a CancelToken,
        progress: &'a dyn Progress,
        name: &str,
    ) -> Self {
        let state = ProgressUpdate {
            name: name.to_owned(),
            source: String::new(),
            stage: Stage::Resolving,
            file: String::new(),
            done: 0,
            total: None,
            file_done: 0,
            file_total: None,
        };
        Self { config, layout, http, cancel, progress, state, finished: 0 }
    }

    /// Starts a source from nothing. `total` is what will be counted by [`file_done`](Self::file_done) altogether, if known.
    pub(crate) fn begin(&mut self, source: &str, total: Option<u64>) {
        self.finished = 0;
        self.state.source = source.to_owned();
        self.state.done = 0;
        self.state.total = total;
        self.stage(Stage::Resolving, "");
    }

    /// More is known about how much there is to do.
    pub(crate) fn add_total(&mut self, bytes: u64) {
        self.state.total = Some(self.state.total.unwrap_or(0) + bytes);
    }

    pub(crate) fn stage(&mut self, stage: Stage, file: &str) {
        self.state.stage = stage;
        if self.state.file != file {
            file.clone_into(&mut self.state.file);
            self.state.file_done = 0;
            self.state.file_total = None;
        }
        self.tell();
    }

    /// The current file has this many bytes, as far as that is known.
    pub(crate) fn file_size(&mut self, bytes: Option<u64>) {
        self.state.file_total = bytes;
    }

    /// This many bytes of the current file are here.
    pub(crate) fn file_progress(&mut self, bytes: u64) {
        self.state.done = self.finished + bytes;
        self.state.file_done = bytes;
        self.tell();
    }

    /// The current file is complete.
    pub(crate) fn file_done(&mut self, bytes: u64) {
        self.finished += bytes;
        self.state.done = self.finished;
        self.state.file_done = bytes;
        self.state.file_total = Some(bytes);
        self.tell();
    }

    pub(crate) fn note(&self, message: &str) {
        self.progress.note(&format!("{}: {message}", self.state.name));
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), SourceError> {
        if self.cancel.is_cancelled() { Err(SourceError::Cancelled) } else { Ok(()) }
    }

    fn tell(&self) {
        self.progress.update(&self.state);
    }
}
