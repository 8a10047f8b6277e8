//! A loaded recogniser with its companions.

use std::path::{Path, PathBuf};

use syrinx_plugin_api::{
    Ability, Error, Granularity, Host, Level, LoadRequest, Model, ModelCard, Object, TranscribeRequest, TranscriptSink,
};
use syrinx_plugin_common::kernels::Isa;
use syrinx_plugin_common::onnx::{Device, OnnxError, Runtime, SessionOptions, Severity, find_library};

use crate::accelerate::{NetworkOptions, Precision};
use crate::asr::hotwords;
use crate::asr::paraformer::{Hotwords, Paraformer};
use crate::asr::sensevoice::{self, SenseVoice};
use crate::config::{ModelFiles, RecognizerConfig};
use crate::error::FunasrError;
use crate::frontend::Frontend;
use crate::options::{Dtype, LaunchOptions, RequestParameters, schema_without};
use crate::punctuation::Punctuator;
use crate::speakers::embedder::Embedder;
use crate::vad::Vad;

/// Name of the runtime that the host provisions.
pub const RUNTIME: &str = "onnxruntime";
/// Samples per second.
pub const SAMPLE_RATE: u32 = 16_000;
/// What switches a companion off.
const OFF: [&str; 4] = ["", "none", "null", "false"];
/// Models whose words have times, for messages.
pub(crate) const WITH_TIMESTAMPS: &str =
    "paraformer-zh-long, paraformer-zh-spk, seaco-paraformer-zh and SenseVoiceSmall give them";
/// Models that take hot words, for messages.
const WITH_HOTWORDS: &str = "paraformer-zh-hotword and seaco-paraformer-zh do";
/// Models that tell speakers apart, for messages.
pub(crate) const WITH_SPEAKERS: &str =
    "paraformer-zh-spk can, and paraformer-zh-long and seaco-paraformer-zh with the launch option spk_model \"cam++\"";

/// What recognises.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a model has one")]
pub enum Recognizer {
    /// Paraformer and its variants.
    Paraformer(Paraformer),
    /// SenseVoice.
    SenseVoice(SenseVoice),
}

impl Recognizer {
    /// Loads whichever it is.
    ///
    /// # Errors
    /// Files are missing or something else.
    pub fn load(
        runtime: &Runtime,
        files: &ModelFiles,
        quantized: bool,
        options: &NetworkOptions,
    ) -> Result<Self, FunasrError> {
        let class = files.config::<RecognizerConfig>()?.model;
        let has_pieces = files
            .find("tokenizer_conf/bpemodel", &["chn_jpn_yue_eng_ko_spectok.bpe.model"])
            .is_some_and(|path| path.extension().is_some_and(|extension| extension == "model"));
        match class.as_deref() {
            Some("SenseVoiceSmall") => Ok(Self::SenseVoice(SenseVoice::load(runtime, files, quantized, options)?)),
            None if has_pieces => Ok(Self::SenseVoice(SenseVoice::load(runtime, files, quantized, options)?)),
            Some(other) if !other.to_lowercase().contains("paraformer") => {
                let reason = format!(
                    "is a model of the class {other}; this plugin runs Paraformer, BiCifParaformer, ContextualParaformer, \
                     SeacoParaformer and SenseVoiceSmall"
                );
                Err(FunasrError::file(files.directory(), reason))
            }
            _ => Ok(Self::Paraformer(Paraformer::load(runtime, files, quantized, options)?)),
        }
    }

    /// Whether units of text have times.
    #[must_use]
    pub fn has_timestamps(&self) -> bool {
        match self {
            Self::Paraformer(paraformer) => paraformer.has_timestamps(),
            Self::SenseVoice(_) => true,
        }
    }
}

/// The front end of a recogniser.
///
/// # Errors
/// Statistics are missing or of another width.
pub fn frontend(files: &ModelFiles) -> Result<Frontend, FunasrError> {
    let config = files.config::<RecognizerConfig>()?;
    let cmvn = files.need("statistics", "frontend_conf/cmvn_file", &["am.mvn"])?;
    Frontend::load(&config.frontend_conf, Some(&cmvn))
}

