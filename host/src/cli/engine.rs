//! `syrinx engine`.

use super::{
    Endpoint, Failure, Outcome,
    client::{Client, encoded},
    members, screen, table, text,
};
use clap::Args;
use serde_json::Value;

/// Tells what a model can be launched with.
#[derive(Debug, Args)]
pub(super) struct Engine {
    /// Catalogue name
    #[arg(long, short = 'n', value_name = "NAME")]
    model_name: String,
    /// Type of the model
    #[arg(long, short = 't', default_value = "audio")]
    model_type: String,
    /// Only this engine (also -en)
    #[arg(long, value_name = "ENGINE")]
    model_engine: Option<String>,
    /// Only this format
    #[arg(long, short = 'f', value_name = "FORMAT")]
    model_format: Option<String>,
    /// Without a meaning for audio
    #[arg(long, short = 's', hide = true)]
    model_size_in_billions: Option<String>,
    /// Only this quantization
    #[arg(long, short = 'q')]
    quantization: Option<String>,
    #[command(flatten)]
    endpoint: Endpoint,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Engine {
    pub(super) fn run(self) -> Outcome {
        let path = format!("/v1/engines/{}/{}", encoded(&self.model_type), encoded(&self.model_name));
        let engines = Client::new(&self.endpoint).get(&path)?;
        if self.json {
            screen::line(format_args!("{engines:#}"));
            return Ok(());
        }
        let rows = self.rows(&engines);
        if rows.is_empty() {
            return Err(Failure::new(format!("`{}` can't be launched with that", self.model_name)));
        }
        table::print(&["Name", "Engine", "Format", "Size (in billions)", "Quantization", ""], &rows);
        Ok(())
    }

    fn rows(&self, engines: &Value) -> Vec<Vec<String>> {
        let wanted = |wanted: &Option<String>, given: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(given))
        };
        let mut rows = Vec::new();
        for (engine, sets) in
            engines.as_object().into_iter().flatten().filter(|(name, _)| wanted(&self.model_engine, name))
        {
            // Where an engine can't be used there is a text with the reason.
            if let Some(reason) = sets.as_str() {
                rows.push(vec![
                    self.model_name.clone(),
                    engine.clone(),
                    String::new(),
                    String::new(),
                    String::new(),
                    reason.to_owned(),
                ]);
            }
            for set in members(sets).filter(|set| wanted(&self.model_format, &text(&set["model_format"]))) {
                let quantizations = match &set["quantizations"] {
                    Value::Null => vec![text(&set["quantization"])],
                    list => members(list).map(text).collect(),
                };
                for quantization in quantizations.into_iter().filter(|name| wanted(&self.quantization, name)) {
                    let format = text(&set["model_format"]);
                    // Audio models have no size.
                    let size = String::new();
                    rows.push(vec![self.model_name.clone(), engine.clone(), format, size, quantization, String::new()]);
                }
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use serde_json::json;

    #[test]
    fn parameter_sets_become_rows() {
        let engines = json!({
            "whisper": [{"model_format": "ctranslate2", "quantizations": ["none", "int8"]}, {"model_format": "pytorch", "quantization": "none"}],
            "MLX": "not on this machine",
        });
        let rows = |line: &str| match Cli::of(line.split(' ').map(Into::into)).unwrap().command {
            Command::Engine(engine) => engine.rows(&engines).into_iter().map(|row| row.join("|")).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        let all = [
            "m|MLX||||not on this machine",
            "m|whisper|ctranslate2||none|",
            "m|whisper|ctranslate2||int8|",
            "m|whisper|pytorch||none|",
        ];
        assert_eq!(rows("syrinx engine -n m"), all);
        assert_eq!(rows("syrinx engine -n m -en Whisper -q int8"), [all[2]]);
    }
}
