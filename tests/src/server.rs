//! The real server as a child process.

use crate::{fixtures, http, workspace};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Longest time from start to listening.
const START: Duration = Duration::from_secs(60);
/// Longest time for a model to load, its downloads included.
const LOAD: Duration = Duration::from_secs(600);

/// How to start a server. By itself it has no plugins, no models, and a home that vanishes with it.
#[derive(Debug, Default)]
pub struct Settings {
    /// Plugin folders.
    pub plugins: Vec<PathBuf>,
    /// Folders with catalogue files.
    pub catalogues: Vec<PathBuf>,
    /// Models to launch.
    pub launch: Vec<String>,
    /// Whether to use the developer's own store, so that weights are downloaded once and not for each test.
    pub own_store: bool,
    /// Further arguments of `syrinx serve`.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// User to run as, instead of this one; only root can choose.
    pub user: Option<u32>,
}

/// A server that listens. Ends when dropped, at the latest with the test program.
pub struct Server {
    process: Mutex<Child>,
    log: Arc<Log>,
    address: String,
    _home: tempfile::TempDir,
}

/// The lines on the server's standard error.
#[derive(Default)]
struct Log {
    lines: Mutex<(String, bool)>,
    grown: Condvar,
}

impl Log {
    fn text(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits until `found` finds something in the log so far, until the log has ended or `patience` is over.
    fn wait<T>(&self, patience: Duration, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match found(&lines.0) {
                Some(value) => return Some(value),
                None if left.is_zero() || lines.1 => return None,
                None => {}
            }
            lines = self.grown.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Server {
    /// A server with real plugins and the models `whisper-base` and `Kokoro-82M`, ready.
    pub fn real() -> Self {
        Self::real_with(&["whisper-base", "Kokoro-82M"], &[])
    }

    /// A server with real plugins and these models, ready.
    pub fn real_with(models: &[&str], arguments: &[&str]) -> Self {
        let server = Self::start(Settings {
            plugins: vec![real_plugins()],
            launch: models.iter().map(ToString::to_string).collect(),
            own_store: true,
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..Settings::default()
        });
        models.iter().for_each(|model| server.wait_until_ready(model));
        server
    }

    /// Starts a server.
    pub fn start(settings: Settings) -> Self {
        Self::try_start(settings).unwrap_or_else(|log| panic!("the server does not start:\n{log}"))
    }

    /// Starts a server on a free port.
    ///
    /// # Errors
    /// With its log, when it ends before it listens.
    pub fn try_start(settings: Settings) -> Result<Self, String> {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(workspace::syrinx());
        command.arg("serve");
        if !settings.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", "0"]);
        }
        for (flag, folders) in [("--plugins", &settings.plugins), ("--catalogue", &settings.catalogues)] {
            for folder in folders {
                command.arg(flag).arg(folder);
            }
        }
        for model in &settings.launch {
            command.args(["--launch", model]);
        }
        if !settings.own_store {
            command.arg("--home").arg(home.path());
        }
        command.args(&settings.arguments).env("NO_COLOR", "1").envs(settings.environment).current_dir(home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        #[cfg(unix)]
        if let Some(user) = settings.user {
            std::os::unix::fs::chown(home.path(), Some(user), Some(user)).expect("this is root");
            std::os::unix::process::CommandExt::gid(&mut command, user);
            std::os::unix::process::CommandExt::uid(&mut command, user);
        }

        let mut process = spawn(command);
        let log = Arc::new(Log::default());
        let stderr = process.stderr.take().expect("it was piped");
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut lines = writer.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.0.push_str(&line);
                lines.0.push('\n');
                writer.grown.notify_all();
            }
            writer.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
            writer.grown.notify_all();
        });
        match log.wait(START, address) {
            Some(address) => Ok(Self { process: Mutex::new(process), log, address, _home: home }),
            None => {
                let _ = process.kill();
                let ending = process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(format!("{}{ending}", log.text()))
            }
        }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address with a port")
    }

    /// The address of a route such as `/v1/models`.
    pub fn url(&self, route: &str) -> String {
        format!("{}{route}", self.address)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits until its log contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        let found = self.log.wait(Duration::from_secs(30), |log| log.contains(text).then_some(()));
        assert!(found.is_some(), "the log never said {text:?}:\n{}", self.log());
    }

    /// The JSON that a route answers with.
    pub fn get(&self, route: &str) -> Value {
        http::get(&self.url(route)).run().json()
    }

    /// The text that a route answers with.
    pub fn get_text(&self, route: &str) -> String {
        http::get(&self.url(route)).run().text()
    }

    /// Launches a model and waits until it is ready.
    pub fn launch(&self, request: &Value) {
        let mut body = json!({"model_type": "audio"});
        body.as_object_mut().expect("it is one").extend(request.as_object().expect("an object").clone());
        let response = http::post(&self.url("/v1/models")).json(&body).patience(LOAD).run();
        assert_eq!(response.status, 200, "{request}: {}\n{}", response.text(), self.log());
    }

