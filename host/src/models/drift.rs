//! Running models whose catalogue entry says something else by now.

use super::{ModelStatus, Models, Severity, State};
use syrinx_registry::{Catalogue, EntryChange, Needs};

/// What has become of the entry that a model was launched from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It says the same.
    None,
    /// It says something else.
    Changed(EntryChange),
    /// It is gone. The model goes on, and can't be launched again.
    Removed,
}

impl Drift {
    fn of(status: &ModelStatus, catalogue: &Catalogue) -> Self {
        // By name alone: an alias of another entry isn't this one.
        match catalogue.models().find(|entry| entry.name == status.entry.name) {
            None => Self::Removed,
            Some(now) => status.entry.change_to(now).map_or(Self::None, Self::Changed),
        }
    }
}

impl Models {
    /// What has become of a model's entry.
    pub fn drift(&self, status: &ModelStatus) -> Drift {
        Drift::of(status, &self.provision.catalogue())
    }

    /// Tells for each model that runs what a new catalogue means for it.
    pub fn catalogue_changed(&self, before: &Catalogue, now: &Catalogue) {
        for status in self.statuses().iter().filter(|status| matches!(status.state, State::Ready(_))) {
            let drift = Drift::of(status, now);
            if drift == Drift::of(status, before) {
                continue;
            }
            let told = match &drift {
                Drift::None => "its catalogue entry says again what it was launched with".to_owned(),
                Drift::Removed => "its catalogue entry is gone; it goes on, but can't be launched again".to_owned(),
                Drift::Changed(EntryChange { needs: Needs::Nothing, keys }) => {
                    format!("its catalogue entry has changed ({}); nothing has to be done", keys.join(", "))
                }
                Drift::Changed(EntryChange { needs: Needs::Relaunch, keys }) => format!(
                    "its catalogue entry has changed ({}); terminate and launch it again to apply that",
                    keys.join(", ")
                ),
            };
            tracing::info!(uid = status.uid, "{told}");
            self.events.note(&status.uid, Severity::Info, "catalogue", told);
        }
    }
}
