//! Moving running models to a new generation of their plugin.

use super::{Executor, Models, Running, Severity, Slot, State, loading::Report};
use crate::plugins::{Generation, PluginError, is_plugin_file, watch::Watch};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

impl Models {
    /// Loads every plugin file in `dirs`, in the order of their names. Blocks.
    ///
    /// # Errors
    /// When a directory can't be read. A file that is no plugin is logged and shown in the reports.
    pub fn load_plugins(&self, dirs: &[PathBuf]) -> std::io::Result<()> {
        for dir in dirs {
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
            paths.sort();
            for path in paths {
                self.plugin_file_changed(&path);
            }
        }
        Ok(())
    }

    /// From now on, acts on every plugin file in `dirs` that is new, changed or gone.
    ///
    /// # Errors
    /// When a directory can't be watched.
    pub fn watch_plugins(self: &Arc<Self>, dirs: &[PathBuf]) -> notify::Result<Watch> {
        let models = self.clone();
        Watch::start(dirs, move |path| models.plugin_file_changed(path))
    }

    /// Looks at a plugin file that is new, changed or gone, and acts on it: stage → load → check → start replacements for
    /// running models → swap → let the old generation finish. Any failure before the swap leaves the old generation
    /// serving. Blocks for as long as loading takes.
    pub fn plugin_file_changed(&self, path: &Path) {
        if !is_plugin_file(path) {
            return;
        }
        if !path.exists() {
            tracing::info!(path = %path.display(), "plugin file is gone; running models go on");
            self.plugins().forget(path);
            return;
        }
        match self.adopt(path) {
            Ok(Some(generation)) => {
                let manifest = generation.manifest();
                tracing::info!(
                    plugin = manifest.name,
                    version = manifest.version,
                    generation = generation.number,
                    path = %path.display(),
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

    fn adopt(&self, path: &Path) -> Result<Option<Arc<Generation>>, PluginError> {
        let Some(generation) = self.plugins().open(path)? else { return Ok(None) };
        let generation = Arc::new(generation);
        let name = &generation.manifest().name;
        let replacements = self.replacements(name, &generation)?;
        self.plugins().activate(generation.clone());
        self.swap(replacements, &generation);
        // Launches that had begun with the old generation may have become ready meanwhile; there is no way back for them.
        match self.replacements(name, &generation) {
            Ok(replacements) => self.swap(replacements, &generation),
            Err(error) => tracing::error!(%error, "a model stays with the old plugin"),
        }
        Ok(Some(generation))
    }

    /// Loads every running model of `plugin` that another generation serves, with `generation`.
    fn replacements(&self, plugin: &str, generation: &Arc<Generation>) -> Result<Vec<Replacement>, PluginError> {
        let outdated: Vec<(Arc<Slot>, Arc<Running>)> = self
            .table()
            .values()
            .filter(|slot| slot.entry.plugin == plugin)
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
                let executors = self
                    .load_replicas(&slot, &slot.options(), generation, &silent)
                    .map_err(|error| PluginError::Replacement { uid: slot.uid.clone(), reason: error.to_string() })?;
                Ok(Replacement { running, executors })
            })
            .collect()
    }

    fn swap(&self, replacements: Vec<Replacement>, generation: &Generation) {
        for Replacement { running, executors } in replacements {
            running.replace(executors);
            let number = generation.number;
            tracing::info!(uid = running.uid(), generation = number, "model moved to the new plugin");
            let content = format!("moved to generation {number} of the plugin {}", generation.manifest().name);
            self.events.note(running.uid(), Severity::Info, "reloaded", content);
        }
    }
}

/// A running model and what it moves to.
struct Replacement {
    running: Arc<Running>,
    executors: Vec<Arc<dyn Executor>>,
}
