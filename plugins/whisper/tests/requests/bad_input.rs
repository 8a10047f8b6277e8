//! Requests that are wrong, and sounds that are odd.

use serde_json::{Value, json};
use syrinx_plugin_api::ErrorKind;

use crate::door::{Request, load, request};

#[test]
fn what_a_model_does_not_know_is_told() {
    let (english, many) = (load("whisper-tiny.en", json!({})), load("whisper-base", json!({})));
    let error = |model: &dyn syrinx_plugin_api::Model, parameters: Value| {
        Request { samples: vec![0.0; 16_000], parameters }.run(model, None).expect_err("refused")
    };
    let unknown = error(&*many, json!({"language": "klingon"}));
    assert_eq!((unknown.kind, unknown.field.as_deref()), (ErrorKind::InvalidInput, Some("language")));
    assert!(unknown.message.contains("klingon") && unknown.message.contains("zh"), "{unknown}");
    let unknown = error(&*many, json!({"languages": ["en", "xx"]}));
    assert_eq!(unknown.field.as_deref(), Some("languages"));
    let german = error(&*english, json!({"language": "de"}));
    assert_eq!(german.field.as_deref(), Some("language"));
    assert!(german.message.contains("English"), "{german}");
    let translated = error(&*english, json!({"translate": true}));
    assert_eq!(translated.kind, ErrorKind::NotSupported);
    assert!(translated.message.contains("translations"), "{translated}");
    let retrained = load("whisper-base", json!({"translations": false}));
    assert_eq!(error(&*retrained, json!({"translate": true})).kind, ErrorKind::NotSupported);
    for (parameters, field) in [
        (json!({"beam_size": 0}), "beam_size"),
        (json!({"best_of": 33}), "best_of"),
        (json!({"temperatures": []}), "temperatures"),
        (json!({"clip_timestamps": [1, -2]}), "clip_timestamps"),
        (json!({"hallucination_silence_threshold": 2}), "hallucination_silence_threshold"),
    ] {
        assert_eq!(error(&*many, parameters).field.as_deref(), Some(field));
    }
}

#[test]
fn any_sound_comes_to_an_end() {
    let model = load("whisper-tiny.en", json!({}));
    let greedy = json!({"language": "en", "beam_size": 1, "best_of": 1, "words": true});
    let run = |parts: Value| request(parts, greedy.clone()).run(&*model, None).expect("a transcript").text();
    assert_eq!(run(json!([])), "");
    assert_eq!(run(json!([{"silence": 5}])), "", "the rule of no speech");
    assert_eq!(run(json!([{"noise": 10, "seed": 1, "amp": 0.1}])), "", "likewise");
    run(json!([{"clip": "audio/jfk.flac", "start": 1, "dur": 0.05}]));
    for value in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE] {
        let odd = Request { samples: vec![value; 20_000], parameters: greedy.clone() };
        odd.run(&*model, None).unwrap_or_else(|error| panic!("{value}: {error}"));
    }
}

#[test]
fn silence_is_silent() {
    let model = load("whisper-base", json!({}));
    let text = |parameters: Value| request(json!([{"silence": 35}]), parameters).run(&*model, None).unwrap().text();
    let unfiltered = json!({"language": "en", "beam_size": 1, "vad_filter": false});
    assert_ne!(text(unfiltered), "", "as in the reference");
    assert_eq!(text(json!({"language": "en"})), "");
    assert_eq!(text(json!({"language": "en", "batched": true})), "");
    assert_eq!(text(json!({})), "", "whatever the language may be");
}

#[test]
fn texts_that_are_too_long_are_cut() {
    let model = load("whisper-tiny.en", json!({}));
    let words = "ask not what your country can do for you ".repeat(200);
    for parameters in [
        json!({"prompt": words}),
        json!({"prompt": words, "carry_initial_prompt": true}),
        json!({"hotword": words}),
        json!({"prompt": words, "hotword": words, "max_new_tokens": 448}),
    ] {
        let mut parameters = parameters;
        parameters.as_object_mut().unwrap().extend(json!({"beam_size": 1}).as_object().unwrap().clone());
        let heard = request(json!(["audio/jfk.flac"]), parameters).run(&*model, None).expect("a transcript");
        assert!(heard.text().contains("your country"), "{:?}", heard.text());
    }
    // The window of a prefix that fills it has room for little else.
    let filled = json!({"prefix": words, "beam_size": 1, "temperatures": [0]});
    request(json!(["audio/jfk.flac"]), filled).run(&*model, None).expect("a transcript");
}
