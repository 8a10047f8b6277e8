//! Many clients at once, clients that don't read, and clients that vanish: nothing is lost, nothing is mixed up, and afterwards
//! nothing is left of them.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    server::{BeeperFolders, Server},
    sound::Sound,
    wire::{self, Answer, FORM, Wire, form, request},
};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TRANSLATIONS: &str = "/v1/audio/translations";
const SPEECH: &str = "/v1/audio/speech";

/// Clients at a time.
const CROWD: usize = 64;

fn server(settings: &[(&str, &str)]) -> (Server, BeeperFolders) {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let mut start = folders.settings();
    start.environment = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    (Server::start(start), folders)
}

/// A tone of this length at 16 kHz.
fn sound(seconds: f32) -> Vec<u8> {
    let samples = (0..(seconds * 16_000.0) as usize).map(|n| (n as f32 / 8.0).sin() * 0.3).collect();
    Sound { sample_rate: 16_000, samples }.to_wav()
}

fn speech(body: &Value) -> Vec<u8> {
    wire::json("POST", SPEECH, body.to_string().as_bytes())
}

/// Speech that takes about `characters` · `pause` ms, streamed.
fn slow_speech(characters: usize, pause: u64) -> Vec<u8> {
    speech(&json!({
        "model": "tone", "input": "x".repeat(characters), "response_format": "pcm", "stream": true, "fail": "slow", "pause_ms": pause,
    }))
}

/// A value of `/metrics`.
fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Jobs of `tone`: running and waiting.
fn jobs(server: &Server) -> (f64, f64) {
    let text = server.get_text("/metrics");
    (metric(&text, "syrinx_jobs_running{model=\"tone\"}"), metric(&text, "syrinx_jobs_waiting{model=\"tone\"}"))
}

