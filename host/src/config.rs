//! Settings of a server: defaults, then `syrinx.toml`, then the environment, then flags. Later ones win.
//!
//! [`Overrides`] is one such layer, with everything optional; [`Config`] is what comes out.

use crate::auth::{self, KeyLimits, LimitedKey, StoredKey};
use crate::log::LogFormat;
use crate::models::{Isolation, WorkerLimits};
use crate::plugins::{Digest, Trust};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use syrinx_plugin_api::Object;

/// Xinference's port, which its clients and documents use.
pub const DEFAULT_PORT: u16 = 9997;

/// Most that [`Limits::job`] can be.
const LONGEST_JOB: Duration = Duration::from_secs(365 * 24 * 3600);

/// Name of the settings file, looked for in the working directory.
pub const FILE_NAME: &str = "syrinx.toml";

/// Everything that a server is told from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Address to listen on: `127.0.0.1` (this machine only), `0.0.0.0` (every interface) or a name.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Where models, staged plugins and caches are kept; none: `syrinx` in the user's cache directory.
    pub home: Option<PathBuf>,
    /// Directories with plugin files.
    pub plugin_dirs: Vec<PathBuf>,
    /// Directories with catalogue files, beyond the built-in ones.
    pub catalogue_dirs: Vec<PathBuf>,
    /// A filter such as `info` or `syrinx=debug,warn`.
    pub log_level: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Origins that browsers may call from; `*` is any.
    pub cors_origins: Vec<String>,
    /// Address of a listener for `/metrics` alone, without a key; [`host`](Self::host) if there is only a port.
    pub metrics_host: Option<String>,
    /// Its port, 0 for a free one. No such listener if neither is given.
    pub metrics_port: Option<u16>,
    /// Who may use the server.
    pub auth: auth::Settings,
    /// How much of what is accepted.
    pub limits: Limits,
    /// Where models run whose launch doesn't say.
    pub isolation: Isolation,
    /// Which plugin files may be loaded.
    pub trust: Trust,
    /// Models to launch at the start.
    pub launch: Vec<LaunchAtStart>,
    /// Whether a request that names a model of the catalogue launches it.
    pub auto_launch: bool,
}

/// How much of what is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Largest request body in bytes.
    pub body_bytes: u64,
    /// Longest `input` of a speech request in characters.
    pub input_characters: usize,
    /// Longest audio of a transcription in seconds.
    pub audio_seconds: f64,
    /// Requests that may wait per model, beyond those that run.
    pub queue: usize,
    /// CPU threads per model; 0 leaves it to the plugin.
    pub threads: usize,
    /// Longest time that a request may take, waiting included.
    pub job: Duration,
    /// How long a model may be idle before it is unloaded; zero: for ever.
    pub idle: Duration,
    /// Most bytes that all models together take; 0: as many as there are.
    pub model_memory: u64,
    /// What the process of a model may take.
    pub worker: WorkerLimits,
    /// Longest silence in the middle of a request body.
    pub upload_silence: Duration,
    /// Longest time that a client may leave a response unread before its connection is closed.
    pub reader_silence: Duration,
    /// Memory in bytes for the uploads of all requests together, and for the samples that come out of them.
    pub upload_memory: u64,
    /// Most saved voices.
    pub voices: usize,
    /// Most bytes of all their samples.
    pub voice_bytes: u64,
    /// Time that requests in flight get when the server stops.
    pub drain: Duration,
    /// Most connections at a time.
    pub connections: usize,
}

