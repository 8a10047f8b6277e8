//! The plugin as the host sees it, with the kit's tiny model.

use std::{path::PathBuf, thread};

use serde_json::{Value, json};
use syrinx_plugin_api::{
    Clip, Detached, Error, ErrorKind, Host, LoadRequest, Model, Plugin, SpeechRequest, SpeechSettings,
};
use syrinx_plugin_chattts::ChatTtsPlugin;
use syrinx_plugin_common::{kits, testing::HeardSpeech};

const TEXT: &str = "hello world, this is chat text to speech.";

fn kit() -> PathBuf {
    kits::folder("chattts").expect("it is in the project")
}

fn load_with(options: Value) -> Result<Box<dyn Model>, Error> {
    let options = options.as_object().cloned().expect("an object");
    let request = LoadRequest {
        model: "ChatTTS".to_owned(),
        model_dir: kit().join("models/tiny-a"),
        options,
        threads: 1,
        ..LoadRequest::default()
    };
    ChatTtsPlugin.load(request, Host::detached(Detached::default()))
}

fn load() -> Box<dyn Model> {
    load_with(json!({"dtype": "float32"})).expect("the tiny model loads")
}

/// Settings of a short request that always says the same.
fn settings(text: &str, parameters: &Value) -> SpeechSettings {
    let mut all = json!({"seed": 7, "skip_refine_text": true, "max_new_token": 60, "min_new_token": 20});
    let all_of_it = all.as_object_mut().expect("an object");
    all_of_it.extend(parameters.as_object().expect("an object").clone());
    SpeechSettings { text: text.to_owned(), parameters: all_of_it.clone(), ..SpeechSettings::default() }
}

fn ask(
    model: &dyn Model,
    settings: SpeechSettings,
    clips: Vec<Clip<'_>>,
    most: Option<usize>,
) -> Result<HeardSpeech, Error> {
    HeardSpeech::of(model, SpeechRequest { settings, clips }, most)
}

fn speak(model: &dyn Model, parameters: Value) -> HeardSpeech {
    let heard = ask(model, settings(TEXT, &parameters), Vec::new(), None).expect("it speaks");
    assert!(!heard.samples.is_empty() && heard.samples.iter().all(|sample| sample.is_finite()));
    heard
}

fn error(model: &dyn Model, text: &str, parameters: Value) -> Error {
    ask(model, settings(text, &parameters), Vec::new(), None).err().unwrap_or_else(|| panic!("{parameters} is refused"))
}

/// Largest difference between sounds of the same length.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn it_loads_and_speaks() {
    let model = load();
    model.warm_up().expect("it works");
    let card = model.card();
    assert_eq!((card.output_sample_rate, card.clip_sample_rate), (Some(24_000), Some(24_000)));
    assert_eq!((card.device.as_str(), card.dtype.as_str()), ("cpu", "float32"));
    let heard = speak(&*model, json!({"min_new_token": 30, "max_new_token": 30}));
    assert_eq!(heard.samples.len(), (2 * 30 - 1) * 256);
    // With the pass that refines the text, and with parts of it and of the sound made otherwise.
    for parameters in [
        json!({"skip_refine_text": false, "refine_prompt": "[oral_2][laugh_0][break_6]", "params_refine_text": {"max_new_token": 12}}),
        json!({"use_decoder": false}),
        json!({"manual_seed": 3}),
        json!({"temperature": [0.2, 0.5, 0.9, 1.3], "top_P": 0.9, "top_K": 40, "repetition_penalty": 1.2}),
    ] {
        speak(&*model, parameters);
    }
}

#[test]
fn seeds_repeat() {
    let model = load();
    let first = speak(&*model, json!({"seed": 5})).samples;
    assert_eq!(first, speak(&*model, json!({"seed": 5})).samples);
    assert_ne!(first, speak(&*model, json!({"seed": 6})).samples);
    assert_ne!(speak(&*model, json!({"seed": -1})).samples, speak(&*model, json!({"seed": null})).samples);
}

#[test]
fn what_is_streamed_is_what_is_made_at_once() {
    let model = load();
    let at_once = speak(&*model, json!({"stream_batch": 2048, "min_new_token": 100, "max_new_token": 100}));
    assert_eq!(at_once.samples.len(), 199 * 256);
    for batch in [1, 7, 24] {
        let streamed = speak(&*model, json!({"stream_batch": batch, "min_new_token": 100, "max_new_token": 100}));
        assert!(streamed.pushes > at_once.pushes, "{batch}");
        let difference = difference(&at_once.samples, &streamed.samples);
        assert!(difference < 1e-4, "{batch}: {difference}");
    }
}

#[test]
fn voices_are_names_strings_and_vectors() {
    let model = load();
    let case: Value =
        serde_json::from_slice(&std::fs::read(kit().join("cases/voice_emb_data.json")).expect("a case")).expect("JSON");
    let vector = case["params"]["voice"][0].as_str().expect("a text").to_owned();
    let case: Value =
        serde_json::from_slice(&std::fs::read(kit().join("cases/speaker_apply.json")).expect("a case")).expect("JSON");
    let string = case["params"]["spk_emb"].as_str().expect("a text").to_owned();
    let say = |voice: Option<&str>| {
        let settings = SpeechSettings { voice: voice.map(str::to_owned), ..settings(TEXT, &json!({})) };
        ask(&*model, settings, Vec::new(), None).expect("it speaks").samples
    };
    let voices = [Some("alice"), Some("bob"), Some(vector.as_str()), Some(string.as_str()), None].map(say);
    for (index, voice) in voices.iter().enumerate() {
        assert!(voices[..index].iter().all(|other| other != voice), "voice {index} is another one's");
    }
    assert_eq!(say(Some("alice")), voices[0]);
    assert_eq!(say(Some("")), voices[4], "the default is the empty name");
    let garbage = SpeechSettings { voice: Some("x".repeat(500)), ..settings(TEXT, &json!({})) };
    let error = ask(&*model, garbage, Vec::new(), None).expect_err("no voice");
    assert_eq!((error.kind, error.field.as_deref()), (ErrorKind::InvalidInput, Some("voice")));
}

