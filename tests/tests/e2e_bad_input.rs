//! What can't be served is refused in words that help, in the shape that both clients read, and costs nobody else.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::json;
use std::{fs, path::PathBuf, sync::OnceLock};
use syrinx_tests::{
    clips::clip,
    fixtures::plain_beeper,
    http::{self, Request, Response},
    server::{BeeperFolders, Server},
};

/// In bytes; small, so that a test reaches it.
const UPLOAD_LIMIT: usize = 1_000_000;
/// In characters.
const INPUT_LIMIT: usize = 5000;

/// A server with the beeper: nothing here gets as far as a real model, but where it should, a real one is not needed.
fn server() -> &'static Server {
    static SERVER: OnceLock<(Server, BeeperFolders)> = OnceLock::new();
    let (server, _) = SERVER.get_or_init(|| {
        let folders = BeeperFolders::default();
        folders.drop_in(&plain_beeper());
        let mut settings = folders.settings();
        settings.environment = vec![
            ("SYRINX_MAX_BODY_BYTES".into(), UPLOAD_LIMIT.to_string()),
            ("SYRINX_MAX_INPUT_CHARACTERS".into(), INPUT_LIMIT.to_string()),
        ];
        let server = Server::start(settings);
        server.launch(&json!({"model_name": "tone"}));
        (server, folders)
    });
    server
}

fn transcription() -> Request {
    http::post(&server().url("/v1/audio/transcriptions"))
}

fn speech() -> Request {
    http::post(&server().url("/v1/audio/speech"))
}

fn fox() -> PathBuf {
    clip("en_quick_brown_fox").path()
}

/// Refused with this status, for this field, in words that contain these; and the server goes on.
fn assert_refused(what: &str, request: Request, status: u16, field: Option<&str>, words: &[&str]) -> Response {
    let response = request.run();
    assert_eq!(response.status, status, "{what}: {}", response.text());
    let message = response.error();
    println!("{what}: {message}");
    assert_eq!(response.blamed().as_deref(), field, "{what}: {}", response.text());
    for word in words {
        assert!(message.contains(word), "{what}: no {word:?} in {message:?}");
    }
    assert!(response.header("x-request-id").is_some(), "{what}: {}", response.headers);
    let health = http::get(&server().url("/health")).run();
    assert_eq!(health.status, 200, "after {what}");
    response
}

