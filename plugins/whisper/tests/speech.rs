//! Requests that look for speech first, through the plugin's own door, on a small model of random weights: what it says means nothing, but
//! when it says something does.

#[path = "kit/audio.rs"]
#[allow(dead_code, reason = "only the decoding of clips is used")]
mod audio;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use syrinx_plugin_api::{
    AudioInput, Error, ErrorKind, Granularity, Host, LoadRequest, Model, Plugin, TranscribeRequest, TranscribeSettings,
};
use syrinx_plugin_common::{kits::Case, testing::HeardText};
use syrinx_plugin_whisper::WhisperPlugin;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

fn kit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kits/whisper")
}

fn clip(parts: Value) -> Vec<f32> {
    let case = Case { root: kit(), ..Case::default() };
    audio::join(&case, &parts).expect("the kit has the clip")
}

fn load(with_vad: bool, options: Value) -> Box<dyn Model> {
    let mut assets = BTreeMap::new();
    if with_vad {
        let store = Store::default_location().expect("a place for the store");
        let asset = Catalogue::builtin().asset("silero-vad").expect("in the catalogue");
        let dir = store.fetch_asset(&asset, &FetchOptions::default(), &Silent).expect("here, or fetched");
        assets.insert("silero-vad".to_owned(), dir);
    }
    let request = LoadRequest {
        model: "random".to_owned(),
        model_dir: kit().join("models/rand-v2-hf"),
        assets,
        options: options.as_object().expect("an object").clone(),
        threads: 1,
    };
    WhisperPlugin.load(request, Host::detached(Default::default())).expect("it loads")
}

fn transcribe(model: &dyn Model, samples: &[f32], words: bool, parameters: Value) -> Result<HeardText, Error> {
    let settings = TranscribeSettings {
        language: Some("en".to_owned()),
        granularities: if words { vec![Granularity::Word] } else { Vec::new() },
        parameters: parameters.as_object().expect("an object").clone(),
        ..TranscribeSettings::default()
    };
    HeardText::of(model, TranscribeRequest::new(settings, AudioInput::from_samples(samples)), None)
}

/// No retries and no window that counts as silent: the model is random.
fn eager(extra: Value) -> Value {
    let mut parameters = json!({
        "beam_size": 1, "max_new_tokens": 20, "temperatures": [0],
        "compression_ratio_threshold": null, "logprob_threshold": null, "no_speech_threshold": null,
    });
    parameters.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    parameters
}

#[test]
fn silence_is_silent() {
    let model = load(true, json!({}));
    let silence = clip(json!([{"silence": 35}]));
    let unfiltered = eager(json!({"vad_filter": false}));
    assert!(!transcribe(&*model, &silence, false, unfiltered).unwrap().segments.is_empty());
    for parameters in [json!({}), json!({"vad_filter": true}), json!({"batched": true})] {
        assert!(transcribe(&*model, &silence, true, eager(parameters)).unwrap().segments.is_empty());
    }
    assert!(transcribe(&*model, &[], false, eager(json!({"vad_filter": true}))).unwrap().segments.is_empty());
}

#[test]
fn times_are_those_of_the_whole_audio() {
    let model = load(true, json!({}));
    let audio = clip(json!([{"silence": 12}, "audio/en_quick_brown_fox.wav", {"silence": 12}]));
    let (first, last) = (11.0, audio.len() as f64 / 16_000.0 - 11.0);
    for words in [false, true] {
        for parameters in [json!({}), json!({"batched": true}), json!({"batched": true, "without_timestamps": true})] {
            let heard = transcribe(&*model, &audio, words, eager(parameters.clone())).unwrap();
            assert!(!heard.segments.is_empty(), "{parameters}");
            for segment in &heard.segments {
                assert!(segment.start >= first && segment.start <= segment.end, "{parameters} {segment:?}");
                assert!(segment.start <= last, "{parameters} {segment:?}");
                assert!(segment.words.iter().flatten().all(|word| word.start >= first), "{parameters} {segment:?}");
            }
            assert!(heard.progress.is_sorted() && heard.progress.last().is_some_and(|seconds| *seconds > first));
        }
    }
    let all = transcribe(&*model, &audio, false, eager(json!({"vad_filter": false}))).unwrap();
    assert!(all.segments.iter().any(|segment| segment.start < first), "the request's word counts");
}

#[test]
fn batches_are_what_fits() {
    let model = load(true, json!({"batch_size": 2}));
    let part = json!([
        "audio/jfk.flac", {"silence": 1}, "audio/en_quick_brown_fox.wav", {"silence": 1}, "audio/jfk.flac", {"silence": 1},
        "audio/jfk.flac", {"silence": 1}, "audio/jfk.flac", {"silence": 1}, "audio/en_quick_brown_fox.wav"
    ]);
    let audio = clip(part);
    let texts = |parameters: Value| -> Vec<String> {
        let heard = transcribe(&*model, &audio, false, eager(parameters)).unwrap();
        heard.segments.into_iter().map(|segment| segment.text).collect()
    };
    let by_two = texts(json!({"batched": true}));
    assert_eq!(by_two, texts(json!({"batched": true, "batch_size": 1})));
    assert_eq!(by_two, texts(json!({"batched": true, "batch_size": 8})));
}

#[test]
fn without_the_asset_it_is_refused_and_everything_else_works() {
    let model = load(false, json!({}));
    let audio = clip(json!(["audio/en_quick_brown_fox.wav"]));
    assert!(transcribe(&*model, &audio, false, eager(json!({}))).is_ok());
    for parameters in [json!({"vad_filter": true}), json!({"batched": true})] {
        let error = transcribe(&*model, &audio, false, eager(parameters)).expect_err("refused");
        assert_eq!(error.kind, ErrorKind::NotSupported);
        assert!(error.message.contains("silero-vad"), "{error}");
    }
    let request = LoadRequest {
        model_dir: kit().join("models/rand-v2-hf"),
        options: json!({"vad_model": kit().join("audio/index.json")}).as_object().unwrap().clone(),
        ..LoadRequest::default()
    };
    let error = WhisperPlugin.load(request, Host::detached(Default::default())).err().expect("no graph");
    assert_eq!(error.field.as_deref(), Some("vad_model"));
}
