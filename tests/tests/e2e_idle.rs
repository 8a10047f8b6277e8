//! Models that are loaded when a request needs them, and unloaded when nobody does.

use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    http::{self, Pending, Request, Response},
    server::{BeeperFolders, Server, command},
};

/// Longest time until something happens that should.
const PATIENCE: Duration = Duration::from_secs(20);

fn server(folders: &BeeperFolders, environment: &[(&str, &str)]) -> Server {
    folders.drop_in(&plain_beeper());
    let mut start = folders.settings();
    start.environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Server::start(start)
}

fn launch(server: &Server, uid: &str, more: Value) {
    let mut body = json!({"model_name": "tone", "model_uid": uid});
    body.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    server.launch(&body);
}

fn request(server: &Server, uid: &str, more: Value) -> Request {
    let mut body = json!({"model": uid, "input": "abc", "response_format": "pcm"});
    body.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    http::post(&server.url("/v1/audio/speech")).json(&body)
}

fn speak(server: &Server, uid: &str) -> Response {
    request(server, uid, json!({})).run()
}

/// A job that goes on until it is hung up.
fn occupy(server: &Server, uid: &str) -> Pending {
    let more = json!({"input": "x".repeat(1000), "fail": "slow", "pause_ms": 100, "stream": true});
    let pending = request(server, uid, more).start();
    wait_until("sound", server, || !pending.so_far().is_empty());
    pending
}

fn wait_until(what: &str, server: &Server, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} does not happen:\n{}", server.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// A model as `GET /v1/models` shows it.
fn shown(server: &Server, uid: &str) -> Value {
    let models = server.get("/v1/models");
    let all = models["data"].as_array().expect("a list");
    all.iter().find(|model| model["id"] == uid).cloned().unwrap_or_default()
}

fn state(server: &Server, uid: &str) -> String {
    shown(server, uid)["state"].as_str().unwrap_or_default().to_owned()
}

fn code(response: &Response) -> String {
    response.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// A directory with "weights" of so many bytes.
fn weights(bytes: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::write(dir.path().join("weights.bin"), vec![0; bytes]).expect("a file");
    dir
}

#[test]
fn the_first_request_loads_and_those_beside_it_wait() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[]);
    launch(&server, "sleepy", json!({"lazy": true, "load_ms": 1000}));
    assert_eq!(state(&server, "sleepy"), "UNLOADED");
    assert_eq!(server.get("/v1/models/sleepy")["memory_bytes"], Value::Null);
    let requests: Vec<Pending> = (0..6).map(|_| request(&server, "sleepy", json!({})).start()).collect();
    for request in requests {
        let response = request.wait();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(server.log().matches("model is ready").count(), 1, "it was loaded more than once:\n{}", server.log());
    let model = shown(&server, "sleepy");
    assert_eq!((&model["state"], &model["pinned"]), (&json!("READY"), &json!(false)));
    assert!(model["last_used"].is_u64() && model["memory_bytes"].is_u64(), "{model}");
    assert_eq!(model["idle_unload_at"], Value::Null, "nothing says that it should be unloaded");
    let list = command(&server, &["list"]).expect("the list");
    assert!(list.contains("READY") && list.contains("s ago"), "{list}");
}

#[test]
fn what_nobody_uses_is_unloaded_and_comes_back() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[("SYRINX_IDLE_SECONDS", "1")]);
    launch(&server, "guest", json!({"isolation": "process"}));
    launch(&server, "resident", json!({"pinned": true}));
    launch(&server, "patient", json!({"idle_seconds": 1000}));
    let memory = shown(&server, "guest")["memory_bytes"].as_u64().expect("it has a process");
    assert!(memory > 1 << 20, "{memory}");
    assert!(shown(&server, "guest")["idle_unload_at"].is_u64());
    let voices = server.get("/v1/audio/voices?model=guest");

    let busy = occupy(&server, "guest");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(state(&server, "guest"), "READY", "somebody listens");
    busy.hang_up();
    wait_until("unloading", &server, || state(&server, "guest") == "UNLOADED");
    assert_eq!(server.get("/v1/models/instances?model_uid=guest")[0]["status"], "UNLOADED");
    assert_eq!(server.get("/v1/audio/voices?model=guest"), voices, "they are known all the same");
    assert_eq!((state(&server, "resident").as_str(), state(&server, "patient").as_str()), ("READY", "READY"));

    assert_eq!(speak(&server, "guest").status, 200);
    wait_until("unloading again", &server, || state(&server, "guest") == "UNLOADED");
    assert_eq!(http::delete(&server.url("/v1/models/guest")).run().status, 200);
    assert_eq!(speak(&server, "guest").status, 404);
    launch(&server, "guest", json!({}));
}

#[test]
fn a_load_that_fails_is_told_to_everybody_who_waits() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[]);
    launch(&server, "untuned", json!({"lazy": true, "load_ms": 500, "fail": "error"}));
    for _ in 0..2 {
        let requests: Vec<Pending> = (0..4).map(|_| request(&server, "untuned", json!({})).start()).collect();
        for request in requests {
            let response = request.wait();
            assert_eq!((response.status, code(&response).as_str()), (503, "model_unloadable"), "{}", response.text());
            assert!(response.error().contains("buy a fork"), "{}", response.error());
            assert!(response.header("retry-after").is_some());
        }
    }
    assert_eq!(server.log().matches("launch failed").count(), 1, "the second try came too soon:\n{}", server.log());
    let instance = &server.get("/v1/models/instances?model_uid=untuned")[0];
    assert_eq!(instance["status"], "UNLOADED");
    assert!(instance["error_message"].as_str().is_some_and(|told| told.contains("buy a fork")), "{instance}");
    thread::sleep(Duration::from_secs(2));
    assert_eq!(speak(&server, "untuned").status, 503);
    assert_eq!(server.log().matches("launch failed").count(), 2, "by now it may be tried again");
}