/// A recogniser, its companions, and what the launch chose.
pub struct Funasr {
    pub(crate) frontend: Frontend,
    pub(crate) recognizer: Recognizer,
    pub(crate) vad: Option<Vad>,
    pub(crate) punctuator: Option<Punctuator>,
    pub(crate) speakers: Option<Embedder>,
    /// Hot words of requests that name none.
    pub(crate) hotwords: Option<Hotwords>,
    pub(crate) options: LaunchOptions,
    pub(crate) host: Host,
    pub(crate) device: Device,
    dtype: &'static str,
    max_concurrency: usize,
}

impl Funasr {
    /// Loads what `request` describes.
    ///
    /// # Errors
    /// Options that don't fit, ONNX Runtime missing, files missing or broken.
    pub fn load(request: &LoadRequest, host: &Host) -> Result<Self, Error> {
        let options: LaunchOptions = request.options()?;
        let device: Device = options
            .device
            .as_deref()
            .filter(|device| !matches!(*device, "auto" | ""))
            .unwrap_or("cpu")
            .parse()
            .map_err(|reason: String| Error::invalid_input("device", reason))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.or(options.ncpu).unwrap_or(request.threads);
        let threads = if threads == 0 { cores.min(4) } else { threads };
        let dtype = options.dtype.unwrap_or_default();
        let quantized = options.quantize.unwrap_or(true) && dtype != Dtype::Float32;
        if dtype == Dtype::Int8 && device != Device::Cpu {
            return Err(Error::invalid_input("dtype", "int8 is for the processor: leave out dtype on other devices"));
        }
        // Where there are no vectors the runtime does the products, in the numbers of the files.
        let quantizes = dtype == Dtype::Int8 && Isa::best().has_vectors();
        let precision = if quantizes { Precision::Int8 } else { Precision::Kept };

        host.progress(0.0, "loading ONNX Runtime");
        let provided = host.runtime_library(RUNTIME);
        let library = find_library(options.onnxruntime.as_deref(), provided.as_deref()).map_err(library_error)?;
        let log = host.clone();
        let runtime = Runtime::load_logging(&library, move |severity, message| log.log(level_of(severity), message));
        let runtime = runtime.map_err(library_error)?;
        if runtime.library() != library {
            let message =
                format!("ONNX Runtime is already loaded from {}; that one is used", runtime.library().display());
            host.log(Level::Warn, &message);
        }
        let session = SessionOptions { device, threads, ..SessionOptions::default() };
        let networks = NetworkOptions { session, precision };

        host.progress(0.05, "loading the recogniser");
        let files = ModelFiles::open(&request.model_dir).map_err(load_error)?;
        let recognizer = Recognizer::load(&runtime, &files, quantized, &networks).map_err(load_error)?;
        if matches!(&recognizer, Recognizer::Paraformer(paraformer) if paraformer.is_alone()) {
            let message = "tokens are made by loops of the graph that are run as they are: utterances are recognised one at a time";
            host.log(Level::Warn, message);
        }
        let frontend = frontend(&files).map_err(load_error)?;
        let cancelled = || if host.is_cancelled() { Err(Error::internal("the load was cancelled")) } else { Ok(()) };
        let hotwords = options.hotword_file.as_deref().map(|path| file_words(&recognizer, path)).transpose()?.flatten();
        cancelled()?;

        host.progress(0.7, "loading the voice activity detector");
        // Companions run a few milliseconds at a time: more threads only get in each other's way.
        let small = SessionOptions { threads: 1, ..networks.session.clone() };
        let small = NetworkOptions { session: small, precision: Precision::Kept };
        let vad = companion(request, "vad_model", options.vad_model.as_deref(), "fsmn-vad", host)?
            .map(|files| {
                Vad::load(&runtime, &files, quantized, &small).map_err(|error| companion_error("vad_model", &error))
            })
            .transpose()?;
        cancelled()?;
        host.progress(0.8, "loading the punctuation model");
        let punctuator = companion(request, "punc_model", options.punc_model.as_deref(), "ct-punc", host)?
            .map(|files| {
                Punctuator::load(&runtime, &files, quantized, &networks)
                    .map_err(|error| companion_error("punc_model", &error))
            })
            .transpose()?;
        cancelled()?;
        host.progress(0.9, "loading the speaker encoder");
        let asked = options.spk_model.as_deref();
        let speakers = companion(request, "spk_model", asked, "cam++", host)?;
        if asked.is_some_and(|name| !is_off(name)) && !recognizer.has_timestamps() {
            let message =
                format!("{} has no timestamps, so it can't tell speakers apart: {WITH_SPEAKERS}", request.model);
            return Err(Error::invalid_input("spk_model", message));
        }
        let speakers = speakers
            .filter(|_| recognizer.has_timestamps())
            .map(|files| {
                Embedder::load(&runtime, &files, &networks).map_err(|error| companion_error("spk_model", &error))
            })
            .transpose()?;
        if speakers.is_some() && vad.is_none() {
            let message = "speakers are told apart by stretches of speech: vad_model can't be \"none\" with spk_model";
            return Err(Error::invalid_input("vad_model", message));
        }
        let is_quantized = quantizes
            || files.graph("model", quantized).is_some_and(|path| path.to_string_lossy().ends_with("_quant.onnx"));
        Ok(Self {
            frontend,
            recognizer,
            vad,
            punctuator,
            speakers,
            hotwords,
            max_concurrency: options.max_concurrency.unwrap_or_else(|| cores.clamp(2, 4)),
            options,
            host: host.clone(),
            device,
            dtype: if is_quantized { "int8" } else { "float32" },
        })
    }

