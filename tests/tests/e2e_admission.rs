//! Who may ask how much, who comes first, and how long anybody waits.

use serde_json::{Value, json};
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    http::{self, Pending, Request, Response},
    server::{BeeperFolders, Server},
};

const SPEECH: &str = "/v1/audio/speech";

/// A server with one model that takes one job at a time.
struct One {
    server: Server,
    _folders: BeeperFolders,
    _settings: tempfile::TempDir,
}

impl One {
    /// With further keys of the settings file.
    fn with(settings: &str, launch: Value) -> Self {
        let (folders, dir) = (BeeperFolders::default(), tempfile::tempdir().expect("a temporary directory"));
        folders.drop_in(&plain_beeper());
        let file = dir.path().join("syrinx.toml");
        fs::write(&file, settings).expect("a settings file");
        let mut start = folders.settings();
        start.arguments = vec!["--config".to_owned(), file.display().to_string()];
        let server = Server::start(start);
        let mut body = json!({"model_type": "audio", "model_name": "tone", "concurrency": 1});
        body.as_object_mut().expect("an object").extend(launch.as_object().expect("an object").clone());
        let launched = http::post(&server.url("/v1/models")).header("x-api-key: admin").json(&body).run();
        assert_eq!(launched.status, 200, "{}", launched.text());
        Self { server, _folders: folders, _settings: dir }
    }

    fn plain() -> Self {
        Self::with("", json!({}))
    }

    /// A request that takes `pause` ms for each of its characters.
    fn request(&self, characters: usize, pause: u64, more: Value) -> Request {
        let mut body = json!({
            "model": "tone", "input": "x".repeat(characters), "response_format": "pcm", "fail": "slow", "pause_ms": pause,
        });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        http::post(&self.server.url(SPEECH)).json(&body)
    }

    /// Jobs that run and that wait.
    fn load(&self) -> (usize, usize) {
        let status = http::get(&self.server.url("/status")).header("x-api-key: admin").run().json();
        let model = &status["models"][0];
        let number = |name: &str| model[name].as_u64().expect("a number") as usize;
        (number("running"), number("waiting"))
    }

    fn until(&self, running: usize, waiting: usize) {
        let begun = Instant::now();
        while self.load() != (running, waiting) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}, not {running}, {waiting}", self.load());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a request and waits until it runs.
    fn occupy(&self, pause: u64, header: &str) -> Pending {
        let pending = self.request(1, pause, json!({})).header(header).start();
        self.until(1, 0);
        pending
    }
}

fn code(response: &Response) -> String {
    response.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn retry_after(response: &Response) -> u64 {
    response.header("retry-after").expect("a header").parse().expect("whole seconds")
}

/// Keeps the model busy for `first`, then sends the requests one after the other. Their indices in the order in which they end.
fn order_of(one: &One, first: u64, requests: Vec<Request>) -> Vec<usize> {
    let occupied = one.occupy(first, "x-api-key: admin");
    let mut waiting = Vec::new();
    for request in requests {
        waiting.push(request.start());
        one.until(1, waiting.len());
    }
    let (sender, ends) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        for (index, pending) in waiting.into_iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || {
                let response = pending.wait();
                assert_eq!(response.status, 200, "{}", response.text());
                sender.send(index).expect("somebody listens");
            });
        }
        drop(sender);
    });
    assert_eq!(occupied.wait().status, 200);
    ends.iter().collect()
}

#[test]
fn a_key_has_so_many_requests_at_a_time_and_a_minute() {
    let settings = r#"
        [auth]
        keys = ["admin"]
        [[auth.key]]
        key = "single"
        limits = { requests = 1 }
        [[auth.key]]
        key = "slow"
        limits = { requests_per_minute = 2 }
    "#;
    let one = One::with(settings, json!({"concurrency": 4}));
    let ask = |key: &str| one.request(1, 1, json!({})).header(&format!("authorization: Bearer {key}"));
    let first = one.occupy(1500, "x-api-key: single");
    let second = ask("single").run();
    assert_eq!((second.status, code(&second).as_str()), (429, "rate_limit_exceeded"), "{}", second.text());
    assert!(second.error().contains("1 requests at a time"), "{}", second.error());
    assert!(retry_after(&second) >= 1);
    assert_eq!(ask("admin").run().status, 200);
    assert_eq!(first.wait().status, 200);
    assert_eq!(ask("single").run().status, 200, "the first one is done");

    assert_eq!((ask("slow").run().status, ask("slow").run().status), (200, 200));
    let third = ask("slow").run();
    assert_eq!((third.status, code(&third).as_str()), (429, "rate_limit_exceeded"), "{}", third.text());
    assert!(third.error().contains("2 requests a minute"), "{}", third.error());
    assert!((30..=61).contains(&retry_after(&third)), "{}", retry_after(&third));
    let models = http::get(&one.server.url("/v1/models")).header("x-api-key: slow").run();
    assert_eq!(models.status, 200, "only work counts");
}

