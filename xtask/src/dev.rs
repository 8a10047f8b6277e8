//! `cargo xtask dev`: a server that follows the sources of a plugin.

use crate::{command, place};
use clap::Args;
use notify::{RecursiveMode, Watcher as _};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How long files must be left alone: editors save in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// How often the server is asked, and looked after.
const LOOK: Duration = Duration::from_millis(50);

/// Longest time until a model is there: it may be downloaded first.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Folder of the plugin below `plugins/`, or any directory with a plugin's Cargo.toml
    #[arg(value_name = "FAMILY|DIR")]
    plugin: String,
    /// Model to serve [default: the first of the plugin's that is downloaded, else the first]
    #[arg(long, value_name = "MODEL")]
    launch: Option<String>,
    /// Text to say after every change, into `target/dev/speech.wav`
    #[arg(long, value_name = "TEXT")]
    say: Option<String>,
    /// Port of the server
    #[arg(long, default_value_t = 9997)]
    port: u16,
    /// Passed on to `syrinx serve`, such as `--log-level debug`
    #[arg(last = true, value_name = "ARGUMENTS")]
    rest: Vec<String>,
}

impl Dev {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let sources = Sources::of(&self.plugin)?;
        // Watched first: what is saved during the first build is seen.
        let (_watcher, saved) = sources.watch()?;
        command::run(&mut command::cargo(&["build", "--release", "--workspace", "--bins"]))?;
        let library = sources.build()?;
        let checked = sources.check(&library)?;
        let folder = place::target().join("dev");
        let plugins = folder.join("plugins");
        fs::remove_dir_all(&plugins)
            .or_else(|error| if plugins.exists() { Err(error) } else { Ok(()) })
            .map_err(named(&plugins))?;
        fs::create_dir_all(&plugins).map_err(named(&plugins))?;
        replace(&library, &plugins)?;
        let model = match self.launch {
            Some(model) => model,
            None => sources.model(&checked)?,
        };
        let mut serve = Command::new(place::syrinx());
        serve.arg("serve").arg("--plugins").arg(&plugins).args(["--launch", &model, "--port", &self.port.to_string()]);
        serve.args(sources.catalogue()).args(&self.rest);
        let server = serve.spawn().map_err(|error| format!("{} does not start: {error}", command::describe(&serve)))?;
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let mut session = Session {
            sources,
            plugins,
            model,
            endpoint,
            say: self.say,
            speech: folder.join("speech.wav"),
            server: Server(server),
        };
        session.follow(checked, &saved)
    }
}

/// Where a plugin's sources are.
struct Sources {
    folder: PathBuf,
    /// A folder of this workspace.
    is_family: bool,
}

impl Sources {
    fn of(plugin: &str) -> Result<Self, String> {
        if place::families()?.iter().any(|family| family == plugin) {
            return Ok(Self { folder: place::root().join("plugins").join(plugin), is_family: true });
        }
        if let Ok(folder) = Path::new(plugin).canonicalize()
            && folder.join("Cargo.toml").is_file()
        {
            return Ok(Self { folder, is_family: false });
        }
        let families = place::families()?.join(", ");
        Err(format!("`{plugin}` is neither a directory with a Cargo.toml nor one of the plugins {families}"))
    }

