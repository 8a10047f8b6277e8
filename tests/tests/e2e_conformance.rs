//! The server against its own description: a validator reads it, and a generator of requests looks for answers that
//! it doesn't allow.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::{
    process::Command,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures,
    http::{get, post},
    python::Environment,
    server::{self, BeeperFolders, Server},
    workspace,
};

/// The key of the server that has one.
const KEY: &str = "sx-conformance";

fn serve(folders: &BeeperFolders, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
    folders.drop_in(&fixtures::plain_beeper());
    let mut settings = folders.settings();
    settings.launch = vec!["tone".to_owned(), "chime".to_owned()];
    settings.arguments = arguments.iter().map(ToString::to_string).collect();
    settings.environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let server = Server::start(settings);
    let started = Instant::now();
    while get(&server.url("/health/ready")).run().status != 200 {
        assert!(started.elapsed() < Duration::from_secs(60), "models don't get ready:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

#[test]
fn description_and_measurements_are_well_formed() {
    let folders = BeeperFolders::default();
    let server = serve(&folders, &[], &[]);
    let speech = json!({"model": "tone", "input": "hello", "stream": true});
    assert_eq!(post(&server.url("/v1/audio/speech")).json(&speech).run().status, 200);
    let report = Environment::Conformance.run("description_checks.py", &[server.address()]);
    assert_eq!(report["mistakes"], json!([]));
    assert!(report["operations"].as_u64() > Some(12), "{report}");
    assert_eq!(report["metrics_type"], "text/plain; version=0.0.4; charset=utf-8");
    // The parser names counters without their `_total`.
    for (family, kind) in [
        ("syrinx_http_requests", "counter"),
        ("syrinx_http_request_duration_seconds", "histogram"),
        ("syrinx_http_requests_in_flight", "gauge"),
        ("syrinx_first_byte_seconds", "histogram"),
        ("syrinx_audio_input_seconds", "counter"),
        ("syrinx_audio_output_seconds", "counter"),
        ("syrinx_jobs_running", "gauge"),
        ("syrinx_jobs_waiting", "gauge"),
    ] {
        assert_eq!(report["families"][family], kind, "{family}: {}", report["families"]);
    }
    let log = server.log();
    assert!(log.contains("/v1/audio/speech") && !log.contains("/health"), "probes don't fill the log: {log}");
}

#[test]
fn generated_requests_find_nothing() {
    let folders = BeeperFolders::default();
    let server = serve(&folders, &[], &[]);
    generate(&server, 10, &[]);
    assert!(server.is_alive(), "{}", server.log());
}

#[test]
fn generated_requests_find_nothing_with_keys_either() {
    let folders = BeeperFolders::default();
    let server = serve(&folders, &[], &[("SYRINX_API_KEYS", KEY)]);
    generate(&server, 2, &["--header", &format!("Authorization: Bearer {KEY}")]);
    assert!(server.is_alive(), "{}", server.log());
}

/// Sends generated requests, at most so many per operation and phase, and fails with what schemathesis finds.
fn generate(server: &Server, examples: u32, arguments: &[&str]) {
    let python = workspace::tests_dir().join("python");
    let program = Environment::Conformance.interpreter().with_file_name("st");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(program);
    command.arg("--config-file").arg(python.join("schemathesis.toml")).arg("run").arg(server.url("/openapi.json"));
    command.args(["--phases", "coverage,fuzzing", "--seed", "1", "--no-shrink", "--workers", "2"]);
    command.args(["--max-examples", &examples.to_string(), "--continue-on-failure"]).args(arguments);
    command.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks").env("PYTHONPATH", &python).env("NO_COLOR", "1");
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("RUNNING_MODELS", r#"["tone", "chime"]"#);
    let started = Instant::now();
    let output = command.current_dir(scratch.path()).output().expect("schemathesis starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}\n{:?}", started.elapsed());
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn metrics_on_a_port_of_their_own() {
    let folders = BeeperFolders::default();
    let arguments = ["--metrics-exporter-host", "127.0.0.1", "--metrics-exporter-port", "0"];
    let server = serve(&folders, &arguments, &[("SYRINX_API_KEYS", KEY)]);
    let log = server.log();
    let exporter =
        log.split("metrics on ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("it says where");
    let metrics = get(exporter).run();
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().contains("syrinx_http_requests_in_flight"), "{}", metrics.text());
    let elsewhere = exporter.replace("/metrics", "/v1/models");
    let answer = get(&elsewhere).run();
    assert_eq!(answer.status, 404, "nothing else is served there");
    answer.error();
    assert_eq!(get(&server.url("/metrics")).run().status, 401);
}

#[test]
fn keys_made_by_the_command_are_accepted() {
    let folders = BeeperFolders::default();
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().display().to_string();
    let server = serve(&folders, &["--key-file", &path], &[]);
    let status =
        |key: &str| get(&server.url("/v1/models")).header(&format!("authorization: Bearer {key}")).run().status;
    assert_eq!(status("guess"), 401, "an empty key file lets nobody in");
    let key = server::command(&server, &["api-key", "--name", "laptop", "--key-file", &path]).expect("it makes a key");
    let started = Instant::now();
    while status(key.trim()) != 200 {
        assert!(started.elapsed() < Duration::from_secs(10), "the changed key file has no effect:\n{}", server.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(
        !std::fs::read_to_string(file.path()).expect("the key file").contains(key.trim()),
        "only the digest is stored"
    );
    let listed = server::command(&server, &["list", "--api-key", key.trim()]).expect("the command line sends the key");
    assert!(listed.contains("tone"), "{listed}");
    assert!(server::command(&server, &["list"]).is_err(), "without a key it fails");
    let auth: Value = get(&server.url("/v1/cluster/auth")).run().json();
    assert_eq!(auth, json!({"auth": true}));
    for secret in [key.trim(), "sha256:"] {
        assert!(!server.log().contains(secret), "the log shows {secret}");
    }
}