/// Waits until nothing runs and nobody but the asker is served.
fn idle(server: &Server, what: &str) {
    let begun = Instant::now();
    loop {
        let text = server.get_text("/metrics");
        let in_flight: f64 = text
            .lines()
            .filter(|line| line.starts_with("syrinx_http_requests_in_flight"))
            .map(|line| metric(line, "syrinx_http_requests_in_flight"))
            .sum();
        if jobs(server) == (0.0, 0.0) && in_flight <= 1.0 {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} are still there after 20 s: {text}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a server holds.
#[derive(Clone, Copy, Debug)]
struct Holdings {
    memory: u64,
    files: usize,
}

impl Holdings {
    fn of(server: &Server) -> Self {
        Self { memory: server.memory(), files: server.open_files() }
    }
}

/// After everybody has left: no files more than before, and no memory to speak of.
fn assert_recovered(server: &Server, before: Holdings, what: &str) {
    idle(server, what);
    let begun = Instant::now();
    loop {
        let now = Holdings::of(server);
        // Connections are closed a moment after their job ends.
        let recovered = now.files <= before.files + 2 && now.memory < before.memory + (64 << 20);
        if recovered {
            println!("{what}: {before:?}, afterwards {now:?}");
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {before:?} became {now:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Requests of every kind, and the name of each.
fn mixture() -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for format in ["mp3", "wav", "opus", "aac", "flac", "pcm", "ogg", "m4a"] {
        for (how, more) in [
            ("whole", json!({})),
            ("streamed", json!({"stream": true})),
            ("as events", json!({"stream_format": "sse", "voice": "high"})),
        ] {
            let mut body =
                json!({"model": "tone", "input": format!("sing as {format} please"), "response_format": format});
            body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            all.push((format!("{format}, {how}"), speech(&body)));
        }
    }
    for (number, format) in ["json", "text", "srt", "vtt", "verbose_json"].into_iter().enumerate() {
        let file = sound(0.5 + number as f32 / 3.0);
        for streamed in [false, true] {
            if streamed && !["json", "text"].contains(&format) {
                continue;
            }
            let stream: &[u8] = if streamed { b"true" } else { b"false" };
            let parts: [(&str, bool, &[u8]); 4] = [
                ("file", true, &file),
                ("model", false, b"tone"),
                ("response_format", false, format.as_bytes()),
                ("stream", false, stream),
            ];
            let body = request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &form(&parts));
            all.push((format!("transcription as {format}, stream {streamed}"), body));
        }
    }
    let file = sound(0.7);
    let parts: [(&str, bool, &[u8]); 2] = [("model", false, b"tone"), ("file", true, &file)];
    all.push(("translation".to_owned(), request("POST", TRANSLATIONS, &[("content-type", FORM)], &form(&parts))));
    all
}

/// What must be the same whenever the same is asked.
fn essence(answer: &Answer) -> (u16, Option<String>, Option<String>, bool, Vec<u8>) {
    let header = |name| answer.header(name).map(ToOwned::to_owned);
    (answer.status, header("content-type"), header("x-sample-rate"), answer.complete, answer.body.clone())
}

fn ask(port: u16, bytes: &[u8]) -> Answer {
    let mut wire = Wire::connect(port).expect("it listens");
    wire.send(bytes).expect("it is read");
    wire.answer().expect("an answer")
}

/// The value that this share of the sorted values lies below.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

#[test]
fn a_crowd_gets_what_each_would_get_alone() {
    const ROUNDS: usize = 6;
    let (server, _folders) = server(&[]);
    server.launch(&json!({"model_name": "tone", "concurrency": 8}));
    let mixture = mixture();
    let alone: Vec<Answer> = mixture.iter().map(|(_, bytes)| ask(server.port(), bytes)).collect();
    for ((what, bytes), answer) in mixture.iter().zip(&alone) {
        let expected = if what == "translation" { 400 } else { 200 };
        assert_eq!((answer.status, answer.complete), (expected, true), "{what}: {}", answer.text());
        let again = ask(server.port(), bytes);
        let differs = what != "translation" && essence(&again) != essence(answer);
        assert!(!differs, "{what} is not the same twice: {} and {} bytes", answer.body.len(), again.body.len());
    }
    let before = Holdings::of(&server);
    let start = Barrier::new(CROWD);
    let begun = Instant::now();
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|client| {
                let (mixture, alone, start, server) = (&mixture, &alone, &start, &server);
                scope.spawn(move || {
                    start.wait();
                    // Half of the clients keep their connection.
                    let mut kept = (client % 2 == 0).then(|| Wire::connect(server.port()).expect("it listens"));
                    let mut times = Vec::new();
                    for round in 0..ROUNDS {
                        let number = (client * 7 + round * 11) % mixture.len();
                        let (what, bytes) = &mixture[number];
                        let begun = Instant::now();
                        let answer = match &mut kept {
                            Some(wire) => {
                                wire.send(bytes).expect("it is read");
                                wire.answer().unwrap_or_else(|error| panic!("{what}: {error}"))
                            }
                            None => ask(server.port(), bytes),
                        };
                        times.push(begun.elapsed());
                        assert_eq!(answer.status, alone[number].status, "{what}: {}", answer.text());
                        let same = answer.status != 200 || essence(&answer) == essence(&alone[number]);
                        assert!(same, "client {client} got another {what}: {} bytes", answer.body.len());
                    }
                    times
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("no client fails")).collect()
    });
    times.sort();
    println!(
        "{} requests by {CROWD} clients in {:?}: p50 {:?}, p95 {:?}, longest {:?}; memory {} MB before, {} MB at most",
        times.len(),
        begun.elapsed(),
        percentile(&times, 0.5),
        percentile(&times, 0.95),
        percentile(&times, 1.0),
        before.memory >> 20,
        server.peak_memory() >> 20,
    );
    assert_eq!(times.len(), CROWD * ROUNDS);
    assert!(server.peak_memory() < before.memory + (400 << 20), "{} MB at most", server.peak_memory() >> 20);
    assert_recovered(&server, before, "the crowd");
}

#[test]
fn more_than_fits_is_sent_away_at_once() {
    let (server, _folders) = server(&[("SYRINX_QUEUE", "4")]);
    server.launch(&json!({"model_name": "tone", "concurrency": 2}));
    let start = Barrier::new(CROWD);
    let outcomes: Vec<(u16, Duration)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CROWD)
            .map(|_| {
                let (server, start) = (&server, &start);
                scope.spawn(move || {
                    let body = slow_speech(10, 100);
                    start.wait();
                    let begun = Instant::now();
                    let answer = ask(server.port(), &body);
                    if answer.status != 200 {
                        assert_eq!(answer.status, 429, "{}", answer.text());
                        let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
                        assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{:?}", answer.headers);
                        let body = answer.json();
                        assert_eq!(body["error"]["type"], "rate_limit_error");
                        assert_eq!(body["detail"], body["error"]["message"]);
                    }
                    assert!(answer.complete);
                    (answer.status, begun.elapsed())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no client fails")).collect()
    });
    let served = outcomes.iter().filter(|(status, _)| *status == 200).count();
    let slowest = outcomes.iter().filter(|(status, _)| *status == 429).map(|(_, time)| *time).max();
    println!("{served} of {CROWD} were served; the last was sent away after {slowest:?}");
    assert!((6..CROWD).contains(&served), "two run, four wait, and places get free meanwhile: {served}");
    assert!(slowest.expect("some are sent away") < Duration::from_secs(10));
    idle(&server, "clients that were sent away");
    assert_eq!(ask(server.port(), &slow_speech(1, 1)).status, 200, "there are places again");
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Leave {
    Fin,
    Rst,
}

fn leave(wire: Wire, how: Leave) {
    match how {
        Leave::Fin => drop(wire),
        Leave::Rst => wire.reset(),
    }
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let (server, _folders) = server(&[]);
    server.launch(&json!({"model_name": "tone", "concurrency": 4}));
    ask(server.port(), &slow_speech(2, 1));
    let before = Holdings::of(&server);
    let connect = || Wire::connect(server.port()).expect("it listens");
    for how in [Leave::Fin, Leave::Rst] {
        // In the middle of an upload: form, JSON, and chunks.
        let file = sound(60.0);
        let body = form(&[("model", false, b"tone"), ("file", true, &file)]);
        let upload = request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &body);
        let chunked = format!(
            "POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{{\"model\""
        );
        for sent in [&upload[..upload.len() / 2], &upload[..200], chunked.as_bytes(), &slow_speech(100, 10)[..250]] {
            for _ in 0..4 {
                let mut wire = connect();
                wire.send(sent).expect("it is read");
                leave(wire, how);
            }
        }
        assert_recovered(&server, before, &format!("uploads that end by {how:?}"));

        // In the middle of a stream, and while waiting for a place.
        let streams: Vec<Wire> = (0..4)
            .map(|_| {
                let mut wire = connect();
                wire.send(&slow_speech(2000, 20)).expect("it is read");
                assert_eq!(wire.head().expect("an answer").0, 200);
                wire
            })
            .collect();
        let mut queued: Vec<Wire> = (0..8)
            .map(|_| {
                let mut wire = connect();
                wire.send(&slow_speech(2000, 20)).expect("it is read");
                wire
            })
            .collect();
        let begun = Instant::now();
        while jobs(&server) != (4.0, 8.0) {
            assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", jobs(&server));
            thread::sleep(Duration::from_millis(20));
        }
        queued.drain(..4).for_each(|wire| leave(wire, how));
        let begun = Instant::now();
        while jobs(&server) != (4.0, 4.0) {
            assert!(begun.elapsed() < Duration::from_secs(10), "who waits and goes is forgotten: {:?}", jobs(&server));
            thread::sleep(Duration::from_millis(20));
        }
        streams.into_iter().chain(queued).for_each(|wire| leave(wire, how));
        assert_recovered(&server, before, &format!("streams that end by {how:?}"));

        // While a whole answer is being made, by a model and by a recogniser.
        let whole = speech(&json!({"model": "tone", "input": "x".repeat(500), "fail": "slow", "pause_ms": 20}));
        let parts: [(&str, bool, &[u8]); 4] =
            [("file", true, &file), ("model", false, b"tone"), ("fail", false, b"slow"), ("pause_ms", false, b"3000")];
        let heard = request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &form(&parts));
        for sent in [whole, heard] {
            let mut wire = connect();
            wire.send(&sent).expect("it is read");
            let begun = Instant::now();
            while jobs(&server).0 == 0.0 {
                assert!(begun.elapsed() < Duration::from_secs(10), "it doesn't start");
                thread::sleep(Duration::from_millis(20));
            }
            leave(wire, how);
            assert_recovered(&server, before, &format!("waiting ended by {how:?}"));
        }
    }
}

#[test]
fn half_open_uploads_are_given_up() {
    let (server, _folders) = server(&[("SYRINX_UPLOAD_SILENCE_SECONDS", "1")]);
    server.launch(&json!({"model_name": "tone"}));
    let before = Holdings::of(&server);
    let file = sound(30.0);
    let body = form(&[("model", false, b"tone"), ("file", true, &file)]);
    let upload = request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &body);
    let mut waiting: Vec<Wire> = (0..32)
        .map(|_| {
            let mut wire = Wire::connect(server.port()).expect("it listens");
            wire.send(&upload[..upload.len() / 2]).expect("it is read");
            wire
        })
        .collect();
    // A client that has said that it is done in the middle of its body isn't waited for at all.
    waiting[0].finish_sending();
    for (number, wire) in waiting.iter_mut().enumerate() {
        let Ok(answer) = wire.answer() else {
            assert_eq!(number, 0, "only one that has hung up gets no answer");
            continue;
        };
        let expected = if number == 0 { 400 } else { 408 };
        assert_eq!(answer.status, expected, "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert!(waiting.iter_mut().all(|wire| wire.is_closed_within(Duration::from_secs(10))));
    drop(waiting);
    assert_recovered(&server, before, "half-open uploads");
}

#[test]
fn slow_readers_hold_little_and_nobody_else() {
    let (server, _folders) = server(&[]);
    server.launch(&json!({"model_name": "tone", "concurrency": 12}));
    ask(server.port(), &slow_speech(2, 1));
    let before = Holdings::of(&server);
    // Eight minutes of sound as pcm each, 24 MB, made as fast as it is taken.
    let long = speech(&json!({"model": "tone", "input": "x".repeat(8000), "response_format": "pcm", "stream": true}));
    let mut readers: Vec<Wire> = (0..8)
        .map(|_| {
            let mut wire = Wire::connect(server.port()).expect("it listens").with_small_window();
            wire.send(&long).expect("it is read");
            wire
        })
        .collect();
    let begun = Instant::now();
    let mut others = Vec::new();
    while begun.elapsed() < Duration::from_secs(3) {
        // Half of them read a byte now and then, the others nothing at all.
        for reader in &mut readers[..4] {
            assert_eq!(reader.receive_some(1).expect("there is something"), 1);
        }
        let begun = Instant::now();
        let answer = ask(server.port(), &slow_speech(4, 1));
        assert_eq!((answer.status, answer.body.len()), (200, 4 * 2400));
        others.push(begun.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(jobs(&server).0, 8.0, "they are held back, not given up yet");
    others.sort();
    let grown = server.memory().saturating_sub(before.memory);
    println!(
        "8 slow readers hold {} kB each; others meanwhile: p50 {:?}, longest {:?}",
        (grown / 8) >> 10,
        percentile(&others, 0.5),
        percentile(&others, 1.0)
    );
    assert!(grown < 8 * (10 << 20), "{grown} bytes");
    assert!(percentile(&others, 0.5) < Duration::from_secs(2));
    readers.drain(..4).for_each(drop);
    readers.into_iter().for_each(Wire::reset);
    assert_recovered(&server, before, "slow readers");
}

#[test]
fn idle_connections_make_room() {
    let (server, _folders) = server(&[("SYRINX_MAX_CONNECTIONS", "20")]);
    server.launch(&json!({"model_name": "tone"}));
    // One is busy: it must not be the one to go.
    let mut busy = Wire::connect(server.port()).expect("it listens");
    busy.send(&slow_speech(80, 50)).expect("it is read");
    assert_eq!(busy.head().expect("an answer").0, 200);
    // Some have had an answer and are kept alive, some never say anything, some never finish their headers.
    let mut crowd: Vec<Wire> = Vec::new();
    for number in 0..40 {
        let mut wire = Wire::connect(server.port()).expect("the system takes it");
        match number % 3 {
            0 => wire.send(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").expect("it is sent"),
            1 => wire.send(b"GET /health HTTP/1.1\r\nx-slow: ").expect("it is sent"),
            _ => {}
        }
        crowd.push(wire);
    }
    thread::sleep(Duration::from_millis(1200));
    for _ in 0..5 {
        let begun = Instant::now();
        let answer = ask(server.port(), b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
        assert_eq!(answer.status, 200);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?} behind idle ones", begun.elapsed());
    }
    let mut body = Vec::new();
    while let Ok(count @ 1..) = busy.receive_some(1 << 16) {
        body.push(count);
        if body.iter().sum::<usize>() >= 79 * 2400 {
            break;
        }
    }
    assert!(body.iter().sum::<usize>() >= 79 * 2400, "the busy one was cut off");
}