    /// Sends something whenever a source is saved.
    fn watch(&self) -> Result<(notify::RecommendedWatcher, Receiver<()>), String> {
        let (sender, receiver) = mpsc::channel();
        // What plugins share lies beside them.
        let root = if self.is_family { self.folder.with_file_name("") } else { self.folder.clone() };
        let told = move |event: notify::Result<notify::Event>| {
            let is_source = |path: &PathBuf| {
                let inside = path.strip_prefix(&root).unwrap_or(path);
                let is_noise = |part: std::path::Component<'_>| {
                    let part = part.as_os_str().to_string_lossy();
                    part == "target" || part == "plugins" || part.starts_with('.') || part.ends_with('~')
                };
                !inside.components().any(is_noise) && inside.extension().is_some()
            };
            if event.is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(is_source)) {
                // Nobody listens any more at the end.
                let _ = sender.send(());
            }
        };
        let mut watcher = notify::recommended_watcher(told).map_err(|error| error.to_string())?;
        let folders = if self.is_family { vec!["", "../common"] } else { vec![""] };
        for folder in folders {
            let folder = self.folder.join(folder);
            watcher
                .watch(&folder, RecursiveMode::Recursive)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok((watcher, receiver))
    }

    /// Builds the library and says where it is.
    fn build(&self) -> Result<PathBuf, String> {
        let mut cargo = command::cargo(&["build", "--release", "--lib", "--message-format=json-render-diagnostics"]);
        match self.folder.file_name().and_then(|name| name.to_str()) {
            Some(family) if self.is_family => cargo.args(["--package", &format!("syrinx-plugin-{family}")]),
            _ => cargo.current_dir(&self.folder),
        };
        let messages = command::output(&mut cargo)?;
        let manifest = self.folder.join("Cargo.toml");
        let library = messages.lines().find_map(|line| library(line, &manifest));
        library.ok_or_else(|| format!("{} builds no plugin: it needs `crate-type = [\"cdylib\"]`", manifest.display()))
    }

    /// Flags for the directory with the plugin's own catalogue entries.
    fn catalogue(&self) -> Vec<PathBuf> {
        let models = self.folder.join("models");
        if !self.is_family && models.is_dir() { vec!["--catalogue".into(), models] } else { Vec::new() }
    }

    /// What the program says of a library.
    fn check(&self, library: &Path) -> Result<Value, String> {
        let mut check = Command::new(place::syrinx());
        check.args(["plugin", "check", "--json"]).arg(library).args(self.catalogue());
        parsed(&command::output(&mut check)?)
    }

    /// A model that the plugin serves.
    fn model(&self, checked: &Value) -> Result<String, String> {
        let listed = command::output(Command::new(place::syrinx()).args(["models", "--json"]).args(self.catalogue()))?;
        let listed = parsed(&listed)?;
        let is_cached = |name: &str| {
            listed.as_array().into_iter().flatten().any(|model| model["model_name"] == name && model["cached"] == true)
        };
        let names: Vec<&str> =
            checked["models"].as_array().into_iter().flatten().filter_map(|model| model["name"].as_str()).collect();
        let chosen = names.iter().find(|name| is_cached(name)).or(names.first());
        chosen.map(|name| (*name).to_owned()).ok_or_else(|| {
            format!("no catalogue entry names this plugin; put one into {}", self.folder.join("models").display())
        })
    }
}

/// The library that a message of cargo's announces, if it is this package's.
fn library(line: &str, manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_ours = message["reason"] == "compiler-artifact" && message["manifest_path"].as_str() == manifest.to_str();
    let files = message["filenames"].as_array().filter(|_| is_ours)?;
    let mut files = files.iter().filter_map(Value::as_str).map(PathBuf::from);
    files.find(|file| file.extension().is_some_and(|extension| extension == std::env::consts::DLL_EXTENSION))
}

