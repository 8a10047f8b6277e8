//! `syrinx list`, `terminate`, `plugins`.

use super::{
    Endpoint, Failure, Outcome,
    client::{Client, encoded},
    members, screen, table, text,
};
use clap::Args;
use serde_json::Value;
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
                    drift(&model["catalogue"]),
                ]
            })
            .collect();
        // One column more where there is something to say.
        let titles = ["UID", "Type", "Name", "State", "Memory", "Used", "Catalogue"];
        let is_current = rows.iter().all(|row| row.last().is_none_or(String::is_empty));
        table::print(if is_current { &titles[..6] } else { &titles }, &rows);
        Ok(())
    }
}

/// What has become of a model's catalogue entry, and what to do.
fn drift(catalogue: &Value) -> String {
    let keys: Vec<String> = members(&catalogue["changed"]).map(text).collect();
    match (catalogue["state"].as_str(), catalogue["needs"].as_str()) {
        (Some("changed"), Some("relaunch")) => format!("changed: {} (launch it again)", keys.join(", ")),
        (Some("changed"), _) => format!("changed: {}", keys.join(", ")),
        (Some("removed"), _) => "removed".to_owned(),
        _ => String::new(),
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
        let rows: Vec<Vec<String>> = members(&data).flat_map(plugin_rows).collect();
        let titles = ["Name", "State", "Version", "ABI", "Generation", "Built by", "SHA-256", "Models", "File"];
        table::print(&titles, &rows);
        for plugin in members(&data) {
            if let Some(error) = plugin["error"].as_str() {
                screen::line(format_args!("\n{}: {error}", text(&plugin["path"])));
            }
        }
        Ok(())
    }
}

/// A plugin's row, and one for each generation of it that isn't over yet.
fn plugin_rows(plugin: &Value) -> Vec<Vec<String>> {
    /// Digits of a digest that tell builds apart.
    const DIGITS: usize = 12;
    let row = |state: String, manifest: &Value, of: &Value| {
        let generation = of["generation"].as_u64().map_or_else(String::new, |number| number.to_string());
        let models: Vec<String> = members(&of["models"]).map(text).collect();
        vec![
            text(&plugin["name"]),
            state,
            text(&manifest["version"]),
            text(&manifest["abi_version"]),
            generation,
            // `rustc 1.95.0 (59807616e 2026-04-14)`: the rest is for JSON.
            text(&manifest["built_with"]).split(" (").next().unwrap_or_default().to_owned(),
            text(&of["sha256"]).chars().take(DIGITS).collect(),
            models.join(" "),
            text(&of["path"]),
        ]
    };
    let state = match (plugin["state"].as_str(), plugin["error"].is_string()) {
        // It serves, but what is in its file now doesn't.
        (Some("active"), true) => "active, new file refused".to_owned(),
        _ => text(&plugin["state"]),
    };
    let draining = members(&plugin["draining"]).map(|old| row("draining".to_owned(), old, old));
    std::iter::once(row(state, &plugin["manifest"], plugin)).chain(draining).collect()
}
