//! The server: what its handlers share, how it starts, and how it stops.
//!
//! Stopping (SIGTERM, Ctrl-C): readiness turns false, no new connections, requests in flight get until
//! [`drain`](crate::config::Limits::drain), then their connections are closed, which stops their jobs. A second signal skips the
//! waiting.

use crate::{
    auth::{KeyFileError, Keys},
    callers::Callers,
    config::{Config, address_of},
    connection::{Activity, Connections},
    http, log,
    machine::Machine,
    memory::Memory,
    metrics,
    models::{Models, RegistryProvision, Settings},
    plugins::{Plugins, watch::Watch},
    stall::ImpatientWriter,
    voices::{Quota, Voices},
};
use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use syrinx_registry::{Catalogue, CatalogueError, Store, StoreConfig, StoreError};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};

/// Longest time that a client may take for the headers of a request, and longest rest of an idle connection.
const HEADERS: Duration = Duration::from_secs(60);

/// Most bytes of a request's line and headers, which a client may make the server hold.
const HEADER_BYTES: usize = 64 << 10;

/// How often measurements are summed up.
const UPKEEP: Duration = Duration::from_secs(10);

/// How often a server without a free connection looks for an idle one.
const LOOK_FOR_IDLE: Duration = Duration::from_millis(100);

/// What the handlers share.
pub struct App {
    /// Settings.
    pub config: Config,
    /// Models.
    pub models: Arc<Models>,
    /// Who may use it.
    pub(crate) keys: Keys,
    /// What each key asks.
    pub(crate) callers: Callers,
    /// The machine under it.
    pub(crate) machine: Machine,
    /// Requests being answered.
    pub(crate) in_flight: http::InFlight,
    /// Voices that people have saved.
    pub(crate) voices: Arc<Voices>,
    /// Memory for uploads.
    pub(crate) memory: Memory,
    /// Renders `/metrics`.
    pub(crate) metrics: PrometheusHandle,
    started: Instant,
    port: OnceLock<u16>,
    stopping: AtomicBool,
    /// Launches of the start that are still under way.
    starting: AtomicUsize,
}

/// Why a server doesn't start or doesn't go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program listens there.
    #[error(
        "{address} is in use by another program: stop that one, or choose another port with {flag} (0 takes a free one)"
    )]
    InUse {
        /// Where it should have listened.
        address: String,
        /// What chooses another port.
        flag: &'static str,
    },
    /// Can't listen there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where it should have listened.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The catalogue has mistakes.
    #[error("the catalogue can't be used:\n{0}")]
    Catalogue(#[from] CatalogueError),
    /// The store can't be opened.
    #[error("the place for models can't be used: {0}")]
    Store(#[from] StoreError),
    /// Plugins can't be staged.
    #[error("the place for staged plugins can't be used: {0}")]
    Staging(io::Error),
    /// A directory of plugins can't be read.
    #[error("the plugin directory {} can't be read: {source}", .dir.display())]
    PluginDir {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The runtime can't be set up.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
    /// Saved voices can't be read.
    #[error("the place for saved voices can't be used: {0}")]
    Voices(io::Error),
    /// Measurements can't be set up.
    #[error("cannot set up metrics: {0}")]
    Metrics(String),
    /// The key file can't be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
}

impl App {
    /// The state of a server with these settings and models, which keeps what it saves under `home`.
    ///
    /// # Errors
    /// When `home` or the key file can't be used, and when the process has a recorder of measurements already that isn't
    /// ours.
    pub fn new(config: Config, models: Arc<Models>, home: &Path) -> Result<Arc<Self>, ServeError> {
        let quota = Quota { count: config.limits.voices, bytes: config.limits.voice_bytes };
        let voices = Voices::open(&home.join("voices"), quota).map_err(ServeError::Voices)?;
        let memory = Memory::new(config.limits.upload_memory);
        let metrics = metrics::install().map_err(|error| ServeError::Metrics(error.to_string()))?;
        let keys = Keys::open(config.auth.clone())?;
        let callers = Callers::new(&config.auth);
        Ok(Arc::new(Self {
            config,
            models,
            keys,
            callers,
            machine: Machine::new(),
            in_flight: http::InFlight::default(),
            voices: Arc::new(voices),
            memory,
            metrics,
            started: Instant::now(),
            port: OnceLock::new(),
            stopping: AtomicBool::new(false),
            starting: AtomicUsize::new(0),
        }))
    }

    /// Where clients find this server, as `host:port`.
    pub fn address(&self) -> String {
        self.config.address(self.port.get().copied().unwrap_or(self.config.port))
    }

    /// Bytes that uploads and the samples of them take at the moment.
    pub fn upload_bytes(&self) -> u64 {
        self.memory.used()
    }

    /// How long it has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether requests should be sent here.
    ///
    /// # Errors
    /// Why not.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.stopping.load(Ordering::Acquire) {
            Err("the server is stopping")
        } else if self.starting.load(Ordering::Acquire) > 0 {
            Err("models are being loaded")
        } else {
            Ok(())
        }
    }
}