#[test]
fn sound_requests_go_through() {
    let response = transcription().field("model", "tone").file("file", &fox()).run();
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(response.text().contains("samples"), "{}", response.text());
    let response = speech().json(&json!({"model": "tone", "input": "abc", "response_format": "wav"})).run();
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn unknown_model_is_404() {
    for request in [
        transcription().field("model", "nobody").file("file", &fox()),
        http::post(&server().url("/v1/audio/translations")).field("model", "nobody").file("file", &fox()),
        speech().json(&json!({"model": "nobody", "input": "hello"})),
    ] {
        let response = assert_refused("unknown model", request, 404, Some("model"), &["nobody"]);
        assert_eq!(response.json()["error"]["code"], "model_not_found");
    }
    assert_refused("no model", speech().json(&json!({"input": "hello"})), 400, Some("model"), &["model"]);
}

#[test]
fn unknown_route_and_method_are_told() {
    assert_refused("unknown route", http::get(&server().url("/v1/nothing")), 404, None, &[]);
    assert_refused("wrong method", http::get(&server().url("/v1/audio/speech")), 405, None, &[]);
}

#[test]
fn file_that_is_no_sound_is_400() {
    let model = || transcription().field("model", "tone");
    assert_refused("no file", model(), 400, Some("file"), &["file"]);
    assert_refused("empty file", model().file_of("file", b""), 400, Some("file"), &["empty"]);
    let text = b"Dear server, this is a letter and no recording. Yours, a user.".repeat(40);
    assert_refused("text file", model().file_of("file", &text), 400, Some("file"), &[]);
    assert_refused("zeros", model().file_of("file", &[0; 5000]), 400, Some("file"), &[]);
    assert_refused("text instead of a file", model().field("file", "hello"), 400, Some("file"), &[]);
}

#[test]
fn truncated_sound_is_400_or_what_can_be_decoded() {
    for name in ["en_quick_brown_fox", "hi_pangrama", "zh_common_voice"] {
        let whole = fs::read(clip(name).path()).expect("the clip is there");
        for length in [12, 40, 60, 200, whole.len() / 2, whole.len() - 1] {
            let response = transcription().field("model", "tone").file_of("file", &whole[..length]).run();
            match response.status {
                200 => assert!(response.text().contains("samples"), "{name}, {length}: {}", response.text()),
                400 => assert_eq!(response.blamed().as_deref(), Some("file"), "{name}, {length}: {}", response.error()),
                other => panic!("{name}, {length} bytes: {other}: {}", response.text()),
            }
            assert!(length > 60 || response.status == 400, "{length} bytes of {name} are no sound");
        }
    }
}

#[test]
fn unknown_format_is_400_and_lists_the_known() {
    let request = transcription().field("model", "tone").file("file", &fox()).field("response_format", "pdf");
    assert_refused(
        "format",
        request,
        400,
        Some("response_format"),
        &["pdf", "json", "text", "srt", "vtt", "verbose_json"],
    );
    for stream in [false, true] {
        let request =
            speech().json(&json!({"model": "tone", "input": "abc", "response_format": "midi", "stream": stream}));
        assert_refused(
            "format",
            request,
            400,
            Some("response_format"),
            &["midi", "mp3", "wav", "opus", "aac", "flac", "pcm"],
        );
    }
}

#[test]
fn unusable_text_is_400() {
    for input in ["", "  \n\t "] {
        assert_refused(
            "empty input",
            speech().json(&json!({"model": "tone", "input": input})),
            400,
            Some("input"),
            &[],
        );
    }
    assert_refused("no input", speech().json(&json!({"model": "tone"})), 400, Some("input"), &["input"]);
    let long = "a".repeat(INPUT_LIMIT + 1);
    let limit = INPUT_LIMIT.to_string();
    assert_refused(
        "long input",
        speech().json(&json!({"model": "tone", "input": long})),
        400,
        Some("input"),
        &[&limit],
    );
}

#[test]
fn unknown_voice_is_400_and_lists_the_known() {
    let request = speech().json(&json!({"model": "tone", "input": "abc", "voice": "soprano"}));
    assert_refused("voice", request, 400, Some("voice"), &["soprano", "low", "high"]);
    let request = speech().json(&json!({"model": "tone", "input": "abc", "voice": "../../etc/passwd"}));
    assert_refused("a path for a voice", request, 400, Some("voice"), &["low"]);
}

#[test]
fn values_out_of_range_are_400() {
    for speed in [json!(0.1), json!(5), json!("fast")] {
        let request = speech().json(&json!({"model": "tone", "input": "abc", "speed": speed}));
        assert_refused("speed", request, 400, Some("speed"), &[]);
    }
    let request = transcription().field("model", "tone").file("file", &fox()).field("temperature", "3");
    assert_refused("temperature", request, 400, Some("temperature"), &[]);
    let request = transcription().field("model", "tone").file("file", &fox()).field("kwargs", "[1]");
    assert_refused("kwargs", request, 400, Some("kwargs"), &[]);
    let request = speech().json(&json!({"model": "tone", "input": "abc", "pause_ms": "soon"}));
    assert_refused("a parameter of the family", request, 400, Some("pause_ms"), &[]);
}

#[test]
fn malformed_bodies_are_400() {
    for body in [&b"{\"model\": \"tone\", \"input\""[..], b"[]", b"", b"{\"model\": tone}", b"\xff\xfe\x00"] {
        assert_refused("JSON", speech().body("application/json", body), 400, None, &[]);
    }
    let nested = format!("{{\"model\": \"tone\", \"input\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_refused("deep JSON", speech().body("application/json", nested.as_bytes()), 400, None, &[]);
    let cut = b"--line\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntone";
    assert_refused("multipart", transcription().body("multipart/form-data; boundary=line", cut), 400, None, &[]);
    let nameless = transcription().body("multipart/form-data", b"--line\r\n\r\n");
    assert_refused("multipart without boundary", nameless, 400, None, &[]);
}

#[test]
fn upload_over_the_limit_is_413() {
    let large = vec![0_u8; UPLOAD_LIMIT + 1];
    let declared = transcription().field("model", "tone").file_of("file", &large);
    assert_refused("declared upload", declared, 413, None, &[&UPLOAD_LIMIT.to_string()]);
    // Nobody says how much will come: it shows while reading.
    let streamed = transcription().field("model", "tone").file_of("file", &large).header("transfer-encoding: chunked");
    assert_refused("chunked upload", streamed, 413, None, &[]);
}

#[test]
fn job_that_fails_costs_itself_only() {
    let neighbour = speech()
        .json(&json!({"model": "tone", "input": "a long text", "response_format": "wav", "fail": "slow"}))
        .start();
    let panics = speech().json(&json!({"model": "tone", "input": "abc", "fail": "panic"})).run();
    assert_eq!(panics.status, 500, "{}", panics.text());
    assert!(panics.json()["error"]["type"] == "server_error", "{}", panics.text());
    let fails = speech().json(&json!({"model": "tone", "input": "abc", "fail": "error"}));
    assert_refused("error of the plugin", fails, 400, Some("fail"), &["failed as asked"]);
    let panics = transcription().field("model", "tone").file("file", &fox()).field("fail", "panic").run();
    assert_eq!(panics.status, 500, "{}", panics.text());
    // Found after the first bytes: the connection is cut, so that the client notices.
    let late = speech()
        .json(&json!({"model": "tone", "input": "abc", "fail": "panic_late", "stream": true, "response_format": "pcm"}))
        .run();
    assert_ne!(late.curl, 0, "the body ends as if it were whole");
    let neighbour = neighbour.wait();
    assert_eq!((neighbour.status, neighbour.curl), (200, 0), "{}", neighbour.text());
}

#[test]
fn launches_that_cannot_be_are_refused() {
    let launch = |body| http::post(&server().url("/v1/models")).json(&body);
    let body = json!({"model_name": "tune", "model_type": "audio"});
    assert_refused("unknown name", launch(body), 400, Some("model_name"), &["tune", "tone"]);
    assert_refused("no name", launch(json!({"model_type": "audio"})), 400, Some("model_name"), &[]);
    let body = json!({"model_name": "tone", "model_type": "audio", "replica": 0});
    assert_refused("replica", launch(body), 400, Some("replica"), &[]);
    let body = json!({"model_name": "tone", "model_type": "audio"});
    assert_eq!(launch(body.clone()).run().status, 200, "a second one gets a uid of its own");
    let body = json!({"model_name": "tone", "model_uid": "tone", "model_type": "audio"});
    let taken = launch(body).run();
    assert!(matches!(taken.status, 400 | 409), "{}", taken.text());
    let body = json!({"model_name": "chime", "model_type": "audio", "fail": "error"});
    let poor = launch(body).run();
    assert_eq!(poor.status, 503, "{}", poor.text());
    assert!(poor.error().contains("out of tune"), "{}", poor.text());
    let gone = http::get(&server().url("/v1/models/chime")).run();
    assert_eq!(gone.status, 404, "a failed launch isn't listed: {}", gone.text());
    assert_refused("terminate", http::delete(&server().url("/v1/models/nobody")), 404, Some("model"), &["nobody"]);
}
