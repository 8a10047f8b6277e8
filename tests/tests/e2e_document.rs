//! The snippets of the document that Xinference's users have, as printed there, through the real `curl`. Models that aren't
//! here are played by the beeper under their names.

use serde_json::{Value, json};
use std::{fs, sync::OnceLock};
use syrinx_tests::{
    clips::clip,
    fixtures,
    http::{self, Request, Response},
    server::{BeeperFolders, Server},
    sound::Sound,
    text::base64,
};

struct Served {
    server: Server,
    _folders: BeeperFolders,
}

fn server() -> &'static Server {
    static SERVED: OnceLock<Served> = OnceLock::new();
    let served = SERVED.get_or_init(|| {
        let folders = BeeperFolders::default();
        folders.drop_in(&fixtures::plain_beeper());
        let server = Server::start(folders.settings());
        server.launch(&json!({"model_name": "tone", "model_uid": "whisper-large-v3", "translates": true}));
        for uid in ["ChatTTS", "CosyVoice-300M-SFT", "CosyVoice2-0.5B", "FishSpeech-1.5", "IndexTTS2"] {
            server.launch(&json!({"model_name": "tone", "model_uid": uid, "clones": true}));
        }
        Served { server, _folders: folders }
    });
    &served.server
}

fn good(request: Request) -> Response {
    let response = request.run();
    assert_eq!((response.status, response.curl), (200, 0), "{}", response.text());
    response
}

fn post(route: &str, body: &str) -> Request {
    http::post(&server().url(route)).header("accept: application/json").body("application/json", body.as_bytes())
}

fn recording() -> Vec<u8> {
    fs::read(clip("en_quick_brown_fox").path()).expect("the clip is there")
}

/// A second of a tone of this many Hz.
fn hum(pitch: f32) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let sample = |at: u32| 0.3 * (std::f32::consts::TAU * pitch * at as f32 / RATE as f32).sin();
    Sound { sample_rate: RATE, samples: (0..RATE).map(sample).collect() }.to_wav()
}

#[test]
fn transcription_and_translation_with_audio_in_json() {
    let (bare, sound) = (base64(&recording()), recording());
    let broken: String = bare.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + "\\r\\n").collect();
    for route in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        for file in [&bare, &broken, &format!("data:audio/wav;base64,{bare}")] {
            let body = format!("{{\n  \"model\": \"whisper-large-v3\",\n  \"file\": \"{file}\",\n}}");
            let text = good(post(route, &body)).json()["text"].as_str().expect("a text").to_owned();
            let same =
                good(http::post(&server().url(route)).field("model", "whisper-large-v3").file_of("file", &sound));
            assert_eq!(text, same.json()["text"], "{route}");
        }
    }
    let placeholder =
        post("/v1/audio/transcriptions", "{\"model\": \"whisper-large-v3\", \"file\": \"<audio bytes>\",}").run();
    assert_eq!((placeholder.status, placeholder.blamed().as_deref()), (400, Some("file")), "{}", placeholder.text());
}

#[test]
fn speech_with_words_of_python() {
    let body = "{\n  \"model\": \"ChatTTS\",\n  \"input\": \"你好\",\n  \"voice\": \"echo\",\n  \"stream\": True,\n}";
    let response = good(post("/v1/audio/speech", body));
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("audio/mpeg")), "{}", response.headers);
    assert_eq!(response.header("content-length"), None);
    let comment = "{\n  \"model\": \"CosyVoice-300M-SFT\",\n  \"input\": \"hello # not a comment\",\n  # one of: 中文女, 英文男\n  \"voice\": \"low\"  # here\n}";
    let with = good(post("/v1/audio/speech", comment)).body.len();
    let strict = json!({"model": "CosyVoice-300M-SFT", "input": "hello # not a comment", "voice": "low"});
    assert_eq!(with, good(post("/v1/audio/speech", &strict.to_string())).body.len());
}

#[test]
fn clips_in_every_place() {
    const PITCH: f32 = 600.0;
    let sound = hum(PITCH);
    let text = base64(&sound);
    let form = || {
        http::post(&server().url("/v1/audio/speech"))
            .field("model", "IndexTTS2")
            .field("input", "hello")
            .field("response_format", "wav")
            .file_of("prompt_speech", &sound)
    };
    let json_body = |more: Value| {
        let mut body = json!({"model": "IndexTTS2", "input": "hello", "response_format": "wav"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        post("/v1/audio/speech", &body.to_string())
    };
    for (what, request) in [
        ("file", form()),
        ("file, emotion as file", form().file_of("emo_audio_prompt", &sound)),
        ("file, emotion by its other name", form().file_of("emo_prompt_speech", &sound)),
        (
            "file, emotion in kwargs",
            form().field("kwargs", &json!({"emo_audio_prompt": text, "emo_alpha": 0.5}).to_string()),
        ),
        ("top level", json_body(json!({"prompt_speech": text}))),
        ("data URL", json_body(json!({"prompt_speech": format!("data:audio/wav;base64,{text}")}))),
        ("kwargs object", json_body(json!({"kwargs": {"prompt_speech": text}}))),
        ("kwargs text", json_body(json!({"kwargs": json!({"prompt_speech": text, "seed": 1}).to_string()}))),
        ("both", json_body(json!({"prompt_speech": text, "emo_prompt_speech": text, "emo_alpha": 0.8}))),
        ("reference_text", json_body(json!({"prompt_speech": text, "reference_text": ""}))),
    ] {
        let pitch = Sound::from_wav(&good(request).body).expect("a wav file").pitch();
        assert!((pitch / f64::from(PITCH) - 1.0).abs() < 0.05, "{what}: {pitch}");
    }
}

#[test]
fn forms_of_the_xinference_client() {
    // Text of Python's, empty text for null, and no file at all.
    let form = |stream: &str| {
        http::post(&server().url("/v1/audio/speech"))
            .field("model", "CosyVoice2-0.5B")
            .field("input", "hello")
            .field("voice", "")
            .field("response_format", "wav")
            .field("speed", "1.0")
            .field("stream", stream)
            .field("seed", "")
            .field("kwargs", "{}")
    };
    assert!(good(form("False")).header("content-length").is_some());
    assert!(good(form("True")).header("content-length").is_none());
}
