//! Models in processes of their own: they give the same answers, and their crashes cost nobody else anything.
#![cfg(target_os = "linux")] // looks into /proc

use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::{Variant, beeper, plain_beeper},
    http::{self, Pending, Response},
    server::{BeeperFolders, Server},
    sound::Sound,
};

/// Longest time until a new process is there.
const RESTART: Duration = Duration::from_secs(30);

fn server(folders: &BeeperFolders) -> Server {
    folders.drop_in(&plain_beeper());
    Server::start(folders.settings())
}

fn launch(server: &Server, uid: &str, isolation: &str) {
    server.launch(&json!({"model_name": "tone", "model_uid": uid, "isolation": isolation, "clones": true}));
}

fn speech(server: &Server, uid: &str, more: Value) -> Pending {
    let mut body = json!({"model": uid, "input": "abc", "response_format": "pcm"});
    body.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    http::post(&server.url("/v1/audio/speech")).json(&body).start()
}

fn workers(server: &Server) -> Vec<u32> {
    server.workers()
}

fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: a plain system call; the process is our own server or a worker of it.
    unsafe { libc::kill(process as libc::pid_t, signal) };
}

fn kill(process: u32) {
    signal(process, libc::SIGKILL);
}

fn wait_until(what: &str, server: &Server, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < RESTART, "{what} does not happen:\n{}", server.log());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn answers_are_the_same() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    launch(&server, "inside", "in-process");
    assert_eq!(workers(&server), [0; 0]);
    launch(&server, "outside", "process");
    assert_eq!(workers(&server).len(), 1);

    // Longer than a frame, at an odd length.
    let clip = Sound { samples: (0..700_001).map(|i| (i as f32 * 0.1).sin() * 0.3).collect(), sample_rate: 16_000 };
    let wav = clip.to_wav();
    type Ask<'a> = &'a dyn Fn(&str) -> Response;
    let text = |uid: &str, more: Value| speech(&server, uid, more).wait();
    let written = |uid: &str, fields: &[(&str, &str)]| {
        let request = http::post(&server.url("/v1/audio/transcriptions")).field("model", uid);
        fields.iter().fold(request, |request, (name, value)| request.field(name, value)).file_of("file", &wav).run()
    };
    let asks: [(&str, Ask<'_>); 10] = [
        ("speech", &|uid| text(uid, json!({}))),
        ("many pushes", &|uid| text(uid, json!({"pushes": 300, "chunk": 10_001}))),
        ("a long push", &|uid| text(uid, json!({"pushes": 2, "chunk": 600_001}))),
        ("a clip", &|uid| {
            http::post(&server.url("/v1/audio/speech"))
                .field("model", uid)
                .field("input", "abc")
                .field("response_format", "pcm")
                .file_of("prompt_speech", &wav)
                .run()
        }),
        ("an error", &|uid| text(uid, json!({"fail": "error"}))),
        ("a panic", &|uid| text(uid, json!({"fail": "panic"}))),
        ("an odd panic", &|uid| text(uid, json!({"fail": "panic_oddly"}))),
        ("a transcript", &|uid| written(uid, &[("response_format", "verbose_json")])),
        ("log probabilities", &|uid| written(uid, &[("include[]", "logprobs")])),
        ("no transcript", &|uid| written(uid, &[("fail", "error")])),
    ];
    for (name, ask) in asks {
        let (inside, outside) = (ask("inside"), ask("outside"));
        assert_eq!(inside.status, outside.status, "{name}: {}, {}", inside.text(), outside.text());
        let same_but_the_uid = |response: &Response| response.text().replace("inside", "outside");
        let is_same = inside.body == outside.body || same_but_the_uid(&inside) == same_but_the_uid(&outside);
        assert!(is_same, "{name}: {} and {} bytes", inside.body.len(), outside.body.len());
    }
}

#[test]
fn a_crash_costs_its_own_request_and_nothing_else() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    launch(&server, "frail", "process");
    launch(&server, "steady", "process");
    let undisturbed = speech(&server, "steady", json!({})).wait().body;
    let slow = json!({"fail": "slow", "pause_ms": 1000, "stream": true});
    let stream = speech(&server, "steady", slow);
    wait_until("sound", &server, || !stream.so_far().is_empty());

    // Nothing was sent yet: it is tried twice, and each time costs a process.
    let early = speech(&server, "frail", json!({"fail": "abort"})).wait();
    assert_eq!(early.status, 503, "{}", early.text());
    assert!(early.error().contains("try again"), "{}", early.error());
    let again = speech(&server, "frail", json!({})).wait();
    assert_eq!((again.status, &again.body), (200, &undisturbed), "{}", again.text());

    // Half of it was sent: the connection breaks, as with any failure in the middle.
    let late = speech(&server, "frail", json!({"fail": "abort_late", "stream": true})).wait();
    assert!(late.curl != 0 && late.body.len() < undisturbed.len(), "{late:?}");
    let again = speech(&server, "frail", json!({})).wait();
    assert_eq!((again.status, &again.body), (200, &undisturbed), "{}", again.text());

    assert!(stream.wait().body == undisturbed, "the other model's stream was disturbed");
    assert!(server.is_alive());
    let metrics = server.get_text("/metrics");
    assert!(metrics.contains("syrinx_worker_ends_total{model=\"frail\"} 3"), "{metrics}");
}

