//! Moving running models to a new generation of their plugin.

use super::{Executor, Models, Running, Severity, Slot, State, loading::Report};
use crate::plugins::{Finding, Generation, PluginError, Plugins, is_plugin_file, watch::Watch};
use std::{
    num::NonZero,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    thread,
    time::{Duration, Instant},
};
use syrinx_plugin_api::Object;

/// Most plugin files that are looked into at a time, each in a process of its own.
const MOST_LOOKS: usize = 8;

impl Models {
    /// Loads every plugin file in `dir`, in the order of their names. Several are looked into at a time. Blocks.
    ///
    /// # Errors
    /// When the directory can't be read. A file that is no plugin is logged and shown in the reports.
    pub fn load_plugins(&self, dir: &Path) -> std::io::Result<()> {
        // As the watch tells of them.
        let dir = std::path::absolute(dir)?;
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.retain(|path| is_plugin_file(path));
        paths.sort();
        // Held until all are in use: what is written to a file after the look into it comes after it, too.
        let _one_at_a_time = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let at_a_time = thread::available_parallelism().map_or(1, NonZero::get).clamp(2, MOST_LOOKS);
        for batch in paths.chunks(at_a_time) {
            thread::scope(|scope| {
                let opened: Vec<_> =
                    batch.iter().map(|path| scope.spawn(|| Opened::at(self.plugins(), path))).collect();
                for (path, opened) in batch.iter().zip(opened) {
                    self.act_on(path, opened.join().unwrap_or_else(|panic| resume_unwind(panic)));
                }
            });
        }
        Ok(())
    }

    /// From now on, acts on every plugin file in `dirs` that is new, changed or gone.
    ///
    /// # Errors
    /// When nothing can be watched.
    pub fn watch_plugins(self: &Arc<Self>, dirs: &[PathBuf]) -> notify::Result<Watch> {
        let models = self.clone();
        Watch::start(dirs, move |path| models.plugin_file_changed(path))
    }

    /// Looks at a plugin file that is new, changed or gone, and acts on it: stage → inspect → start replacements for
    /// running models → swap → let the old generation finish. Any failure before the swap leaves the old generation
    /// serving. Blocks for as long as loading takes.
    pub fn plugin_file_changed(&self, path: &Path) {
        if !is_plugin_file(path) {
            return;
        }
        // Nothing but the order of moves is kept here.
        let _one_at_a_time = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        self.act_on(path, Opened::at(self.plugins(), path));
    }

    fn act_on(&self, path: &Path, opened: Opened) {
        let Opened { took, finding } = opened;
        let Some(finding) = finding else {
            tracing::info!(path = %path.display(), "plugin file is gone; running models go on");
            for other in self.plugins().forget(path) {
                self.act_on(&other, Opened::at(self.plugins(), &other));
            }
            return;
        };
        let started = Instant::now();
        match finding.and_then(|finding| self.adopt(path, finding)) {
            Ok(Some(generation)) => {
                let manifest = generation.manifest();
                tracing::info!(
                    plugin = manifest.name,
                    version = manifest.version,
                    generation = generation.number,
                    path = %path.display(),
                    milliseconds = (took + started.elapsed()).as_millis(),
                    "plugin loaded"
                );
            }
            Ok(None) => self.plugins().accept(path),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "plugin refused");
                self.plugins().refuse(path, error.to_string());
            }
        }
    }

    fn adopt(&self, path: &Path, finding: Finding) -> Result<Option<Arc<Generation>>, PluginError> {
        let Some(generation) = self.plugins().generation_of(path, finding)? else { return Ok(None) };
        let replacements = self.replacements(&generation)?;
        self.plugins().activate(generation.clone());
        self.swap(replacements, &generation);
        // Launches that had begun with the old generation may have become ready meanwhile.
        self.move_stragglers(&generation);
        Ok(Some(generation))
    }

    /// Moves models that `plugin` serves to the generation that has replaced it meanwhile, in the background.
    pub(super) fn catch_up(self: &Arc<Self>, plugin: &Generation) {
        let name = plugin.manifest().name.clone();
        let number = plugin.number;
        let is_behind = move |models: &Self| models.plugins().current(&name).filter(|current| current.number != number);
        if is_behind(self).is_none() {
            return;
        }
        let models = self.clone();
        tokio::task::spawn_blocking(move || {
            let _one_at_a_time = models.moving.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(current) = is_behind(&models) {
                models.move_stragglers(&current);
            }
        });
    }

    /// Moves models that another generation still serves. There is no way back for them.
    fn move_stragglers(&self, generation: &Arc<Generation>) {
        match self.replacements(generation) {
            Ok(replacements) => self.swap(replacements, generation),
            Err(error) => tracing::error!(%error, "a model stays with the old plugin"),
        }
    }

    /// Loads every running model of the plugin that another generation serves, with `generation`.
    fn replacements(&self, generation: &Arc<Generation>) -> Result<Vec<Replacement>, PluginError> {
        let plugin = &generation.manifest().name;
        let outdated: Vec<(Arc<Slot>, Arc<Running>)> = self
            .table()
            .values()
            .filter(|slot| slot.entry.plugin == *plugin)
            .filter_map(|slot| match &*slot.state.borrow() {
                State::Ready(running) if running.generation() != generation.number => {
                    Some((slot.clone(), running.clone()))
                }
                _ => None,
            })
            .collect();
        outdated
            .into_iter()
            .map(|(slot, running)| {
                let silent: Report = Arc::new(|_, _, _| ());
                let options = slot.options();
                let executors = self
                    .load_replicas(&slot, &options, generation, &silent)
                    .map_err(|error| PluginError::Replacement { uid: slot.uid.clone(), reason: error.to_string() })?;
                Ok(Replacement { slot, running, options, executors })
            })
            .collect()
    }

    fn swap(&self, replacements: Vec<Replacement>, generation: &Generation) {
        for Replacement { slot, running, options, executors } in replacements {
            if slot.options() != options {
                // Reloaded with other options while this was loading: it is a straggler.
                continue;
            }
            running.replace(executors);
            let number = generation.number;
            tracing::info!(uid = running.uid(), generation = number, "model moved to the new plugin");
            let content = format!("moved to generation {number} of the plugin {}", generation.manifest().name);
            self.events.note(running.uid(), Severity::Info, "reloaded", content);
        }
    }
}

/// A plugin file that was looked into.
struct Opened {
    /// How long it took.
    took: Duration,
    /// None: the file is gone.
    finding: Option<Result<Finding, PluginError>>,
}

impl Opened {
    fn at(plugins: &Plugins, path: &Path) -> Self {
        let started = Instant::now();
        let finding = path.exists().then(|| plugins.look_into(path));
        Self { took: started.elapsed(), finding }
    }
}

/// A running model and what it moves to.
struct Replacement {
    slot: Arc<Slot>,
    running: Arc<Running>,
    /// Launch options that it was loaded with.
    options: Object,
    executors: Vec<Arc<dyn Executor>>,
}
