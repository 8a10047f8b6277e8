//! Word and character error rates on the clips of a reference kit.
//!
//! `cargo run --release -p syrinx-plugin-whisper --example accuracy -- KIT MODEL [BEAM_SIZE] [int8] [vad]`, where KIT is the kit's `whisper` folder
//! and MODEL a directory with the model's files; `vad` leaves out what is not speech. Prints a Markdown table. Texts are normalised as in the kit's tables: English with the
//! English normal form, other languages with the basic one, Chinese and Japanese scored by character. Temperature 0 only.
#![expect(clippy::print_stdout, reason = "a tool for the terminal")]

#[path = "../tests/kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

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
use syrinx_plugin_whisper::vad::{Silero, VadOptions, speech};
use syrinx_plugin_whisper::window::WindowOptions;
use syrinx_registry::{Catalogue, FetchOptions, Silent as NoProgress, Store};

/// A clip of the kit.
#[derive(Deserialize)]
struct Clip {
    file: String,
    language: String,
    transcript: Option<String>,
}

struct Silent;

impl Listener for Silent {
    fn accept(&mut self, _: &[Segment], _: usize) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(kit), Some(model)) = (arguments.first(), arguments.get(1)) else {
        return Err("usage: accuracy KIT MODEL [BEAM_SIZE] [int8] [vad]".into());
    };
    let (kit, model) = (PathBuf::from(kit), PathBuf::from(model));
    let beam_size = arguments.get(2).map(|text| text.parse()).transpose()?;
    let (mut compute_type, mut vad) = (ComputeType::Float32, None);
    for word in arguments.iter().skip(3) {
        match word.as_str() {
            "int8" => compute_type = ComputeType::Int8,
            "vad" => {
                let asset = Catalogue::builtin().asset("silero-vad")?;
                let dir = Store::default_location()?.fetch_asset(&asset, &FetchOptions::default(), &NoProgress)?;
                vad = Some(Silero::load(&dir.join("silero_vad_v6.onnx"))?);
            }
            other => return Err(format!("{other} is neither int8 nor vad").into()),
        }
    }
    let network = WhisperModel::load(&model, &LoadOptions { compute_type, ..LoadOptions::default() })?;
    let tokenizer = Tokenizer::load(&model, network.dims().n_vocab, None)?;
    let recognizer = Recognizer::new(Arc::new(network), tokenizer);
    let english = English::new();
    let clips: BTreeMap<String, Clip> = serde_json::from_slice(&std::fs::read(kit.join("audio/index.json"))?)?;
    let case = Case { root: kit, ..Case::default() };

    println!("| clip | WER | CER | seconds | text |\n|---|---|---|---|---|");
    let mut pooled = (ErrorRate::default(), ErrorRate::default());
    for (name, clip) in &clips {
        let Some(transcript) = &clip.transcript else { continue };
        if !recognizer.tokenizer.is_multilingual() && clip.language != "en" {
            continue;
        }
        let started = Instant::now();
        let samples = audio::join(&case, &json!([clip.file]))?;
        let mut sound = Sound::whole(&samples);
        if let Some(vad) = &vad {
            let probabilities = vad.probabilities(&sound, &|| false).unwrap_or_default();
            sound = Sound::parts(&samples, &speech(&probabilities, samples.len(), &VadOptions::default()));
        }
        let file = recognizer.hear(sound)?;
        let options = LongformOptions {
            window: WindowOptions { language: clip.language.clone(), beam_size, ..WindowOptions::default() },
            temperatures: vec![0.0],
            ..LongformOptions::default()
        };
        let text = recognizer.transcribe(&file, &options, &[], &mut SplitMix::new(0), &mut Silent)?.text;
        let normal = |text: &str| match clip.language.as_str() {
            "en" => english.normalize(text),
            _ => basic(text, Basic::default()),
        };
        let (wanted, got) = (normal(transcript), normal(&text));
        let characters = character_errors(&wanted, &got);
        let words = if matches!(clip.language.as_str(), "zh" | "ja") { characters } else { word_errors(&wanted, &got) };
        pooled = (pooled.0 + words, pooled.1 + characters);
        let seconds = started.elapsed().as_secs_f64();
        println!("| {name} | {:.0} | {:.0} | {seconds:.1} | {} |", words.percent(), characters.percent(), text.trim());
    }
    println!("| **all (pooled)** | {:.1} | {:.1} | | |", pooled.0.percent(), pooled.1.percent());
    Ok(())
}
