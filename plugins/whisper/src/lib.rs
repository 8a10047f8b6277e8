//! OpenAI Whisper for Syrinx: recognition of a hundred languages, and translation into English.
//!
//! Data flow of a request, see [`pipeline`] and [`recognizer`]: [`frontend`] (log-mel) → [`model`] (encoder, decoder) → [`window`] (prompt, filters and
//! search for 30 s) → [`fallback`] (again, warmer, if implausible) → [`segments`] and [`timing`] (cuts, words) → [`longform`] (the next
//! window) → the sink. Before that, [`vad`] may leave out what is not speech, and [`batched`] decodes pieces of speech side by side. Whatever a request
//! computes with the network goes through the [`scheduler`], which lets it share turns with other requests.

pub mod batched;
pub mod checkpoint;
pub mod config;
pub mod fallback;
pub mod filters;
pub mod frontend;
mod kernels;
pub mod languages;
pub mod longform;
pub mod model;
pub mod options;
pub mod pipeline;
pub mod prompt;
pub mod recognizer;
pub mod scheduler;
pub mod search;
pub mod segments;
pub mod sound;
pub mod text;
pub mod timing;
pub mod tokenizer;
pub mod vad;
pub mod weights;
pub mod window;

use std::sync::Arc;
use std::time::Instant;

use syrinx_plugin_api::{Error, Host, Level, LoadRequest, Manifest, Model, Plugin, export_plugin};

use crate::checkpoint::LoadError;
use crate::config::GenerationConfig;
use crate::model::{LoadOptions, PlaceError, WhisperModel};
use crate::options::LaunchOptions;
use crate::pipeline::LoadedWhisper;
use crate::recognizer::Recognizer;
use crate::tokenizer::{Tokenizer, TokenizerError};
use crate::vad::Silero;

export_plugin!(|| WhisperPlugin);

/// The family.
pub struct WhisperPlugin;

impl Plugin for WhisperPlugin {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "whisper".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: env!("CARGO_PKG_DESCRIPTION").to_owned(),
            license: env!("CARGO_PKG_LICENSE").to_owned(),
            launch_options: LaunchOptions::schema(),
            ..Manifest::default()
        }
    }

    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        let options: LaunchOptions = request.options()?;
        let (place, compute_type) = options.place()?;
        let threads = match (options.threads, request.threads) {
            (Some(threads), _) => threads,
            (None, 0) => LoadOptions::default().threads,
            (None, allotted) => allotted,
        };

        let started = Instant::now();
        host.progress(0.0, "reading weights");
        let model = WhisperModel::load(&request.model_dir, &LoadOptions { threads, compute_type, place })?;
        if host.is_cancelled() {
            return Err(Error::internal("the load was cancelled"));
        }
        host.progress(0.9, "reading the vocabulary");
        let generation = config::read::<GenerationConfig>(&request.model_dir.join("generation_config.json"))
            .map_err(|error| Error::internal(error.to_string()))?
            .unwrap_or_default();
        let vocabulary = request.assets.get(VOCABULARY_ASSET).unwrap_or(&request.model_dir);
        let tokenizer = Tokenizer::load(vocabulary, model.dims().n_vocab, generation.is_multilingual)?;
        let vad = voice_activity(&request, &options, &host)?;
        host.log(Level::Info, &summary(&request.model, &model, &tokenizer, started));
        Ok(Box::new(LoadedWhisper::new(Recognizer::new(Arc::new(model), tokenizer), vad, options)))
    }
}

/// The network that finds speech. A model works without it, so only a file that was named on purpose has to be right.
fn voice_activity(request: &LoadRequest, options: &LaunchOptions, host: &Host) -> Result<Option<Silero>, Error> {
    if let Some(path) = &options.vad_model {
        let silero = Silero::load(path).map_err(|error| Error::invalid_input("vad_model", error.to_string()))?;
        return Ok(Some(silero));
    }
    let Some(dir) = request.assets.get(VAD_ASSET) else {
        host.log(Level::Warn, "Silero VAD is not here: vad_filter and batched are refused");
        return Ok(None);
    };
    Ok(Silero::load(&dir.join(VAD_FILE))
        .inspect_err(|error| host.log(Level::Warn, &format!("vad_filter and batched are refused: {error}")))
        .ok())
}

/// Catalogue asset with Silero VAD.
const VAD_ASSET: &str = "silero-vad";
/// The file in it.
const VAD_FILE: &str = "silero_vad_v6.onnx";

/// Catalogue asset with the vocabulary of a model whose own files have none (checkpoints of openai/whisper).
const VOCABULARY_ASSET: &str = "whisper-vocabulary";

fn summary(name: &str, model: &WhisperModel, tokenizer: &Tokenizer, started: Instant) -> String {
    let dims = model.dims();
    format!(
        "{name}: {} + {} layers of {}, {} mel bins, {}, in {} on {} with {} threads, loaded in {:.2} s",
        dims.encoder_layers,
        dims.decoder_layers,
        dims.d_model,
        dims.n_mels,
        if tokenizer.is_multilingual() {
            format!("{} languages", tokenizer.specials().languages)
        } else {
            "English only".to_owned()
        },
        model.compute_type(),
        model.place().device(),
        model.threads(),
        started.elapsed().as_secs_f64(),
    )
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Place(error) => error.into(),
            LoadError::Device(error) => Self::out_of_resources(error.to_string()),
            error => Self::internal(error.to_string()),
        }
    }
}

impl From<PlaceError> for Error {
    fn from(error: PlaceError) -> Self {
        Self::invalid_input(error.field, error.message)
    }
}

impl From<TokenizerError> for Error {
    fn from(error: TokenizerError) -> Self {
        Self::internal(error.to_string())
    }
}
