//! `syrinx serve`.

use super::{Failure, Outcome, Places};
use crate::{
    config::{AuthOverrides, Config, LaunchAtStart, LimitOverrides, Overrides},
    log::LogFormat,
    program, server,
};
use clap::Args;
use std::path::PathBuf;

/// Serves the HTTP API until it is told to stop (Ctrl-C or SIGTERM), then finishes what is in flight.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Address to listen on [default: 127.0.0.1]
    #[arg(long, short = 'H')]
    host: Option<String>,
    /// Port to listen on; 0 takes a free one [default: 9997]
    #[arg(long, short = 'p')]
    port: Option<u16>,
    /// Settings file [env: SYRINX_CONFIG] [default: syrinx.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with plugins; may be repeated [default: plugins next to the program]
    #[arg(long, value_name = "DIR")]
    plugins: Vec<PathBuf>,
    /// Model to launch at the start; may be repeated
    #[arg(long, value_name = "MODEL")]
    launch: Vec<String>,
    /// CPU threads per request [default: as the plugin likes]
    #[arg(long)]
    threads: Option<usize>,
    /// Requests that may wait per model, beyond those that run
    #[arg(long)]
    queue: Option<usize>,
    /// File with the API keys that clients must send, one per line (`syrinx api-key` makes them) [default: no keys needed]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Address for /metrics on a port of its own, where no key is needed [default: that of --host]
    #[arg(long, value_name = "HOST")]
    metrics_exporter_host: Option<String>,
    /// Port for /metrics alone; 0 takes a free one [default: none, /metrics is on --port only]
    #[arg(long, value_name = "PORT")]
    metrics_exporter_port: Option<u16>,
    /// error, warn, info, debug or trace, or a filter such as syrinx=debug,warn
    #[arg(long)]
    log_level: Option<String>,
    /// Log lines for people (text) or for programs (json) [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    places: Places,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let some = |dirs: Vec<PathBuf>| (!dirs.is_empty()).then_some(dirs);
        let launch: Vec<LaunchAtStart> = self
            .launch
            .into_iter()
            .map(|model| LaunchAtStart { model, uid: None, options: serde_json::Map::new() })
            .collect();
        let flags = Overrides {
            host: self.host,
            port: self.port,
            home: self.places.home,
            plugin_dirs: some(self.plugins),
            catalogue_dirs: some(self.places.catalogue),
            log_level: self.log_level.map(|level| filter(&level)),
            log_format: self.log_format,
            metrics_host: self.metrics_exporter_host,
            metrics_port: self.metrics_exporter_port,
            auth: AuthOverrides { key_file: self.key_file, ..AuthOverrides::default() },
            limits: LimitOverrides { threads: self.threads, queue: self.queue, ..LimitOverrides::default() },
            launch: (!launch.is_empty()).then_some(launch),
            ..Overrides::default()
        };
        let mut config =
            Config::load(self.config.as_deref(), flags).map_err(|error| Failure::new(error.to_string()))?;
        if config.plugin_dirs.is_empty() {
            config.plugin_dirs.extend(program::plugins().ok().filter(|dir| dir.is_dir()));
        }
        server::serve(config).map_err(|error| Failure::new(error.to_string()))
    }
}

/// Python's names of levels, which Xinference's users write, in the log filter's words.
fn filter(level: &str) -> String {
    match level.to_ascii_uppercase().as_str() {
        "WARNING" => "warn".to_owned(),
        "CRITICAL" | "FATAL" => "error".to_owned(),
        _ => level.to_owned(),
    }
}
