//! What operators see: measurements, the dashboard that is drawn of them, and log lines that belong to a request.

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    http,
    server::{BeeperFolders, Server},
    sound::Sound,
    workspace,
};

fn server(environment: &[(&str, &str)]) -> (Server, BeeperFolders) {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let mut settings = folders.settings();
    settings.environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    (Server::start(settings), folders)
}

fn speak(server: &Server, uid: &str, more: Value) -> http::Request {
    let mut body = json!({"model": uid, "input": "abc", "response_format": "pcm"});
    body.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    http::post(&server.url("/v1/audio/speech")).json(&body)
}

fn write_down(server: &Server, uid: &str) -> http::Request {
    let clip = Sound { sample_rate: 16_000, samples: vec![0.1; 32_000] }.to_wav();
    http::post(&server.url("/v1/audio/transcriptions")).field("model", uid).file_of("file", &clip)
}

/// A sample's value: the line with this name and all of these labels.
fn sample(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    };
    text.lines().find(has)?.rsplit(' ').next()?.parse().ok()
}

fn wait_until(what: &str, server: &Server, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} does not happen:\n{}", server.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// A server to which everything has happened that is measured.
fn busy_server() -> (Server, BeeperFolders) {
    let (server, folders) = server(&[("SYRINX_QUEUE", "0")]);
    for (uid, isolation) in [("inside", "in-process"), ("outside", "process")] {
        server.launch(&json!({"model_name": "tone", "model_uid": uid, "isolation": isolation, "concurrency": 1}));
        for more in [json!({}), json!({"stream": true}), json!({"fail": "error"})] {
            speak(&server, uid, more).run();
        }
        assert_eq!(write_down(&server, uid).run().status, 200);
    }
    let running = speak(&server, "inside", json!({"fail": "slow", "pause_ms": 400, "stream": true})).start();
    wait_until("sound", &server, || !running.so_far().is_empty());
    assert_eq!(speak(&server, "inside", json!({})).run().status, 429);
    running.hang_up();
    speak(&server, "outside", json!({"fail": "abort_late", "stream": true})).run();
    fs::write(folders.catalogue_file(), folders.catalogue_text().replacen("family", "famliy", 1))
        .expect("a test's file");
    server.wait_for_log("the last good one stays");
    wait_until("a new process", &server, || server.workers().len() == 1);
    wait_until("the end of all jobs", &server, || {
        let text = server.get_text("/metrics");
        sample(&text, "syrinx_jobs_total", &[("model", "inside"), ("outcome", "stopped")]) == Some(1.0)
            && sample(&text, "syrinx_worker_threads", &[("model", "outside")]).is_some()
    });
    (server, folders)
}

#[test]
fn everything_is_measured_by_model_and_generation() {
    let (server, _folders) = busy_server();
    let text = server.get_text("/metrics");
    let value = |name: &str, labels: &[(&str, &str)]| {
        sample(&text, name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in\n{text}"))
    };
    for uid in ["inside", "outside"] {
        let of = [("model", uid), ("generation", "1")];
        let with = |more: &[(&'static str, &'static str)]| [of.as_slice(), more].concat();
        assert!(value("syrinx_jobs_total", &with(&[("task", "speak"), ("outcome", "done")])) >= 2.0);
        assert!(value("syrinx_jobs_total", &with(&[("task", "speak"), ("outcome", "failed")])) >= 1.0);
        assert_eq!(value("syrinx_jobs_total", &with(&[("task", "transcribe"), ("outcome", "done")])), 1.0);
        assert!((value("syrinx_audio_input_seconds_total", &of) - 2.0).abs() < 1e-6, "{text}");
        // Two answers of three tones of 50 ms; the others broke off after one, or in the first.
        assert!((0.3..0.6).contains(&value("syrinx_audio_output_seconds_total", &of)), "{text}");
        assert!(value("syrinx_job_real_time_factor_count", &with(&[("task", "speak")])) >= 2.0);
        assert!(value("syrinx_job_wait_seconds_count", &[("model", uid)]) >= 4.0);
        assert!(value("syrinx_first_byte_seconds_count", &of) >= 1.0);
        let info = [("name", "tone"), ("plugin", "beeper"), ("dtype", "float32")];
        assert_eq!(value("syrinx_model_info", &with(&info)), 1.0);
    }
    assert_eq!(value("syrinx_jobs_refused_total", &[("model", "inside"), ("reason", "queue_full")]), 1.0);
    assert_eq!(value("syrinx_worker_ends_total", &[("model", "outside")]), 1.0);
    assert_eq!(value("syrinx_catalogue_reads_total", &[("outcome", "refused")]), 1.0);
    assert_eq!(value("syrinx_models", &[("state", "READY")]), 2.0);
    #[cfg(target_os = "linux")]
    {
        let megabyte = 1e6;
        assert!(value("process_resident_memory_bytes", &[]) > megabyte);
        assert!(value("syrinx_worker_resident_memory_bytes", &[("model", "outside"), ("replica", "0")]) > megabyte);
        assert!(value("process_open_fds", &[]) > 5.0 && value("process_threads", &[]) > 2.0);
        assert!(value("process_max_fds", &[]) > value("process_open_fds", &[]));
        assert!(value("process_start_time_seconds", &[]) > 1.6e9);
    }
}

/// Names of measurements in an expression of PromQL: what begins as ours do.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    words.filter(|word| word.starts_with("syrinx_") || word.starts_with("process_"))
}

