//! Starting and stopping.

use crate::fake::Server;
use serde_json::json;
use std::time::{Duration, Instant};
use syrinx::{
    config::{Config, LaunchAtStart},
    server,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named() {
    let server = Server::start().await;
    let config = Config { port: server.port, ..Config::default() };
    let message = server::bind(&config).await.unwrap_err().to_string();
    assert!(
        message.contains(&server.port.to_string()) && message.contains("in use") && message.contains("--port"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_what_is_in_flight() {
    let mut server = Server::start().await;
    let (port, app) = (server.port, server.app.clone());
    let mut idle = server.connect().await;
    assert_eq!(idle.get("/health/ready").await.status, 200);
    let mut speaking = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "pcm", "stream": true, "delay_ms": 80});
    speaking
        .send("POST", "/v1/audio/speech", &[("content-type", "application/json")], body.to_string().as_bytes())
        .await;
    server.busy("parrot-mouth", 1).await;
    server.begin_stopping();
    let answer = speaking.answer().await;
    assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, 10 * crate::fake::PUSH * 2));
    assert!(app.readiness().is_err());
    let begun = Instant::now();
    server.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "idle connections hold it");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_does_not_wait_for_ever() {
    let mut server = Server::with(|config| config.limits.drain = Duration::from_millis(400)).await;
    let mut speaking = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "x".repeat(1000), "response_format": "pcm", "stream": true, "delay_ms": 20});
    speaking
        .send("POST", "/v1/audio/speech", &[("content-type", "application/json")], body.to_string().as_bytes())
        .await;
    speaking.head().await;
    server.begin_stopping();
    let begun = Instant::now();
    server.stopped().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    while let Some(chunk) = speaking.chunk().await {
        assert!(!chunk.is_empty(), "the stream is cut, but ends as if it were whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_the_settings_are_launched() {
    let server = Server::with(|config| {
        let options = json!({"load_ms": 300}).as_object().cloned().unwrap();
        config.launch = vec![LaunchAtStart { model: "parrot-mouth".into(), uid: Some("first".into()), options }];
    })
    .await;
    server::launch_at_start(&server.app);
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/health/ready").await.status, 503);
    while connection.get("/health/ready").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connection.get("/v1/models/first").await.status, 200);
}