    /// Whether it takes hot words.
    #[must_use]
    pub fn takes_hotwords(&self) -> bool {
        matches!(&self.recognizer, Recognizer::Paraformer(paraformer) if paraformer.takes_hotwords())
    }

    /// What the host tells of this model's request parameters, and who can do what it can't.
    fn schema(&self) -> Object {
        let mut schema = schema_without::<RequestParameters>(&self.foreign_parameters());
        let mut elsewhere = Object::new();
        if self.speakers.is_none() {
            elsewhere.insert("speakers".to_owned(), WITH_SPEAKERS.into());
        }
        if !self.recognizer.has_timestamps() {
            elsewhere.insert("words".to_owned(), WITH_TIMESTAMPS.into());
        }
        schema.insert("x-elsewhere".to_owned(), elsewhere.into());
        schema
    }

    /// Parameters that this model doesn't have.
    fn foreign_parameters(&self) -> Vec<&'static str> {
        let mut foreign = Vec::new();
        if !self.takes_hotwords() {
            foreign.extend(["hotword", "keywords", "clas_scale"]);
        }
        if matches!(self.recognizer, Recognizer::Paraformer(_)) {
            foreign.extend(["use_itn", "ban_emo_unk", "emoji"]);
        }
        if self.punctuator.is_none() {
            foreign.push("split_size");
        }
        if self.vad.is_none() {
            foreign.extend([
                "merge_vad",
                "merge_length_s",
                "max_end_silence_time",
                "vad_silence_duration_ms",
                "dynamic_silence",
            ]);
        }
        foreign
    }
}

/// The server's level for what ONNX Runtime says.
fn level_of(severity: Severity) -> Level {
    match severity {
        Severity::Debug => Level::Debug,
        Severity::Info => Level::Info,
        Severity::Warning => Level::Warn,
    }
}

/// The hot words in a file.
fn file_words(recognizer: &Recognizer, path: &Path) -> Result<Option<Hotwords>, Error> {
    let refused = |reason: String| Error::invalid_input("hotword_file", reason);
    let paraformer = match recognizer {
        Recognizer::Paraformer(paraformer) if paraformer.takes_hotwords() => paraformer,
        _ => return Err(refused(format!("this model takes no hot words: {WITH_HOTWORDS}"))),
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(format!("{}: {error}", path.display())))?;
    let words = hotwords::tokenize(&text, true, paraformer.spelling(), paraformer.tokens());
    let words = words.map_err(|error| refused(format!("{}: {error}", path.display())))?;
    paraformer.embed(&words, 1.0).map_err(load_error)
}