/// A model to launch at the start.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LaunchAtStart {
    /// Catalogue name.
    pub model: String,
    /// Uid to serve under; the name if none.
    pub uid: Option<String>,
    /// Everything else: what `POST /v1/models` takes.
    #[serde(flatten)]
    pub options: Object,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: DEFAULT_PORT,
            home: None,
            plugin_dirs: Vec::new(),
            catalogue_dirs: Vec::new(),
            log_level: "info".to_owned(),
            log_format: LogFormat::default(),
            cors_origins: vec!["*".to_owned()],
            metrics_host: None,
            metrics_port: None,
            auth: auth::Settings::default(),
            limits: Limits::default(),
            isolation: Isolation::default(),
            trust: Trust::default(),
            launch: Vec::new(),
            auto_launch: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 200_000_000,
            input_characters: 8192,
            audio_seconds: 4.0 * 3600.0,
            queue: 64,
            threads: 0,
            job: Duration::from_secs(3600),
            idle: Duration::ZERO,
            model_memory: 0,
            worker: WorkerLimits::default(),
            upload_silence: Duration::from_secs(60),
            reader_silence: Duration::from_secs(60),
            upload_memory: 2 << 30,
            voices: 1000,
            voice_bytes: 1 << 30,
            drain: Duration::from_secs(30),
            connections: 1024,
        }
    }
}

/// One layer of settings: what the file, the environment or the flags say. What isn't said stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overrides {
    /// See [`Config::host`].
    pub host: Option<String>,
    /// See [`Config::port`].
    pub port: Option<u16>,
    /// See [`Config::home`].
    pub home: Option<PathBuf>,
    /// See [`Config::plugin_dirs`].
    pub plugin_dirs: Option<Vec<PathBuf>>,
    /// See [`Config::catalogue_dirs`].
    pub catalogue_dirs: Option<Vec<PathBuf>>,
    /// See [`Config::log_level`].
    pub log_level: Option<String>,
    /// See [`Config::log_format`].
    pub log_format: Option<LogFormat>,
    /// See [`Config::cors_origins`].
    pub cors_origins: Option<Vec<String>>,
    /// See [`Config::metrics_host`].
    pub metrics_host: Option<String>,
    /// See [`Config::metrics_port`].
    pub metrics_port: Option<u16>,
    /// See [`Config::auth`].
    pub auth: AuthOverrides,
    /// See [`Config::limits`].
    pub limits: LimitOverrides,
    /// See [`Config::isolation`].
    pub isolation: Option<Isolation>,
    /// See [`Config::trust`].
    pub plugins: PluginOverrides,
    /// See [`Config::launch`]. A layer that names models replaces those of the layer below.
    pub launch: Option<Vec<LaunchAtStart>>,
    /// See [`Config::auto_launch`].
    pub auto_launch: Option<bool>,
}

/// Who may use the server, in one layer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOverrides {
    /// See [`auth::Settings::keys`]. A layer that names keys replaces those of the layer below.
    pub keys: Option<Vec<StoredKey>>,
    /// See [`auth::Settings::key_file`].
    pub key_file: Option<PathBuf>,
    /// See [`auth::Settings::open_metrics`].
    pub open_metrics: Option<bool>,
    /// See [`auth::Settings::limits`].
    pub limits: Option<KeyLimits>,
    /// See [`auth::Settings::own`].
    pub key: Option<Vec<LimitedKey>>,
}

/// Which plugin files may be loaded, in one layer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginOverrides {
    /// See [`Trust::allow`]. A layer that has a list replaces that of the layer below.
    pub allow: Option<Vec<Digest>>,
}