/// Serves until it is told to stop. Blocks.
///
/// # Errors
/// When it can't start.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let _sending = log::start(&config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Runtime)?;
    let outcome = runtime.block_on(async {
        // First of all, so that a mistake shows before anything slow begins.
        let listener = bind(&config).await?;
        let metrics_listener = match config.metrics_listener() {
            Some((host, port)) => Some(bind_at(host, port, "--metrics-exporter-port").await?),
            None => None,
        };
        let (app, _watches) = assemble(config)?;
        // Ends with the runtime: measurements are of interest until the last request is done.
        metrics_listener.map(|listener| tokio::spawn(serve_metrics(listener, app.clone())));
        launch_at_start(&app);
        let (stop, skip) = (signal(), signal());
        run(listener, app, stop, skip).await;
        Ok(())
    });
    // Threads of jobs that don't stop must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Takes the port.
///
/// # Errors
/// When that isn't possible.
pub async fn bind(config: &Config) -> Result<TcpListener, ServeError> {
    bind_at(&config.host, config.port, "--port").await
}

/// Takes a port that `flag` chooses.
async fn bind_at(host: &str, port: u16, flag: &'static str) -> Result<TcpListener, ServeError> {
    let address = address_of(host, port);
    TcpListener::bind((host, port)).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::InUse { address, flag },
        _ => ServeError::Listen { address, source },
    })
}

/// Serves measurements apart from everything else.
async fn serve_metrics(listener: TcpListener, app: Arc<App>) {
    /// Scrapers are few.
    const CONNECTIONS: usize = 16;
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics on http://{address}/metrics");
    }
    let router = http::metrics_router(app.clone());
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), &graceful, &app.config);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Opens store, catalogue and plugins. The watches must be kept.
fn assemble(config: Config) -> Result<(Arc<App>, Vec<Watch>), ServeError> {
    let store_config = config.home.as_ref().map_or_else(StoreConfig::from_env, |home| Ok(StoreConfig::at(home)))?;
    let store = Arc::new(Store::open(store_config)?);
    let catalogue = Catalogue::load(&config.catalogue_dirs)?;
    let provision = Arc::new(RegistryProvision::new(catalogue, store.clone()));
    let plugins = Plugins::new(&store.root().join("staging")).map_err(ServeError::Staging)?;
    let plugins = Arc::new(plugins.with_trust(config.trust.clone()));
    let settings = Settings::of(&config, store.root().join("cache"));
    let models = Models::new(plugins, provision.clone(), settings);
    let app = App::new(config, models, store.root())?;
    // Watched first: what changes while they are loaded is noticed.
    let watches = [
        watch(&app.config.plugin_dirs, |dirs| app.models.watch_plugins(dirs)),
        watch(&app.config.catalogue_dirs, |dirs| {
            let models = app.models.clone();
            provision.watch_catalogue(dirs.to_vec(), move |before, now| models.catalogue_changed(before, now))
        }),
    ];
    for dir in &app.config.plugin_dirs {
        let unreadable = |source| ServeError::PluginDir { dir: dir.clone(), source };
        app.models.load_plugins(dir).map_err(unreadable)?;
    }
    if app.models.plugins().names().is_empty() {
        tracing::warn!("no plugin is loaded, so no model can be launched; say where plugins are with --plugins DIR");
    }
    Ok((app, watches.into_iter().flatten().collect()))
}

/// Watches directories; without it the server only lacks hot reload.
fn watch(dirs: &[PathBuf], start: impl FnOnce(&[PathBuf]) -> notify::Result<Watch>) -> Option<Watch> {
    if dirs.is_empty() {
        return None;
    }
    start(dirs).inspect_err(|error| tracing::warn!(%error, "changes of files won't be noticed")).ok()
}

