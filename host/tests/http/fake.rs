//! A plugin linked into the test, and a server around it.

use crate::client::Connection;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, thread, time::Duration};
use syrinx::{
    config::Config,
    models::{Models, RegistryProvision, Settings},
    plugins::Plugins,
    server::{self, App},
};
use syrinx_plugin_api::{
    Ability, Error, Flow, Granularity, Host, LoadRequest, Manifest, Model, ModelCard, Object, PcmSink, Plugin, Segment,
    SpeechRequest, TranscribeRequest, TranscriptEvent, TranscriptSink, Voice, Word, export::plugin_object,
    host_side::PluginLibrary,
};
use syrinx_registry::{Catalogue, Store, StoreConfig};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// Rate in Hz of what the parrot says.
pub(crate) const RATE: u32 = 24_000;

/// Samples of one push: 100 ms.
pub(crate) const PUSH: usize = RATE as usize / 10;

pub(crate) fn object(value: Value) -> Object {
    value.as_object().cloned().unwrap()
}

struct Parrot;

impl Plugin for Parrot {
    fn manifest(&self) -> Manifest {
        Manifest {
            name: "parrot".into(),
            version: "1.0.0".into(),
            launch_options: object(json!({"type": "object", "properties": {
                "load_ms": {"type": "integer", "minimum": 0},
                // Does not notice that the launch is cancelled.
                "stubborn": {"type": "boolean"},
                "fail": {"type": "string", "enum": ["input", "resources", "internal", "panic"]},
            }})),
            ..Manifest::default()
        }
    }

    fn load(&self, request: LoadRequest, host: Host) -> Result<Box<dyn Model>, Error> {
        let wait = request.options.get("load_ms").and_then(Value::as_u64).unwrap_or(0);
        let stubborn = request.options.get("stubborn").and_then(Value::as_bool) == Some(true);
        for step in 0..wait / 10 {
            if host.is_cancelled() && !stubborn {
                return Err(Error::internal("cancelled"));
            }
            host.progress(step as f32 / (wait / 10) as f32, "hatching");
            thread::sleep(Duration::from_millis(10));
        }
        match request.options.get("fail").and_then(Value::as_str) {
            Some("input") => Err(Error::invalid_input("fail", "you asked for it")),
            Some("resources") => Err(Error::out_of_resources("no seeds left")),
            Some("internal") => Err(Error::internal("the seeds in /srv/path are rotten")),
            Some("panic") => panic!("secret panic"),
            _ => Ok(Box::new(Bird { name: request.model })),
        }
    }
}

struct Bird {
    name: String,
}

/// What a request can make the bird do.
fn behaviour() -> Object {
    object(json!({"type": "object", "properties": {
        "seed": {"type": "integer"},
        "beam_size": {"type": ["integer", "null"], "minimum": 1, "maximum": 16},
        "hotword": {"type": "string"},
        "mode": {"type": "string", "enum": ["fast", "good"]},
        "delay_ms": {"type": "integer", "minimum": 0},
        "fail_at": {"type": "integer", "minimum": 0},
        "fail": {"type": "string", "enum": ["input", "unsupported", "resources", "internal", "panic"]},
    }}))
}

/// What the models that imitate and that tell speakers apart take beyond that.
fn more_behaviour(name: &str) -> Object {
    let more = match name {
        "parrot-mimic" => json!({
            "prompt_text": {"type": "string"},
            "emo_alpha": {"type": "number", "minimum": 0, "maximum": 1},
        }),
        "parrot-scribe" => json!({
            "vad_threshold": {"type": "number"},
            "vad_silence_duration_ms": {"type": "integer"},
            // It doesn't sample.
            "temperature": {"enum": [0]},
        }),
        _ => json!({}),
    };
    let mut all = behaviour();
    let properties = all["properties"].as_object_mut().unwrap();
    properties.extend(object(more));
    all
}

/// What the mimic says about its request instead of the text: a level for each, in full scales of [`SCALES`].
pub(crate) const HEARD: [&str; 5] = ["prompt seconds", "emotion seconds", "prompt text", "voice", "clip rate"];
pub(crate) const SCALES: [f32; 5] = [100.0, 100.0, 1000.0, 1000.0, 100_000.0];

