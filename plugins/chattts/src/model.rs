//! A loaded model.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use syrinx_plugin_api::{
    Ability, Error, ErrorKind, Host, Level, LoadRequest, Model, ModelCard, PcmSink, SpeechRequest,
};
use syrinx_plugin_common::options::schema_of;

use crate::{
    config::{GptConfig, ModelFiles},
    engine::{Engine, Outcome, Prompt},
    error::ChatTtsError,
    generate::{Kind, Row, Seeded},
    network::{LanguageModel, Place, Precision, Steps, Synthesizer, Utterance, Vocabulary},
    options::{GenerationParameters, LaunchOptions, RequestParameters},
    speaker::{Speaker, SpeakerError, Statistics, Voice, parse_voice},
    text::{Homophones, Normalizer, Tokenizer},
};

/// Rate of everything that is heard, in Hz.
pub const SAMPLE_RATE: u32 = 24_000;

/// OpenAI's names, each a voice of its own.
const OPENAI_VOICES: [&str; 11] =
    ["alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse"];

/// A file beside the model's, which the releases don't have.
const HOMOPHONES: &str = "homophones_map.json";

/// The model.
pub struct ChatTts {
    pub(crate) engine: Engine,
    synthesizer: Mutex<Synthesizer>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) normalizer: Normalizer,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) marks: Marks,
    statistics: Option<Statistics>,
    default_voice: Option<Speaker>,
    width: usize,
    place: Place,
    can_imitate: bool,
    max_concurrency: usize,
    requests: AtomicU64,
    host: Host,
}

/// Ids of control tokens.
pub(crate) struct Marks {
    /// Takes the speaker's vector.
    pub(crate) speaker: u32,
    /// Ends refined text.
    pub(crate) text_end: u32,
    /// From here on, tokens of refined text are not spoken.
    pub(crate) first_tag: u32,
}

impl ChatTts {
    /// Loads the model of a launch.
    ///
    /// # Errors
    /// An option can't be used; files are missing or broken.
    pub fn load(request: &LoadRequest, host: &Host) -> Result<Self, Error> {
        let options: LaunchOptions = request.options()?;
        let precision = options.dtype.as_deref().map(parse_precision).transpose()?;
        let place = Place::find(options.device.as_deref(), precision).map_err(|error| {
            let field = if matches!(error, ChatTtsError::Precision(_)) { "dtype" } else { "device" };
            Error::not_supported(error.to_string()).with_field(field)
        })?;
        let threads = options.threads.or(Some(request.threads).filter(|&threads| threads > 0));
        if let Some(threads) = threads {
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
        let files = ModelFiles::open(&request.model_dir).map_err(failed)?;
        host.progress(0.0, "loading the tokenizer");
        let tokenizer = Tokenizer::load(&files.tokenizer()).map_err(|error| Error::internal(error.to_string()))?;
        let mark = |name: &str| tokenizer.special(name).map_err(|error| Error::internal(error.to_string()));
        let marks = Marks { speaker: mark("[spk_emb]")?, text_end: mark("[Ebreak]")?, first_tag: mark("[break_0]")? };
        let normalizer = Normalizer::new(homophones(&options, &request.model_dir, host)?);
        host.progress(0.05, "loading the language model");
        let width = GptConfig::read(&files.gpt_config()).map_err(failed)?.hidden_size;
        let model = LanguageModel::load(&files, place).map_err(failed)?;
        let vocabulary = model.embed.vocabulary();
        host.progress(0.8, "loading decoder and vocoder");
        let synthesizer = Synthesizer::load(&files, place).map_err(failed)?;
        let statistics = files.statistics();
        let statistics = statistics.exists().then(|| Statistics::load(&statistics, width)).transpose();
        let statistics = statistics.map_err(|error| Error::internal(error.to_string()))?;
        let on_card = place.device != tch::Device::Cpu;
        let max_rows = options.max_rows.unwrap_or(if on_card { 32 } else { 8 });
        let engine = Engine::start(model, max_rows).map_err(|error| Error::out_of_resources(error.to_string()))?;
        let mut this = Self {
            engine,
            can_imitate: synthesizer.dvae().is_ok(),
            synthesizer: Mutex::new(synthesizer),
            tokenizer,
            normalizer,
            vocabulary,
            marks,
            statistics,
            default_voice: None,
            width,
            place,
            max_concurrency: options.max_concurrency.unwrap_or(max_rows),
            requests: AtomicU64::new(0),
            host: host.clone(),
        };
        this.default_voice = match options.default_voice.as_deref() {
            Some(voice) => Some(this.speaker(voice).map_err(|error| error.with_field("default_voice"))?),
            // Without statistics the model speaks in a voice of its own choice.
            None if this.statistics.is_some() => Some(this.speaker("")?),
            None => None,
        };
        Ok(this)
    }

    /// The speaker that a `voice` stands for.
    pub(crate) fn speaker(&self, voice: &str) -> Result<Speaker, Error> {
        let wrong = |error: SpeakerError| Error::invalid_input("voice", error.to_string());
        match parse_voice(voice, self.width).map_err(wrong)? {
            Voice::Speaker(speaker) => Ok(speaker),
            Voice::Seed(seed) => {
                let statistics = self.statistics.as_ref().ok_or_else(|| {
                    Error::invalid_input("voice", "named voices are drawn from asset/spk_stat.pt, which this model lacks; speaker strings and emb_data texts work")
                })?;
                statistics.seeded(seed).map_err(|problem| Error::internal(problem.to_string()))
            }
        }
    }

    /// The speaker of requests that name none.
    pub(crate) fn default_speaker(&self) -> Option<&Speaker> {
        self.default_voice.as_ref()
    }

    /// Decoder and vocoder; one job at a time, since each uses all threads.
    pub(crate) fn synthesizer(&self) -> MutexGuard<'_, Synthesizer> {
        // Nothing of it changes, so a panic leaves it whole.
        self.synthesizer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a request.
    pub(crate) fn number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes into the host's log.
    pub(crate) fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }
}

