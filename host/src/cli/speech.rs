//! `syrinx transcribe` and `syrinx speak`.

use super::{Endpoint, Failure, Outcome, client::Client, screen};
use clap::Args;
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::PathBuf,
};
use ureq::unversioned::multipart::Form;

/// Writes down what is said in an audio file.
#[derive(Debug, Args)]
pub(super) struct Transcribe {
    /// Audio file in any format that the server reads
    file: PathBuf,
    /// Uid of a running model [default: the first one that transcribes]
    #[arg(long, short)]
    model: Option<String>,
    /// Language spoken [default: found out]
    #[arg(long, short)]
    language: Option<String>,
    /// Translate to English
    #[arg(long)]
    translate: bool,
    /// text, json, srt, vtt or verbose_json
    #[arg(long, short, default_value = "text")]
    format: String,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl Transcribe {
    pub(super) fn run(self) -> Outcome {
        let client = Client::new(&self.endpoint);
        let model = pick(&client, self.model, "audio2text")?;
        let mut form = Form::new()
            .text("model", &model)
            .text("response_format", &self.format)
            .file("file", &self.file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", self.file.display())))?;
        if let Some(language) = &self.language {
            form = form.text("language", language);
        }
        let route = if self.translate { "/v1/audio/translations" } else { "/v1/audio/transcriptions" };
        let mut response = client.post_form(route, form)?;
        let text = response.body_mut().read_to_string().map_err(|error| Failure::new(error.to_string()))?;
        screen::line(format_args!("{}", text.trim_end()));
        Ok(())
    }
}

/// Speaks a text into an audio file.
#[derive(Debug, Args)]
pub(super) struct Speak {
    /// What to say; `-` reads it from standard input
    text: String,
    /// File to write; its ending decides the format (mp3, wav, flac, opus, aac, pcm); `-` writes to standard output
    #[arg(long, short, default_value = "speech.wav")]
    output: PathBuf,
    /// Uid of a running model [default: the first one that speaks]
    #[arg(long, short)]
    model: Option<String>,
    /// Voice [default: the model's]
    #[arg(long, short)]
    voice: Option<String>,
    /// 0.25 to 4
    #[arg(long, short)]
    speed: Option<f64>,
    #[command(flatten)]
    endpoint: Endpoint,
}

impl Speak {
    pub(super) fn run(self) -> Outcome {
        let client = Client::new(&self.endpoint);
        let model = pick(&client, self.model, "text2audio")?;
        let mut input = self.text;
        if input == "-" {
            input.clear();
            io::stdin().read_to_string(&mut input).map_err(|error| Failure::new(error.to_string()))?;
        }
        let to_stdout = self.output.as_os_str() == "-";
        let format =
            self.output.extension().map_or_else(|| "wav".to_owned(), |ending| ending.to_string_lossy().into_owned());
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(model));
        body.insert("input".to_owned(), json!(input));
        body.insert("response_format".to_owned(), json!(format));
        if let Some(voice) = self.voice {
            body.insert("voice".to_owned(), json!(voice));
        }
        if let Some(speed) = self.speed {
            body.insert("speed".to_owned(), json!(speed));
        }
        let response = client.post_json("/v1/audio/speech", &Value::Object(body))?;
        let mut audio = response.into_body().into_reader();
        let written = if to_stdout {
            let mut out = io::stdout().lock();
            io::copy(&mut audio, &mut out).and_then(|bytes| out.flush().map(|()| bytes))
        } else {
            File::create(&self.output).and_then(|mut file| io::copy(&mut audio, &mut file))
        };
        let bytes =
            written.map_err(|error| Failure::new(format!("cannot write {}: {error}", self.output.display())))?;
        if !to_stdout {
            screen::line(format_args!("{} ({bytes} bytes)", self.output.display()));
        }
        Ok(())
    }
}

/// The model named, or the first running one with the ability.
fn pick(client: &Client, model: Option<String>, ability: &str) -> Result<String, Failure> {
    if let Some(model) = model {
        return Ok(model);
    }
    let models = client.get("/v1/models")?;
    let able = |model: &&Value| {
        model["model_ability"]
            .as_array()
            .is_some_and(|abilities| abilities.iter().any(|one| one.as_str() == Some(ability)))
    };
    models["data"]
        .as_array()
        .into_iter()
        .flatten()
        .find(able)
        .and_then(|model| model["id"].as_str())
        .map(ToOwned::to_owned)
        .ok_or_else(|| {
            Failure::new(format!(
                "no model with the ability {ability} is running; launch one with `syrinx launch MODEL`"
            ))
        })
}