fn heard(request: &SpeechRequest<'_>) -> [f32; 5] {
    let seconds =
        |name: &str| request.clip(name).map_or(0.0, |clip| clip.samples.len() as f32 / clip.sample_rate as f32);
    let length = |text: Option<&str>| text.map_or(0, |text| text.chars().count()) as f32;
    let settings = &request.settings;
    [
        seconds("prompt_speech"),
        seconds("emo_audio_prompt"),
        length(settings.parameters.get("prompt_text").and_then(Value::as_str)),
        length(settings.voice.as_deref()),
        request.clips.first().map_or(0.0, |clip| clip.sample_rate as f32),
    ]
}

/// Waits a step, or fails at the one that the request names.
fn step(parameters: &Object, number: usize) -> Result<(), Error> {
    let of = |name: &str| parameters.get(name).and_then(Value::as_u64);
    thread::sleep(Duration::from_millis(of("delay_ms").unwrap_or(0)));
    if of("fail_at").unwrap_or(0) as usize != number {
        return Ok(());
    }
    match parameters.get("fail").and_then(Value::as_str) {
        Some("input") => Err(Error::invalid_input("hotword", "too hot")),
        Some("unsupported") => Err(Error::not_supported("parrots don't do that")),
        Some("resources") => Err(Error::out_of_resources("out of seeds")),
        Some("internal") => Err(Error::internal("secret /srv/path")),
        Some("panic") => panic!("secret panic"),
        _ => Ok(()),
    }
}

impl Model for Bird {
    fn card(&self) -> ModelCard {
        let voice =
            |id: &str| Voice { id: id.into(), name: id.to_uppercase(), language: Some("en".into()), gender: None };
        let card = ModelCard {
            max_concurrency: 2,
            streams: true,
            device: "cpu".into(),
            dtype: "feathers".into(),
            parameters: more_behaviour(&self.name),
            ..ModelCard::default()
        };
        match self.name.as_str() {
            "parrot-ears" => ModelCard {
                abilities: vec![Ability::Transcribe, Ability::Translate],
                input_sample_rate: Some(16_000),
                languages: ["en", "de", "zh"].map(String::from).into(),
                granularities: vec![Granularity::Segment, Granularity::Word],
                ..card
            },
            "parrot-ears-plain" => ModelCard { abilities: vec![Ability::Transcribe], ..card },
            "parrot-scribe" => ModelCard {
                abilities: vec![Ability::Transcribe],
                input_sample_rate: Some(16_000),
                granularities: vec![Granularity::Segment, Granularity::Word],
                diarizes: true,
                ..card
            },
            "parrot-mimic" => ModelCard {
                abilities: vec![Ability::Speak, Ability::SpeakWithoutClip, Ability::Clone, Ability::Emotion],
                output_sample_rate: Some(RATE),
                clip_sample_rate: Some(16_000),
                applies_speed: true,
                ..card
            },
            _ => ModelCard {
                abilities: vec![Ability::Speak, Ability::SpeakWithoutClip],
                output_sample_rate: Some(RATE),
                voices: vec![voice("polly"), voice("jack")],
                default_voice: Some("polly".into()),
                voice_aliases: [("alloy".to_owned(), "polly".to_owned()), ("echo".to_owned(), "jack".to_owned())]
                    .into(),
                applies_speed: self.name == "parrot-mouth",
                ..card
            },
        }
    }