fn parse_precision(name: &str) -> Result<Precision, Error> {
    Precision::parse(name).ok_or_else(|| {
        let known = Precision::NAMES.join(", ");
        Error::invalid_input("dtype", format!("there is no dtype \"{name}\"; there are {known}"))
    })
}

fn homophones(options: &LaunchOptions, model_dir: &Path, host: &Host) -> Result<Homophones, Error> {
    if let Some(path) = &options.homophones {
        return Homophones::load(path).map_err(|error| Error::invalid_input("homophones", error.to_string()));
    }
    let beside = model_dir.join(HOMOPHONES);
    if beside.exists() {
        return Homophones::load(&beside).map_err(|error| Error::internal(error.to_string()));
    }
    host.log(Level::Info, "no map of homophones is given: rare Chinese characters are spoken as they are");
    Ok(Homophones::default())
}

/// The error of a load or a job.
pub(crate) fn failed(error: ChatTtsError) -> Error {
    let text = error.to_string();
    match error {
        _ if error.is_memory() => Error::out_of_resources(text),
        ChatTtsError::TooLong { .. } => Error::invalid_input("input", text),
        ChatTtsError::Speaker { .. } => Error::invalid_input("voice", text),
        ChatTtsError::NoEncoder => Error::not_supported(text).with_field("prompt_speech"),
        ChatTtsError::Closed => Error { kind: ErrorKind::OutOfResources, field: None, message: text },
        _ => Error::internal(text),
    }
}

impl Model for ChatTts {
    fn card(&self) -> ModelCard {
        let mut abilities = vec![Ability::Speak, Ability::SpeakWithoutClip];
        if self.can_imitate {
            abilities.push(Ability::Clone);
        }
        let is_named = self.statistics.is_some();
        let aliases: BTreeMap<String, String> =
            OPENAI_VOICES.iter().filter(|_| is_named).map(|&name| (name.to_owned(), name.to_owned())).collect();
        ModelCard {
            abilities,
            output_sample_rate: Some(SAMPLE_RATE),
            clip_sample_rate: Some(SAMPLE_RATE),
            voice_aliases: aliases,
            max_concurrency: self.max_concurrency,
            streams: true,
            applies_speed: true,
            device: match self.place.device {
                tch::Device::Cuda(number) => format!("cuda:{number}"),
                _ => "cpu".to_owned(),
            },
            dtype: self.place.precision.to_string(),
            parameters: schema_of::<RequestParameters>(),
            ..ModelCard::default()
        }
    }

    fn warm_up(&self) -> Result<(), Error> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let parameters = GenerationParameters { max_new_token: Some(2), min_new_token: Some(2), ..Default::default() };
        let rules = parameters.rules(Kind::Code, self.vocabulary.end(), "")?;
        let prompt = Prompt { entries: vec![self.vocabulary.text(0); 8], speaker: None };
        let row = self.engine.generate(self.number(), prompt, Row::new(rules, Box::new(Seeded::new(0, 0))));
        let mut states = Vec::new();
        while let Some(Outcome::Step { hidden, .. }) = row.next(PATIENCE).map_err(failed)? {
            states.extend(hidden);
        }
        let samples =
            self.synthesizer().push(&mut Utterance::default(), Steps::Hidden(&states), true).map_err(failed)?;
        if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
            return Err(failed(ChatTtsError::Nonsense));
        }
        Ok(())
    }

    fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
        crate::pipeline::speak(self, &request, sink)
    }
}
