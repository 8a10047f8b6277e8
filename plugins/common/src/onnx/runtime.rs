//! The shared library and the process-wide environment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::operator::OperatorDomain;

use super::{OnnxError, Session, SessionOptions};

/// Environment variable that names the library, the same one that `ort` itself and its documentation use.
pub const LIBRARY_PATH_VARIABLE: &str = "ORT_DYLIB_PATH";

/// The oldest ONNX Runtime that works: `ort` asks the library for C API version 17.
pub const MINIMUM_VERSION: &str = "1.17";

/// What a library file is called on this system, as far as the version suffix.
const LIBRARY_NAMES: &[&str] = if cfg!(target_os = "windows") {
    &["onnxruntime.dll"]
} else if cfg!(target_os = "macos") {
    &["libonnxruntime.dylib", "libonnxruntime."]
} else {
    &["libonnxruntime.so"]
};

/// How much something that the runtime says matters to whoever reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// What it does.
    Debug,
    /// What it would rather have otherwise, such as a graph with things that nobody needs.
    Info,
    /// What failed. Whoever asked for it gets it as an error, too, and may have a way around it.
    Warning,
}

impl Severity {
    fn of(level: &LogLevel) -> Self {
        match level {
            LogLevel::Verbose | LogLevel::Info => Self::Debug,
            LogLevel::Warning => Self::Info,
            LogLevel::Error | LogLevel::Fatal => Self::Warning,
        }
    }
}

/// The loaded library. Cheap to clone; the library stays loaded until the process ends.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(super) environment: Environment,
    library: PathBuf,
}

/// The one runtime of this process; ONNX Runtime allows one environment.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library at `library` (a file, or a directory that holds one) and makes the environment.
    ///
    /// The first successful call decides: later calls return the runtime that is already there, whatever path they
    /// name, because a process can hold only one ([`Runtime::library`] says which). A failed call leaves no trace, so
    /// another path can be tried.
    ///
    /// # Errors
    ///
    /// [`OnnxError::LibraryMissing`], [`OnnxError::LibraryBroken`] (no shared library, another architecture, a library
    /// without ONNX Runtime's entry point), [`OnnxError::LibraryTooOld`], [`OnnxError::Setup`].
    pub fn load(library: &Path) -> Result<Runtime, OnnxError> {
        Self::load_logging(library, |_, _| {})
    }

    /// The same, with what the runtime has to say handed to `log`. That, too, is decided by the first successful call.
    ///
    /// # Errors
    ///
    /// As [`Runtime::load`].
    pub fn load_logging(
        library: &Path,
        log: impl Fn(Severity, &str) + Send + Sync + 'static,
    ) -> Result<Runtime, OnnxError> {
        let logger = Arc::new(move |level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
            log(Severity::of(&level), format!("ONNX Runtime: {} ({place})", message.trim()).as_str());
        });
        let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(runtime) = loaded.as_ref() {
            return Ok(runtime.clone());
        }
        let library = library_file(library, "the caller")?;
        // `ort` turns a missing file or symbol into an error, but asserts on what only a broken library does (a null
        // API table); that must not take the process down either.
        let environment = catch_unwind(AssertUnwindSafe(|| {
            ort::init_from(&library)
                .map_err(|error| load_error(&library, error))?
                .with_name("syrinx")
                .with_telemetry(false)
                .with_logger(logger.clone())
                .build()
                .map_err(OnnxError::setup)
        }))
        .unwrap_or_else(|_| {
            Err(OnnxError::LibraryBroken {
                path: library.clone(),
                reason: "it exports ONNX Runtime's entry point but does not behave like it".to_owned(),
            })
        })?;
        let runtime = Runtime { environment, library };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The file that was loaded.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What the library says about itself: version control branch and commit, build type.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// Loads the graph at `path`.
    ///
    /// # Errors
    ///
    /// [`OnnxError::Graph`] for a file that is no graph or that this library can't run, [`OnnxError::Device`].
    pub fn session(&self, path: &Path, options: &SessionOptions) -> Result<Session, OnnxError> {
        Session::load(self, path, None, None, options)
    }

    /// Loads a graph out of memory; `path` is what errors call it, such as the file that it was made of.
    ///
    /// # Errors
    ///
    /// As [`Runtime::session`].
    pub fn session_of(&self, path: &Path, model: &[u8], options: &SessionOptions) -> Result<Session, OnnxError> {
        Session::load(self, path, Some(model), None, options)
    }

    /// The same for a graph that uses operators of our own.
    ///
    /// # Errors
    ///
    /// As [`Runtime::session`].
    pub fn session_with_operators(
        &self,
        path: &Path,
        model: &[u8],
        operators: OperatorDomain,
        options: &SessionOptions,
    ) -> Result<Session, OnnxError> {
        Session::load(self, path, Some(model), Some(operators), options)
    }
}

