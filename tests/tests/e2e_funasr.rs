//! FunASR through the server: the reference's tiny recognisers with the real voice activity detector.

use serde_json::{Value, json};
use std::path::PathBuf;
use syrinx_tests::{
    http,
    server::{Server, Settings, real_plugins},
    workspace,
};

fn kit(path: &str) -> PathBuf {
    workspace::root().join("tests/kits/funasr").join(path)
}

fn server() -> Server {
    Server::start(Settings { plugins: vec![real_plugins()], own_store: true, ..Settings::default() })
}

/// Launches a model of the catalogue with the kit's files for it, and the kit's companions by path.
fn launch(server: &Server, name: &str, files: &str, more: Value) {
    let mut launch = json!({
        "model_name": name, "model_path": kit(&format!("models/{files}")), "vad_model": kit("models/fsmn-vad-tiny"),
    });
    launch.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    server.launch(&launch);
}

fn transcribe(server: &Server, model: &str, fields: &[(&str, &str)]) -> http::Response {
    let request = http::post(&server.url("/v1/audio/transcriptions")).field("model", model);
    let request = fields.iter().fold(request, |request, (name, value)| request.field(name, value));
    request.file("file", &kit("audio/long_mix.wav")).run()
}

#[test]
fn recognisers_answer_in_every_format() {
    let server = server();
    launch(&server, "SenseVoiceSmall", "sensevoice-tiny", json!({}));
    let whole = transcribe(&server, "SenseVoiceSmall", &[("response_format", "verbose_json")]);
    assert_eq!(whole.status, 200, "{}", whole.text());
    let whole = whole.json();
    let segments = whole["segments"].as_array().expect("a list");
    assert!(segments.len() > 1, "{whole}");
    for segment in segments {
        assert!(segment["emotion"].is_string() && segment["event"].is_string(), "{segment}");
        assert!(segment["start"].as_f64() < segment["end"].as_f64(), "{segment}");
        assert!(!segment["text"].as_str().expect("a text").contains("<|"), "tags are no text: {segment}");
    }
    for format in ["json", "text", "srt", "vtt"] {
        let response = transcribe(&server, "SenseVoiceSmall", &[("response_format", format)]);
        assert_eq!(response.status, 200, "{format}: {}", response.text());
        assert!(!response.body.is_empty(), "{format}");
    }
    let stream = transcribe(&server, "SenseVoiceSmall", &[("stream", "true")]).text();
    assert!(stream.matches("transcript.text.delta").count() > 1, "{stream}");

    launch(&server, "paraformer-zh", "paraformer-tiny", json!({"punc_model": kit("models/punc-tiny")}));
    let plain = transcribe(&server, "paraformer-zh", &[]);
    assert_eq!(plain.status, 200, "{}", plain.text());
    assert!(!plain.json()["text"].as_str().expect("a text").is_empty());
    let words = transcribe(
        &server,
        "paraformer-zh",
        &[("response_format", "verbose_json"), ("timestamp_granularities[]", "word")],
    );
    assert_eq!(words.status, 400, "it has no times: {}", words.text());
}

#[test]
fn speakers_are_told_apart_where_the_model_can() {
    let server = server();
    let companions = json!({"punc_model": kit("models/punc-tiny"), "spk_model": kit("models/campplus-tiny")});
    launch(&server, "paraformer-zh-spk", "paraformer-long-tiny", companions);
    let response = transcribe(&server, "paraformer-zh-spk", &[("response_format", "diarized_json")]);
    assert_eq!(response.status, 200, "{}", response.text());
    let diarized = response.json();
    let segments = diarized["segments"].as_array().expect("a list");
    assert!(!segments.is_empty() && segments.iter().all(|segment| segment["speaker"].is_string()), "{diarized}");

    launch(&server, "paraformer-zh", "paraformer-tiny", json!({"punc_model": kit("models/punc-tiny")}));
    let response = transcribe(&server, "paraformer-zh", &[("response_format", "diarized_json")]);
    assert_eq!(response.status, 400, "{}", response.text());
}