    /// Waits until a model that was launched is ready.
    pub fn wait_until_ready(&self, uid: &str) {
        let started = Instant::now();
        loop {
            let state = self.get(&format!("/v1/models/instances?model_uid={uid}"));
            match state[0]["status"].as_str() {
                Some("READY") => return,
                Some("ERROR") => panic!("{uid} fails to load: {state}\n{}", self.log()),
                _ if started.elapsed() > LOAD => panic!("{uid} does not get ready: {state}\n{}", self.log()),
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Sends SIGTERM.
    pub fn send_sigterm(&self) {
        let id = self.process.lock().unwrap_or_else(PoisonError::into_inner).id();
        // SAFETY: a plain system call; the process is our child and not yet waited for, so the id is its own.
        unsafe { libc::kill(id as libc::pid_t, libc::SIGTERM) };
    }

    /// Waits for its end, without asking for it.
    pub fn wait_for_end(&self, patience: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            let ended =
                self.process.lock().unwrap_or_else(PoisonError::into_inner).try_wait().expect("it is our child");
            match ended {
                Some(status) => return status,
                None if started.elapsed() > patience => panic!("the server does not end:\n{}", self.log()),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        matches!(self.process.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// The processes that it has started and that still run (Linux).
    pub fn workers(&self) -> Vec<u32> {
        let parent = format!("PPid:\t{}", self.id());
        let of = |entry: fs::DirEntry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let is_zombie = status.contains("State:\tZ");
            (!is_zombie && status.lines().any(|line| line == parent)).then_some(id)
        };
        fs::read_dir("/proc").expect("Linux has it").filter_map(Result::ok).filter_map(of).collect()
    }

    /// Highest memory use so far in bytes (Linux).
    pub fn peak_memory(&self) -> u64 {
        self.process_status("VmHWM") * 1024
    }

    /// Memory in use in bytes (Linux).
    pub fn memory(&self) -> u64 {
        self.process_status("VmRSS") * 1024
    }

    /// Memory in use that is no file's, in bytes (Linux).
    pub fn private_memory(&self) -> u64 {
        self.process_status("RssAnon") * 1024
    }

    /// Number of threads (Linux).
    pub fn threads(&self) -> u64 {
        self.process_status("Threads")
    }

    /// Number of open files and sockets (Linux).
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id())).expect("it runs").count()
    }

    /// A number out of `/proc/<id>/status`, in the unit that it has there.
    fn process_status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("Linux says");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
        if thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log.text());
        }
    }
}

/// A folder with the plugins of real models.
pub fn real_plugins() -> PathBuf {
    plugins_of("e2e-plugins", &["whisper", "kokoro", "funasr"])
}

/// A folder `name` with the plugins of these families.
pub fn plugins_of(name: &str, families: &[&str]) -> PathBuf {
    let plugins = workspace::scratch(name);
    for family in families {
        let built = workspace::plugin(family);
        let name = fixtures::library_name(&format!("syrinx_plugin_{family}"));
        fixtures::replace(&built, &plugins.join(name));
    }
    plugins
}

/// The address in `… listening on http://127.0.0.1:1234`.
fn address(log: &str) -> Option<String> {
    let rest = log.split("listening on ").nth(1)?;
    let end = rest.find(['\n', ' ', '\u{1b}', '"'])?;
    Some(rest[..end].to_owned())
}

/// Starts the process so that it can't outlive this one: Linux kills it with the thread that started it, and that
/// thread stays until the end.
fn spawn(mut command: Command) -> Child {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        // SAFETY: between fork and exec only this one system call is made, which allocates nothing.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(command.spawn().map_err(|error| format!("{command:?}: {error}")));
        loop {
            thread::park();
        }
    });
    receiver.recv().expect("the thread sends").unwrap_or_else(|message| panic!("{message}"))
}

/// Runs a command of the product against a server and returns its standard output.
///
/// # Errors
/// With its standard error, when it fails.
pub fn command(server: &Server, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(workspace::syrinx());
    command.args(arguments).env("SYRINX_ENDPOINT", server.address());
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A plugin folder of its own, with the beeper in it and a catalogue that has a model for it.
pub struct BeeperFolders {
    dir: tempfile::TempDir,
}

impl Default for BeeperFolders {
    fn default() -> Self {
        let folders = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        for folder in [folders.plugins(), folders.catalogue(), folders.weights()] {
            fs::create_dir_all(folder).expect("a directory in the temporary one");
        }
        fs::write(folders.weights().join("fork.txt"), "440 Hz").expect("writing a file");
        fs::write(folders.catalogue_file(), folders.catalogue_text()).expect("writing a file");
        folders
    }
}

impl BeeperFolders {
    /// Where the plugin goes.
    pub fn plugins(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    /// Where catalogue files are.
    pub fn catalogue(&self) -> PathBuf {
        self.dir.path().join("catalogue")
    }

    /// The catalogue's only file.
    pub fn catalogue_file(&self) -> PathBuf {
        self.catalogue().join("beeper.toml")
    }

    /// "Weights" of the models.
    fn weights(&self) -> PathBuf {
        self.dir.path().join("weights")
    }

    /// The plugin file.
    pub fn plugin(&self) -> PathBuf {
        self.plugins().join(fixtures::library_name("beeper"))
    }

    /// Puts a build of the plugin there, in one step.
    pub fn drop_in(&self, library: &Path) {
        fixtures::replace(library, &self.plugin());
    }

    /// Puts a file of this content there, in one step.
    pub fn drop_in_content(&self, content: &[u8]) {
        let part = self.plugins().join(".part");
        fs::write(&part, content).expect("writing a file");
        fs::rename(&part, self.plugin()).expect("renaming");
    }

    /// A catalogue file with the models `tone` and `chime`.
    pub fn catalogue_text(&self) -> String {
        let mut text = String::from("schema = 1\n");
        for name in ["tone", "chime"] {
            text.push_str(&format!(
                r#"
[[model]]
name = "{name}"
family = "beeper"
plugin = "beeper"
description = "Tones for letters"
license = "Apache-2.0"
abilities = ["audio2text", "text2audio", "text2audio_zero_shot"]
multilingual = false
languages = []

[[model.source]]
id = "path"
[[model.source.item]]
path = "{}"
files = ["fork.txt"]
"#,
                self.weights().display()
            ));
        }
        text
    }

    /// Settings of a server that uses the folders.
    pub fn settings(&self) -> Settings {
        Settings { plugins: vec![self.plugins()], catalogues: vec![self.catalogue()], ..Settings::default() }
    }
}
