//! Real-time factor and time to first sound of the whole pipeline on real weights.
//!
//! `KOKORO_MODEL` names a model directory (`*.onnx`, `voices/`), `ORT_DYLIB_PATH` ONNX Runtime's library; without them
//! nothing is measured. `KOKORO_MISAKI` and `KOKORO_SPACY` name the English data sets. `KOKORO_THREADS` defaults to 1.
//!
//! `cargo bench -p syrinx-plugin-kokoro`; with `-- --once` it prints wall and processor time, time to first sound and
//! memory of single runs instead, in the form that a comparison with other programs needs, and with `-- --phonemes` the
//! phonemes of the texts, so that others can speak the same. `-- --speak DIR` speaks the lines of standard input into files.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use syrinx_plugin_api::{Flow, Host, LoadRequest, Model, PcmSink, ReceivePcm, SpeechRequest, SpeechSettings};
use syrinx_plugin_common::testing::{memory, processor_seconds, wav_file};
use syrinx_plugin_kokoro::chunk::phonemes_of;
use syrinx_plugin_kokoro::language::Language;
use syrinx_plugin_kokoro::model::Kokoro;
use syrinx_plugin_kokoro::pcm::pcm16;
use syrinx_plugin_kokoro::session::SAMPLE_RATE;

/// 48 phonemes, about 3 s.
const SHORT: &str = "The quick brown fox jumps over the lazy dog today.";

/// About 1000 characters, in the manner of a news item.
const LONG: &str = "The old lighthouse stood at the edge of the cliff, watching over the restless sea below. Every \
    evening, the keeper climbed the narrow stairs and lit the great lamp at the top. Ships from distant lands used its \
    light to find their way through the rocks. One winter, a terrible storm came in from the north, and the waves grew \
    taller than houses. The keeper did not sleep for three days, because the wind kept blowing out the flame. On the \
    third night he saw a small boat, tossed like a leaf on the water, and he knew that somebody was in trouble. He tied \
    a rope around his waist, took a lantern, and walked down to the beach. The people in the boat were cold and tired, \
    but they were alive, and they never forgot the light that had saved them. Years later, when the keeper had grown \
    old, a young captain knocked at his door and asked whether he remembered that night. He smiled, put the kettle on, \
    and said that he remembered every single ship that had ever passed by the rocks.";

/// Counts samples and notes when the first came.
struct Ear {
    started: Instant,
    first: Option<Duration>,
    samples: usize,
    heard: Vec<f32>,
}

impl ReceivePcm for Ear {
    fn push(&mut self, samples: &[f32]) -> Flow {
        if samples.iter().any(|sample| *sample != 0.0) {
            self.first.get_or_insert_with(|| self.started.elapsed());
        }
        self.samples += samples.len();
        self.heard.extend_from_slice(samples);
        Flow::Continue
    }
}

fn model() -> Option<Kokoro> {
    let directory = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let mut assets = BTreeMap::new();
    for (asset, variable) in [("misaki", "KOKORO_MISAKI"), ("spacy-en", "KOKORO_SPACY")] {
        assets.extend(directory(variable).map(|path| (asset.to_owned(), path)));
    }
    let threads = std::env::var("KOKORO_THREADS").ok().and_then(|threads| threads.parse().ok()).unwrap_or(1);
    let request = LoadRequest { model_dir: directory("KOKORO_MODEL")?, assets, threads, ..LoadRequest::default() };
    match Kokoro::load(&request, &Host::detached(syrinx_plugin_api::Detached::default())) {
        Ok(model) => Some(model),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            None
        }
    }
}

fn speak(model: &Kokoro, text: &str) -> Ear {
    let mut ear = Ear { started: Instant::now(), first: None, samples: 0, heard: Vec::new() };
    let settings =
        SpeechSettings { text: text.to_owned(), voice: Some("af_heart".to_owned()), ..SpeechSettings::default() };
    let request = SpeechRequest { settings, clips: Vec::new() };
    if let Err(error) = model.synthesize(request, &mut PcmSink::to(&mut ear)) {
        let _ = writeln!(std::io::stderr(), "{error}");
    }
    ear
}

fn once(model: &Kokoro) {
    let mut out = std::io::stdout();
    for (name, text) in [("warm-up", SHORT), ("short", SHORT), ("long", LONG), ("short", SHORT), ("long", LONG)] {
        let processor = processor_seconds();
        let ear = speak(model, text);
        let wall = ear.started.elapsed().as_secs_f64();
        let audio = ear.samples as f64 / f64::from(SAMPLE_RATE);
        let processor = processor_seconds() - processor;
        let _ = writeln!(
            out,
            "{name}: audio {audio:.2} s, wall {wall:.2} s (rtf {:.3}), cpu {processor:.2} s ({:.3}/s), first {:.2} s, rss \
             {} MB, peak {} MB",
            wall / audio,
            processor / audio,
            ear.first.unwrap_or_default().as_secs_f64(),
            memory().resident >> 20,
            memory().peak >> 20,
        );
    }
    // Four requests at once.
    let (started, processor) = (Instant::now(), processor_seconds());
    let samples: usize = std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..4).map(|_| scope.spawn(|| speak(model, SHORT).samples)).collect();
        jobs.into_iter().map(|job| job.join().unwrap_or(0)).sum()
    });
    let audio = samples as f64 / f64::from(SAMPLE_RATE);
    let wall = started.elapsed().as_secs_f64();
    let _ = writeln!(
        out,
        "four at once: audio {audio:.2} s, {:.2} s of audio per second, cpu {:.3}/s, peak {} MB",
        audio / wall,
        (processor_seconds() - processor) / audio,
        memory().peak >> 20
    );
}

fn main() {
    let Some(model) = model() else { return };
    if std::env::args().any(|argument| argument == "--phonemes") {
        for text in [SHORT, LONG] {
            let tokens = model.front_ends().tokens(Language::AmericanEnglish, text).unwrap_or_default();
            let _ = writeln!(std::io::stdout(), "{}", phonemes_of(&tokens));
        }
        return;
    }
    if let Some(directory) = std::env::args().skip_while(|argument| argument != "--speak").nth(1) {
        for (number, line) in std::io::stdin().lines().map_while(Result::ok).enumerate() {
            let path = PathBuf::from(&directory).join(format!("{number}.wav"));
            if let Err(error) = std::fs::write(&path, wav_file(&pcm16(&speak(&model, &line).heard), SAMPLE_RATE)) {
                let _ = writeln!(std::io::stderr(), "{}: {error}", path.display());
            }
        }
        return;
    }
    if std::env::args().any(|argument| argument == "--once") {
        once(&model);
        return;
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let mut group = criterion.benchmark_group("synthesis");
    for (name, text) in [("short", SHORT), ("long", LONG)] {
        // Throughput in milliseconds of audio: elements per second over 1000 is the inverse of the real-time factor.
        let samples = speak(&model, text).samples as u64;
        group.throughput(Throughput::Elements(samples * 1000 / u64::from(SAMPLE_RATE)));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(speak(&model, text).samples)));
    }
    group.finish();
    criterion.final_summary();
}