    /// A segment for every second of audio.
    fn transcribe(&self, mut request: TranscribeRequest<'_>, sink: &mut TranscriptSink<'_>) -> Result<(), Error> {
        let settings = request.settings.clone();
        let language = settings.language.clone().unwrap_or_else(|| "de".to_owned());
        let seconds = request.audio.samples().len().div_ceil(16_000);
        if settings.parameters.contains_key("fail") {
            step(&settings.parameters, 0)?;
        }
        let mut flow = sink.push(TranscriptEvent::Language { language, probability: Some(0.9) });
        for second in 0..seconds {
            if flow == Flow::Stop {
                return Ok(());
            }
            step(&settings.parameters, second + 1)?;
            let start = second as f64;
            let mut text = format!(" word{second}{}", settings.prompt.as_deref().unwrap_or_default());
            if let Some(threshold) = settings.parameters.get("vad_threshold") {
                text.push_str(&format!(" vad {threshold}"));
            }
            // The scribe knows its words anyway, and says nothing in the fifth second.
            let scribe = self.name == "parrot-scribe";
            if scribe && second == 4 {
                text = " ".to_owned();
            }
            let speaker = scribe.then(|| ["7", "3", "", "7", "", "Ann"].get(second).unwrap_or(&"0").to_string());
            let words = (scribe || settings.granularities.contains(&Granularity::Word))
                .then(|| vec![Word { word: text.clone(), start, end: start + 0.5, probability: Some(0.5) }]);
            let segment = Segment {
                start,
                end: start + 1.0,
                text,
                tokens: vec![1, 2, 3],
                temperature: settings.temperature,
                avg_logprob: -0.25,
                words,
                speaker: speaker.filter(|speaker| !speaker.is_empty()),
                ..Segment::default()
            };
            flow = sink.push(TranscriptEvent::Segment { segment });
        }
        Ok(())
    }

    /// 100 ms for every character (the mimic: what it heard); a tone, or silence for the other voice.
    fn synthesize(&self, request: SpeechRequest<'_>, sink: &mut PcmSink<'_>) -> Result<(), Error> {
        let settings = &request.settings;
        if settings.parameters.contains_key("fail") {
            step(&settings.parameters, 0)?;
        }
        if self.name == "parrot-mimic" {
            let mut flow = Flow::Continue;
            for (level, scale) in heard(&request).into_iter().zip(SCALES) {
                step(&settings.parameters, 1)?;
                if flow == Flow::Continue {
                    flow = sink.push(&[level / scale; PUSH]);
                }
            }
            return Ok(());
        }
        let level = if settings.voice.as_deref() == Some("jack") { 0.0 } else { 0.5 };
        let samples: Vec<f32> = (0..PUSH).map(|n| level * (n as f32 * 0.1).sin()).collect();
        let count = (settings.text.chars().count() as f32 / settings.speed) as usize;
        for number in 0..count {
            step(&settings.parameters, number + 1)?;
            if sink.push(&samples) == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

/// Parrots: what they can do, and the languages that they know.
const PARROTS: [(&str, &[&str], &[&str]); 6] = [
    ("parrot-ears", &["audio2text"], &["en", "de", "zh"]),
    ("parrot-ears-plain", &["audio2text"], &["en"]),
    ("parrot-mouth", &["text2audio", "text2audio_zero_shot"], &["en"]),
    ("parrot-mouth-plain", &["text2audio"], &["en"]),
    ("parrot-scribe", &["audio2text"], &["en"]),
    ("parrot-mimic", &["text2audio", "text2audio_voice_cloning"], &["en"]),
];

/// Their catalogue file; the directory `nest` has their seeds.
fn catalogue() -> String {
    let entry = |(name, abilities, languages): (&str, &[&str], &[&str])| {
        let multilingual = languages.len() > 1;
        format!(
            "[[model]]\nname = {name:?}\nfamily = \"parrot\"\nplugin = \"parrot\"\nabilities = {abilities:?}\n\
             multilingual = {multilingual}\nlanguages = {languages:?}\n\
             source = [{{ id = \"path\", item = [{{ path = \"nest\", files = [\"seeds\"] }}] }}]\n"
        )
    };
    format!("schema = 1\n{}", PARROTS.map(entry).concat())
}

/// A catalogue with the parrots, and a store without a network, in `dir`.
fn nest(dir: &Path, change: impl FnOnce(&mut StoreConfig)) -> RegistryProvision {
    std::fs::create_dir_all(dir.join("nest")).unwrap();
    std::fs::write(dir.join("nest/seeds"), "sunflower").unwrap();
    std::fs::write(dir.join("parrot.toml"), catalogue()).unwrap();
    let mut config = StoreConfig::at(dir.join("home"));
    config.offline = true;
    config.hub.hf_cache = dir.join("no-cache");
    change(&mut config);
    let store = Arc::new(Store::open(config).unwrap());
    RegistryProvision::new(Catalogue::load(&[dir.to_owned()]).unwrap(), store)
}

/// A running server with `parrot-ears` and `parrot-mouth` (and their plain sisters) ready.
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    dir: Arc<tempfile::TempDir>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Changes the settings first.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Arc::new(tempfile::tempdir().unwrap()), change, |_| ()).await
    }

