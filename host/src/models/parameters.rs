//! `POST …/reload`: a running model gets other launch options. It is loaded once more beside the old one, which serves until
//! the new one is ready; what fails leaves everything as it was.

use super::{LaunchError, ModelError, Models, Severity, Slot, State, loading::Report};
use crate::{plugins::Generation, schema};
use std::{
    sync::{Arc, PoisonError},
    time::SystemTime,
};
use syrinx_plugin_api::Object;

/// How a reload went or goes.
#[derive(Clone, Debug)]
pub struct ReloadStatus {
    /// Names this one.
    pub operation_id: String,
    /// When it was asked for.
    pub started: SystemTime,
    /// When it was over.
    pub finished: Option<SystemTime>,
    /// What went wrong.
    pub error: Option<LaunchError>,
}

/// Why a reload isn't begun.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is no such model, or none yet.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An option can't be used, or the plugin is gone.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// One after the other.
    #[error("the model `{uid}` is being reloaded already")]
    Busy {
        /// The model.
        uid: String,
    },
}

impl Models {
    /// The options that `uid` can be reloaded with, as a JSON Schema, and those that it has.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn reload_options(&self, uid: &str) -> Result<(Object, Object), ModelError> {
        self.running(uid)?;
        let slot = self.slot(uid)?;
        let schema = self.plugins.current(&slot.entry.plugin).map(|plugin| plugin.manifest().launch_options.clone());
        Ok((schema.unwrap_or_default(), slot.options()))
    }

    /// The latest reload of `uid`, if there was one.
    ///
    /// # Errors
    /// When it doesn't run.
    pub fn reload_status(&self, uid: &str) -> Result<Option<ReloadStatus>, ModelError> {
        self.running(uid)?;
        let slot = self.slot(uid)?;
        let status = slot.reload.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(status)
    }

    /// Begins to reload `uid` with `changes` over the options that it has; a null takes an option back to its default.
    ///
    /// # Errors
    /// Nothing has begun then.
    pub fn reload(self: &Arc<Self>, uid: &str, changes: &Object) -> Result<ReloadStatus, ReloadError> {
        self.running(uid)?;
        let slot = self.slot(uid)?;
        let plugin = self.plugin_of(&slot.entry)?;
        let options = changed(&slot, &plugin, changes)?;
        let status = ReloadStatus {
            operation_id: uuid::Uuid::new_v4().to_string(),
            started: SystemTime::now(),
            finished: None,
            error: None,
        };
        {
            let mut current = slot.reload.lock().unwrap_or_else(PoisonError::into_inner);
            if current.as_ref().is_some_and(|status| status.finished.is_none()) {
                return Err(ReloadError::Busy { uid: uid.to_owned() });
            }
            *current = Some(status.clone());
        }
        tracing::info!(uid, "reloading with other options");
        let models = self.clone();
        tokio::spawn(async move { models.carry_out(slot, plugin, options).await });
        Ok(status)
    }

    async fn carry_out(self: Arc<Self>, slot: Arc<Slot>, plugin: Arc<Generation>, options: Object) {
        let loaded = {
            let (models, slot, plugin) = (self.clone(), slot.clone(), plugin.clone());
            let place = self.loading.clone().acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _place = place;
                let silent: Report = Arc::new(|_, _, _| ());
                let executors = models.load_replicas(&slot, &options, &plugin, &silent)?;
                let state = slot.state.borrow().clone();
                let State::Ready(running) = state else {
                    return Err(LaunchError::Cancelled { uid: slot.uid.clone() });
                };
                slot.set_options(options);
                running.replace(executors);
                Ok(())
            })
        };
        let outcome =
            loaded.await.unwrap_or_else(|_| Err(LaunchError::Internal("loading the model failed".to_owned())));
        match &outcome {
            Ok(()) => {
                tracing::info!(uid = slot.uid, "model reloaded");
                self.events.note(&slot.uid, Severity::Info, "reloaded", "serves with other options");
                // Its plugin may have been replaced meanwhile.
                self.catch_up(&plugin);
            }
            Err(error) => {
                tracing::warn!(uid = slot.uid, %error, "reload failed; the model goes on as it was");
                let content = format!("the reload failed, the model goes on as it was: {}", error.told());
                self.events.note(&slot.uid, Severity::Error, "error", content);
            }
        }
        let mut status = slot.reload.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = status.as_mut() {
            status.finished = Some(SystemTime::now());
            status.error = outcome.err();
        }
    }
}

/// The slot's options with `changes`.
fn changed(slot: &Slot, plugin: &Generation, changes: &Object) -> Result<Object, LaunchError> {
    let schema = &plugin.manifest().launch_options;
    let known: Vec<&String> = schema
        .get("properties")
        .and_then(|properties| properties.as_object())
        .into_iter()
        .flat_map(Object::keys)
        .collect();
    if let Some(unknown) = changes.keys().find(|name| !known.contains(name)) {
        let known: Vec<&str> = known.iter().map(|name| name.as_str()).collect();
        let unknown: String = unknown.chars().take(80).collect();
        let message = format!(
            "`model_config` has `{unknown}`, which is no launch option of {}; there are {}",
            slot.entry.plugin,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        );
        return Err(LaunchError::invalid("model_config", message));
    }
    let checked = schema::check(schema, changes)
        .map_err(|mismatch| LaunchError::invalid(&mismatch.field, mismatch.to_string()))?;
    let mut options = slot.options();
    let defaults = slot.entry.launch_options();
    for (name, _) in changes.iter().filter(|(_, value)| value.is_null()) {
        match defaults.get(name).filter(|value| !value.is_null()) {
            Some(default) => options.insert(name.clone(), default.clone()),
            None => options.remove(name),
        };
    }
    options.extend(checked);
    Ok(options)
}
