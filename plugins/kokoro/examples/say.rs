//! Speaks lines of text into WAV files, with the weights and data of the store:
//! `cargo run --release -p syrinx-plugin-kokoro --example say -- LINES DIRECTORY`.
//!
//! LINES has a voice, a tab and a text in each line; DIRECTORY gets `1.wav`, `2.wav`, … Tells what each line cost, and how long the language of
//! its voice took to load and how much memory that needs.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use syrinx_plugin_api::{
    Detached, Flow, Host, LoadRequest, Model as _, PcmSink, ReceivePcm, SpeechEvent, SpeechRequest, SpeechSettings,
};
use syrinx_plugin_common::testing::{memory, wav_file};
use syrinx_plugin_kokoro::model::Kokoro;
use syrinx_plugin_kokoro::pcm::pcm16;
use syrinx_plugin_kokoro::session::SAMPLE_RATE;
use syrinx_plugin_kokoro::voices;
use syrinx_registry::{Catalogue, FetchOptions, Store, TerminalProgress};

/// Collects samples, shows warnings.
#[derive(Default)]
struct Recorder(Vec<f32>);

impl ReceivePcm for Recorder {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.0.extend_from_slice(samples);
        Flow::Continue
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        if let SpeechEvent::Warning { message } = event {
            eprintln!("  {message}");
        }
        Flow::Continue
    }

    fn flow(&self) -> Flow {
        Flow::Continue
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lines, directory] = arguments.as_slice() else { return Err("usage: say LINES DIRECTORY".into()) };
    let model = load()?;
    for (number, line) in (1..).zip(fs::read_to_string(lines)?.lines()) {
        let (voice, text) = line.split_once('\t').ok_or_else(|| format!("line {number}: no tab"))?;
        if let Some(language) = voices::language(voice) {
            let (before, started) = (memory().resident, Instant::now());
            model.front_ends().prepare(language)?;
            let (seconds, megabytes) =
                (started.elapsed().as_secs_f64(), (memory().resident.saturating_sub(before)) as f64 / 1e6);
            if seconds > 1e-3 {
                println!("{language} loaded in {seconds:.2} s, {megabytes:.0} MB more resident");
            }
        }
        let started = Instant::now();
        let settings = SpeechSettings { text: text.to_owned(), voice: Some(voice.to_owned()), ..Default::default() };
        let mut recorder = Recorder::default();
        model.synthesize(SpeechRequest { settings, clips: Vec::new() }, &mut PcmSink::to(&mut recorder))?;
        let path = Path::new(directory).join(format!("{number}.wav"));
        fs::write(&path, wav_file(&pcm16(&recorder.0), SAMPLE_RATE))?;
        let seconds = recorder.0.len() as f64 / f64::from(SAMPLE_RATE);
        println!("{}: {seconds:.2} s of sound in {:.2} s", path.display(), started.elapsed().as_secs_f64());
    }
    Ok(())
}

fn load() -> Result<Kokoro, Box<dyn Error>> {
    let store = Store::default_location()?;
    let catalogue = Catalogue::builtin();
    let progress = TerminalProgress::new();
    let files = store.fetch(&*catalogue.model("Kokoro-82M")?, &FetchOptions::default(), &progress)?;
    let library = store.fetch_runtime("onnxruntime", &FetchOptions::default(), &progress)?;
    let request = LoadRequest {
        model: files.name.clone(),
        model_dir: files.dir.clone(),
        assets: files.assets.clone(),
        ..LoadRequest::default()
    };
    let runtime_libraries = BTreeMap::from([("onnxruntime".to_owned(), library)]);
    let host = Host::detached(Detached { runtime_libraries, ..Detached::default() });
    Ok(Kokoro::load(&request, &host)?)
}