#[test]
fn recordings_are_imitated() {
    let model = load();
    let sound: Vec<f32> = (0..24_000).map(|i| 0.3 * (i as f32 * 0.05).sin() * (i as f32 * 0.0007).cos()).collect();
    let clip = |samples| vec![Clip { name: "prompt_speech", samples, sample_rate: 24_000 }];
    let heard =
        ask(&*model, settings(TEXT, &json!({"prompt_text": "good morning."})), clip(&sound), None).expect("it speaks");
    assert_ne!(heard.samples, speak(&*model, json!({})).samples);
    let error = ask(&*model, settings(TEXT, &json!({})), clip(&sound), None).expect_err("no transcript");
    assert_eq!(error.field.as_deref(), Some("prompt_text"), "{error}");
    let error =
        ask(&*model, settings(TEXT, &json!({"prompt_text": "a"})), clip(&sound[..240]), None).expect_err("too short");
    assert_eq!(error.field.as_deref(), Some("prompt_speech"), "{error}");
}

#[test]
fn long_texts_are_spoken_in_pieces_in_order() {
    let model = load();
    let sentence = "你好，今天天气很好，我们一起去公园散步吧。".repeat(2);
    let text = sentence.repeat(4);
    let short = json!({"min_new_token": 20, "max_new_token": 20});
    let say = |more: Value| {
        let mut parameters = short.clone();
        parameters.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        ask(&*model, settings(&text, &parameters), Vec::new(), None).expect("it speaks").samples
    };
    let pieces = say(json!({})).len() / (39 * 256);
    assert!(pieces >= 3, "{pieces}");
    assert_eq!(say(json!({"split_text": false})).len(), 39 * 256);
    let difference = difference(&say(json!({"max_split_batch": 1})), &say(json!({"max_split_batch": 8})));
    assert!(difference < 1e-4, "pieces don't depend on what is made beside them: {difference}");
    assert_eq!(say(json!({"keep_voice": true})).len(), pieces * 39 * 256);
}

#[test]
fn requests_side_by_side_give_what_they_give_alone() {
    let model = load();
    let model = &*model;
    let alone: Vec<_> = (0..4).map(|seed| speak(model, json!({"seed": seed})).samples).collect();
    let together: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|seed| scope.spawn(move || speak(model, json!({"seed": seed})).samples)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it speaks")).collect()
    });
    for (alone, together) in alone.iter().zip(&together) {
        assert!(difference(alone, together) < 1e-4);
    }
}

#[test]
fn who_stops_listening_is_not_spoken_to() {
    let model = load();
    let long = json!({"min_new_token": 2000, "max_new_token": 2000});
    let heard = ask(&*model, settings(TEXT, &long), Vec::new(), Some(1)).expect("that is no error");
    assert_eq!(heard.pushes, 1);
    let heard = ask(&*model, settings(TEXT, &long), Vec::new(), Some(0)).expect("that is no error");
    assert_eq!(heard.pushes, 0);
    // The rows that were left behind hold nobody up.
    speak(&*model, json!({}));
}

#[test]
fn what_cant_be_spoken_is_said() {
    let model = load();
    let heard = ask(&*model, settings("hello こんにちは world", &json!({})), Vec::new(), None).expect("it speaks");
    assert!(heard.warnings.iter().any(|warning| warning.contains('こ')), "{:?}", heard.warnings);
    assert_eq!(error(&*model, "こんにちは", json!({})).field.as_deref(), Some("input"));
    for (parameters, field) in [
        (json!({"lang": "xx"}), "lang"),
        (json!({"temperature": 0}), "temperature"),
        (json!({"top_P": 2}), "top_P"),
        (json!({"min_new_token": 9, "max_new_token": 3}), "min_new_token"),
        (json!({"params_refine_text": {"temperature": -1}}), "params_refine_text.temperature"),
        (json!({"spk_smp": "abc", "prompt_text": "a"}), "spk_smp"),
    ] {
        let error = error(&*model, TEXT, parameters);
        assert_eq!((error.kind, error.field.as_deref()), (ErrorKind::InvalidInput, Some(field)), "{error}");
    }
}

#[test]
fn launch_options_that_dont_fit_are_named() {
    for (options, field) in [
        (json!({"device": "tpu"}), "device"),
        (json!({"device": "cuda:77"}), "device"),
        (json!({"dtype": "float16"}), "dtype"),
        (json!({"dtype": "float8"}), "dtype"),
        (json!({"homophones": "/nowhere/map.json"}), "homophones"),
        (json!({"default_voice": "x".repeat(500)}), "default_voice"),
    ] {
        let error = load_with(options.clone()).err().unwrap_or_else(|| panic!("{options} is refused"));
        assert_eq!(error.field.as_deref(), Some(field), "{error}");
    }
    for dtype in ["bfloat16", "int8"] {
        let model = load_with(json!({"dtype": dtype})).expect("it loads");
        model.warm_up().expect("it works");
        assert_eq!(model.card().dtype, dtype);
        speak(&*model, json!({}));
    }
}