/// Decides which library file to load: `explicit` (a launch option), else the environment variable
/// [`LIBRARY_PATH_VARIABLE`], else `provided` (what the server keeps for its plugins). Each may also be a directory.
///
/// A path that is given but wrong is an error, never a reason to take the next: the user meant it.
///
/// # Errors
///
/// [`OnnxError::LibraryMissing`] with the path and who gave it; [`OnnxError::NoLibrary`] when nobody gave one.
pub fn find_library(explicit: Option<&Path>, provided: Option<&Path>) -> Result<PathBuf, OnnxError> {
    if let Some(path) = explicit {
        return library_file(path, "the launch option `onnxruntime`");
    }
    if let Some(path) = std::env::var_os(LIBRARY_PATH_VARIABLE).filter(|value| !value.is_empty()) {
        return library_file(Path::new(&path), "the environment variable ORT_DYLIB_PATH");
    }
    match provided {
        Some(path) => library_file(path, "the server's runtime directory"),
        None => Err(OnnxError::NoLibrary),
    }
}

/// A directory becomes the library file in it; the path becomes absolute, since `ort` would look for a relative one
/// next to the executable.
fn library_file(path: &Path, source_name: &'static str) -> Result<PathBuf, OnnxError> {
    let missing = || OnnxError::LibraryMissing { path: path.to_owned(), source_name };
    let file = if path.is_dir() {
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(|_| missing())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| {
                let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                LIBRARY_NAMES.iter().any(|prefix| name.starts_with(prefix))
            })
            .collect();
        files.sort();
        files.into_iter().next().ok_or_else(missing)?
    } else {
        path.to_owned()
    };
    file.canonicalize().map_err(|_| missing())
}

fn load_error(path: &Path, error: LoadDynamicError) -> OnnxError {
    let path = path.to_owned();
    match error {
        LoadDynamicError::Dlopen { error, .. } => OnnxError::LibraryBroken { path, reason: error.to_string() },
        LoadDynamicError::MissingApi { .. } => OnnxError::LibraryBroken {
            path,
            reason: "it is a shared library, but does not export `OrtGetApiBase`".to_owned(),
        },
        LoadDynamicError::InvalidVersionString => {
            OnnxError::LibraryBroken { path, reason: "its version string is malformed".to_owned() }
        }
        LoadDynamicError::BadVersion { version_str, .. } => {
            OnnxError::LibraryTooOld { path, found: version_str, minimum: MINIMUM_VERSION }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let error = Runtime::load(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
        assert!(matches!(error, OnnxError::LibraryMissing { .. }));
        assert!(error.to_string().contains("/nowhere/libonnxruntime.so"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let directory = std::env::temp_dir().join(format!("syrinx-onnx-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("libonnxruntime.so.1");
        std::fs::write(&file, b"this is a text, not a shared library").unwrap();
        for path in [&file, &directory] {
            let error = Runtime::load(path).unwrap_err();
            assert!(matches!(error, OnnxError::LibraryBroken { .. }), "{error}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_of_something_else_is_refused() {
        let candidates = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"];
        let Some(path) = candidates.iter().map(Path::new).find(|path| path.exists()) else { return };
        let error = Runtime::load(path).unwrap_err();
        assert!(error.to_string().contains("OrtGetApiBase"), "{error}");
    }

    #[test]
    fn an_explicit_path_wins_and_is_not_forgiven() {
        let error = find_library(Some(Path::new("/nowhere/at/all")), Some(Path::new("/"))).unwrap_err();
        assert!(error.to_string().contains("launch option"), "{error}");
    }
}