#[cfg(target_os = "linux")] // elsewhere a few measurements of processes are missing
#[test]
fn the_dashboard_shows_what_there_is() {
    let file = workspace::root().join("host/grafana/syrinx.json");
    let dashboard: Value = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("it is JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<&str> = targets.map(|target| target["expr"].as_str().expect("a text")).collect();
    let variables = dashboard["templating"]["list"].as_array().expect("a list");
    let queries = variables.iter().filter_map(|variable| variable["definition"].as_str());
    let shown: BTreeSet<&str> = expressions.iter().copied().chain(queries).flat_map(names).collect();
    assert!(shown.len() > 20, "{shown:?}");

    let (server, _folders) = busy_server();
    let text = server.get_text("/metrics");
    let there: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let missing: Vec<&&str> = shown.iter().filter(|name| !there.contains(**name)).collect();
    assert!(missing.is_empty(), "the dashboard shows {missing:?}, which the server doesn't measure:\n{text}");
    // And the other way round: what is measured is shown, but for sums and what Grafana's own clients use.
    let unshown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| !shown.iter().any(|shown| shown.strip_suffix("_bucket").unwrap_or(shown) == *name))
        .collect();
    assert_eq!(unshown, ["process_start_time_seconds", "process_virtual_memory_bytes"]);
}

#[test]
fn lines_of_plugins_and_of_processes_carry_the_request() {
    let (server, _folders) = server(&[("SYRINX_LOG", "info,syrinx=debug"), ("SYRINX_LOG_FORMAT", "json")]);
    for (uid, isolation) in [("inside", "in-process"), ("outside", "process")] {
        server.launch(&json!({"model_name": "tone", "model_uid": uid, "isolation": isolation}));
        let id = format!("of-{uid}");
        let refused = speak(&server, uid, json!({"fail": "error"})).header(&format!("x-request-id: {id}")).run();
        assert_eq!(refused.status, 400, "{}", refused.text());
        let line = line_with(&server, "a job fails as asked", &id);
        assert_eq!((&line["context"]["uid"], &line["context"]["path"]), (&json!(uid), &json!("/v1/audio/speech")));
        assert_eq!((&line["plugin"], &line["level"]), (&json!("beeper"), &json!("WARN")), "{line}");
    }
    for line in server.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
    }
}

/// The log line with this message that was written for this request.
fn line_with(server: &Server, message: &str, request: &str) -> Value {
    let mut found = Value::Null;
    wait_until(&format!("{message:?} of {request}"), server, || {
        let log = server.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_it = |line: &Value| {
            line["message"].as_str().is_some_and(|text| text.contains(message))
                && line["context"]["request_id"] == request
        };
        found = lines.into_iter().find(is_it).unwrap_or_default();
        !found.is_null()
    });
    found
}

#[test]
fn text_lines_name_the_request_too() {
    let (server, _folders) = server(&[]);
    server.launch(&json!({"model_name": "tone", "isolation": "process"}));
    speak(&server, "tone", json!({"fail": "error"})).header("x-request-id: mine-7").run();
    server.wait_for_log("a job fails as asked");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("a job fails as asked")).expect("it was waited for");
    assert!(line.contains("request_id=\"mine-7\"") && line.contains("uid=\"tone\""), "{line}");
}