/// The limits of one layer. Times are in seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOverrides {
    /// See [`Limits::body_bytes`].
    pub body_bytes: Option<u64>,
    /// See [`Limits::input_characters`].
    pub input_characters: Option<usize>,
    /// See [`Limits::audio_seconds`].
    pub audio_seconds: Option<f64>,
    /// See [`Limits::queue`].
    pub queue: Option<usize>,
    /// See [`Limits::threads`].
    pub threads: Option<usize>,
    /// See [`Limits::job`].
    pub job_seconds: Option<u64>,
    /// See [`Limits::idle`].
    pub idle_seconds: Option<u64>,
    /// See [`Limits::model_memory`].
    pub model_memory_bytes: Option<u64>,
    /// See [`WorkerLimits::memory_bytes`]; 0 is no limit.
    pub worker_memory_bytes: Option<u64>,
    /// See [`WorkerLimits::cpus`]; 0 is no limit.
    pub worker_cpus: Option<usize>,
    /// See [`Limits::upload_silence`].
    pub upload_silence_seconds: Option<u64>,
    /// See [`Limits::reader_silence`].
    pub reader_silence_seconds: Option<u64>,
    /// See [`Limits::upload_memory`].
    pub upload_memory_bytes: Option<u64>,
    /// See [`Limits::voices`].
    pub voices: Option<usize>,
    /// See [`Limits::voice_bytes`].
    pub voice_bytes: Option<u64>,
    /// See [`Limits::drain`].
    pub drain_seconds: Option<u64>,
    /// See [`Limits::connections`].
    pub connections: Option<usize>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("cannot read the settings file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file isn't valid.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A variable of the environment can't be used.
    #[error("the environment variable {name} is \"{value}\", but must be {expected}")]
    Environment {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A value is out of range.
    #[error("{name} is {value}, but must be {expected}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
}

impl Overrides {
    /// Reads a settings file.
    ///
    /// # Errors
    /// When it can't be read, isn't TOML, or has a key or value that doesn't exist: with line and column.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_toml(&text, path)
    }

    /// Reads the text of a settings file; `path` is for messages.
    ///
    /// # Errors
    /// See [`from_file`](Self::from_file).
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            ConfigError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message: error.message().to_owned(),
            }
        })
    }

    /// Reads `SYRINX_*` out of the environment.
    ///
    /// # Errors
    /// When a variable doesn't hold what its name says.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with("SYRINX_").then(|| (name, value.to_string_lossy().into_owned()))
        });
        Self::from_variables(&variables.collect())
    }

    /// Reads `SYRINX_*` variables. Those that are no settings are left alone: other parts of Syrinx have their own.
    ///
    /// # Errors
    /// See [`from_environment`](Self::from_environment).
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let read = Variables(variables);
        const WHOLE: &str = "a whole number";
        Ok(Self {
            host: read.text("SYRINX_HOST"),
            port: read.parsed("SYRINX_PORT", "a port, 0 to 65535")?,
            home: read.text("SYRINX_HOME").map(PathBuf::from),
            plugin_dirs: read.paths("SYRINX_PLUGIN_DIRS"),
            catalogue_dirs: read.paths("SYRINX_CATALOGUE_DIRS"),
            log_level: read.text("SYRINX_LOG"),
            log_format: read.parsed("SYRINX_LOG_FORMAT", LogFormat::NAMES)?,
            cors_origins: read
                .text("SYRINX_CORS_ORIGINS")
                .map(|list| list.split(',').map(|origin| origin.trim().to_owned()).collect()),
            metrics_host: read.text("SYRINX_METRICS_HOST"),
            metrics_port: read.parsed("SYRINX_METRICS_PORT", "a port, 0 to 65535")?,
            auth: AuthOverrides {
                keys: read.keys("SYRINX_API_KEYS")?,
                key_file: read.text("SYRINX_KEY_FILE").map(PathBuf::from),
                open_metrics: read.parsed("SYRINX_OPEN_METRICS", "true or false")?,
                ..AuthOverrides::default()
            },
            limits: LimitOverrides {
                body_bytes: read.parsed("SYRINX_MAX_BODY_BYTES", WHOLE)?,
                input_characters: read.parsed("SYRINX_MAX_INPUT_CHARACTERS", WHOLE)?,
                audio_seconds: read.parsed("SYRINX_MAX_AUDIO_SECONDS", "a number of seconds")?,
                queue: read.parsed("SYRINX_QUEUE", WHOLE)?,
                threads: read.parsed("SYRINX_THREADS", WHOLE)?,
                job_seconds: read.parsed("SYRINX_JOB_SECONDS", WHOLE)?,
                idle_seconds: read.parsed("SYRINX_IDLE_SECONDS", WHOLE)?,
                model_memory_bytes: read.parsed("SYRINX_MODEL_MEMORY_BYTES", WHOLE)?,
                worker_memory_bytes: read.parsed("SYRINX_WORKER_MEMORY_BYTES", WHOLE)?,
                worker_cpus: read.parsed("SYRINX_WORKER_CPUS", WHOLE)?,
                upload_silence_seconds: read.parsed("SYRINX_UPLOAD_SILENCE_SECONDS", WHOLE)?,
                reader_silence_seconds: read.parsed("SYRINX_READER_SILENCE_SECONDS", WHOLE)?,
                upload_memory_bytes: read.parsed("SYRINX_UPLOAD_MEMORY_BYTES", WHOLE)?,
                voices: read.parsed("SYRINX_VOICES", WHOLE)?,
                voice_bytes: read.parsed("SYRINX_VOICE_BYTES", WHOLE)?,
                drain_seconds: read.parsed("SYRINX_DRAIN_SECONDS", WHOLE)?,
                connections: read.parsed("SYRINX_MAX_CONNECTIONS", WHOLE)?,
            },
            isolation: read.parsed("SYRINX_ISOLATION", Isolation::NAMES)?,
            plugins: PluginOverrides { allow: read.digests("SYRINX_PLUGINS_ALLOW")? },
            launch: None,
            auto_launch: read.parsed("SYRINX_AUTO_LAUNCH", "true or false")?,
        })
    }
}