    /// Changes the settings of the server and of its store; what an earlier server has left in `dir` is there.
    pub(crate) async fn at(
        dir: Arc<tempfile::TempDir>,
        change: impl FnOnce(&mut Config),
        change_store: impl FnOnce(&mut StoreConfig),
    ) -> Self {
        let mut config = Config { port: 0, ..Config::default() };
        config.limits.drain = Duration::from_secs(5);
        change(&mut config);
        let provision = nest(dir.path(), change_store);
        let library = PluginLibrary::from_object(plugin_object(|| Parrot)).unwrap();
        let plugins = Plugins::new(&dir.path().join("staging")).unwrap().with_builtin([library]);
        let settings = Settings::of(&config, dir.path().join("cache"));
        let models = Models::new(Arc::new(plugins), Arc::new(provision), settings);
        let listener: TcpListener = server::bind(&config).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let home = config.home.clone().unwrap_or_else(|| dir.path().join("home"));
        let app = App::new(config, models, &home).unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server::run(
            listener,
            app.clone(),
            async {
                let _ = stopped.await;
            },
            std::future::pending(),
        ));
        let server = Self { app, port, stop: Some(stop), task, dir };
        for name in ["parrot-ears", "parrot-ears-plain", "parrot-mouth", "parrot-mouth-plain"] {
            server.launch(name).await;
        }
        server
    }

    /// A server that downloads from the hub at `address`, whichever hub is asked for.
    pub(crate) async fn with_hub(address: &str) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let change_store = |store: &mut StoreConfig| {
            store.offline = false;
            address.clone_into(&mut store.hub.hf_endpoint);
            address.clone_into(&mut store.hub.modelscope_endpoint);
        };
        Self::at(dir, |_| (), change_store).await
    }

    /// Launches one of the others: `parrot-mimic`, `parrot-scribe`.
    pub(crate) async fn launch(&self, name: &str) {
        let spec = syrinx::models::LaunchSpec { model_name: name.into(), replica: 1, ..Default::default() };
        self.app.models.launch(spec).unwrap().ready().await.unwrap();
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.port).await
    }

    /// Its directory, with catalogue, store and everything.
    pub(crate) fn dir(&self) -> &Arc<tempfile::TempDir> {
        &self.dir
    }

    /// Tells it to stop; it goes on with what is in flight.
    pub(crate) fn begin_stopping(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the end.
    pub(crate) async fn stopped(self) {
        self.task.await.unwrap();
    }

    /// Waits until no job of `uid` runs or waits.
    pub(crate) async fn idle(&self, uid: &str, patience: Duration) -> bool {
        let running = self.app.models.running(uid).unwrap();
        let idle = async {
            while running.load().running + running.load().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(patience, idle).await.is_ok()
    }

    /// Waits until `count` jobs of `uid` run.
    pub(crate) async fn busy(&self, uid: &str, count: usize) {
        let running = self.app.models.running(uid).unwrap();
        let busy = async {
            while running.load().running < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), busy).await.expect("the job starts");
    }
}

/// `seconds` of a tone as a wav file of 16 kHz.
pub(crate) fn wav(seconds: f64) -> Vec<u8> {
    let samples: Vec<i16> =
        (0..(seconds * 16_000.0) as usize).map(|n| ((n as f32 * 0.17).sin() * 8000.0) as i16).collect();
    let size = samples.len() as u32 * 2;
    let mut wav = Vec::new();
    wav.extend_from_slice(b"RIFF");
    wav.extend_from_slice(&(size + 36).to_le_bytes());
    wav.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend_from_slice(&16_000u32.to_le_bytes());
    wav.extend_from_slice(&32_000u32.to_le_bytes());
    wav.extend_from_slice(b"\x02\0\x10\0data");
    wav.extend_from_slice(&size.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}
