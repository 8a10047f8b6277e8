//! Speech: formats, whole and streamed.

use crate::{
    client::{
        FORM,
        Part::{File, Text},
        form,
    },
    fake::{PUSH, RATE, Server, wav},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SPEECH: &str = "/v1/audio/speech";

fn size_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_wav_has_true_sizes() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let answer = connection
        .post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "hello", "response_format": "wav"}))
        .await;
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.header("x-sample-rate")),
        (200, "audio/wav", "24000")
    );
    let data = 5 * PUSH * 2;
    assert_eq!(answer.header("content-length"), (44 + data).to_string());
    assert_eq!((size_at(&answer.body, 4) as usize, size_at(&answer.body, 40) as usize), (36 + data, data));
    assert_eq!(size_at(&answer.body, 24), RATE);
    assert!(answer.body[44..].iter().any(|byte| *byte != 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_whole_and_streamed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let formats: [(&str, &str, &[u8]); 8] = [
        ("mp3", "audio/mpeg", b""),
        ("wav", "audio/wav", b"RIFF"),
        ("opus", "audio/ogg", b"OggS"),
        ("ogg", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff"),
        ("flac", "audio/flac", b"fLaC"),
        ("m4a", "audio/mp4", b""),
        ("pcm", "audio/pcm", b""),
    ];
    for (format, kind, magic) in formats {
        for stream in [false, true] {
            let body =
                json!({"model": "parrot-mouth", "input": "hello world", "response_format": format, "stream": stream});
            let answer = connection.post_json(SPEECH, &body).await;
            let what = format!("{format} {stream}");
            assert_eq!((answer.status, answer.header("content-type"), answer.complete), (200, kind, true), "{what}");
            assert!(answer.body.starts_with(magic), "{what}");
            assert_eq!(answer.headers.contains_key("content-length"), !stream, "{what}");
            assert!(!answer.header("x-sample-rate").is_empty(), "{what}");
            let decoded = syrinx::audio::decode(answer.body.clone(), RATE, &syrinx::audio::decode::Limits::default());
            let seconds = match format {
                "pcm" => answer.body.len() as f64 / 2.0 / f64::from(RATE),
                _ => decoded.unwrap_or_else(|error| panic!("{what}: {error}")).source.seconds,
            };
            assert!((seconds - 1.1).abs() < 0.15, "{what}: {seconds} s");
        }
    }
    let default = connection.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "x"})).await;
    assert_eq!(default.header("content-type"), "audio/mpeg");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_leave_before_the_last_are_made() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for format in ["wav", "mp3", "pcm", "opus", "aac", "flac"] {
        let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": format, "stream": true, "delay_ms": 60});
        let begun = Instant::now();
        connection.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
        assert_eq!(connection.head().await.0, 200);
        let mut first = None;
        while let Some(chunk) = connection.chunk().await.filter(|chunk| !chunk.is_empty()) {
            if first.is_none() {
                first = Some(begun.elapsed());
                assert!(format != "wav" || chunk[40..44] == [0xff; 4], "sizes aren't known yet");
            }
        }
        let (first, last) = (first.unwrap(), begun.elapsed());
        assert!(first < last / 2, "{format}: first after {first:?} of {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialects_mean_the_same() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let plain = json!({"model": "parrot-mouth", "input": "hi", "response_format": "pcm"});
    let expected = connection.post_json(SPEECH, &plain).await.body;
    let with = |more: Value| {
        let mut body = plain.clone();
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    for more in [
        json!({"voice": null}),
        json!({"voice": ""}),
        json!({"voice": "polly"}),
        json!({"voice": "alloy"}),
        json!({"voice": {"id": "polly"}}),
        json!({"kwargs": "{}", "speed": 1.0, "stream": false}),
        json!({"kwargs": {"seed": 7}, "instructions": "whisper"}),
        json!({"unknown": [1, {"a": 2}], "stream_format": "audio"}),
        json!({"speed": "1"}),
    ] {
        let answer = connection.post_json(SPEECH, &with(more.clone())).await;
        assert!(answer.status == 200 && answer.body == expected, "{more}: {}", answer.text());
    }
    // A form without any file, and one with a clip.
    let clip = wav(0.5);
    let mut parts = vec![
        ("model", Text("parrot-mouth")),
        ("input", Text("hi")),
        ("voice", Text("")),
        ("response_format", Text("pcm")),
        ("speed", Text("1.0")),
        ("stream", Text("False")),
        ("kwargs", Text("{}")),
    ];
    assert_eq!(connection.post_form(SPEECH, &parts).await.body, expected);
    parts.push(("prompt_speech", File(&clip)));
    assert_eq!(connection.post_form(SPEECH, &parts).await.body, expected);
    // The document's careless JSON.
    let careless = "{ \"model\": \"parrot-mouth\", \"input\": \"hi\", # text\n \"voice\": \"alloy\", \"response_format\": \"pcm\", \"stream\": True, }";
    let answer = connection.request("POST", SPEECH, &[("content-type", "application/json")], careless.as_bytes()).await;
    assert_eq!((answer.status, answer.body), (200, expected));
    // Another voice, and speed.
    let jack = connection.post_json(SPEECH, &with(json!({"voice": "echo"}))).await.body;
    assert!(jack.iter().all(|byte| *byte == 0));
    let fast = connection.post_json(SPEECH, &with(json!({"speed": 2}))).await.body;
    assert_eq!(fast.len(), PUSH * 2);
    let low = connection.post_json(SPEECH, &with(json!({"sample_rate": 8000}))).await;
    assert_eq!((low.header("x-sample-rate"), low.body.len()), ("8000", 1600 * 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "hello", "response_format": "pcm", "stream_format": "sse"});
    let answer = connection.post_json(SPEECH, &body).await;
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    let text = answer.text();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (done, deltas) = events.split_last().unwrap();
    let audio: Vec<u8> = deltas
        .iter()
        .flat_map(|delta| {
            assert_eq!(delta["type"], "speech.audio.delta");
            STANDARD.decode(delta["audio"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(audio.len(), 5 * PUSH * 2);
    assert_eq!(done["type"], "speech.audio.done");
    assert_eq!(done["usage"]["total_tokens"], 2 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_first_byte_ends_the_connection() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "wav", "stream": true, "fail": "panic", "fail_at": 5, "delay_ms": 30});
    let answer = connection.post_json(SPEECH, &body).await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(answer.body.len(), 44 + 4 * PUSH * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_model_run_together() {
    let server = Server::start().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "pcm", "stream": true, "delay_ms": 50});
    let begun = Instant::now();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (mut connection, body) = (server.connect().await, body.clone());
        streams.spawn(async move { connection.post_json(SPEECH, &body).await.body.len() });
    }
    assert!(streams.join_all().await.iter().all(|length| *length == 10 * PUSH * 2));
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn voices_are_listed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let all = connection.get("/v1/audio/voices?model=parrot-mouth").await.json();
    assert_eq!(all["voices"], json!(["polly", "jack"]));
    let polly = json!({"id": "polly", "name": "POLLY", "object": "audio.voice", "language": "en", "gender": null, "model": "parrot-mouth"});
    assert_eq!(all["data"][0], polly);
    assert_eq!(connection.get("/v1/audio/voices").await.json()["voices"].as_array().unwrap().len(), 4);
    assert_eq!(connection.get("/v1/audio/voices?model=parrot-ears").await.json()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_the_job() {
    let server = Server::start().await;
    let long = json!({"model": "parrot-mouth", "input": "x".repeat(500), "response_format": "wav", "delay_ms": 20});
    for stream in [true, false] {
        let mut body = long.clone();
        body["stream"] = json!(stream);
        let mut connection = server.connect().await;
        connection.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
        server.busy("parrot-mouth", 1).await;
        if stream {
            connection.head().await;
            connection.chunk().await;
        }
        drop(connection);
        assert!(server.idle("parrot-mouth", Duration::from_secs(2)).await, "the job goes on (stream: {stream})");
    }
    // The same for transcriptions, which have nothing to say until the end.
    let clip = wav(200.0);
    let mut connection = server.connect().await;
    let body = form(&[("file", File(&clip)), ("model", Text("parrot-ears")), ("delay_ms", Text("50"))]);
    connection.send("POST", "/v1/audio/transcriptions", &[("content-type", FORM)], &body).await;
    server.busy("parrot-ears", 1).await;
    drop(connection);
    assert!(server.idle("parrot-ears", Duration::from_secs(2)).await, "the transcription goes on");
}
