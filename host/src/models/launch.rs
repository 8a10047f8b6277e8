//! From a request to launch to a slot of the table. [`loading`](super::loading) does the work behind it.

use super::{Isolation, LaunchError, Models, Severity, Slot, State, WorkerLimits};
use crate::{plugins::Generation, schema};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use syrinx_plugin_api::Object;
use syrinx_registry::ModelEntry;
use tokio::sync::watch;

/// A request to launch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LaunchSpec {
    /// Catalogue name.
    pub model_name: String,
    /// Uid to serve under; none: the name, or the name with a random ending when that is taken.
    pub model_uid: Option<String>,
    /// A directory with the model's files, instead of downloading.
    pub model_path: Option<PathBuf>,
    /// Copies to load; 0 counts as 1.
    pub replica: usize,
    /// More jobs than this at a time are sent away.
    pub request_limits: Option<usize>,
    /// Jobs that may wait beyond those that run; none: as the server's setting says.
    pub queue: Option<usize>,
    /// It is loaded when the first request needs it.
    pub lazy: bool,
    /// It is never unloaded to make room, nor because it is idle.
    pub pinned: bool,
    /// How long it may be idle before it is unloaded, zero for ever; none: as the server's setting says.
    pub idle: Option<Duration>,
    /// What its process may take; where none is given, as the server's setting says.
    pub worker: WorkerLimits,
    /// `huggingface`, `modelscope`, …
    pub download_hub: Option<String>,
    /// The plugin's name, or what Xinference calls its engines.
    pub model_engine: Option<String>,
    /// `int8`, …
    pub quantization: Option<String>,
    /// `ctranslate2`, `onnx`, …
    pub model_format: Option<String>,
    /// Where it runs; none: as the server's setting says.
    pub isolation: Option<Isolation>,
    /// Only this source of the entry, by its id.
    pub source: Option<String>,
    /// The caller wants no GPU.
    pub cpu_only: bool,
    /// GPUs that the caller named. The plugin's option `device` decides; this is only shown.
    pub gpu_idx: Option<Vec<u32>>,
    /// Every further key: launch options of the plugin. A null takes a default of the catalogue away.
    pub options: Object,
}

/// A launch under way.
#[derive(Debug)]
pub struct Launch {
    /// The uid that it has taken.
    pub uid: String,
    pub(super) state: watch::Receiver<State>,
}

