//! One side of the benchmark: a plugin in a process of its own, driven through the ABI.
//!
//! Reads a job (JSON) from standard input and prints a report (JSON) of the same members as `tests/python/bench_peer.py`.
//! `syrinx-bench-runner locate MODEL…` prints where the store has the models instead, `syrinx-bench-runner asset NAME` where it has an
//! asset, which is fetched if need be.
#![allow(clippy::print_stdout)] // the report

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Instant, SystemTime},
};
use syrinx_plugin_api::{
    Flow, LoadRequest, Object, ReceivePcm, ReceiveTranscript, SpeechSettings, TranscribeSettings, TranscriptEvent,
    host_side::{LoadedModel, PluginLibrary, WholeAudio},
};
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};
use syrinx_tests::{services::Services, sound::Sound};

/// What to run.
#[derive(Debug, Deserialize)]
struct Job {
    /// The plugin's library.
    plugin: PathBuf,
    /// Catalogue name.
    model: String,
    /// Files of a model that is not taken from the store, and of its companions by name.
    model_dir: Option<PathBuf>,
    #[serde(default)]
    assets: BTreeMap<String, PathBuf>,
    /// Language of the recording; English unless it says.
    language: Option<String>,
    /// Launch options.
    options: Object,
    /// Threads of the job.
    threads: usize,
    /// Recording to transcribe: 16 kHz mono WAV.
    wav: Option<PathBuf>,
    /// Text to speak.
    text: Option<String>,
    /// Voice to speak with.
    voice: Option<String>,
    /// Parameters of the request.
    parameters: Object,
    /// How often.
    repeats: usize,
    /// Requests at once, each the same.
    at_once: usize,
    /// When this process was started, in seconds since 1970.
    started_at: f64,
}

/// What it took.
#[derive(Debug, Default, Serialize)]
struct Report {
    load_s: f64,
    /// From the start of the process to the end of the first run.
    cold_start_s: f64,
    runs: Vec<Run>,
    peak_rss_mb: f64,
    /// Transcript of the last run.
    text: String,
}

/// One run. Seconds.
#[derive(Debug, Default, Serialize)]
struct Run {
    wall_s: f64,
    cpu_s: f64,
    /// Until the first sound, where sound is made.
    first_audio_s: Option<f64>,
    /// Length of the sound heard or made, of all requests together.
    audio_s: f64,
}

struct Text(String);

impl ReceiveTranscript for Text {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        if let TranscriptEvent::Segment { segment } = event {
            self.0.push_str(&segment.text);
        }
        Flow::Continue
    }
}

struct Speech {
    started: Instant,
    first: Option<f64>,
    samples: usize,
}

impl ReceivePcm for Speech {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.first.get_or_insert(self.started.elapsed().as_secs_f64());
        self.samples += samples.len();
        Flow::Continue
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        Some((command, models)) if command == "locate" => locate(models).map(|places| places.to_string()),
        Some((command, names)) if command == "asset" => asset(names),
        _ => run().map(|report| report.to_string()),
    };
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn locate(models: &[String]) -> Result<Value, Box<dyn Error>> {
    let (catalogue, store) = (Catalogue::builtin(), Store::default_location()?);
    let mut places = Object::new();
    for name in models {
        let entry = catalogue.model(name)?;
        let files = store.locate(&entry).ok_or_else(|| format!("{name} is not in the store; `syrinx pull {name}`"))?;
        places.insert(name.clone(), json!(files.dir));
    }
    Ok(Value::Object(places))
}

fn asset(names: &[String]) -> Result<String, Box<dyn Error>> {
    let name = names.first().ok_or("which asset?")?;
    let (asset, store) = (Catalogue::builtin().asset(name)?, Store::default_location()?);
    Ok(store.fetch_asset(&asset, &FetchOptions::default(), &Silent)?.display().to_string())
}

