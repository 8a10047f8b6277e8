//! The process: how it starts, what it says, how it ends.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::json;
use std::{
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    http,
    server::{self, BeeperFolders, Server, Settings},
    workspace,
};

fn beeping(arguments: &[&str]) -> (Server, BeeperFolders) {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let arguments = arguments.iter().map(ToString::to_string).collect();
    let server = Server::start(Settings { launch: vec!["tone".into()], arguments, ..folders.settings() });
    server.wait_until_ready("tone");
    (server, folders)
}

fn slow_stream(server: &Server, letters: usize, pause_ms: u64) -> http::Request {
    http::post(&server.url("/v1/audio/speech")).json(&json!({
        "model": "tone", "input": "a".repeat(letters), "response_format": "pcm", "stream": true,
        "fail": "slow", "pause_ms": pause_ms
    }))
}

fn wait_for_sound(stream: &http::Pending) {
    let started = Instant::now();
    while stream.so_far().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing arrives");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn port_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let settings = Settings { arguments: vec!["--port".into(), port.clone()], ..Settings::default() };
    let log = Server::try_start(settings).err().expect("it doesn't start");
    assert!(log.contains(&port) && log.contains("in use") && log.contains("--port"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn address_and_settings_that_make_no_sense_are_told() {
    for (arguments, word) in [
        (&["--host", "no.such.host.invalid"][..], "no.such.host.invalid"),
        (&["--config", "/no/such/file.toml"], "/no/such/file.toml"),
        (&["--plugins", "/no/such/folder"], "/no/such/folder"),
    ] {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let log = Server::try_start(Settings { arguments, ..Settings::default() }).err().expect("it doesn't start");
        assert!(log.contains(word) && !log.contains("panicked"), "{log}");
    }
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    let (server, _folders) = beeping(&[]);
    let stream = slow_stream(&server, 40, 50).start();
    wait_for_sound(&stream);
    server.send_sigterm();
    server.wait_for_log("stopping");
    let late = Command::new("curl")
        .args(["--silent", "--noproxy", "*", &server.url("/health")])
        .status()
        .expect("curl starts");
    assert!(!late.success(), "nothing new is taken");
    let response = stream.wait();
    assert_eq!((response.status, response.curl, response.body.len()), (200, 0, 40 * 1200 * 2), "{}", server.log());
    let status = server.wait_for_end(Duration::from_secs(10));
    assert!(status.success(), "{status}");
}

#[test]
fn drain_has_an_end_and_a_second_signal_skips_it() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    for (patience, signals, most) in [("1", 1, 6.0), ("60", 2, 6.0)] {
        let settings = Settings {
            launch: vec!["tone".into()],
            environment: vec![("SYRINX_DRAIN_SECONDS".into(), patience.into())],
            ..folders.settings()
        };
        let server = Server::start(settings);
        server.wait_until_ready("tone");
        let stream = slow_stream(&server, 500, 100).start();
        wait_for_sound(&stream);
        let started = Instant::now();
        for _ in 0..signals {
            server.send_sigterm();
            server.wait_for_log("stopping");
        }
        let status = server.wait_for_end(Duration::from_secs(30));
        let took = started.elapsed().as_secs_f64();
        assert!(took < most, "{took} s with a limit of {patience} s and {signals} signals");
        assert!(status.success(), "{status}");
        assert_ne!(stream.wait().curl, 0, "the client notices that the rest is missing");
    }
}

#[test]
fn idle_server_ends_at_once() {
    let (server, _folders) = beeping(&[]);
    let started = Instant::now();
    server.send_sigterm();
    assert!(server.wait_for_end(Duration::from_secs(10)).success());
    println!("ended after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn full_queue_says_when_to_come_again() {
    let (server, _folders) = beeping(&["--queue", "1"]);
    server.launch(&json!({"model_name": "chime", "concurrency": 1}));
    let request = || {
        http::post(&server.url("/v1/audio/speech")).json(&json!({
            "model": "chime", "input": "a".repeat(40), "response_format": "pcm", "stream": true, "fail": "slow", "pause_ms": 50
        }))
    };
    let running = request().start();
    wait_for_sound(&running);
    let waiting = request().start();
    thread::sleep(Duration::from_millis(300));
    let refused = request().run();
    assert!(matches!(refused.status, 429 | 503), "{}: {}", refused.status, refused.text());
    let again: u64 = refused.header("retry-after").and_then(|value| value.parse().ok()).expect("whole seconds");
    assert!(again >= 1, "{again}");
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error", "{}", refused.text());
    for pending in [running, waiting] {
        let response = pending.wait();
        assert_eq!((response.status, response.curl), (200, 0), "{}", server.log());
    }
}

#[test]
fn metrics_and_health_are_there() {
    let (server, _folders) = beeping(&[]);
    let health = http::get(&server.url("/health")).run();
    assert_eq!(health.status, 200);
    let spoken = http::post(&server.url("/v1/audio/speech")).json(&json!({"model": "tone", "input": "abc"})).run();
    assert_eq!(spoken.status, 200, "{}", spoken.text());
    let metrics = http::get(&server.url("/metrics")).run();
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    assert!(text.contains("# TYPE") && text.contains("/v1/audio/speech"), "{text}");
    let own = http::get(&server.url("/health")).header("x-request-id: mine-1").run();
    assert_eq!(own.header("x-request-id").as_deref(), Some("mine-1"));
    assert_eq!(own.header("access-control-allow-origin").as_deref(), Some("*"));
}

#[test]
fn command_line_manages_models() {
    let (server, _folders) = beeping(&[]);
    server::command(&server, &["launch", "chime", "--model-uid", "bell"]).expect("it launches");
    let list = server::command(&server, &["list"]).expect("it lists");
    assert!(list.contains("UID") && list.contains("bell") && list.contains("tone"), "{list}");
    server::command(&server, &["terminate", "--model-uid", "bell"]).expect("it terminates");
    assert!(!server::command(&server, &["list"]).expect("it lists").contains("bell"));
    let error = server::command(&server, &["terminate", "--model-uid", "bell"]).expect_err("it is gone");
    assert!(error.contains("bell"), "{error}");
    let error = server::command(&server, &["launch", "chmie"]).expect_err("a typo");
    assert!(error.contains("chime"), "{error}");
}

#[test]
fn doctor_and_models_work_without_a_server() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let output = Command::new(workspace::syrinx())
            .args(arguments)
            .arg("--home")
            .arg(home.path())
            .output()
            .expect("it starts");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (_, report, _) = run(&["doctor"]);
    assert!(report.contains("onnxruntime"), "{report}");
    let (success, list, error) = run(&["models", "--json"]);
    assert!(success, "{error}");
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let names: Vec<_> =
        list.as_array().expect("a list").iter().filter_map(|model| model["model_name"].as_str()).collect();
    for name in ["whisper-base", "whisper-large-v3-turbo", "Kokoro-82M", "Kokoro-82M-v1.1-zh"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let (success, _, error) = run(&["pull", "whisper-bse"]);
    assert!(!success && error.contains("whisper-base"), "{error}");
}
