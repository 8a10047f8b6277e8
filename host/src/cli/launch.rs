//! `syrinx launch`.

use super::{
    Endpoint, Failure, Outcome,
    client::{self, Client},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};
use std::{thread, time::Duration};

/// Launches a model and waits until it serves. Every further `--key value` goes to the model's plugin as a launch option.
#[derive(Debug, Args)]
pub(super) struct Launch {
    /// Catalogue name, see `syrinx models`
    #[arg(long, short = 'n')]
    model_name: Option<String>,
    /// Catalogue name, for those who type little
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    /// Name to serve under [default: the model's name]
    #[arg(long, short = 'u')]
    model_uid: Option<String>,
    /// Always audio here
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    /// Copies to load
    #[arg(long, short = 'r')]
    replica: Option<usize>,
    /// Pick a quantization that the catalogue offers
    #[arg(long, short = 'q')]
    quantization: Option<String>,
    /// Directory with the model's files, instead of downloading
    #[arg(long, alias = "model_path")]
    model_path: Option<String>,
    /// Return at once instead of waiting
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Launch options of the plugin, as `--key value`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--KEY VALUE")]
    options: Vec<String>,
}

impl Launch {
    pub(super) fn run(self) -> Outcome {
        let client = Client::new(&self.endpoint);
        let name = self
            .model_name
            .or(self.model)
            .ok_or_else(|| Failure::new("which model? Give a MODEL; `syrinx models` lists them"))?;
        let mut body = Map::new();
        body.insert("model_name".to_owned(), json!(name));
        body.insert("model_type".to_owned(), json!(self.model_type));
        body.insert("model_uid".to_owned(), json!(self.model_uid));
        body.insert("replica".to_owned(), json!(self.replica.unwrap_or(1)));
        body.insert("quantization".to_owned(), json!(self.quantization));
        body.insert("model_path".to_owned(), json!(self.model_path));
        body.extend(parse_options(&self.options)?);

        let response = client.post_json("/v1/models?wait_ready=false", &Value::Object(body))?;
        let uid = client::json(response)?["model_uid"].as_str().unwrap_or(&name).to_owned();
        if !self.no_wait {
            wait(&client, &uid)?;
        }
        println!("Model uid: {uid}");
        Ok(())
    }
}

/// Shows the progress of a launch until it is over.
fn wait(client: &Client, uid: &str) -> Outcome {
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {percent}% {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(uid.to_owned());
    loop {
        let instances = client.get(&format!("/v1/models/instances?model_uid={uid}"))?;
        let instance = instances.get(0).cloned().unwrap_or_default();
        match instance["status"].as_str().unwrap_or_default() {
            "READY" => {
                bar.finish_and_clear();
                return Ok(());
            }
            "ERROR" => {
                bar.finish_and_clear();
                let message = instance["replica_statuses"][0]["error_message"].as_str().unwrap_or("the launch failed");
                return Err(Failure::new(message));
            }
            "" | "TERMINATING" | "TERMINATED" => {
                bar.finish_and_clear();
                return Err(Failure::new(format!("`{uid}` was terminated")));
            }
            _ => {}
        }
        let progress = client.get(&format!("/v1/models/{uid}/progress"))?;
        bar.set_position((progress["progress"].as_f64().unwrap_or(0.0) * 1000.0) as u64);
        bar.set_message(progress["stage"].as_str().unwrap_or_default().to_owned());
        thread::sleep(Duration::from_millis(300));
    }
}

/// `--key value` pairs; a key with no value after it is true.
fn parse_options(words: &[String]) -> Result<Map<String, Value>, Failure> {
    let mut options = Map::new();
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let key = word.strip_prefix("--").filter(|key| !key.is_empty()).ok_or_else(|| {
            Failure::new(format!("`{word}` is not an option: launch options are written `--key value`"))
        })?;
        let (key, value) = match key.split_once('=') {
            Some((key, value)) => (key, parse_value(value)),
            None => match words.next_if(|next| !next.starts_with("--")) {
                Some(value) => (key, parse_value(value)),
                None => (key, Value::Bool(true)),
            },
        };
        options.insert(key.replace('-', "_"), value);
    }
    Ok(options)
}

/// Python's words, numbers and JSON mean what they say; everything else is a text.
fn parse_value(text: &str) -> Value {
    match text {
        "None" | "none" | "null" => Value::Null,
        "True" | "true" => Value::Bool(true),
        "False" | "false" => Value::Bool(false),
        _ => match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Number(_) | Value::Object(_) | Value::Array(_))) => value,
            _ => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Value {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Value::Object(parse_options(&words).unwrap())
    }

    #[test]
    fn options() {
        assert_eq!(
            parsed(&["--lang_code", "b", "--compile", "--threads", "2", "--vad-kwargs", "{\"a\": [1]}", "--x=1.5"]),
            json!({"lang_code": "b", "compile": true, "threads": 2, "vad_kwargs": {"a": [1]}, "x": 1.5})
        );
        assert!(parse_options(&["stray".to_owned()]).is_err());
    }
}
