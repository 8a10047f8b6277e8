//! A loaded Kokoro model.

use std::collections::BTreeMap;

use syrinx_plugin_api::{
    Ability, Error, Host, Level, LoadRequest, Model, ModelCard, PcmSink, SpeechEvent, SpeechRequest, SpeechSettings,
};
use syrinx_plugin_common::onnx::{OnnxError, Runtime, Severity, find_library};
use syrinx_plugin_common::options::schema_of;

use crate::front_ends::FrontEnds;
use crate::language::Language;
use crate::network::{Device, Network, NetworkError, Precision, dtype_of, find_network, is_checkpoint};
use crate::options::{LaunchOptions, RequestParameters};
use crate::session::SAMPLE_RATE;
use crate::vocab::Vocabulary;
use crate::voices::{self, Voice, VoiceError, Voices, style_row};

/// Name of the runtime that the host provisions.
pub const RUNTIME: &str = "onnxruntime";

/// Phonemes of the warm-up run ("Hello.").
const WARM_UP: &str = "həlˈO.";

/// OpenAI's voices and the ones that stand for them, in names of v1.0. Where a model lacks one, another of the same
/// gender takes its place.
const OPENAI_VOICES: [(&str, &str); 13] = [
    ("alloy", "af_alloy"),
    ("ash", "am_michael"),
    ("ballad", "bm_george"),
    ("cedar", "am_fenrir"),
    ("coral", "af_bella"),
    ("echo", "am_echo"),
    ("fable", "bm_fable"),
    ("marin", "af_heart"),
    ("nova", "af_nova"),
    ("onyx", "am_onyx"),
    ("sage", "af_sarah"),
    ("shimmer", "af_nicole"),
    ("verse", "am_puck"),
];

/// Default voices by preference: Xinference's for either release, then the one that upstream grades best.
const DEFAULT_VOICES: [&str; 3] = ["af_alloy", "zf_001", "af_heart"];

/// Network, voices and front ends of one model, and what the launch chose.
pub struct Kokoro {
    network: Network,
    vocabulary: Vocabulary,
    voices: Voices,
    front_ends: FrontEnds,
    language: Language,
    default_voice: String,
    device: Device,
    dtype: &'static str,
    max_concurrency: usize,
}

