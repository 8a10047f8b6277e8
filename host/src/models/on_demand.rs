//! Models that come and go: loaded when a request needs them, unloaded when nobody has for a while.

use super::{Launch, LaunchError, LaunchSpec, Leased, ModelError, Models, Severity, Slot, State};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout_at;

/// How often idle models are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How long a failed load answers for the next one. Clients come back at once, and there may be many.
const FAILED: Duration = Duration::from_secs(2);

impl Models {
    /// The model that serves under `uid`, for a request that has to begin by `start_by`. It stays loaded for as long as the
    /// lease is held. A model that is loaded on demand is waited for; however many requests wait, it is loaded once.
    ///
    /// # Errors
    /// When there is none, it isn't there yet, or it can't be loaded.
    pub async fn acquire(self: &Arc<Self>, uid: &str, start_by: Instant) -> Result<Leased, ModelError> {
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        let loading = || ModelError::Loading { uid: uid.to_owned() };
        let unloadable = |error| ModelError::Unloadable { uid: uid.to_owned(), error };
        let slot = self.slot_or_launch(uid)?;
        let mut state = slot.state.subscribe();
        let mut has_waited = false;
        loop {
            let current = state.borrow_and_update().clone();
            match current {
                State::Ready(running) => {
                    if let Some(leased) = running.lease() {
                        return Ok(leased);
                    }
                    // It is being unloaded.
                }
                State::Unloaded(Some(failure)) if has_waited || failure.at.elapsed() < FAILED => {
                    return Err(unloadable(failure.error));
                }
                State::Unloaded(_) => self.load(&slot).map_err(unloadable)?,
                State::Creating | State::Loading if !slot.is_on_demand() => return Err(loading()),
                State::Creating | State::Loading => has_waited = true,
                State::Failed(_) | State::Terminating => return Err(not_found()),
            }
            match timeout_at(start_by.into(), state.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(not_found()),
                Err(_) => return Err(loading()),
            }
        }
    }

    /// The slot of `uid`. A model of the catalogue gets one, if the settings say that requests launch what they name.
    fn slot_or_launch(self: &Arc<Self>, uid: &str) -> Result<Arc<Slot>, ModelError> {
        let there = || self.slot(uid).ok().filter(|slot| !slot.has_failed());
        if let Some(slot) = there() {
            return Ok(slot);
        }
        let not_found = || ModelError::NotFound { uid: uid.to_owned() };
        if !self.settings.auto_launch || self.provision.catalogue().model(uid).is_err() {
            return Err(not_found());
        }
        let spec = LaunchSpec {
            model_name: uid.to_owned(),
            model_uid: Some(uid.to_owned()),
            lazy: true,
            ..LaunchSpec::default()
        };
        match (self.launch(spec), there()) {
            // By us, or by another request in the same moment.
            (Ok(Launch { .. }) | Err(_), Some(slot)) => Ok(slot),
            (Ok(_), None) => Err(not_found()),
            (Err(error), None) => Err(ModelError::Unloadable { uid: uid.to_owned(), error }),
        }
    }

    /// Begins to load an unloaded model, unless somebody else has.
    fn load(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), LaunchError> {
        let plugin = self.plugin_of(&slot.entry)?;
        let begins = slot.state.send_if_modified(|state| {
            let is_unloaded = matches!(state, State::Unloaded(_));
            if is_unloaded {
                *state = State::Creating;
            }
            is_unloaded
        });
        if begins {
            tracing::info!(uid = slot.uid, model = slot.entry.name, "loading for a request");
            self.events.note(&slot.uid, Severity::Info, "loading", "a request needs it");
            tokio::spawn(self.clone().bring_up(slot.clone(), plugin));
        }
        Ok(())
    }

    /// Unloads models that have been idle for as long as they may be, again and again.
    pub async fn unload_idle(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = Instant::now();
            for slot in self.slots() {
                let Some(limit) = slot.idle_limit(self.settings.idle) else { continue };
                let State::Ready(running) = slot.state.borrow().clone() else { continue };
                if is_over(running.idle_since(), limit, now) {
                    let models = self.clone();
                    let reason = format!("idle for {} s", limit.as_secs());
                    // Freeing a large model takes a while.
                    tokio::task::spawn_blocking(move || {
                        // Not kept alive by this.
                        drop(running);
                        models.unload(&slot, &reason);
                    });
                }
            }
        }
    }

    /// Unloads a model unless somebody uses it. Blocks for as long as that takes; a process of its own may end a moment later.
    /// Says whether it did.
    pub(super) fn unload(&self, slot: &Slot, reason: &str) -> bool {
        let Some(running) = slot.unload() else { return false };
        tracing::info!(uid = slot.uid, reason, "model unloaded");
        self.events.note(&slot.uid, Severity::Info, "unloaded", reason.to_owned());
        drop(running);
        true
    }
}

/// Whether a model has been idle for too long.
fn is_over(idle_since: Option<Instant>, limit: Duration, now: Instant) -> bool {
    idle_since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_idle_when_nobody_has_used_it_for_long_enough() {
        let now = Instant::now();
        let limit = Duration::from_secs(60);
        assert!(!is_over(None, limit, now + 10 * limit), "somebody uses it");
        assert!(!is_over(Some(now), limit, now + limit - Duration::from_millis(1)));
        assert!(is_over(Some(now), limit, now + limit));
        assert!(!is_over(Some(now + limit), limit, now), "used after this look began");
    }
}