#[test]
fn nobody_waits_for_a_load_longer_than_they_have() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[]);
    launch(&server, "slow", json!({"lazy": true, "load_ms": 2500}));
    let response = request(&server, "slow", json!({"timeout": 0.5})).run();
    assert_eq!((response.status, code(&response).as_str()), (503, "model_loading"), "{}", response.text());
    assert!(response.total < Duration::from_secs(2), "{:?}", response.total);
    assert_eq!(state(&server, "slow"), "LOADING");
    wait_until("the end of the load", &server, || state(&server, "slow") == "READY");
    // A load that is terminated is no failure of the server's.
    launch(&server, "slower", json!({"lazy": true, "load_ms": 60_000}));
    let waiting = request(&server, "slower", json!({})).start();
    wait_until("loading", &server, || state(&server, "slower") == "LOADING");
    assert_eq!(http::delete(&server.url("/v1/models/slower")).run().status, 200);
    assert_eq!(waiting.wait().status, 404);
}

#[test]
fn requests_launch_what_they_name_if_the_settings_say_so() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[("SYRINX_AUTO_LAUNCH", "true")]);
    let requests: Vec<Pending> = (0..4).map(|_| request(&server, "chime", json!({})).start()).collect();
    for request in requests {
        let response = request.wait();
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(state(&server, "chime"), "READY");
    assert_eq!(speak(&server, "nonsense").status, 404);
    // In the catalogue, but its plugin isn't there.
    let response = speak(&server, "whisper-base");
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.error().contains("not installed"), "{}", response.error());
}

#[test]
fn the_least_recently_used_makes_room() {
    let folders = BeeperFolders::default();
    let server = server(&folders, &[("SYRINX_MODEL_MEMORY_BYTES", "25000000")]);
    let dir = weights(10_000_000);
    let place = json!({"model_path": dir.path(), "isolation": "in-process"});
    let state = |uid: &str| state(&server, uid);
    launch(&server, "first", place.clone());
    launch(&server, "second", place.clone());
    assert_eq!(shown(&server, "first")["memory_bytes"], 10_000_000);
    assert_eq!(speak(&server, "first").status, 200);
    launch(&server, "third", place.clone());
    assert_eq!((state("first"), state("second"), state("third")), ("READY".into(), "UNLOADED".into(), "READY".into()));

    // It comes back when it is needed, and what is in use stays.
    let busy = occupy(&server, "first");
    assert_eq!(speak(&server, "second").status, 200);
    assert_eq!((state("first"), state("second"), state("third")), ("READY".into(), "READY".into(), "UNLOADED".into()));

    let also_busy = occupy(&server, "second");
    let response = speak(&server, "third");
    assert_eq!(response.status, 503, "{}", response.text());
    for part in ["`third`", "10 MB", "25 MB", "`first` (10 MB, in use)", "`second` (10 MB, in use)"] {
        assert!(response.error().contains(part), "{part}: {}", response.error());
    }
    let mut body = json!({"model_name": "tone", "model_uid": "fourth", "model_type": "audio"});
    body.as_object_mut().expect("it is one").extend(place.as_object().expect("an object").clone());
    let response = http::post(&server.url("/v1/models")).json(&body).run();
    assert_eq!(response.status, 503, "{}", response.text());
    busy.hang_up();
    also_busy.hang_up();
    wait_until("room", &server, || speak(&server, "third").status == 200);

    let large = weights(30_000_000);
    let body =
        json!({"model_name": "tone", "model_type": "audio", "model_path": large.path(), "isolation": "in-process"});
    let response = http::post(&server.url("/v1/models")).json(&body).run();
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.error().contains("30 MB"), "{}", response.error());
    assert_eq!(state("third"), "READY", "nothing is unloaded in vain");
}

#[test]
fn models_of_the_settings_file_may_be_lazy() {
    let (folders, dir) = (BeeperFolders::default(), tempfile::tempdir().expect("a temporary directory"));
    folders.drop_in(&plain_beeper());
    let file = dir.path().join("syrinx.toml");
    fs::write(&file, "[[launch]]\nmodel = \"tone\"\nlazy = true\nidle_seconds = 1\n").expect("a settings file");
    let mut start = folders.settings();
    start.arguments = vec!["--config".to_owned(), file.display().to_string()];
    let server = Server::start(start);
    assert_eq!(http::get(&server.url("/health/ready")).run().status, 200, "there is nothing to wait for");
    assert_eq!(state(&server, "tone"), "UNLOADED");
    assert_eq!(speak(&server, "tone").status, 200);
    wait_until("unloading", &server, || state(&server, "tone") == "UNLOADED");
    // Nor does the command line wait for what nobody has asked for yet.
    let launched = command(&server, &["launch", "chime", "--model-uid", "later", "--lazy", "true", "--queue", "2"]);
    assert!(launched.as_ref().is_ok_and(|told| told.contains("later")), "{launched:?}");
    assert_eq!(state(&server, "later"), "UNLOADED");
}
