//! `syrinx list`, `terminate`, `plugins`.

use super::{
    Endpoint, Failure, Outcome,
    client::{Client, encoded},
    members, screen, table, text,
};
use clap::Args;
use serde_json::Value;

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
        let rows: Vec<Vec<String>> = members(&data)
            .map(|model| {
                let catalogue = drift(&model["catalogue"]);
                vec![text(&model["id"]), text(&model["model_type"]), text(&model["model_name"]), catalogue]
            })
            .collect();
        // Xinference's columns, and one more where there is something to say.
        let titles = ["UID", "Type", "Name", "Catalogue"];
        let is_current = rows.iter().all(|row| row[3].is_empty());
        table::print(if is_current { &titles[..3] } else { &titles }, &rows);
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
