//! `syrinx cached` and `remove-cache`: downloaded models of a running server.

use super::{
    Endpoint, Failure, Outcome,
    client::{Client, encoded},
    members, screen, table, text,
};
use clap::Args;
use serde_json::Value;

/// Lists the downloads of a running server.
#[derive(Debug, Args)]
pub(super) struct Cached {
    /// Only this model
    #[arg(long, short = 'n', value_name = "NAME")]
    model_name: Option<String>,
    /// Without a meaning here
    #[arg(long, hide = true)]
    worker_ip: Option<String>,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Cached {
    pub(super) fn run(self) -> Outcome {
        let query = self.model_name.map(|name| format!("?model_name={}", encoded(&name))).unwrap_or_default();
        let cached = Client::new(&self.endpoint).get(&format!("/v1/cache/models{query}"))?;
        let list = &cached["list"];
        if self.json {
            screen::line(format_args!("{list:#}"));
            return Ok(());
        }
        const COLUMNS: [&str; 6] =
            ["model_name", "model_type", "model_format", "quantization", "model_version", "path"];
        let rows: Vec<Vec<String>> =
            members(list).map(|model| COLUMNS.iter().map(|column| cell(&model[*column])).collect()).collect();
        if rows.is_empty() {
            screen::line("There are no cache files.");
        } else {
            table::print(&COLUMNS, &rows);
        }
        Ok(())
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Removes a download of a running server.
#[derive(Debug, Args)]
pub(super) struct RemoveCache {
    /// Version of a model, see `syrinx cached`
    #[arg(long, short = 'n', value_name = "VERSION")]
    model_version: String,
    /// Without a meaning here
    #[arg(long, hide = true)]
    worker_ip: Option<String>,
    /// Don't ask
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl RemoveCache {
    pub(super) fn run(self) -> Outcome {
        let client = Client::new(&self.endpoint);
        let query = format!("?model_version={}", encoded(&self.model_version));
        if !self.check {
            let files = client.get(&format!("/v1/cache/models/files{query}"))?;
            let paths: Vec<String> = members(&files["paths"]).map(text).collect();
            if paths.is_empty() {
                return Err(Failure::new(format!("there is no download of version {}", self.model_version)));
            }
            screen::line(format_args!("To be deleted of {}:", self.model_version));
            paths.iter().for_each(screen::line);
            if !screen::agreed("Do you want to proceed with the deletion? [y/N]: ")? {
                return Err(Failure::new("nothing was deleted"));
            }
        }
        let answer = client.delete(&format!("/v1/cache/models{query}"))?;
        if answer["result"] != true {
            let message = format!("the download of version {} could not be deleted", self.model_version);
            return Err(Failure::new(message));
        }
        screen::line(format_args!("The download of version {} has been deleted.", self.model_version));
        Ok(())
    }
}
