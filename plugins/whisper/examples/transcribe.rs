//! One transcription through the plugin's own door, with what it cost. For trying parameters.
//!
//! `cargo run --release -p syrinx-plugin-whisper --example transcribe -- KIT AUDIO MODEL [LAUNCH] [PARAMETERS] [REPEATS]`, where KIT is the kit's
//! `whisper` folder, AUDIO a list as in the kit's cases (`["audio/jfk.flac", {"silence": 2}]`), MODEL a directory with the model's files
//! (or a name of the catalogue, if the store has it), and LAUNCH and PARAMETERS are JSON objects. `language` and `words` in PARAMETERS are the
//! request's own fields.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

#[path = "../tests/kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use syrinx_plugin_api::{
    AudioInput, Flow, Granularity, Host, LoadRequest, Object, Plugin, ReceiveTranscript, TranscribeRequest,
    TranscribeSettings, TranscriptEvent, TranscriptSink,
};
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_common::testing::{memory, processor_seconds};
use syrinx_plugin_whisper::WhisperPlugin;
use syrinx_registry::{Catalogue, Store};

/// Prints segments as they come.
struct Printer {
    started: Instant,
    silent: bool,
}

impl ReceiveTranscript for Printer {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        let at = self.started.elapsed().as_secs_f64();
        match event {
            _ if self.silent => {}
            TranscriptEvent::Language { language, probability } => println!("{at:7.2}  {language} {probability:?}"),
            TranscriptEvent::Segment { segment } => {
                println!("{at:7.2}  [{:.2} – {:.2}]{}", segment.start, segment.end, segment.text);
                for word in segment.words.iter().flatten() {
                    println!("           {:.2} – {:.2}{}", word.start, word.end, word.word);
                }
            }
            _ => {}
        }
        Flow::Continue
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kit, sound, model, rest @ ..] = arguments.as_slice() else {
        return Err("usage: transcribe KIT AUDIO MODEL [LAUNCH] [PARAMETERS] [REPEATS]".into());
    };
    let object = |place: usize| -> Result<Object, serde_json::Error> {
        rest.get(place).map_or(Ok(Object::new()), |text| serde_json::from_str(text))
    };
    let case = Case { root: PathBuf::from(kit), ..Case::default() };
    let samples = audio::join(&case, &serde_json::from_str(sound)?)?;

    let mut request = LoadRequest { model: model.clone(), options: object(0)?, ..LoadRequest::default() };
    let store = Store::default_location()?;
    let catalogue = Catalogue::builtin();
    match catalogue.model(model).ok().and_then(|entry| store.locate(&entry)) {
        Some(files) => (request.model_dir, request.assets) = (files.dir, files.assets),
        None => request.model_dir = PathBuf::from(model),
    }
    let started = Instant::now();
    let loaded = WhisperPlugin.load(request, Host::detached(Default::default())).map_err(|error| error.to_string())?;
    println!("load {:.3} s", started.elapsed().as_secs_f64());

    let mut parameters = object(1)?;
    let language = parameters.remove("language").and_then(|language| Some(language.as_str()?.to_owned()));
    let words = parameters.remove("words").is_some();
    let repeats: usize = rest.get(2).map_or(Ok(1), |text| text.parse())?;
    for repeat in 0..repeats {
        let settings = TranscribeSettings {
            language: language.clone(),
            granularities: if words { vec![Granularity::Word] } else { Vec::new() },
            parameters: parameters.clone(),
            ..TranscribeSettings::default()
        };
        let request = TranscribeRequest::new(settings, AudioInput::from_samples(&samples));
        let started = Instant::now();
        let cpu = processor_seconds();
        let mut printer = Printer { started, silent: repeat > 0 };
        loaded.transcribe(request, &mut TranscriptSink::to(&mut printer)).map_err(|error| error.to_string())?;
        println!(
            "{:.1} s of audio: {:.3} s, {:.3} s of processor, peak {} MB",
            samples.len() as f64 / 16_000.0,
            started.elapsed().as_secs_f64(),
            processor_seconds() - cpu,
            memory().peak >> 20,
        );
    }
    Ok(())
}