fn parsed(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

fn named(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Puts a copy of `library` into `folder` in one step.
fn replace(library: &Path, folder: &Path) -> Result<(), String> {
    let name = library.file_name().unwrap_or_default();
    let part = folder.join(".part");
    fs::copy(library, &part).and_then(|_| fs::rename(&part, folder.join(name))).map_err(named(library))
}

/// Ends with this program.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Build, place, serve, speak.
struct Session {
    sources: Sources,
    plugins: PathBuf,
    model: String,
    endpoint: String,
    say: Option<String>,
    speech: PathBuf,
    server: Server,
}

impl Session {
    fn follow(&mut self, checked: Value, saved: &Receiver<()>) -> Result<ExitCode, String> {
        let started = Instant::now();
        let mut serving = checked["sha256"].clone();
        if let Some(code) = self.report(started, &serving)? {
            return Ok(code);
        }
        loop {
            let Some(since) = self.wait_for_save(saved)? else { return self.end() };
            println!("saved; building");
            let library = match self.sources.build() {
                Ok(library) => library,
                // Cargo has said what is wrong.
                Err(_) => {
                    println!("not built; the server goes on as it was");
                    continue;
                }
            };
            println!("built after {}", seconds(since));
            let checked = match self.sources.check(&library) {
                Ok(checked) => checked,
                Err(message) => {
                    println!("refused: {message}");
                    continue;
                }
            };
            if checked["sha256"] == serving {
                println!("nothing has changed in it");
                continue;
            }
            serving = checked["sha256"].clone();
            replace(&library, &self.plugins)?;
            if let Some(code) = self.report(since, &serving)? {
                return Ok(code);
            }
        }
    }

    /// When something was saved; none when the server has ended.
    fn wait_for_save(&mut self, saved: &Receiver<()>) -> Result<Option<Instant>, String> {
        loop {
            match saved.recv_timeout(LOOK) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) if self.has_ended()? => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err("files are watched no more".to_owned()),
            }
        }
        let since = Instant::now();
        while saved.recv_timeout(SETTLE).is_ok() {}
        Ok(Some(since))
    }

    fn has_ended(&mut self) -> Result<bool, String> {
        Ok(self.server.0.try_wait().map_err(|error| error.to_string())?.is_some())
    }

    fn end(&mut self) -> Result<ExitCode, String> {
        let status = self.server.0.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(ExitCode::SUCCESS) } else { Err(format!("the server ended: {status}")) }
    }

    /// Tells when the model is served by the build with this digest, and when it has spoken. Returns how the server ended,
    /// when it did.
    fn report(&mut self, since: Instant, digest: &Value) -> Result<Option<ExitCode>, String> {
        let asked = Instant::now();
        loop {
            if self.has_ended()? {
                return self.end().map(Some);
            }
            // It doesn't listen at first.
            let plugins = Command::new(place::syrinx()).args(["plugins", "--json", "-e", &self.endpoint]).output();
            let plugins = plugins.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok());
            let plugins = plugins.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(reason) = plugins.iter().find_map(|plugin| plugin["error"].as_str()) {
                println!("refused: {reason}");
                return Ok(None);
            }
            let serves = |plugin: &Value| {
                plugin["sha256"] == *digest
                    && plugin["models"]
                        .as_array()
                        .is_some_and(|models| models.iter().any(|model| *model == *self.model))
            };
            if plugins.iter().any(serves) {
                println!("served after {}", seconds(since));
                break;
            }
            if asked.elapsed() > PATIENCE {
                println!("{} isn't served; see the log above", self.model);
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
        let Some(text) = &self.say else { return Ok(None) };
        let mut speak = Command::new(place::syrinx());
        speak.args(["speak", text, "--model", &self.model, "-e", &self.endpoint, "-o"]).arg(&self.speech);
        let asked = Instant::now();
        // A model that has just been launched is listed before it is ready.
        while let Err(message) = command::output(&mut speak) {
            if asked.elapsed() > PATIENCE || self.has_ended()? {
                println!("not spoken: {message}");
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
        println!("spoken after {}: {}", seconds(since), self.speech.display());
        Ok(None)
    }
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_read_from_cargos_messages() {
        let library_name = format!("libx.{}", std::env::consts::DLL_EXTENSION);
        let line = serde_json::json!({
            "reason": "compiler-artifact", "manifest_path": "/p/x/Cargo.toml",
            "filenames": ["/t/release/libx.rlib", format!("/t/release/{library_name}")],
        });
        let found = library(&line.to_string(), Path::new("/p/x/Cargo.toml"));
        assert_eq!(found, Some(Path::new("/t/release").join(library_name)));
        assert_eq!(library(&line.to_string(), Path::new("/p/y/Cargo.toml")), None);
        assert_eq!(library("not JSON", Path::new("/p/x/Cargo.toml")), None);
    }

    #[test]
    fn sources_are_families_and_directories() {
        assert!(Sources::of("kokoro").is_ok_and(|sources| sources.is_family));
        let beeper = place::root().join("tests/fixtures/beeper");
        assert!(Sources::of(beeper.to_str().unwrap_or_default()).is_ok_and(|sources| !sources.is_family));
        assert!(Sources::of("nightingale").is_err_and(|message| message.contains("kokoro")));
    }
}
