//! What a changed entry means for a model that was launched from the old one.

use serde::Serialize;

use super::entry::ModelEntry;

/// What has to be done so that a change of an entry reaches a model that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// The model doesn't use what has changed.
    Nothing,
    /// It was loaded with the old values and keeps them until it is terminated and launched again.
    Relaunch,
}

/// The difference between the entry that a model was launched from and the one that the catalogue has now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryChange {
    /// What it takes to apply it.
    pub needs: Needs,
    /// Keys of the entry with other values, as they are written in the file.
    pub keys: Vec<&'static str>,
}

impl ModelEntry {
    /// How `now` differs from this entry; none when it says the same.
    pub fn change_to(&self, now: &Self) -> Option<EntryChange> {
        let loaded = [
            ("family", self.family != now.family),
            ("plugin", self.plugin != now.plugin),
            ("abilities", self.abilities != now.abilities),
            ("multilingual", self.multilingual != now.multilingual),
            ("languages", self.languages != now.languages),
            ("default_model_config", self.default_model_config != now.default_model_config),
            ("launch_defaults", self.launch_defaults != now.launch_defaults),
            ("default_transcription_config", self.default_transcription_config != now.default_transcription_config),
            ("request_defaults", self.request_defaults != now.request_defaults),
            ("assets", self.assets != now.assets),
            ("runtimes", self.runtimes != now.runtimes),
            ("source", self.sources != now.sources),
        ];
        let only_shown = [
            ("aliases", self.aliases != now.aliases),
            ("description", self.description != now.description),
            ("license", self.license != now.license),
            ("huggingface", self.huggingface != now.huggingface),
            ("modelscope", self.modelscope != now.modelscope),
        ];
        let needs = if loaded.iter().any(|(_, differs)| *differs) { Needs::Relaunch } else { Needs::Nothing };
        let keys: Vec<&str> =
            loaded.into_iter().chain(only_shown).filter_map(|(key, differs)| differs.then_some(key)).collect();
        (!keys.is_empty()).then_some(EntryChange { needs, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalogue;

    #[test]
    fn what_was_loaded_needs_a_relaunch_and_what_is_only_shown_does_not() {
        let old = Catalogue::builtin().model("whisper-base").unwrap();
        assert_eq!(old.change_to(&old), None);
        let mut new = ModelEntry { description: Some("another".to_owned()), builtin: false, ..(*old).clone() };
        assert_eq!(old.change_to(&new), Some(EntryChange { needs: Needs::Nothing, keys: vec!["description"] }));
        new.launch_defaults.insert("compute_type".to_owned(), "int8".into());
        let both = EntryChange { needs: Needs::Relaunch, keys: vec!["launch_defaults", "description"] };
        assert_eq!(old.change_to(&new), Some(both));
        new = (*old).clone();
        new.sources.pop();
        assert_eq!(old.change_to(&new), Some(EntryChange { needs: Needs::Relaunch, keys: vec!["source"] }));
    }
}