impl Kokoro {
    /// Loads the model that `request` describes.
    ///
    /// # Errors
    ///
    /// Options that don't fit, ONNX Runtime missing, files missing or broken.
    pub fn load(request: &LoadRequest, host: &Host) -> Result<Self, Error> {
        let options: LaunchOptions = request.options()?;
        let language = match &options.lang_code {
            Some(code) => Some(parse_language(code)?),
            None => None,
        };
        let device: Device = options
            .device
            .as_deref()
            .unwrap_or("cpu")
            .parse()
            .map_err(|reason: String| Error::invalid_input("device", reason))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = options.threads.unwrap_or(request.threads);
        let threads = if threads == 0 { cores.min(4) } else { threads };

        let precision: Precision = options
            .dtype
            .as_deref()
            .unwrap_or("float32")
            .parse()
            .map_err(|reason: String| Error::invalid_input("dtype", reason))?;
        let file = find_network(&request.model_dir, options.graph.as_deref(), device).map_err(|error| match error {
            NetworkError::NoSuch { .. } => Error::invalid_input("graph", error.to_string()),
            _ => Error::internal(error.to_string()),
        })?;
        let network = if is_checkpoint(&file) {
            host.progress(0.1, "loading the checkpoint");
            Network::torch(&file, device, precision, threads)
        } else {
            host.progress(0.0, "loading ONNX Runtime");
            let runtime = load_runtime(&options, host)?;
            host.progress(0.1, "loading the graph");
            Network::graph(&runtime, &file, device, threads)
        };
        let network = network.map_err(|error| match &error {
            NetworkError::Device(_) => {
                let field = if device == Device::Cpu { "dtype" } else { "device" };
                Error::not_supported(error.to_string()).with_field(field)
            }
            _ => Error::internal(error.to_string()),
        })?;
        let vocabulary = Vocabulary::load(&request.model_dir, network.embedded_config())
            .map_err(|error| Error::internal(error.to_string()))?;
        host.progress(0.7, "loading voices and lexicons");
        let voices = Voices::discover(&request.model_dir).map_err(|error| Error::internal(error.to_string()))?;
        let default_voice = match options.default_voice {
            Some(name) => {
                voices.get(&name).map_err(|error| voice_error(error, "default_voice"))?;
                name
            }
            None => default_voice(&voices, language).to_owned(),
        };
        let language = language.or_else(|| voices::language(&default_voice)).unwrap_or(Language::AmericanEnglish);
        let front_ends = FrontEnds::new(&request.assets, options.espeak_library.clone(), &vocabulary);
        if options.espeak_library.is_some() {
            front_ends.open_espeak().map_err(|error| Error::invalid_input("espeak_library", error.message))?;
        }
        if let Err(error) = front_ends.prepare(language) {
            host.log(Level::Warn, &format!("no text in {language} can be spoken yet: {}", error.message));
        }
        Ok(Kokoro {
            network,
            vocabulary,
            voices,
            front_ends,
            language,
            default_voice,
            device,
            dtype: dtype_of(&file, precision),
            max_concurrency: options.max_concurrency.unwrap_or_else(|| cores.clamp(2, 4)),
        })
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The vocabulary.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The voices.
    #[must_use]
    pub fn voices(&self) -> &Voices {
        &self.voices
    }

    /// The front ends of all languages.
    #[must_use]
    pub fn front_ends(&self) -> &FrontEnds {
        &self.front_ends
    }

    /// Voice and language of a request. A voice's first letter tells the language; where it contradicts a `lang_code`, the
    /// voice wins and the caller is warned.
    pub(crate) fn voice_and_language(
        &self,
        settings: &SpeechSettings,
        parameters: &RequestParameters,
        sink: &mut PcmSink<'_>,
    ) -> Result<(Voice, Language), Error> {
        let asked = parameters.lang_code.as_deref().map(parse_language).transpose()?;
        let name = match (settings.voice.as_deref().map(str::trim).filter(|name| !name.is_empty()), asked) {
            (Some(name), _) => self.voice_alias(name),
            (None, Some(language)) => default_voice(&self.voices, Some(language)),
            (None, None) => self.default_voice.as_str(),
        };
        let voice = self.voices.get(name).map_err(|error| voice_error(error, "voice"))?;
        let language = voice.language.or(asked).unwrap_or(self.language);
        if let Some(asked) = asked.filter(|asked| *asked != language) {
            let message =
                format!("the voice {} speaks {language}, so lang_code {} is ignored", voice.name, asked.letter());
            let _ = sink.note(SpeechEvent::Warning { message });
        }
        Ok((voice, language))
    }

    /// What an OpenAI name stands for; other names stand for themselves. The host resolves aliases of the card, but a
    /// name inside of other callers' requests may come as it is.
    fn voice_alias<'n>(&'n self, name: &'n str) -> &'n str {
        if self.voices.contains(name) {
            return name;
        }
        match OPENAI_VOICES.iter().position(|(alias, _)| *alias == name) {
            Some(index) => self.stand_in(index),
            None => name,
        }
    }

    /// The voice for OpenAI's voice number `index`: the table's, where the model has it and speaks English by default;
    /// else one of the launch language and of the same gender.
    fn stand_in(&self, index: usize) -> &str {
        let (_, voice) = OPENAI_VOICES[index];
        if self.language.is_english() && self.voices.contains(voice) {
            return voice;
        }
        let spoken: Vec<&str> =
            self.voices.names().filter(|name| voices::language(name) == Some(self.language)).collect();
        let alike: Vec<&str> =
            spoken.iter().copied().filter(|name| voices::gender(name) == voices::gender(voice)).collect();
        let choice = if alike.is_empty() { spoken } else { alike };
        choice.get(index % choice.len().max(1)).copied().unwrap_or(&self.default_voice)
    }
}

/// The default voice among `voices`, of `language` if that is given and has any.
fn default_voice(voices: &Voices, language: Option<Language>) -> &str {
    let fits = |name: &str| language.is_none_or(|language| voices::language(name) == Some(language));
    let preferred = DEFAULT_VOICES.iter().copied().find(|name| voices.contains(name) && fits(name));
    let found = preferred
        .and_then(|preferred| voices.names().find(|name| *name == preferred))
        .or_else(|| voices.names().find(|name| fits(name)))
        .or_else(|| voices.names().next());
    // A model without voices doesn't load.
    found.unwrap_or_default()
}

fn parse_language(code: &str) -> Result<Language, Error> {
    code.parse().map_err(|error: crate::language::UnknownLanguage| Error::invalid_input("lang_code", error.to_string()))
}

fn voice_error(error: VoiceError, field: &str) -> Error {
    match error {
        VoiceError::Unknown { .. } | VoiceError::Blend(_) => Error::invalid_input(field, error.to_string()),
        VoiceError::None(_) | VoiceError::File { .. } => Error::internal(error.to_string()),
    }
}

fn load_runtime(options: &LaunchOptions, host: &Host) -> Result<Runtime, Error> {
    let provided = host.runtime_library(RUNTIME);
    let library = find_library(options.onnxruntime.as_deref(), provided.as_deref()).map_err(library_error)?;
    let log = host.clone();
    let runtime = Runtime::load_logging(&library, move |severity, message| {
        let level = match severity {
            Severity::Debug => Level::Debug,
            Severity::Info => Level::Info,
            Severity::Warning => Level::Warn,
        };
        log.log(level, message);
    });
    let runtime = runtime.map_err(library_error)?;
    if runtime.library() != library {
        host.log(
            Level::Warn,
            &format!("ONNX Runtime is already loaded from {}; that one is used", runtime.library().display()),
        );
    }
    Ok(runtime)
}

fn library_error(error: OnnxError) -> Error {
    let text = error.to_string();
    match error {
        OnnxError::LibraryMissing { .. } if text.contains("launch option") => Error::invalid_input("onnxruntime", text),
        _ => Error::out_of_resources(text),
    }
}

/// The error of a job whose run failed.
pub(crate) fn run_error(error: &NetworkError) -> Error {
    let text = error.to_string();
    // ONNX Runtime reports a failed allocation as a failure of the node (`Failed to allocate memory`, `bad_alloc`).
    if text.contains("allocate") || text.contains("bad_alloc") {
        Error::out_of_resources(text)
    } else {
        Error::internal(text)
    }
}

impl Model for Kokoro {
    fn card(&self) -> ModelCard {
        let voice = |name: &str| syrinx_plugin_api::Voice {
            id: name.to_owned(),
            name: voices::display_name(name),
            language: voices::language(name).map(|language| language.tag().to_owned()),
            gender: voices::gender(name).map(str::to_owned),
        };
        let aliases: BTreeMap<String, String> = OPENAI_VOICES
            .iter()
            .enumerate()
            .filter(|(_, (alias, _))| !self.voices.contains(alias))
            .map(|(index, (alias, _))| ((*alias).to_owned(), self.stand_in(index).to_owned()))
            .collect();
        ModelCard {
            abilities: vec![Ability::Speak, Ability::SpeakWithoutClip],
            output_sample_rate: Some(SAMPLE_RATE),
            voices: self.voices.names().map(voice).collect(),
            default_voice: Some(self.default_voice.clone()),
            voice_aliases: aliases,
            max_concurrency: self.max_concurrency,
            streams: true,
            applies_speed: true,
            device: self.device.to_string(),
            dtype: self.dtype.to_owned(),
            parameters: schema_of::<RequestParameters>(),
            ..ModelCard::default()
        }
    }

    fn warm_up(&self) -> Result<(), Error> {
        let voice = self.voices.get(&self.default_voice).map_err(|error| voice_error(error, "default_voice"))?;
        let style = voice.row(style_row(WARM_UP.chars().count()));
        let utterance =
            self.network.speak(&self.vocabulary.encode(WARM_UP), &style, 1.0, 0).map_err(|error| run_error(&error))?;
        if utterance.samples.iter().any(|sample| !sample.is_finite()) {
            return Err(Error::internal("the network makes no sound but nonsense (not a number)"));
        }
        Ok(())
    }

    fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
        crate::pipeline::speak(self, &request, sink)
    }
}