/// Launches what the settings name, all at once. What fails is logged; the server goes on.
pub fn launch_at_start(app: &Arc<App>) {
    for at_start in app.config.launch.clone() {
        let model = at_start.model.clone();
        let launch = http::launch_at_start(at_start)
            .map_err(|error| error.to_string())
            .and_then(|spec| app.models.launch(spec).map_err(|error| error.to_string()));
        let launch = match launch {
            Ok(launch) => launch,
            Err(error) => {
                tracing::error!(model, error, "cannot launch");
                continue;
            }
        };
        app.starting.fetch_add(1, Ordering::AcqRel);
        let app = app.clone();
        tokio::spawn(async move {
            let outcome = launch.ready().await;
            app.starting.fetch_sub(1, Ordering::AcqRel);
            if let Err(error) = outcome {
                tracing::error!(model, %error, "cannot launch");
            }
        });
    }
}

/// Waits for SIGTERM, SIGINT or Ctrl-C.
async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(mut terminate), Ok(mut interrupt)) => {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "signals can't be received; the server stops only by force");
                std::future::pending::<()>().await;
            }
        }
    }
    #[cfg(not(unix))]
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::warn!(%error, "Ctrl-C can't be received; the server stops only by force");
        std::future::pending::<()>().await;
    }
}

/// Serves `listener` until `stop`, then finishes what is in flight, until the deadline of the settings or `skip`.
pub async fn run(listener: TcpListener, app: Arc<App>, stop: impl Future<Output = ()>, skip: impl Future<Output = ()>) {
    if let Ok(address) = listener.local_addr() {
        let _ = app.port.set(address.port());
    }
    let auth = if app.keys.is_on() { "on" } else { "off" };
    let router = http::router(app.clone());
    tracing::info!(version = env!("CARGO_PKG_VERSION"), auth, "listening on http://{}", app.address());
    // Measurements that nobody fetches would pile up.
    let mut upkeep = JoinSet::new();
    let measured = app.metrics.clone();
    upkeep.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            measured.run_upkeep();
        }
    });
    upkeep.spawn(app.models.clone().unload_idle());
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let open = Connections::default();
    let places = Arc::new(Semaphore::new(app.config.limits.connections));
    let mut stop = std::pin::pin!(stop);
    loop {
        // Accepted first: only when somebody comes, another one has to go. All busy: the backlog of the operating system holds
        // further clients meanwhile.
        let accepted = async {
            let accepted = listener.accept().await;
            let mut place = places.clone().try_acquire_owned().ok();
            while place.is_none() {
                open.close_idlest();
                let acquired = timeout(LOOK_FOR_IDLE, places.clone().acquire_owned()).await;
                place = acquired.ok().and_then(Result::ok);
            }
            (accepted, place)
        };
        let (accepted, place) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(stream, router.clone(), &graceful, &app.config);
                let activity = Arc::<Activity>::default();
                let task = connections.spawn(activity.clone().during(async move {
                    connection.await;
                    drop(place);
                }));
                open.add(activity, task);
            }
            Err(error) => {
                // Out of file descriptors, mostly; those of finished requests come back.
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
        open.sweep();
    }
    drop(listener);
    app.stopping.store(true, Ordering::Release);
    let patience = app.config.limits.drain;
    tracing::info!(
        in_flight = connections.len(),
        seconds = patience.as_secs(),
        "stopping: finishing what is in flight"
    );
    let finished = tokio::select! {
        finished = timeout(patience, graceful.shutdown()) => finished.is_ok(),
        () = skip => false,
    };
    if !finished {
        tracing::warn!(requests = connections.len(), "closing connections that are still in use");
    }
    connections.shutdown().await;
    app.models.shut_down(Duration::from_secs(1)).await;
    tracing::info!("stopped");
}

/// One connection, from its first request to its last.
fn connection(
    stream: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
    config: &Config,
) -> impl Future<Output = ()> + Send + 'static {
    // Events of a few bytes should leave at once.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(HEADER_BYTES);
    let stream = ImpatientWriter::new(stream, config.limits.reader_silence);
    let stream = http::Wire::new(stream, config.allows_any_origin());
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router));
    let serving = graceful.watch(serving.into_owned());
    async move {
        if let Err(error) = serving.await {
            tracing::debug!(%error, "connection ended");
        }
    }
}