#[test]
fn a_request_that_has_sent_nothing_survives_its_process() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    launch(&server, "frail", "process");
    let expected = speech(&server, "frail", json!({})).wait().body;
    let [first] = workers(&server)[..] else { panic!("one model, one process") };
    let request = speech(&server, "frail", json!({"fail": "slow", "pause_ms": 1500}));
    thread::sleep(Duration::from_millis(500));
    kill(first);
    let response = request.wait();
    assert_eq!((response.status, response.body == expected), (200, true), "{}", response.text());
    let [second] = workers(&server)[..] else { panic!("one model, one process") };
    assert_ne!(first, second);

    // A service manager's way to stop a service; the server is the one who obeys.
    let request = speech(&server, "frail", json!({"fail": "slow", "pause_ms": 300}));
    thread::sleep(Duration::from_millis(200));
    for number in [libc::SIGTERM, libc::SIGINT, libc::SIGSTOP, libc::SIGCONT] {
        signal(second, number);
    }
    let response = request.wait();
    assert_eq!((response.status, response.body == expected), (200, true), "{}", response.text());
    assert_eq!(workers(&server), [second]);
}

#[test]
fn a_model_that_keeps_crashing_is_given_up_and_says_why() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    launch(&server, "frail", "process");
    let state = || server.get("/v1/models/instances?model_uid=frail")[0]["status"].clone();
    assert_eq!(state(), "READY");
    for _ in 0..5 {
        speech(&server, "frail", json!({"fail": "abort_late"})).wait();
    }
    wait_until("giving up", &server, || state() == "ERROR");
    let response = speech(&server, "frail", json!({})).wait();
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.error().contains("the beeper falls over"), "its last words: {}", response.error());
    assert_eq!(http::delete(&server.url("/v1/models/frail")).run().status, 200);
    launch(&server, "frail", "process");
    assert_eq!(speech(&server, "frail", json!({})).wait().status, 200);
}

#[test]
fn a_process_that_takes_too_much_memory_is_ended() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone", "model_uid": "greedy", "memory_bytes": 200_000_000}));
    launch(&server, "steady", "process");
    let slow = json!({"fail": "slow", "pause_ms": 700, "stream": true});
    let stream = speech(&server, "steady", slow);
    let response = speech(&server, "greedy", json!({"hold_mb": 400, "fail": "slow", "pause_ms": 1000})).wait();
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.error().contains("than its limit of 200 MB"), "{}", response.error());
    assert!(server.log().contains("than its limit of 200 MB"), "{}", server.log());
    assert_eq!(stream.wait().curl, 0, "the other model's stream was disturbed");

    let within = speech(&server, "greedy", json!({"hold_mb": 50, "fail": "slow"})).wait();
    assert_eq!(within.status, 200, "{}", within.text());
    let metrics = server.get_text("/metrics");
    assert!(metrics.contains("syrinx_worker_ends_total{model=\"greedy\"} 1"), "once, without another try: {metrics}");
    // What the system refuses at once is the process's end as well, and not the machine's.
    let response = speech(&server, "greedy", json!({"hold_mb": 50_000})).wait();
    assert_eq!(response.status, 503, "{}", response.text());
    assert_eq!(speech(&server, "greedy", json!({})).wait().status, 200);
}

#[test]
fn a_process_keeps_to_its_cpus() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone", "model_uid": "small", "cpus": 1}));
    assert_eq!(speech(&server, "small", json!({})).wait().status, 200);
    let [worker] = workers(&server)[..] else { panic!("limits need a process") };
    let allowed = |id: &str| {
        let status = fs::read_to_string(format!("/proc/{worker}/task/{id}/status")).expect("it runs");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("Linux says");
        list.trim().to_owned()
    };
    let tasks = fs::read_dir(format!("/proc/{worker}/task")).expect("it runs");
    for task in tasks.filter_map(Result::ok) {
        let cpus = allowed(&task.file_name().to_string_lossy());
        assert!(cpus.parse::<usize>().is_ok(), "one CPU, not {cpus}");
    }
    let body = json!({"model_name": "tone", "model_type": "audio", "cpus": 1, "isolation": "in-process"});
    let response = http::post(&server.url("/v1/models")).json(&body).run();
    assert_eq!((response.status, response.blamed().as_deref()), (400, Some("cpus")), "{}", response.text());
}

#[test]
fn no_process_outlives_its_model_its_plugin_or_its_server() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    launch(&server, "one", "process");
    launch(&server, "two", "process");
    let before = workers(&server);
    assert_eq!(before.len(), 2);

    folders.drop_in(&beeper(Variant::SecondEdition).expect("it builds"));
    wait_until("new processes", &server, || {
        let now = workers(&server);
        now.len() == 2 && before.iter().all(|old| !now.contains(old))
    });
    assert_eq!(speech(&server, "one", json!({})).wait().status, 200);

    assert_eq!(http::delete(&server.url("/v1/models/one")).run().status, 200);
    wait_until("the end of a process", &server, || workers(&server).len() == 1);

    // The server has no chance to say goodbye.
    let [last] = workers(&server)[..] else { panic!("one model, one process") };
    let hanging = speech(&server, "two", json!({"fail": "slow", "pause_ms": 60_000}));
    thread::sleep(Duration::from_millis(300));
    kill(server.id());
    wait_until("the end of the last process", &server, || !fs::exists(format!("/proc/{last}")).expect("Linux has it"));
    hanging.hang_up();
}

#[test]
fn isolation_must_be_one_of_its_names() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    let body = json!({"model_name": "tone", "model_type": "audio", "isolation": "vm"});
    let response = http::post(&server.url("/v1/models")).json(&body).run();
    assert_eq!(response.status, 400, "{}", response.text());
    assert!(response.error().contains("auto, in-process, process"), "{}", response.error());
    assert_eq!(response.blamed().as_deref(), Some("isolation"));
}
