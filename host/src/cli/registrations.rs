//! `syrinx registrations`, `register`, `unregister`: the catalogue of a running server.

use super::{
    Endpoint, Failure, Outcome,
    client::{Client, encoded},
    members, screen, table, text, truth,
};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Lists what a running server can launch.
#[derive(Debug, Args)]
pub(super) struct Registrations {
    /// Type of models; there are only audio models here
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Registrations {
    pub(super) fn run(self) -> Outcome {
        let path = format!("/v1/model_registrations/{}?detailed=true", encoded(&self.model_type));
        let list = Client::new(&self.endpoint).get(&path)?;
        if self.json {
            screen::line(format_args!("{list:#}"));
            return Ok(());
        }
        let rows: Vec<Vec<String>> = members(&list)
            .map(|model| {
                vec![
                    self.model_type.clone(),
                    text(&model["model_name"]),
                    text(&model["model_family"]),
                    truth(&model["multilingual"]),
                    truth(&model["is_builtin"]),
                ]
            })
            .collect();
        table::print(&["Type", "Name", "Family", "Multilingual", "Is-built-in"], &rows);
        Ok(())
    }
}

/// Adds a model of your own to a running server.
#[derive(Debug, Args)]
pub(super) struct Register {
    /// Type of the model; there are only audio models here
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    /// JSON file that describes it
    #[arg(long, short = 'f', value_name = "FILE")]
    file: PathBuf,
    /// Keep it beyond the end of the server
    #[arg(long, short = 'p')]
    persist: bool,
    /// Without a meaning here
    #[arg(long, short = 'w', hide = true)]
    worker_ip: Option<String>,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl Register {
    pub(super) fn run(self) -> Outcome {
        let model = std::fs::read_to_string(&self.file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", self.file.display())))?;
        let body = json!({"model": model, "worker_ip": self.worker_ip, "persist": self.persist});
        let path = format!("/v1/model_registrations/{}", encoded(&self.model_type));
        Client::new(&self.endpoint).post_json(&path, &body)?;
        Ok(())
    }
}

/// Removes a model of your own from a running server. Its files stay.
#[derive(Debug, Args)]
pub(super) struct Unregister {
    /// Type of the model
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    /// Name of the model
    #[arg(long, short = 'n', value_name = "NAME")]
    model_name: String,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl Unregister {
    pub(super) fn run(self) -> Outcome {
        let path = format!("/v1/model_registrations/{}/{}", encoded(&self.model_type), encoded(&self.model_name));
        Client::new(&self.endpoint).delete(&path)?;
        Ok(())
    }
}
