//! What several requests at once cost, through the plugin's own door.
//!
//! `cargo run --release -p syrinx-plugin-whisper --example throughput -- KIT AUDIO MODEL REQUESTS [LAUNCH] [PARAMETERS]`, where KIT is the kit's
//! `whisper` folder, AUDIO a list as in the kit's cases (`["audio/jfk.flac", {"silence": 2}]`), MODEL a directory with the model's files (or a name
//! of the catalogue, if the store has it), REQUESTS how many run at a time (several numbers, separated by commas, run one after the other), and LAUNCH
//! and PARAMETERS are JSON objects. Prints for each number the seconds that passed, the seconds of processor, and how many seconds of audio were
//! transcribed in a second; and whether all requests gave the same text.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

#[path = "../tests/kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use syrinx_plugin_api::{
    AudioInput, Flow, Host, LoadRequest, Model, Object, Plugin, ReceiveTranscript, TranscribeRequest,
    TranscribeSettings, TranscriptEvent, TranscriptSink,
};
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_common::testing::processor_seconds;
use syrinx_plugin_whisper::WhisperPlugin;
use syrinx_registry::{Catalogue, Store};

/// Keeps the text.
#[derive(Default)]
struct Text(String);

impl ReceiveTranscript for Text {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        if let TranscriptEvent::Segment { segment } = event {
            self.0.push_str(&segment.text);
        }
        Flow::Continue
    }
}

fn text(model: &dyn Model, samples: &[f32], parameters: &Object) -> Result<String, String> {
    let mut heard = Text::default();
    let settings = TranscribeSettings {
        language: Some("en".to_owned()),
        parameters: parameters.clone(),
        ..TranscribeSettings::default()
    };
    let request = TranscribeRequest::new(settings, AudioInput::from_samples(samples));
    model.transcribe(request, &mut TranscriptSink::to(&mut heard)).map_err(|error| error.to_string())?;
    Ok(heard.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kit, sound, model, requests, rest @ ..] = arguments.as_slice() else {
        return Err("usage: throughput KIT AUDIO MODEL REQUESTS [LAUNCH] [PARAMETERS]".into());
    };
    let object = |place: usize| -> Result<Object, serde_json::Error> {
        rest.get(place).map_or(Ok(Object::new()), |text| serde_json::from_str(text))
    };
    let case = Case { root: PathBuf::from(kit), ..Case::default() };
    let samples = audio::join(&case, &serde_json::from_str(sound)?)?;
    let mut request = LoadRequest { model: model.clone(), options: object(0)?, ..LoadRequest::default() };
    let store = Store::default_location()?;
    match Catalogue::builtin().model(model).ok().and_then(|entry| store.locate(&entry)) {
        Some(files) => (request.model_dir, request.assets) = (files.dir, files.assets),
        None => request.model_dir = PathBuf::from(model),
    }
    let loaded = WhisperPlugin.load(request, Host::detached(Default::default())).map_err(|error| error.to_string())?;
    let (loaded, parameters) = (&*loaded, object(1)?);

    let alone = text(loaded, &samples, &parameters)?;
    for count in requests.split(',') {
        let count: usize = count.parse()?;
        let (started, cpu) = (Instant::now(), processor_seconds());
        let texts = std::thread::scope(|scope| {
            let jobs: Vec<_> = (0..count).map(|_| scope.spawn(|| text(loaded, &samples, &parameters))).collect();
            jobs.into_iter()
                .map(|job| job.join().map_err(|_| "a job panicked".to_owned())?)
                .collect::<Result<Vec<_>, _>>()
        })?;
        let (seconds, cpu) = (started.elapsed().as_secs_f64(), processor_seconds() - cpu);
        let audio = samples.len() as f64 / 16_000.0 * count as f64;
        let same = if texts.iter().all(|text| *text == alone) { "same text" } else { "OTHER TEXT" };
        println!(
            "{count} at once: {seconds:.2} s, {cpu:.2} s of processor, {:.1} x real time, {same}",
            audio / seconds
        );
    }
    Ok(())
}
