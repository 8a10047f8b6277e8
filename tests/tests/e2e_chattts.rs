//! ChatTTS through the server: the requests that users of Xinference and OpenAI's clients make, on the reference's tiny model.

use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use syrinx_tests::{
    http,
    server::{Server, Settings, plugins_of},
    sound::Sound,
    workspace,
};

/// Longest time for a launch.
const LOAD: Duration = Duration::from_secs(120);

fn kit(path: &str) -> PathBuf {
    workspace::root().join("tests/kits/chattts").join(path)
}

/// A parameter of a reference case.
fn parameter(case: &str, name: &str) -> Value {
    let text = std::fs::read(kit(&format!("cases/{case}.json"))).expect("a case");
    let case: Value = serde_json::from_slice(&text).expect("JSON");
    case["params"][name].clone()
}

/// A server with the tiny model; none where the plugin was built without libtorch.
fn server() -> Option<Server> {
    let plugins = vec![plugins_of("e2e-chattts", &["chattts"])];
    let server = Server::start(Settings { plugins, own_store: true, ..Settings::default() });
    let launch = json!({
        "model_name": "ChatTTS", "model_type": "audio", "model_path": kit("models/tiny-a"), "dtype": "float32",
    });
    let response = http::post(&server.url("/v1/models")).json(&launch).patience(LOAD).run();
    if response.text().contains("runtime missing") {
        assert!(
            response.status >= 400 && response.text().contains("cargo xtask plugin chattts"),
            "{}",
            response.text()
        );
        workspace::skipped("ChatTTS through the server", "the plugin was built without libtorch");
        return None;
    }
    assert_eq!(response.status, 200, "{}", response.text());
    Some(server)
}

fn speak(server: &Server, more: Value) -> http::Response {
    let mut request = json!({
        "model": "ChatTTS", "input": "hello world, this is chat text to speech.", "response_format": "wav", "seed": 7,
        "skip_refine_text": true, "min_new_token": 60, "max_new_token": 60,
    });
    request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    http::post(&server.url("/v1/audio/speech")).json(&request).run()
}

fn sound(server: &Server, more: Value) -> Sound {
    let response = speak(server, more);
    assert_eq!(response.status, 200, "{}", response.text());
    let sound = Sound::from_wav(&response.body).expect("a sound");
    assert_eq!(sound.sample_rate, 24_000);
    sound
}

#[test]
fn what_users_ask_for() {
    let Some(server) = server() else { return };
    // A row of evaluation_results.csv, streamed.
    let vector = &parameter("voice_emb_data", "voice")[0];
    let whole = sound(&server, json!({"voice": vector}));
    assert_eq!(whole.samples.len(), 119 * 256);
    let streamed = sound(&server, json!({"voice": vector, "stream": true}));
    assert_eq!(streamed.samples, whole.samples, "a stream is the same sound");
    // A speaker string, a name, one of OpenAI's names, none.
    let string = parameter("speaker_apply", "spk_emb");
    let voices = [string, json!("alice"), json!("alloy"), json!("")]
        .map(|voice| sound(&server, json!({"voice": voice})).samples);
    for (index, voice) in voices.iter().enumerate() {
        assert!(*voice != whole.samples && !voices[..index].contains(voice), "voice {index}");
    }
    // The refining pass, and other formats.
    let refined = json!({"skip_refine_text": false, "refine_prompt": "[oral_2][laugh_0][break_6]", "speed": 1.5});
    assert!(!sound(&server, refined).samples.is_empty());
    for format in ["mp3", "flac", "pcm"] {
        let response = speak(&server, json!({"response_format": format}));
        assert_eq!(response.status, 200, "{}", response.text());
        assert!(response.body.len() > 1000, "{format}");
    }
}

#[test]
fn what_cant_be_done_is_named() {
    let Some(server) = server() else { return };
    for (more, field) in [
        (json!({"voice": "x".repeat(500)}), "voice"),
        (json!({"temperature": 0}), "temperature"),
        (json!({"top_P": 3}), "top_P"),
        (json!({"input": "こんにちは"}), "input"),
        (json!({"lang": "xx"}), "lang"),
    ] {
        let response = speak(&server, more.clone());
        assert_eq!(response.status, 400, "{more}: {}", response.text());
        assert_eq!(response.blamed().as_deref(), Some(field), "{more}: {}", response.text());
    }
    assert_eq!(speak(&server, json!({})).status, 200, "the model goes on");
}