/// Reads typed values out of variables. An empty variable is as good as none.
struct Variables<'a>(&'a BTreeMap<String, String>);

impl Variables<'_> {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, expected: &'static str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(ConfigError::Environment { name: name.to_owned(), value, expected }),
        }
    }

    /// Keys between commas. A message doesn't repeat them.
    fn keys(&self, name: &str) -> Result<Option<Vec<StoredKey>>, ConfigError> {
        let Some(list) = self.text(name) else { return Ok(None) };
        let keys = list.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::parse);
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|_| ConfigError::Environment {
            name: name.to_owned(),
            value: "…".to_owned(),
            expected: "keys of visible ASCII characters, or of sha256: and 64 hexadecimal digits, with commas between",
        })?;
        Ok(Some(keys))
    }

    fn digests(&self, name: &str) -> Result<Option<Vec<Digest>>, ConfigError> {
        let Some(list) = self.text(name) else { return Ok(None) };
        let digests = list.split(',').map(str::trim).filter(|digest| !digest.is_empty()).map(str::parse);
        digests.collect::<Result<Vec<_>, _>>().map(Some).map_err(|_| ConfigError::Environment {
            name: name.to_owned(),
            value: list.clone(),
            expected: "SHA-256 digests of 64 hexadecimal digits, with commas between",
        })
    }

    fn paths(&self, name: &str) -> Option<Vec<PathBuf>> {
        self.text(name).map(|list| std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
    }
}

impl Config {
    /// Defaults, then the settings file, then the environment, then `flags`. The file is `file`, else the one that
    /// `SYRINX_CONFIG` names, else `syrinx.toml` in the working directory if there is one.
    ///
    /// # Errors
    /// When one of them can't be used.
    pub fn load(file: Option<&Path>, flags: Overrides) -> Result<Self, ConfigError> {
        let named = file.map(Path::to_owned).or_else(|| std::env::var_os("SYRINX_CONFIG").map(PathBuf::from));
        let mut config = Self::default();
        match named {
            Some(path) => config.merge(Overrides::from_file(&path)?),
            None if Path::new(FILE_NAME).exists() => config.merge(Overrides::from_file(Path::new(FILE_NAME))?),
            None => {}
        }
        config.merge(Overrides::from_environment()?);
        config.merge(flags);
        config.check()?;
        Ok(config)
    }

