//! `syrinx list`, `terminate`, `models`, `plugins`.

use super::{
    Endpoint, Failure, Outcome, Places,
    client::{Client, encoded},
    members, screen, table, text,
};
use clap::Args;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// Lists the models that run.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> Outcome {
        let models = Client::new(&self.endpoint).get("/v1/models")?;
        let data = models["data"].clone();
        if self.json {
            screen::line(format_args!("{data:#}"));
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let ago = |model: &Value| model["last_used"].as_u64().map(|used| format!("{} s ago", now.saturating_sub(used)));
        let state = |model: &Value| match model["pinned"].as_bool() {
            Some(true) => format!("{}, pinned", text(&model["state"])),
            _ => text(&model["state"]),
        };
        let memory = |model: &Value| model["memory_bytes"].as_u64().map(|bytes| format!("{} MB", bytes / 1_000_000));
        let rows: Vec<Vec<String>> = members(&data)
            .map(|model| {
                vec![
                    text(&model["id"]),
                    text(&model["model_type"]),
                    text(&model["model_name"]),
                    state(model),
                    memory(model).unwrap_or_default(),
                    ago(model).unwrap_or_default(),
                ]
            })
            .collect();
        table::print(&["UID", "Type", "Name", "State", "Memory", "Used"], &rows);
        Ok(())
    }
}

/// Terminates a model.
#[derive(Debug, Args)]
pub(super) struct Terminate {
    /// Uid, see `syrinx list`
    #[arg(value_name = "UID", required_unless_present = "model_uid", conflicts_with = "model_uid")]
    uid: Option<String>,
    /// Uid, as Xinference spells it
    #[arg(long, short = 'u')]
    model_uid: Option<String>,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl Terminate {
    pub(super) fn run(self) -> Outcome {
        let uid = self.model_uid.or(self.uid).ok_or_else(|| Failure::new("which model? Give its UID"))?;
        Client::new(&self.endpoint).delete(&format!("/v1/models/{}", encoded(&uid)))?;
        Ok(())
    }
}

/// Lists the catalogue.
#[derive(Debug, Args)]
pub(super) struct Catalogue {
    #[command(flatten)]
    places: Places,
    /// Only check the catalogue files and say what is wrong with them
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Catalogue {
    pub(super) fn run(self) -> Outcome {
        let (catalogue, store) = self.places.open()?;
        if self.check {
            screen::line(format_args!("{} models, no problems", catalogue.models().count()));
            return Ok(());
        }
        let rows: Vec<(String, String, String, bool)> = catalogue
            .models()
            .map(|entry| {
                let abilities: Vec<&str> = entry.abilities.iter().map(|ability| ability.as_str()).collect();
                (entry.name.clone(), entry.family.clone(), abilities.join(" "), store.locate(entry).is_some())
            })
            .collect();
        if self.json {
            let rows: Vec<Value> = rows
                .into_iter()
                .map(|(name, family, ability, cached)| json!({"model_name": name, "model_family": family, "model_ability": ability.split(' ').collect::<Vec<_>>(), "cached": cached}))
                .collect();
            screen::line(format_args!("{:#}", Value::Array(rows)));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|(name, family, ability, cached)| {
                vec![name, family, if cached { "yes" } else { "no" }.to_owned(), ability]
            })
            .collect();
        table::print(&["Name", "Family", "Cached", "Ability"], &rows);
        Ok(())
    }
}

/// Lists the plugins of a running server.
#[derive(Debug, Args)]
pub(super) struct Plugins {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Plugins {
    pub(super) fn run(self) -> Outcome {
        let plugins = Client::new(&self.endpoint).get("/v1/plugins")?;
        let data = plugins["data"].clone();
        if self.json {
            screen::line(format_args!("{data:#}"));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = members(&data)
            .map(|plugin| {
                let detail = match plugin["error"].as_str() {
                    Some(error) => format!("refused: {error}"),
                    None => text(&plugin["manifest"]["description"]),
                };
                vec![
                    text(&plugin["name"]),
                    text(&plugin["state"]),
                    text(&plugin["manifest"]["version"]),
                    text(&plugin["manifest"]["abi_version"]),
                    plugin["generation"].to_string(),
                    detail,
                ]
            })
            .collect();
        table::print(&["Name", "State", "Version", "ABI", "Generation", ""], &rows);
        Ok(())
    }
}