impl Launch {
    /// Waits until the model serves, or would if a request came.
    ///
    /// # Errors
    /// When it came to nothing.
    pub async fn ready(mut self) -> Result<(), LaunchError> {
        let uid = self.uid.clone();
        let settled = self.state.wait_for(|state| !state.is_launching()).await;
        match settled.as_deref() {
            Ok(State::Failed(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(LaunchError::Cancelled { uid }),
        }
    }
}

/// Longest uid.
const UID_LIMIT: usize = 100; // characters, as in Xinference

/// Length of the random ending of a uid and the dash before it.
const SUFFIX: usize = 9; // characters

/// Most models of a table, serving or on their way: many more than a machine can hold.
const MOST_MODELS: usize = 1000;

/// Failed launches that stay visible; the oldest go.
const MOST_FAILED: usize = 200;

/// What Xinference calls the engines of the families that are here. Any plugin stands for them.
const XINFERENCE_ENGINES: [&str; 2] = ["PyTorch", "transformers"];

impl Models {
    /// Takes the uid and starts launching in the background, or leaves that to the first request.
    ///
    /// # Errors
    /// When the request itself can't be met; what goes wrong later is told by [`Launch::ready`].
    pub fn launch(self: &Arc<Self>, mut spec: LaunchSpec) -> Result<Launch, LaunchError> {
        let catalogue = self.provision.catalogue();
        let entry =
            catalogue.model(&spec.model_name).map_err(|error| LaunchError::invalid("model_name", error.to_string()))?;
        let plugin = self.plugin_of(&entry)?;
        check_engine(&spec, &entry)?;
        self.is_isolated(&spec, &plugin)?;
        choose_source(&mut spec, &entry)?;
        if let Some(path) = spec.model_path.as_ref().filter(|path| !path.is_dir()) {
            let message = format!("`model_path`: there is no directory {path:?}");
            return Err(LaunchError::invalid("model_path", message));
        }
        let options = options(&spec, &entry, &plugin)?;
        let slot = self.take_uid(spec, entry, options)?;
        let launch = slot.handle();
        let content = format!("launch of {} with {} replica(s)", slot.entry.name, slot.spec.replica.max(1));
        self.events.note(&slot.uid, Severity::Info, "created", content);
        if slot.spec.lazy {
            tracing::info!(uid = slot.uid, model = slot.entry.name, "will be loaded by the first request");
        } else {
            tracing::info!(uid = slot.uid, model = slot.entry.name, "launching");
            tokio::spawn(self.clone().bring_up(slot, plugin));
        }
        Ok(launch)
    }

    /// Whether a launch gets a process of its own.
    ///
    /// # Errors
    /// When it can't have one but must.
    pub(super) fn is_isolated(&self, spec: &LaunchSpec, plugin: &Generation) -> Result<bool, LaunchError> {
        let is_limited = spec.worker != WorkerLimits::default();
        if is_limited && spec.isolation == Some(Isolation::InProcess) {
            let field = if spec.worker.cpus.is_some() { "cpus" } else { "memory_bytes" };
            let message = format!("`{field}` needs a process of its own, so `isolation` can't be \"in-process\"");
            return Err(LaunchError::invalid(field, message));
        }
        let wanted = if is_limited { Isolation::Process } else { spec.isolation.unwrap_or(self.settings.isolation) };
        wanted.applies(plugin)
    }

    /// The plugin that runs an entry.
    pub(super) fn plugin_of(&self, entry: &ModelEntry) -> Result<Arc<Generation>, LaunchError> {
        self.plugins.current(&entry.plugin).ok_or_else(|| {
            let names = self.plugins.names();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let message = format!(
                "`{}` needs the plugin `{}`, which is not installed (installed: {there})",
                entry.name, entry.plugin
            );
            LaunchError::invalid("model_name", message)
        })
    }

    fn take_uid(&self, spec: LaunchSpec, entry: Arc<ModelEntry>, options: Object) -> Result<Arc<Slot>, LaunchError> {
        let mut table = self.table();
        let taken = |uid: &str| table.get(uid).is_some_and(|slot| !slot.has_failed());
        let uid = match &spec.model_uid {
            Some(uid) => {
                check_uid(uid)?;
                if taken(uid) {
                    return Err(LaunchError::invalid("model_uid", format!("a model `{uid}` is already running")));
                }
                uid.clone()
            }
            None if !taken(&spec.model_name) && check_uid(&spec.model_name).is_ok() => spec.model_name.clone(),
            None => {
                let stem: String = spec.model_name.chars().take(UID_LIMIT - SUFFIX).collect();
                loop {
                    let uid = format!("{stem}-{}", random_suffix());
                    if !taken(&uid) {
                        break uid;
                    }
                }
            }
        };
        if table.values().filter(|slot| !slot.has_failed()).count() >= MOST_MODELS {
            let message = format!("{MOST_MODELS} models are running or being launched; terminate one of them first");
            return Err(LaunchError::Unavailable(message));
        }
        let slot = Arc::new(Slot::new(uid.clone(), spec, entry, options));
        table.insert(uid, slot.clone());
        forget_old_failures(&mut table);
        Ok(slot)
    }
}

fn forget_old_failures(table: &mut BTreeMap<String, Arc<Slot>>) {
    let mut failed: Vec<(Instant, String)> =
        table.values().filter(|slot| slot.has_failed()).map(|slot| (slot.begun, slot.uid.clone())).collect();
    failed.sort();
    for (_, uid) in failed.iter().take(failed.len().saturating_sub(MOST_FAILED)) {
        table.remove(uid);
    }
}

/// # Errors
/// When the engine that was asked for isn't the one that runs such models here.
fn check_engine(spec: &LaunchSpec, entry: &ModelEntry) -> Result<(), LaunchError> {
    let Some(engine) = &spec.model_engine else { return Ok(()) };
    let own = [entry.plugin.as_str(), "syrinx"];
    if own.iter().chain(&XINFERENCE_ENGINES).any(|known| known.eq_ignore_ascii_case(engine)) {
        return Ok(());
    }
    let engine: String = engine.chars().take(80).collect();
    let message = format!(
        "`model_engine` is \"{engine}\", but `{}` runs on the engine {} (Xinference's names {} stand for it)",
        entry.name,
        entry.plugin,
        XINFERENCE_ENGINES.join(" and ")
    );
    Err(LaunchError::invalid("model_engine", message))
}

/// Checks quantization and format against the entry's sources and spells them as the entry does.
///
/// # Errors
/// When no source has what was asked for.
fn choose_source(spec: &mut LaunchSpec, entry: &ModelEntry) -> Result<(), LaunchError> {
    if spec.model_path.is_some() {
        // The files are what they are; the plugin looks at them.
        return Ok(());
    }
    let formats: Vec<&str> =
        entry.sources.iter().filter_map(|source| source.format).map(|format| format.as_str()).collect();
    if let Some(asked) = spec.model_format.take() {
        spec.model_format = match formats.iter().find(|format| format.eq_ignore_ascii_case(&asked)) {
            Some(format) => Some((*format).to_owned()),
            // Xinference's word for weights as they were published.
            None if asked.eq_ignore_ascii_case("pytorch") => None,
            None => return Err(no_choice("model_format", &asked, entry, &formats)),
        };
    }
    if let Some(asked) = spec.quantization.take() {
        let has_format = |source: &&syrinx_registry::Source| {
            spec.model_format.as_deref().is_none_or(|format| source.format.is_some_and(|of| of.as_str() == format))
        };
        let sources = entry.sources.iter().filter(has_format);
        let there: Vec<&str> = sources.filter_map(|source| source.quantization.as_deref()).collect();
        match there.iter().find(|quantization| quantization.eq_ignore_ascii_case(&asked)) {
            Some(quantization) => spec.quantization = Some((*quantization).to_owned()),
            None => return Err(no_choice("quantization", &asked, entry, &there)),
        }
    }
    Ok(())
}

fn no_choice(field: &str, asked: &str, entry: &ModelEntry, there: &[&str]) -> LaunchError {
    let asked: String = asked.chars().take(80).collect();
    let mut there = there.to_vec();
    there.dedup();
    let there = if there.is_empty() { "none to choose from".to_owned() } else { there.join(", ") };
    LaunchError::invalid(field, format!("`{field}` is \"{asked}\", but `{}` has {there}", entry.name))
}

/// The caller's options over the catalogue's defaults, as the plugin's schema wants them.
fn options(spec: &LaunchSpec, entry: &ModelEntry, plugin: &Generation) -> Result<Object, LaunchError> {
    let schema = &plugin.manifest().launch_options;
    let mut options: Object = entry.launch_options();
    options.extend(spec.options.clone());
    options.retain(|_, value| !value.is_null());
    let takes_device = schema.get("properties").is_some_and(|properties| properties.get("device").is_some());
    if spec.cpu_only && takes_device && !options.contains_key("device") {
        options.insert("device".to_owned(), "cpu".into());
    }
    let checked = schema::check(schema, &options)
        .map_err(|mismatch| LaunchError::invalid(&mismatch.field, mismatch.to_string()))?;
    options.extend(checked);
    Ok(options)
}

/// # Errors
/// When a uid would break URLs or Xinference's clients.
pub(crate) fn check_uid(uid: &str) -> Result<(), LaunchError> {
    let reason = if uid.is_empty() || uid.chars().count() > UID_LIMIT {
        format!("must have 1 to {UID_LIMIT} characters")
    } else if let Some(character) = uid.chars().find(|c| "/?#\\".contains(*c) || c.is_whitespace() || c.is_control()) {
        format!("must not contain {character:?}")
    } else if [".", "..", "instance", "instances"].contains(&uid) {
        "must not be `.`, `..`, `instance` or `instances`, which mean something else in URLs".to_owned()
    } else if uid.rsplit_once("-rep").is_some_and(|(_, end)| !end.is_empty() && end.chars().all(|c| c.is_ascii_digit()))
    {
        "must not end in `-rep` and a number, which names replicas".to_owned()
    } else {
        return Ok(());
    };
    Err(LaunchError::invalid("model_uid", format!("`model_uid` {reason}")))
}

/// Eight letters or digits.
fn random_suffix() -> String {
    use std::hash::{BuildHasher, RandomState};
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut bits = RandomState::new().hash_one(Instant::now());
    let mut suffix = String::with_capacity(SUFFIX - 1);
    for _ in 1..SUFFIX {
        suffix.push(char::from(ALPHABET[(bits % 36) as usize]));
        bits /= 36;
    }
    suffix
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;
    use syrinx_registry::Catalogue;

    #[test]
    fn uids() {
        for good in ["a", "whisper-base", "模型", "x-rep", "x-repa1", "-rep1-x", &"x".repeat(100)] {
            assert_eq!(check_uid(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "a b",
            "a?b",
            "a#b",
            "a\\b",
            "a\n",
            "a\0",
            "..",
            "instances",
            "x-rep0",
            "-rep12",
            &"x".repeat(101),
        ] {
            assert!(check_uid(bad).is_err(), "{bad}");
        }
    }

    fn chosen(name: &str, format: Option<&str>, quantization: Option<&str>) -> Result<LaunchSpec, String> {
        let entry = Catalogue::builtin().model(name).unwrap();
        let mut spec = LaunchSpec {
            model_format: format.map(str::to_owned),
            quantization: quantization.map(str::to_owned),
            ..LaunchSpec::default()
        };
        choose_source(&mut spec, &entry).map(|()| spec).map_err(|error| match error {
            LaunchError::Invalid { field, .. } => field,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn formats_and_quantizations_of_the_entry() {
        let spec = chosen("Kokoro-82M", Some("ONNX"), Some("Q8F16")).unwrap();
        assert_eq!((spec.model_format.as_deref(), spec.quantization.as_deref()), (Some("onnx"), Some("q8f16")));
        assert_eq!(chosen("whisper-base", Some("pytorch"), None).unwrap().model_format, None);
        assert_eq!(chosen("whisper-base", Some("gguf"), None), Err("model_format".to_owned()));
        assert_eq!(chosen("whisper-base", None, Some("int3")), Err("quantization".to_owned()));
        assert_eq!(chosen("Kokoro-82M", Some("onnx"), Some("4-bit")), Err("quantization".to_owned()));
    }

    #[test]
    fn the_oldest_failures_are_forgotten_whatever_the_clock_said() {
        let entry = Catalogue::builtin().model("whisper-base").unwrap();
        let failed = |uid: &str, created: SystemTime| {
            let mut slot = Slot::new(uid.to_owned(), LaunchSpec::default(), entry.clone(), Object::new());
            slot.created = created;
            slot.state.send_replace(State::Failed(LaunchError::Internal(String::new())));
            (uid.to_owned(), Arc::new(slot))
        };
        let now = SystemTime::now();
        // The clock was turned back by a year before the last one.
        let mut table: BTreeMap<_, _> = (0..MOST_FAILED).map(|number| failed(&format!("{number:03}"), now)).collect();
        table.extend([failed("last", now - Duration::from_secs(365 * 24 * 3600))]);
        forget_old_failures(&mut table);
        assert_eq!(table.len(), MOST_FAILED);
        assert!(table.contains_key("last") && !table.contains_key("000"));
    }

    #[test]
    fn engines() {
        let entry = Catalogue::builtin().model("whisper-base").unwrap();
        let of = |engine: &str| LaunchSpec { model_engine: Some(engine.to_owned()), ..LaunchSpec::default() };
        for good in ["whisper", "Whisper", "transformers", "pytorch"] {
            assert_eq!(check_engine(&of(good), &entry), Ok(()), "{good}");
        }
        for bad in ["MLX", "vllm", "kokoro", "nonsense"] {
            assert!(check_engine(&of(bad), &entry).is_err(), "{bad}");
        }
    }
}