    /// Lays a layer over these settings.
    pub fn merge(&mut self, layer: Overrides) {
        fn set<T>(target: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *target = value;
            }
        }
        let seconds = |value: Option<u64>| value.map(Duration::from_secs);
        set(&mut self.host, layer.host);
        set(&mut self.port, layer.port);
        self.home = layer.home.map(expand_home).or_else(|| self.home.take());
        set(&mut self.plugin_dirs, layer.plugin_dirs.map(|dirs| dirs.into_iter().map(expand_home).collect()));
        set(&mut self.catalogue_dirs, layer.catalogue_dirs.map(|dirs| dirs.into_iter().map(expand_home).collect()));
        set(&mut self.log_level, layer.log_level);
        set(&mut self.log_format, layer.log_format);
        set(&mut self.cors_origins, layer.cors_origins);
        set(&mut self.isolation, layer.isolation);
        self.trust.allow = layer.plugins.allow.or_else(|| self.trust.allow.take());
        set(&mut self.launch, layer.launch);
        set(&mut self.auto_launch, layer.auto_launch);
        self.metrics_host = layer.metrics_host.or_else(|| self.metrics_host.take());
        self.metrics_port = layer.metrics_port.or(self.metrics_port);
        set(&mut self.auth.keys, layer.auth.keys);
        self.auth.key_file = layer.auth.key_file.map(expand_home).or_else(|| self.auth.key_file.take());
        set(&mut self.auth.open_metrics, layer.auth.open_metrics);
        set(&mut self.auth.limits, layer.auth.limits);
        set(&mut self.auth.own, layer.auth.key);
        let (limits, layer) = (&mut self.limits, layer.limits);
        set(&mut limits.body_bytes, layer.body_bytes);
        set(&mut limits.input_characters, layer.input_characters);
        set(&mut limits.audio_seconds, layer.audio_seconds);
        set(&mut limits.queue, layer.queue);
        set(&mut limits.threads, layer.threads);
        set(&mut limits.job, seconds(layer.job_seconds));
        set(&mut limits.idle, seconds(layer.idle_seconds));
        set(&mut limits.model_memory, layer.model_memory_bytes);
        set(
            &mut limits.worker.memory_bytes,
            layer.worker_memory_bytes.map(|bytes| Some(bytes).filter(|bytes| *bytes > 0)),
        );
        set(&mut limits.worker.cpus, layer.worker_cpus.map(|cpus| Some(cpus).filter(|cpus| *cpus > 0)));
        set(&mut limits.upload_silence, seconds(layer.upload_silence_seconds));
        set(&mut limits.reader_silence, seconds(layer.reader_silence_seconds));
        set(&mut limits.upload_memory, layer.upload_memory_bytes);
        set(&mut limits.voices, layer.voices);
        set(&mut limits.voice_bytes, layer.voice_bytes);
        set(&mut limits.drain, seconds(layer.drain_seconds));
        set(&mut limits.connections, layer.connections);
    }

    /// # Errors
    /// When a value makes no sense.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |name, value: &dyn fmt::Display, expected| {
            Err(ConfigError::OutOfRange { name, value: value.to_string(), expected })
        };
        let limits = &self.limits;
        if !limits.audio_seconds.is_finite() || limits.audio_seconds <= 0.0 {
            return wrong("limits.audio_seconds", &limits.audio_seconds, "a number of seconds above 0");
        }
        if limits.body_bytes == 0 {
            return wrong("limits.body_bytes", &limits.body_bytes, "at least 1");
        }
        if limits.input_characters == 0 {
            return wrong("limits.input_characters", &limits.input_characters, "at least 1");
        }
        if limits.connections == 0 {
            return wrong("limits.connections", &limits.connections, "at least 1");
        }
        if limits.upload_silence.is_zero() || limits.reader_silence.is_zero() || limits.job.is_zero() {
            let names = "limits.job_seconds, limits.upload_silence_seconds and limits.reader_silence_seconds";
            return wrong(names, &0, "at least 1");
        }
        if limits.job > LONGEST_JOB {
            return wrong("limits.job_seconds", &limits.job.as_secs(), "at most a year");
        }
        if limits.upload_memory < limits.body_bytes {
            return wrong("limits.upload_memory_bytes", &limits.upload_memory, "at least limits.body_bytes");
        }
        if self.host.trim().is_empty() {
            return wrong("host", &"empty", "an address or a name");
        }
        Ok(())
    }

    /// Whether pages of every origin may call.
    pub fn allows_any_origin(&self) -> bool {
        self.cors_origins.iter().any(|origin| origin == "*")
    }

    /// Where to serve measurements apart from everything else: host and port, if anywhere.
    pub fn metrics_listener(&self) -> Option<(&str, u16)> {
        let asked = self.metrics_host.is_some() || self.metrics_port.is_some();
        asked.then(|| (self.metrics_host.as_deref().unwrap_or(&self.host), self.metrics_port.unwrap_or(0)))
    }

    /// Where clients find this server, as `host:port`, with the port that it really has.
    pub fn address(&self, port: u16) -> String {
        address_of(&self.host, port)
    }
}

