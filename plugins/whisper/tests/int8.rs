//! Error rates with int8 weights on the kit's clips, against those of openai-whisper in single precision and of faster-whisper with int8
//! weights: the worse of the two is the bound, for words clip by clip, for letters (of which one is more than a point of a clip) of all clips.

#[path = "kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use syrinx_plugin_common::kits::Case;
use syrinx_plugin_whisper::longform::{Listener, LongformOptions, Segment};
use syrinx_plugin_whisper::model::{ComputeType, LoadOptions, WhisperModel};
use syrinx_plugin_whisper::recognizer::Recognizer;
use syrinx_plugin_whisper::search::SplitMix;
use syrinx_plugin_whisper::sound::Sound;
use syrinx_plugin_whisper::text::normalize::{Basic, English, basic};
use syrinx_plugin_whisper::text::{ErrorRate, character_errors, word_errors};
use syrinx_plugin_whisper::tokenizer::Tokenizer;
use syrinx_plugin_whisper::window::WindowOptions;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

/// Percentage points that a rate may be worse than the references.
const MARGIN: f64 = 0.5;

#[derive(Deserialize)]
struct Clip {
    file: String,
    language: String,
    transcript: Option<String>,
}

/// Error rates of the reference on a clip, 1 is 100 %.
#[derive(Deserialize)]
struct Reference {
    wer: f64,
    cer: f64,
}

struct Deaf;

impl Listener for Deaf {
    fn accept(&mut self, _: &[Segment], _: usize) -> bool {
        true
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).expect("the kit has it")).expect("it is JSON of this shape")
}

fn load(name: &str) -> Recognizer {
    let store = Store::default_location().expect("a place for the store");
    let entry = Catalogue::builtin().model(name).expect("in the catalogue");
    let dir = store.fetch(&entry, &FetchOptions::default(), &Silent).expect("here, or fetched").dir;
    let options = LoadOptions { compute_type: ComputeType::Int8, ..LoadOptions::default() };
    let network = WhisperModel::load(&dir, &options).expect("it loads");
    let tokenizer = Tokenizer::load(&dir, network.dims().n_vocab, None).expect("its vocabulary");
    Recognizer::new(Arc::new(network), tokenizer)
}

fn check(model: &str, name_in_kit: &str) {
    let kit: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper");
    let clips: BTreeMap<String, Clip> = read(&kit.join("audio/index.json"));
    let references: BTreeMap<String, Reference> = read(&kit.join("accuracy.json"));
    let case = Case { root: kit, ..Case::default() };
    let recognizer = load(model);
    let english = English::new();
    for (search, beam_size) in [("greedy", None), ("beam5", Some(5))] {
        let (mut letters, mut bound, mut compared) = (ErrorRate::default(), 0.0, 0);
        for (name, clip) in &clips {
            let known =
                ["openai", "fw-int8"].map(|who| references.get(&format!("{name_in_kit}|{who}-{search}|{name}")));
            let (Some(transcript), [Some(single), Some(int8)]) = (&clip.transcript, known) else { continue };
            if !recognizer.tokenizer.is_multilingual() && clip.language != "en" {
                continue;
            }
            let samples = audio::join(&case, &json!([clip.file])).expect("a clip");
            let options = LongformOptions {
                window: WindowOptions { language: clip.language.clone(), beam_size, ..WindowOptions::default() },
                temperatures: vec![0.0],
                ..LongformOptions::default()
            };
            let file = recognizer.hear(Sound::whole(&samples)).expect("long enough");
            let found = recognizer.transcribe(&file, &options, &[], &mut SplitMix::new(0), &mut Deaf).expect("a text");
            let normal = |text: &str| match clip.language.as_str() {
                "en" => english.normalize(text),
                _ => basic(text, Basic::default()),
            };
            let (wanted, got) = (normal(transcript), normal(&found.text));
            let characters = character_errors(&wanted, &got);
            let words =
                if matches!(clip.language.as_str(), "zh" | "ja") { characters } else { word_errors(&wanted, &got) };
            let most = 100.0 * single.wer.max(int8.wer) + MARGIN;
            assert!(
                words.percent() <= most,
                "{model} {search} {name}: {} % > {most} %: {}",
                words.percent(),
                found.text
            );
            letters = letters + characters;
            bound += single.cer.max(int8.cer) * characters.total as f64;
            compared += 1;
        }
        assert!(compared >= 3, "only {compared} clips were compared");
        let most = 100.0 * bound / letters.total as f64 + MARGIN;
        assert!(letters.percent() <= most, "{model} {search}: {} % of the letters > {most} %", letters.percent());
    }
}

#[test]
fn tiny_en_is_as_accurate() {
    check("whisper-tiny.en", "tiny.en");
}

#[test]
fn base_is_as_accurate() {
    check("whisper-base", "base");
}