fn run() -> Result<Value, Box<dyn Error>> {
    let job: Job = serde_json::from_reader(io::stdin().lock())?;
    let (catalogue, store) = (Catalogue::builtin(), Store::default_location()?);
    let entry = catalogue.model(&job.model)?;
    let mut runtimes = BTreeMap::new();
    for name in &entry.runtimes {
        let path = store.locate_runtime(name).ok_or_else(|| format!("the runtime {name} is not in the store"))?;
        runtimes.insert(name.clone(), path);
    }
    let (model_dir, assets) = match &job.model_dir {
        Some(dir) => (dir.clone(), job.assets.clone()),
        None => {
            let files = store.locate(&entry).ok_or_else(|| format!("{} is not in the store", job.model))?;
            (files.dir, files.assets)
        }
    };
    let mut options = entry.launch_defaults.clone();
    options.extend(job.options.clone());
    let request = LoadRequest { model: entry.name.clone(), model_dir, assets, options, threads: job.threads };

    let started = Instant::now();
    let library = PluginLibrary::open(&job.plugin)?;
    let model = library.load(&request, Arc::new(Services::with_runtimes(runtimes)))?;
    let mut report = Report { load_s: started.elapsed().as_secs_f64(), ..Report::default() };
    for _ in 0..job.repeats {
        let run = match (&job.wav, &job.text) {
            (Some(wav), _) => transcribe(&model, &job, wav, &mut report.text)?,
            (None, Some(text)) => speak(&model, &job, text)?,
            (None, None) => return Err("the job has neither `wav` nor `text`".into()),
        };
        if report.runs.is_empty() {
            report.cold_start_s = SystemTime::UNIX_EPOCH.elapsed()?.as_secs_f64() - job.started_at;
        }
        report.runs.push(run);
    }
    report.peak_rss_mb = usage().1;
    Ok(serde_json::to_value(report)?)
}

fn transcribe(model: &LoadedModel, job: &Job, wav: &Path, text: &mut String) -> Result<Run, Box<dyn Error>> {
    let sound = Sound::open(wav)?;
    let settings = TranscribeSettings {
        language: Some(job.language.clone().unwrap_or_else(|| "en".to_owned())),
        parameters: job.parameters.clone(),
        ..TranscribeSettings::default()
    };
    let (started, cpu) = (Instant::now(), usage().0);
    let texts = at_once(job, || {
        let mut sink = Text(String::new());
        model.transcribe(&settings, &mut WholeAudio::new(&sound.samples), &[], &mut sink)?;
        Ok(sink.0)
    })?;
    *text = texts.concat();
    Ok(Run {
        wall_s: started.elapsed().as_secs_f64(),
        cpu_s: usage().0 - cpu,
        first_audio_s: None,
        audio_s: sound.seconds() * texts.len() as f64,
    })
}

fn speak(model: &LoadedModel, job: &Job, text: &str) -> Result<Run, Box<dyn Error>> {
    let settings = SpeechSettings {
        text: text.to_owned(),
        voice: job.voice.clone(),
        parameters: job.parameters.clone(),
        ..SpeechSettings::default()
    };
    let rate = model.card().output_sample_rate.ok_or("the model does not say its sample rate")?;
    let (started, cpu) = (Instant::now(), usage().0);
    let spoken = at_once(job, || {
        let mut sink = Speech { started, first: None, samples: 0 };
        model.synthesize(&settings, &[], &mut sink)?;
        Ok(sink)
    })?;
    Ok(Run {
        wall_s: started.elapsed().as_secs_f64(),
        cpu_s: usage().0 - cpu,
        first_audio_s: spoken.iter().filter_map(|sink| sink.first).reduce(f64::max),
        audio_s: spoken.iter().map(|sink| sink.samples).sum::<usize>() as f64 / f64::from(rate),
    })
}

/// Does `request` as often at once as the job says.
fn at_once<T: Send>(
    job: &Job,
    request: impl Fn() -> Result<T, syrinx_plugin_api::Error> + Sync,
) -> Result<Vec<T>, Box<dyn Error>> {
    thread::scope(|scope| {
        let running: Vec<_> = (0..job.at_once.max(1)).map(|_| scope.spawn(&request)).collect();
        running.into_iter().map(|thread| Ok(thread.join().map_err(|_| "a request panicked")??)).collect()
    })
}

/// CPU seconds of this process so far, and its highest memory use in MB.
fn usage() -> (f64, f64) {
    // SAFETY: all zero bytes are a valid `rusage`, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `rusage` that lives through the call, and `RUSAGE_SELF` is always a valid choice.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    // Linux counts in kB.
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as f64 / 1024.0)
}
