//! One build of a plugin, and who uses it.

use super::{Digest, staging::Staged};
use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::SystemTime,
};
use syrinx_plugin_api::{
    Manifest,
    host_side::{OpenError, PluginLibrary},
};

/// One build of a plugin. What is mapped of it stays mapped for as long as the process lives.
pub struct Generation {
    /// Counts over all plugins, from 1.
    pub number: u64,
    /// Where the file was found; none for a plugin that is linked into the host.
    pub path: Option<PathBuf>,
    /// Of the file's content; none for a plugin that is linked into the host.
    pub digest: Option<Digest>,
    /// When it was found.
    pub loaded_at: SystemTime,
    manifest: Manifest,
    staged: Option<Staged>,
    library: OnceLock<PluginLibrary>,
    opening: Mutex<()>,
    /// Loaded models by uid, and how many copies of each.
    users: Mutex<BTreeMap<String, usize>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts change by one step at a time: a panic elsewhere can't leave them half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Generation {
    pub(super) fn of_file(number: u64, path: PathBuf, digest: Digest, staged: Staged, manifest: Manifest) -> Self {
        Self {
            number,
            path: Some(path),
            digest: Some(digest),
            loaded_at: SystemTime::now(),
            manifest,
            staged: Some(staged),
            library: OnceLock::new(),
            opening: Mutex::default(),
            users: Mutex::default(),
        }
    }

    pub(super) fn built_in(number: u64, library: PluginLibrary) -> Self {
        Self {
            number,
            path: None,
            digest: None,
            loaded_at: SystemTime::now(),
            manifest: library.manifest().clone(),
            staged: None,
            library: OnceLock::from(library),
            opening: Mutex::default(),
            users: Mutex::default(),
        }
    }

    /// What the plugin says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The private copy of its file.
    pub fn staged(&self) -> Option<&Path> {
        self.staged.as_ref().map(Staged::path)
    }

    /// The plugin in this process. Opens it when nobody has yet.
    ///
    /// # Errors
    /// When it can't be opened, although another process could.
    pub fn library(&self) -> Result<&PluginLibrary, OpenError> {
        let _one_at_a_time = lock(&self.opening);
        if let (None, Some(staged)) = (self.library.get(), &self.staged) {
            let _ = self.library.set(PluginLibrary::open(staged.path())?);
        }
        self.library.get().ok_or_else(|| OpenError::NotALibrary("it has no file".to_owned()))
    }

    /// Whether its code is mapped into this process.
    pub(super) fn is_mapped(&self) -> bool {
        self.library.get().is_some()
    }

    /// Uids of the models that it serves.
    pub(crate) fn users(&self) -> Vec<String> {
        lock(&self.users).keys().cloned().collect()
    }

    /// Notes that a copy of the model `uid` is loaded by it, until the note is dropped.
    pub(crate) fn used_by(self: &Arc<Self>, uid: &str) -> InUse {
        *lock(&self.users).entry(uid.to_owned()).or_default() += 1;
        InUse { generation: self.clone(), uid: uid.to_owned() }
    }
}

/// A generation that serves a model.
pub struct InUse {
    generation: Arc<Generation>,
    uid: String,
}

impl Deref for InUse {
    type Target = Generation;

    fn deref(&self) -> &Generation {
        &self.generation
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut users = lock(&self.generation.users);
        if let Some(copies) = users.get_mut(&self.uid) {
            *copies -= 1;
            if *copies == 0 {
                users.remove(&self.uid);
            }
        }
    }
}