/// `host:port`, with brackets where an address needs them.
pub(crate) fn address_of(host: &str, port: u16) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{port}"),
        _ => format!("{host}:{port}"),
    }
}

/// Replaces a leading `~/`.
fn expand_home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_layers_win() {
        let file = Overrides::from_toml(
            "port = 1\nhost = \"0.0.0.0\"\n[limits]\nqueue = 3\n[[launch]]\nmodel = \"whisper-base\"\nuid = \"w\"\ncompute_type = \"int8\"\n",
            Path::new("syrinx.toml"),
        )
        .unwrap();
        let variables =
            [("SYRINX_PORT", "2"), ("SYRINX_QUEUE", "4"), ("SYRINX_PLUGIN_DIRS", "/a:/b"), ("SYRINX_TELEMETRY", "x")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut config = Config::default();
        config.merge(file);
        config.merge(Overrides::from_variables(&variables).unwrap());
        config.merge(Overrides { port: Some(3), ..Overrides::default() });
        assert_eq!((config.port, config.limits.queue, config.host.as_str()), (3, 4, "0.0.0.0"));
        assert_eq!(config.plugin_dirs, [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(config.launch[0].options["compute_type"], "int8");
        assert_eq!(config.limits.body_bytes, Limits::default().body_bytes);
    }

    #[test]
    fn mistakes_in_the_file_have_a_place() {
        for (text, place, word) in [
            ("port = 1\nhots = \"x\"\n", "s.toml:2:1", "hots"),
            ("[limits]\nqueue = \"many\"\n", "s.toml:2:9", "string"),
            ("port = 70000\n", "s.toml:1:8", "70000"),
            ("port = \n", "s.toml:1:", ""),
            ("[[launch]]\nuid = \"x\"\n", "s.toml:", "model"),
        ] {
            let message = Overrides::from_toml(text, Path::new("s.toml")).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(word), "{text:?}: {message}");
        }
    }

    #[test]
    fn mistakes_in_the_environment_name_the_variable() {
        let variables = [("SYRINX_PORT".to_owned(), "http".to_owned())].into();
        let message = Overrides::from_variables(&variables).unwrap_err().to_string();
        assert!(message.contains("SYRINX_PORT") && message.contains("http"), "{message}");
    }

    #[test]
    fn keys_come_from_file_and_environment() {
        let file = "[auth]\nkeys = [\"one\", \"two\"]\nkey_file = \"/etc/keys\"\nopen_metrics = true\n";
        let mut config = Config::default();
        assert!(!config.auth.is_on());
        config.merge(Overrides::from_toml(file, Path::new("s.toml")).unwrap());
        assert_eq!(config.auth.keys, [StoredKey::of("one"), StoredKey::of("two")]);
        assert!(config.auth.is_on() && config.auth.open_metrics && config.auth.key_file.is_some());
        let variables = [("SYRINX_API_KEYS".to_owned(), format!("three, {},", StoredKey::of("four").line()))].into();
        config.merge(Overrides::from_variables(&variables).unwrap());
        assert_eq!(config.auth.keys, [StoredKey::of("three"), StoredKey::of("four")], "a later layer replaces them");
    }

    #[test]
    fn keys_have_limits() {
        let file = "[auth.limits]\nrequests = 4\n[[auth.key]]\nkey = \"one\"\nlimits = { requests_per_minute = 60 }\n";
        let mut config = Config::default();
        config.merge(Overrides::from_toml(file, Path::new("s.toml")).unwrap());
        assert_eq!(config.auth.limits, KeyLimits { requests: Some(4), ..KeyLimits::default() });
        let limits = KeyLimits { requests_per_minute: Some(60), ..KeyLimits::default() };
        assert_eq!(config.auth.own, [LimitedKey { key: StoredKey::of("one"), limits }]);
        assert!(config.auth.is_on());
        for (text, place) in
            [("[auth.limits]\nrequest = 4\n", ":2:1"), ("[[auth.key]]\nkey = \"one\"\nrequests = 4\n", ":3:1")]
        {
            let message = Overrides::from_toml(text, Path::new("s.toml")).unwrap_err().to_string();
            assert!(message.contains(place), "{message}");
        }
    }

    #[test]
    fn plugins_can_be_listed() {
        let digest = "5a".repeat(32);
        let mut config = Config::default();
        assert_eq!(config.trust.allow, None, "no list: all may be loaded");
        let file = format!("[plugins]\nallow = [\"{digest}\"]\n");
        config.merge(Overrides::from_toml(&file, Path::new("s.toml")).unwrap());
        assert_eq!(config.trust.allow, Some(vec![digest.parse().unwrap()]));
        let message =
            Overrides::from_toml("[plugins]\nallow = [\"5a\"]\n", Path::new("s.toml")).unwrap_err().to_string();
        assert!(message.contains("s.toml:2:") && message.contains("64 hexadecimal digits"), "{message}");
        let variables = [("SYRINX_PLUGINS_ALLOW".to_owned(), format!("sha256:{digest}, 7"))].into();
        assert!(Overrides::from_variables(&variables).unwrap_err().to_string().contains("SYRINX_PLUGINS_ALLOW"));
    }

    #[test]
    fn messages_do_not_repeat_keys() {
        let message =
            Overrides::from_toml("[auth]\nkeys = [\"my secret\"]\n", Path::new("s.toml")).unwrap_err().to_string();
        assert!(message.contains("s.toml:2:") && !message.contains("secret"), "{message}");
        let variables = [("SYRINX_API_KEYS".to_owned(), "sha256:secret".to_owned())].into();
        let message = Overrides::from_variables(&variables).unwrap_err().to_string();
        assert!(message.contains("SYRINX_API_KEYS") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn metrics_have_a_port_of_their_own_when_asked_for() {
        let mut config = Config::default();
        assert_eq!(config.metrics_listener(), None);
        config.merge(Overrides { metrics_port: Some(9100), ..Overrides::default() });
        config.merge(Overrides { host: Some("::1".to_owned()), ..Overrides::default() });
        assert_eq!(config.metrics_listener(), Some(("::1", 9100)));
        config.merge(Overrides { metrics_host: Some("127.0.0.1".to_owned()), ..Overrides::default() });
        assert_eq!(config.metrics_listener(), Some(("127.0.0.1", 9100)));
    }

    #[test]
    fn the_format_of_the_log_is_text_or_json() {
        let mut config = Config::default();
        config.merge(Overrides::from_toml("log_format = \"json\"\n", Path::new("s.toml")).unwrap());
        assert_eq!(config.log_format, LogFormat::Json);
        let variables = |value: &str| [("SYRINX_LOG_FORMAT".to_owned(), value.to_owned())].into();
        config.merge(Overrides::from_variables(&variables("Text")).unwrap());
        assert_eq!(config.log_format, LogFormat::Text);
        let message = Overrides::from_variables(&variables("xml")).unwrap_err().to_string();
        assert!(message.contains("SYRINX_LOG_FORMAT") && message.contains("text or json"), "{message}");
    }

    #[test]
    fn impossible_limits_are_refused() {
        let mut config = Config::default();
        config.limits.audio_seconds = f64::NAN;
        assert!(config.check().is_err());
        let mut config = Config::default();
        config.limits.job = Duration::MAX;
        assert!(config.check().is_err());
    }
}