#[test]
fn the_queue_has_the_length_that_the_launch_says() {
    let one = One::with("limits.queue = 5", json!({"queue": 1}));
    let occupied = one.occupy(1000, "x: y");
    let waiting = one.request(1, 1, json!({})).start();
    one.until(1, 1);
    let refused = one.request(1, 1, json!({})).run();
    assert_eq!((refused.status, code(&refused).as_str()), (429, "queue_full"), "{}", refused.text());
    assert!((1..=60).contains(&retry_after(&refused)));
    assert_eq!((occupied.wait().status, waiting.wait().status), (200, 200));
}

#[test]
fn nobody_waits_longer_than_they_have() {
    let one = One::plain();
    let occupied = one.occupy(3000, "x: y");
    let late = one.request(1, 1, json!({})).header("x-request-timeout: 0.5").run();
    assert_eq!((late.status, code(&late).as_str()), (503, "deadline_exceeded"), "{}", late.text());
    assert!(late.error().contains("0.5 s") && retry_after(&late) >= 1, "{}", late.error());
    assert!(late.total < Duration::from_millis(1500), "{:?}", late.total);
    one.until(1, 0);
    // What OpenAI's client for Python says of its patience.
    let late = one.request(1, 1, json!({})).header("x-stainless-read-timeout: 0.3").run();
    assert_eq!(late.status, 503, "{}", late.text());
    assert_eq!(occupied.wait().status, 200);

    // By now it is known that jobs take a while: nobody is kept waiting in vain.
    let occupied = one.occupy(3000, "x: y");
    let shed = one.request(1, 1, json!({"timeout": 1.5})).run();
    assert_eq!((shed.status, code(&shed).as_str()), (503, "overloaded"), "{}", shed.text());
    assert!(shed.total < Duration::from_millis(800), "{:?}", shed.total);
    // The mean of what was measured: about three seconds.
    assert!((2..=6).contains(&retry_after(&shed)), "{}", retry_after(&shed));
    assert_eq!(occupied.wait().status, 200);
}

#[test]
fn a_job_is_stopped_when_its_time_is_over() {
    let one = One::plain();
    let stopped = one.request(100, 100, json!({"timeout": 1})).run();
    assert_eq!((stopped.status, code(&stopped).as_str()), (503, "deadline_exceeded"), "{}", stopped.text());
    assert!(stopped.error().contains("longer than its 1 s"), "{}", stopped.error());
    assert!(stopped.total < Duration::from_secs(3), "{:?}", stopped.total);
    one.until(0, 0);
    // One that doesn't look whether it should stop is not waited for.
    let hanging = one.request(1, 6000, json!({"timeout": 1})).run();
    assert_eq!(hanging.status, 503, "{}", hanging.text());
    assert!(hanging.total < Duration::from_secs(5), "{:?}", hanging.total);

    let nonsense = one.request(1, 1, json!({"timeout": "later"})).run();
    assert_eq!((nonsense.status, nonsense.blamed().as_deref()), (400, Some("timeout")));
    let nonsense = one.request(1, 1, json!({})).header("x-request-timeout: -1").run();
    assert_eq!((nonsense.status, nonsense.blamed().as_deref()), (400, Some("x-request-timeout")));
}

#[test]
fn streams_come_before_whole_answers_and_those_before_batches() {
    let one = One::plain();
    let low = one.request(1, 100, json!({})).header("x-priority: low");
    let whole = one.request(1, 100, json!({}));
    let stream = one.request(1, 100, json!({"stream": true}));
    let urgent = one.request(1, 100, json!({"priority": "high"}));
    assert_eq!(order_of(&one, 2500, vec![low, whole, stream, urgent]), [2, 3, 1, 0]);
    let nonsense = one.request(1, 1, json!({"priority": "now"})).run();
    assert_eq!((nonsense.status, nonsense.blamed().as_deref()), (400, Some("priority")));
}

#[test]
fn a_key_with_a_long_queue_does_not_keep_another_waiting() {
    let one = One::with("[auth]\nkeys = [\"admin\", \"many\", \"few\"]", json!({}));
    let many = || one.request(1, 150, json!({})).header("x-api-key: many");
    // Without a permission, being urgent is no way to the front.
    let few = one.request(1, 150, json!({})).header("x-api-key: few");
    let pushy = many().header("x-priority: high");
    let requests = vec![many(), many(), many(), many(), many(), pushy, few];
    let order = order_of(&one, 4000, requests);
    let place = order.iter().position(|index| *index == 6).expect("it was served");
    assert!(place <= 1, "{order:?}");
    assert_eq!(*order.last().expect("there are some"), 5, "{order:?}");
}
