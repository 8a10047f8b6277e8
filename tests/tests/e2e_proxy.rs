//! TLS by a proxy: nginx with the settings that the README shows, in front of a real server.

use serde_json::{Value, json};
use std::{fs, time::Duration};
use syrinx_tests::{
    fixtures,
    http::{self, Request},
    nginx::{self, Proxy},
    server::{BeeperFolders, Server},
    workspace,
};

/// A server with the beeper behind a proxy; none when there is no nginx.
fn behind_a_proxy() -> Option<(Server, Proxy, BeeperFolders)> {
    let folders = BeeperFolders::default();
    folders.drop_in(&fixtures::plain_beeper());
    let mut settings = folders.settings();
    settings.launch = vec!["tone".to_owned()];
    settings.environment = vec![("SYRINX_API_KEYS".to_owned(), "sx-proxied".to_owned())];
    let server = Server::start(settings);
    server.wait_for_log("model is ready");
    match Proxy::start(server.port()) {
        Ok(proxy) => Some((server, proxy, folders)),
        Err(reason) => {
            workspace::skipped("nginx in front of the server", &reason);
            None
        }
    }
}

fn trusting(request: Request, proxy: &Proxy) -> Request {
    request.arguments(&["--cacert", &proxy.certificate().display().to_string()])
}

fn with_key(request: Request, proxy: &Proxy) -> Request {
    trusting(request, proxy).header("authorization: Bearer sx-proxied")
}

#[test]
fn readme_shows_the_settings_that_are_tested() {
    let readme = fs::read_to_string(workspace::root().join("README.md")).expect("a README");
    assert!(readme.contains(&nginx::settings()), "README.md must contain tests/nginx/syrinx.conf as it is");
}

#[test]
fn proxied() {
    let Some((_server, proxy, _folders)) = behind_a_proxy() else { return };

    // Errors pass as they are.
    let refused = trusting(http::get(&proxy.url("/v1/models")), &proxy).run();
    assert_eq!((refused.status, refused.header("www-authenticate").as_deref()), (401, Some("Bearer")));
    refused.error();
    let missing = with_key(http::get(&proxy.url("/v1/models/dodo")), &proxy).header("x-request-id: mine").run();
    assert_eq!((missing.status, missing.header("x-request-id").as_deref()), (404, Some("mine")));
    assert_eq!(with_key(http::get(&proxy.url("/v1/models")), &proxy).run().json()["data"][0]["id"], "tone");

    // Streams arrive while they are made: 30 pushes, one every 100 ms.
    let slow = json!({"fail": "slow", "pause_ms": 100});
    for (what, more) in [
        ("audio", json!({"stream": true, "response_format": "pcm"})),
        ("wav", json!({"stream": true, "response_format": "wav"})),
        ("events", json!({"stream_format": "sse", "response_format": "pcm"})),
    ] {
        let mut body = json!({"model": "tone", "input": "x".repeat(30), "kwargs": slow});
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        let answer = with_key(http::post(&proxy.url("/v1/audio/speech")), &proxy).json(&body).run();
        assert_eq!((answer.status, answer.curl), (200, 0), "{what}: {}", answer.text());
        assert!(answer.total > Duration::from_millis(2500), "{what}: {:?}", answer.total);
        assert!(answer.first_byte < answer.total / 2, "{what}: {:?} of {:?}", answer.first_byte, answer.total);
    }

    // A large upload passes: half an hour of 16 kHz, 57.6 MB.
    let wav = silence(1800);
    let answer = with_key(http::post(&proxy.url("/v1/audio/transcriptions")), &proxy)
        .field("model", "tone")
        .field("response_format", "verbose_json")
        .file_of("file", &wav)
        .run();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: Value = answer.json();
    assert_eq!(answer["duration"].as_f64().map(f64::round), Some(1800.0), "{}", answer["duration"]);

    // One that is too large is refused by Syrinx, not by nginx.
    let answer = with_key(http::post(&proxy.url("/v1/audio/transcriptions")), &proxy)
        .header("content-length: 900000000")
        .body("multipart/form-data; boundary=b", b"--b\r\n")
        .run();
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.error().contains("limit"), "{}", answer.text());
}

/// A wav file without sound, 16 kHz, 16 bits.
fn silence(seconds: u32) -> Vec<u8> {
    let size = seconds * 32_000;
    let mut wav = b"RIFF".to_vec();
    wav.extend((size + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(32_000u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(size.to_le_bytes());
    wav.resize(wav.len() + size as usize, 0);
    wav
}