fn is_off(name: &str) -> bool {
    OFF.contains(&name.trim().to_lowercase().as_str())
}

/// The directory of a companion: what the option names (an asset of the catalogue, a hub's name of it, or a path), none where it is
/// switched off. Without the option, only the voice activity detector is taken, if it is there.
fn companion(
    request: &LoadRequest,
    field: &str,
    option: Option<&str>,
    asset: &str,
    host: &Host,
) -> Result<Option<ModelFiles>, Error> {
    let Some(name) = option else {
        let found = request.assets.get(asset).filter(|_| field == "vad_model");
        if found.is_none() && field == "vad_model" {
            host.log(Level::Warn, "no voice activity detector was given: audio is cut into pieces of equal length");
        }
        return found.map(|directory| ModelFiles::open(directory).map_err(load_error)).transpose();
    };
    if is_off(name) {
        return Ok(None);
    }
    let directory = request
        .assets
        .get(name)
        .or_else(|| request.assets.get(asset).filter(|_| is_hub_name(name, asset)))
        .cloned()
        .unwrap_or_else(|| PathBuf::from(name));
    if !directory.is_dir() {
        let message = format!("{field} \"{name}\" is neither {asset} nor a directory with such a model");
        return Err(Error::invalid_input(field, message));
    }
    ModelFiles::open(&directory).map(Some).map_err(|error| companion_error(field, &error))
}

/// Whether a hub's repository is what the catalogue calls `asset`.
fn is_hub_name(name: &str, asset: &str) -> bool {
    let part = match asset {
        "fsmn-vad" => "fsmn",
        "ct-punc" => "punc",
        _ => "campplus",
    };
    let repository = ["iic/", "damo/", "funasr/"].iter().find_map(|owner| name.strip_prefix(owner));
    repository.is_some_and(|repository| repository.contains(part) || repository == asset)
}

fn companion_error(field: &str, error: &FunasrError) -> Error {
    Error::invalid_input(field, error.to_string())
}

fn load_error(error: FunasrError) -> Error {
    let text = error.to_string();
    match error {
        FunasrError::Onnx(OnnxError::Device { .. }) => Error::not_supported(text).with_field("device"),
        _ => Error::internal(text),
    }
}

fn library_error(error: OnnxError) -> Error {
    let text = error.to_string();
    match error {
        OnnxError::LibraryMissing { .. } if text.contains("launch option") => Error::invalid_input("onnxruntime", text),
        _ => Error::out_of_resources(text),
    }
}

impl Model for Funasr {
    fn card(&self) -> ModelCard {
        let languages: Vec<String> = match self.recognizer {
            Recognizer::Paraformer(_) => ["zh", "en"].map(str::to_owned).to_vec(),
            Recognizer::SenseVoice(_) => {
                let spoken = sensevoice::LANGUAGES.iter().map(|(code, _)| *code);
                spoken.filter(|code| !matches!(*code, "auto" | "nospeech")).map(str::to_owned).collect()
            }
        };
        let mut granularities = vec![Granularity::Segment];
        if self.recognizer.has_timestamps() {
            granularities.push(Granularity::Word);
        }
        ModelCard {
            abilities: vec![Ability::Transcribe],
            input_sample_rate: Some(SAMPLE_RATE),
            languages,
            granularities,
            diarizes: self.speakers.is_some(),
            max_concurrency: self.max_concurrency,
            streams: true,
            device: self.device.to_string(),
            dtype: self.dtype.to_owned(),
            parameters: self.schema(),
            ..ModelCard::default()
        }
    }

    fn warm_up(&self) -> Result<(), Error> {
        crate::pipeline::warm_up(self)
    }

    fn transcribe(&self, request: TranscribeRequest<'_>, sink: &mut TranscriptSink<'_>) -> Result<(), Error> {
        crate::pipeline::transcribe(self, request, sink)
    }
}
