//! What is too large, too many or too slow.

use crate::{
    client::{
        FORM,
        Part::{File, Text},
        form,
    },
    fake::{Server, wav},
};
use serde_json::json;
use std::time::{Duration, Instant};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const SPEECH: &str = "/v1/audio/speech";

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused_before_it_is_read() {
    let server = Server::with(|config| config.limits.body_bytes = 100_000).await;
    let mut connection = server.connect().await;
    // With `Expect` nothing is sent but the headers.
    let head = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 100001\r\nexpect: 100-continue\r\n\r\n"
    );
    connection.send_raw(head.as_bytes()).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (413, "close"));
    assert!(answer.text().contains("100000"), "{}", answer.text());
    assert_eq!(answer.json()["detail"], answer.json()["error"]["message"]);
    // Without it a client is busy sending; it still gets to read the answer.
    let mut connection = server.connect().await;
    let clip = vec![0; 20_000_000];
    let answer = connection.post_form(TRANSCRIPTIONS, &[("model", Text("parrot-ears")), ("file", File(&clip))]).await;
    assert_eq!((answer.status, answer.complete), (413, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused_while_it_arrives() {
    let server = Server::with(|config| config.limits.body_bytes = 100_000).await;
    for (kind, path) in [(FORM, TRANSCRIPTIONS), ("application/json", SPEECH)] {
        let mut connection = server.connect().await;
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n");
        connection.send_raw(head.as_bytes()).await;
        let start = form(&[("model", Text("parrot-ears")), ("file", File(&[0; 1000]))]);
        let start = &start[..start.len() - 30];
        connection.send_raw(format!("{:x}\r\n", start.len()).as_bytes()).await;
        connection.send_raw(start).await;
        for _ in 0..200 {
            connection.send_raw(b"\r\n400\r\n").await;
            connection.send_raw(&[b'x'; 1024]).await;
        }
        let answer = connection.answer().await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (413, Some("request_too_large")),
            "{kind}"
        );
    }
    // A body that just fits is fine.
    let mut connection = server.connect().await;
    let clip = wav(3.0);
    assert!(clip.len() > 96_000);
    assert_eq!(
        connection.post_form(TRANSCRIPTIONS, &[("model", Text("parrot-ears")), ("file", File(&clip))]).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stops_arriving_is_given_up() {
    let server = Server::with(|config| config.limits.upload_silence = Duration::from_millis(300)).await;
    let mut connection = server.connect().await;
    connection
        .send_raw(
            format!(
                "POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{"
            )
            .as_bytes(),
        )
        .await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (408, "close"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_and_long_audio() {
    let server = Server::with(|config| {
        config.limits.input_characters = 10;
        config.limits.audio_seconds = 2.0;
    })
    .await;
    let mut connection = server.connect().await;
    let speak = |text: &str| json!({"model": "parrot-mouth", "input": text});
    assert_eq!(connection.post_json(SPEECH, &speak("ÄÖÜäöüßßßß")).await.status, 200);
    let answer = connection.post_json(SPEECH, &speak("12345678901")).await;
    assert!(answer.status == 400 && answer.text().contains("11") && answer.text().contains("10"), "{}", answer.text());
    for (seconds, status) in [(1.9, 200), (2.5, 400)] {
        let clip = wav(seconds);
        let answer =
            connection.post_form(TRANSCRIPTIONS, &[("model", Text("parrot-ears")), ("file", File(&clip))]).await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sends_clients_away() {
    let server = Server::with(|config| config.limits.queue = 1).await;
    let body = json!({"model": "parrot-mouth", "input": "x".repeat(100), "response_format": "pcm", "stream": true, "delay_ms": 20});
    let mut busy = Vec::new();
    for count in 1..=3 {
        let mut connection = server.connect().await;
        connection.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
        busy.push(connection);
        server.busy("parrot-mouth", count.min(2)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut connection = server.connect().await;
    let begun = Instant::now();
    let answer = connection.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "hi"})).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
    // Other models go on; so does this one when the others have left.
    assert_eq!(connection.post_json(SPEECH, &json!({"model": "parrot-mouth-plain", "input": "hi"})).await.status, 200);
    let metrics = connection.get("/metrics").await.text();
    assert!(metrics.contains("syrinx_jobs_running{model=\"parrot-mouth\"} 2"), "{metrics}");
    assert!(metrics.contains("syrinx_jobs_waiting{model=\"parrot-mouth\"} 1"));
    drop(busy);
    assert!(server.idle("parrot-mouth", Duration::from_secs(3)).await);
    assert_eq!(connection.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "hi"})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_limits_of_a_launch() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let launch = json!({"model_name": "parrot-mouth", "model_type": "audio", "model_uid": "one", "request_limits": 1});
    assert_eq!(connection.post_json("/v1/models", &launch).await.status, 200);
    let long =
        json!({"model": "one", "input": "x".repeat(100), "stream": true, "response_format": "pcm", "delay_ms": 20});
    let mut first = server.connect().await;
    first.send("POST", SPEECH, &[("content-type", "application/json")], long.to_string().as_bytes()).await;
    first.head().await;
    assert_eq!(connection.post_json(SPEECH, &json!({"model": "one", "input": "hi"})).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_stopped() {
    let server = Server::with(|config| config.limits.job = Duration::from_millis(300)).await;
    let mut connection = server.connect().await;
    let answer =
        connection.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "x".repeat(100), "delay_ms": 20})).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(server.idle("parrot-mouth", Duration::from_secs(1)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_the_job_down_and_nobody_else() {
    let server = Server::start().await;
    let mut slow = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "x".repeat(8000), "response_format": "pcm", "stream": true});
    slow.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    slow.head().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut other = server.connect().await;
    let answer =
        other.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "hi", "response_format": "pcm"})).await;
    assert_eq!(answer.status, 200);
    // 8000 pushes are 38 MB: they would be done by now if nothing held them.
    assert_eq!(server.app.models.running("parrot-mouth").unwrap().load().running, 1);
    drop(slow);
    assert!(server.idle("parrot-mouth", Duration::from_secs(2)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_is_left() {
    let server = Server::with(|config| config.limits.reader_silence = Duration::from_millis(400)).await;
    let body = json!({"model": "parrot-mouth", "input": "x".repeat(8000), "response_format": "wav", "stream": true});
    // 38 MB don't fit into the buffers of a connection.
    let mut stalled = server.connect().await;
    stalled.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    stalled.head().await;
    server.busy("parrot-mouth", 1).await;
    assert!(server.idle("parrot-mouth", Duration::from_secs(5)).await, "the job goes on");
    // What was sent can still be read; then the connection is at its end.
    let mut complete = true;
    while complete {
        match stalled.chunk().await {
            Some(chunk) if chunk.is_empty() => break,
            chunk => complete = chunk.is_some(),
        }
    }
    assert!(!complete, "a file that was given up ends like a whole one");
    // Somebody who reads slowly gets everything.
    let body = json!({"model": "parrot-mouth", "input": "x".repeat(2000), "response_format": "wav", "stream": true});
    let mut slow = server.connect().await;
    slow.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    slow.head().await;
    let (mut bytes, mut pauses) = (0, 0);
    while let Some(chunk) = slow.chunk().await.filter(|chunk| !chunk.is_empty()) {
        bytes += chunk.len();
        if bytes > pauses * 1_000_000 {
            pauses += 1;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    }
    assert_eq!(bytes, 44 + 2000 * crate::fake::PUSH * 2);
}

/// Waits until uploads take no memory.
async fn no_uploads(server: &Server) -> bool {
    let none = async {
        while server.app.upload_bytes() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), none).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_share_a_limited_memory() {
    let server = Server::with(|config| {
        config.limits.body_bytes = 1_000_000;
        config.limits.upload_memory = 1_000_000;
    })
    .await;
    // A client that has announced 700 kB and sends them slowly.
    let mut slow = server.connect().await;
    let head =
        format!("POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 700000\r\n\r\n");
    slow.send_raw(head.as_bytes()).await;
    while server.app.upload_bytes() < 700_000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another one has no room, with a known length or without; small ones have.
    let clip = wav(12.0);
    let body = form(&[("model", Text("parrot-ears")), ("file", File(&clip))]);
    let mut connection = server.connect().await;
    let answer = connection.request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &body).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(answer.json()["error"]["code"], "upload_memory_exhausted");
    let head = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let mut chunked = server.connect().await;
    chunked.send_raw(head.as_bytes()).await;
    for piece in body.chunks(10_000) {
        chunked.send_raw(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        chunked.send_raw(piece).await;
        chunked.send_raw(b"\r\n").await;
    }
    chunked.send_raw(b"0\r\n\r\n").await;
    assert_eq!(chunked.answer().await.status, 503);
    let small = wav(1.0);
    let small = [("model", Text("parrot-ears")), ("file", File(&small))];
    assert_eq!(server.connect().await.post_form(TRANSCRIPTIONS, &small).await.status, 200);
    // A client that vanishes in the middle of its upload gives everything back.
    drop(slow);
    assert!(no_uploads(&server).await, "{} bytes are still held", server.app.upload_bytes());
    // 12 s are 384 kB as a file and 768 kB as samples, one after the other.
    assert_eq!(connection.request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &body).await.status, 503);
    let clip = wav(9.0);
    let fits = [("model", Text("parrot-ears")), ("file", File(clip.as_slice()))];
    assert_eq!(connection.post_form(TRANSCRIPTIONS, &fits).await.status, 200);
    assert!(no_uploads(&server).await, "{} bytes are still held", server.app.upload_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_held_as_long_as_their_job() {
    let server = Server::start().await;
    let clip = wav(3.0);
    let body = form(&[
        ("file", File(&clip)),
        ("model", Text("parrot-ears")),
        ("delay_ms", Text("100")),
        ("stream", Text("1")),
    ]);
    let mut connection = server.connect().await;
    connection.send("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &body).await;
    connection.head().await;
    assert_eq!(server.app.upload_bytes(), 3 * 16_000 * 4);
    drop(connection);
    assert!(server.idle("parrot-ears", Duration::from_secs(2)).await);
    assert!(no_uploads(&server).await);
}
