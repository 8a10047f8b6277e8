//! Launches that go wrong, get in each other's way, are called off, or download.

use crate::{client::Answer, fake::Server, hub::Hub};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

const MODELS: &str = "/v1/models";

/// What Xinference's client sends, with `more` over it.
fn launch(more: Value) -> Value {
    let mut body = json!({
        "model_uid": null, "model_name": "parrot-mouth", "model_engine": null, "peft_model_config": null, "model_type": "audio",
        "model_size_in_billions": null, "model_format": null, "quantization": null, "replica": 1, "n_worker": 1, "n_gpu": "auto",
        "request_limits": null, "worker_ip": null, "gpu_idx": null, "replica_config": null, "model_path": null,
        "enable_thinking": null, "enable_virtual_env": null, "virtual_env_packages": null, "virtual_env_find_links": null,
        "envs": null
    });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    body
}

async fn post(server: &Server, path: &str, body: Value) -> Answer {
    server.connect().await.post_json(path, &body).await
}

fn param(answer: &Answer) -> Value {
    answer.json()["error"]["param"].clone()
}

async fn instance(server: &Server, uid: &str) -> Value {
    server.connect().await.get(&format!("/v1/models/instances?model_uid={uid}")).await.json()[0].clone()
}

async fn until(server: &Server, uid: &str, status: &str) -> Value {
    for _ in 0..1000 {
        let instance = instance(server, uid).await;
        if instance["status"] == status {
            return instance;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{uid} does not become {status}: {}", instance(server, uid).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_launches_of_a_uid_wins() {
    let server = Arc::new(Server::start().await);
    for wait in ["true", "false"] {
        let uid = format!("wanted-{wait}");
        let attempts: Vec<_> = (0..24)
            .map(|_| {
                let (server, uid) = (server.clone(), uid.clone());
                let path = format!("{MODELS}?wait_ready={wait}");
                tokio::spawn(
                    async move { post(&server, &path, launch(json!({"model_uid": uid, "load_ms": 150}))).await },
                )
            })
            .collect();
        let mut won = 0;
        for attempt in attempts {
            let answer = attempt.await.unwrap();
            if answer.status == 200 {
                won += 1;
            } else {
                assert_eq!((answer.status, param(&answer)), (400, json!("model_uid")), "{}", answer.text());
            }
        }
        assert_eq!(won, 1);
        until(&server, &uid, "READY").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_launched() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (more, field) in [
        (json!({"model_name": null}), "model_name"),
        (json!({"model_name": "unheard"}), "model_name"),
        (json!({"model_name": "x".repeat(100_000)}), "model_name"),
        (json!({"model_name": "../parrot-mouth"}), "model_name"),
        (json!({"model_name": "whisper-base"}), "model_name"),
        (json!({"model_name": "IndexTTS2"}), "model_name"),
        (json!({"model_name": "MeloTTS-English"}), "model_name"),
        (json!({"model_type": null}), "model_type"),
        (json!({"model_type": "LLM"}), "model_type"),
        (json!({"model_type": "nonsense"}), "model_type"),
        (json!({"model_uid": ""}), "model_uid"),
        (json!({"model_uid": "a/b"}), "model_uid"),
        (json!({"model_uid": "a\u{0}b"}), "model_uid"),
        (json!({"model_uid": "x-rep0"}), "model_uid"),
        (json!({"model_uid": "x".repeat(101)}), "model_uid"),
        (json!({"model_uid": "parrot-ears"}), "model_uid"),
        (json!({"replica": null}), "replica"),
        (json!({"replica": true}), "replica"),
        (json!({"replica": 0}), "replica"),
        (json!({"replica": -1}), "replica"),
        (json!({"replica": 1.0}), "replica"),
        (json!({"replica": 1e30}), "replica"),
        (json!({"n_gpu": "lots"}), "n_gpu"),
        (json!({"gpu_idx": [0, 1, 2], "replica": 2}), "gpu_idx"),
        (json!({"request_limits": -1}), "request_limits"),
        (json!({"download_hub": "nowhere"}), "download_hub"),
        (json!({"model_path": "/no/such/directory"}), "model_path"),
        (json!({"model_engine": "vllm"}), "model_engine"),
        (json!({"model_engine": "MLX"}), "model_engine"),
        (json!({"model_format": "gguf"}), "model_format"),
        (json!({"quantization": "int3"}), "quantization"),
        (json!({"load_ms": "soon"}), "load_ms"),
        (json!({"fail": "sometimes"}), "fail"),
    ] {
        let answer = connection.post_json("/v1/models?wait_ready=false", &launch(more.clone())).await;
        let told = (answer.status, param(&answer));
        assert_eq!(told, (400, json!(field)), "{}", more.to_string().chars().take(100).collect::<String>());
        assert!(answer.body.len() < 4096, "{} bytes for {field}", answer.body.len());
    }
    let answer = connection.post_json(MODELS, &launch(json!({"x": "y".repeat(300_000)}))).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let mut deep = Value::Null;
    for _ in 0..100 {
        deep = json!([deep]);
    }
    // Unknown keys of any shape go to the plugin, which ignores them.
    let more = json!({
        "model_uid": "odd", "compile": true, "deep": deep, "模型": [1.5, null, {"a": "b"}], "": "empty", "n": 1e300, "a b": "\u{0}",
        "lang_code": "z", "small_models_dir": "/x", "vad_kwargs": {"max_single_segment_time": 30000}, "device": "cpu",
        "trust_remote_code": true, "envs": {"A": "B"}, "peft_model_config": {"lora_list": []}, "replica": "2", "gpu_idx": [0, 1],
        "model_engine": "PyTorch", "quantization": "none", "load_ms": "10", "n_gpu": null
    });
    let answer = connection.post_json(MODELS, &launch(more)).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"model_uid": "odd"})));
    let replicas = connection.get("/v1/models/odd/replicas").await.json();
    assert_eq!((&replicas[0]["gpu_idx"], &replicas[1]["gpu_idx"]), (&json!([0]), &json!([1])));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_or_not() {
    let server = Server::start().await;
    for (number, word) in ["false", "False", "FALSE", "fAlSe", "0"].into_iter().enumerate() {
        let uid = format!("later-{number}");
        let path = format!("{MODELS}?wait_ready={word}");
        let answer = post(&server, &path, launch(json!({"model_uid": uid.as_str(), "load_ms": 300}))).await;
        assert_eq!((answer.status, answer.json()), (200, json!({"model_uid": uid.as_str()})));
        assert_ne!(instance(&server, &uid).await["status"], "READY", "{word}");
        until(&server, &uid, "READY").await;
    }
    for word in ["true", "True", "anything"] {
        let uid = format!("now-{word}");
        let path = format!("{MODELS}?wait_ready={word}");
        assert_eq!(post(&server, &path, launch(json!({"model_uid": uid.as_str(), "load_ms": 100}))).await.status, 200);
        assert_eq!(instance(&server, &uid).await["status"], "READY", "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_frees_the_uid() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (fail, status, message) in [
        ("input", 400, "you asked for it"),
        ("resources", 503, "no seeds left"),
        ("internal", 503, "loading the model failed"),
        ("panic", 500, "internal error"),
    ] {
        let answer = connection.post_json(MODELS, &launch(json!({"model_uid": "brittle", "fail": fail}))).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains(message) && !text.contains("panic") && !text.contains("/srv"), "{text}");
        assert_eq!(connection.get("/v1/models/brittle").await.status, 404);
        let listed = connection.get(MODELS).await.json();
        assert!(listed["data"].as_array().unwrap().iter().all(|model| model["id"] != "brittle"));
        let instance = instance(&server, "brittle").await;
        assert_eq!(instance["status"], "ERROR");
        let told = instance["replica_statuses"][0]["error_message"].as_str().unwrap();
        assert!(told.contains(message) && !told.contains("panic") && !told.contains("/srv"), "{told}");
    }
    let nest = server.dir().path().join("nest").display().to_string();
    let own = launch(json!({"model_uid": "brittle", "fail": "internal", "model_path": nest}));
    let answer = connection.post_json(MODELS, &own).await;
    assert_eq!((answer.status, param(&answer)), (400, json!("model_path")), "{}", answer.text());
    assert_eq!(connection.post_json(MODELS, &launch(json!({"model_uid": "brittle"}))).await.status, 200);
    assert_eq!(instance(&server, "brittle").await["status"], "READY");
    assert_eq!(connection.request("DELETE", "/v1/models/brittle", &[], b"").await.status, 200);
    let events = connection.get("/v1/models/brittle/events").await.json();
    let names: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["created", "loading", "error"]);
    assert_eq!(names[names.len() - 4..], ["created", "loading", "ready", "terminated"]);
    assert_eq!((&events[0]["event_type"], &events[2]["event_type"]), (&json!("INFO"), &json!("ERROR")));
    assert!(events[0]["event_ts"].as_u64().unwrap() > 1_700_000_000 && !events.to_string().contains("/srv"));
    assert_eq!(connection.get("/v1/models/unheard/events").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_a_model_that_is_being_launched() {
    let server = Server::start().await;
    let mut waiting = server.connect().await;
    let body = launch(json!({"model_uid": "slow", "load_ms": 10_000})).to_string();
    waiting.send("POST", MODELS, &[("content-type", "application/json")], body.as_bytes()).await;
    until(&server, "slow", "LOADING").await;
    let mut connection = server.connect().await;
    let begun = Instant::now();
    let gone = connection.request("DELETE", "/v1/models/slow", &[], b"").await;
    assert_eq!((gone.status, gone.json()["deleted"].clone()), (200, json!(true)));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(waiting.answer().await.status, 499);
    assert_eq!(connection.get("/v1/models/instances?model_uid=slow").await.json(), json!([]));
    assert_eq!(connection.request("DELETE", "/v1/models/slow", &[], b"").await.status, 404);
    assert_eq!(connection.request("POST", "/v1/models/slow/cancel", &[], b"").await.status, 404);
    assert_eq!(connection.post_json(MODELS, &launch(json!({"model_uid": "slow"}))).await.status, 200);
    // What runs can't be cancelled any more.
    assert_eq!(connection.request("POST", "/v1/models/slow/cancel", &[], b"").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_does_not_stop_is_left_behind() {
    let server = Server::start().await;
    let mut waiting = server.connect().await;
    let body = launch(json!({"model_uid": "deaf", "load_ms": 6_000, "stubborn": true}));
    waiting.send("POST", MODELS, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    until(&server, "deaf", "LOADING").await;
    let begun = Instant::now();
    let mut connection = server.connect().await;
    assert_eq!(connection.request("POST", "/v1/models/deaf/cancel", &[], b"").await.status, 200);
    // The answer means that it is over.
    assert_eq!(instance(&server, "deaf").await["status"], "ERROR");
    assert_eq!(waiting.answer().await.status, 499);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // What is left behind goes on telling how far it is.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(connection.get("/v1/models/deaf/progress").await.json()["stage"], "cancelled");
    assert_eq!(connection.post_json(MODELS, &launch(json!({"model_uid": "deaf"}))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_launches_do_not_hold_up_others() {
    let server = Server::start().await;
    for number in 0..20 {
        let body = launch(json!({"model_uid": format!("slow-{number}"), "load_ms": 4_000}));
        assert_eq!(post(&server, "/v1/models?wait_ready=false", body).await.status, 200);
    }
    let begun = Instant::now();
    assert_eq!(post(&server, MODELS, launch(json!({"model_uid": "quick"}))).await.status, 200);
    let body = json!({"model": "quick", "input": "hi"});
    assert_eq!(post(&server, "/v1/audio/speech", body).await.status, 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    for number in 0..20 {
        let mut connection = server.connect().await;
        assert_eq!(connection.request("DELETE", &format!("/v1/models/slow-{number}"), &[], b"").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn request_limits() {
    let server = Server::start().await;
    for (uid, limit) in [("nobody", json!(0)), ("one", json!("1"))] {
        let body = launch(json!({"model_uid": uid, "request_limits": limit}));
        assert_eq!(post(&server, MODELS, body).await.status, 200);
    }
    let answer = post(&server, "/v1/audio/speech", json!({"model": "nobody", "input": "hi"})).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["type"]),
        (429, &json!("rate_limit_error")),
        "{}",
        answer.text()
    );
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    let speech = |text: &str| json!({"model": "one", "input": text, "response_format": "pcm", "delay_ms": 50});
    let mut first = server.connect().await;
    let body = speech("0123456789").to_string();
    first.send("POST", "/v1/audio/speech", &[("content-type", "application/json")], body.as_bytes()).await;
    server.busy("one", 1).await;
    assert_eq!(post(&server, "/v1/audio/speech", speech("hi")).await.status, 429);
    assert_eq!(first.answer().await.status, 200);
    assert_eq!(post(&server, "/v1/audio/speech", speech("hi")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn offline_the_files_that_are_needed_are_named() {
    let server = Server::start().await;
    let spec = json!({"model_name": "far", "model_family": "parrot", "multilingual": false, "model_id": "me/far"});
    let body = json!({"model": spec.to_string(), "persist": false, "worker_ip": null});
    assert_eq!(post(&server, "/v1/model_registrations/audio", body).await.status, 200);
    for hub in [json!(null), json!("modelscope"), json!("huggingface"), json!("csghub"), json!("openmind_hub")] {
        let answer = post(&server, MODELS, launch(json!({"model_name": "far", "download_hub": hub}))).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains("Hugging Face me/far@main") && text.contains("switched off"), "{text}");
        assert!(!text.contains(server.dir().path().to_str().unwrap()), "{text}");
    }
    assert_eq!(instance(&server, "far").await["status"], "ERROR");
    // The files are there after all.
    let path = server.dir().path().join("nest").display().to_string();
    assert_eq!(post(&server, MODELS, launch(json!({"model_name": "far", "model_path": path}))).await.status, 200);
    let spec = json!({"model_name": "nowhere", "model_family": "parrot", "multilingual": false});
    post(&server, "/v1/model_registrations/audio", json!({"model": spec.to_string()})).await;
    let answer = post(&server, MODELS, launch(json!({"model_name": "nowhere"}))).await;
    assert_eq!((answer.status, param(&answer)), (400, json!("model_path")));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_the_files_that_are_needed_are_named() {
    let server = Server::with_hub("http://hub.invalid").await;
    let spec = json!({"model_name": "far", "model_family": "parrot", "multilingual": false, "model_id": "me/far"});
    post(&server, "/v1/model_registrations/audio", json!({"model": spec.to_string()})).await;
    let answer = post(&server, MODELS, launch(json!({"model_name": "far"}))).await;
    let text = answer.text();
    assert_eq!((answer.status, param(&answer)), (400, json!("model_name")), "{text}");
    assert!(text.contains("hub.invalid can't be reached") && text.contains("Hugging Face me/far@main"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_downloads_tells_of_it() {
    let hub = Hub::start(false).await;
    hub.pause.store(800, Ordering::Relaxed);
    let server = Server::with_hub(&hub.address).await;
    let spec = json!({"model_name": "far", "model_family": "parrot", "multilingual": false, "model_id": "me/far"});
    post(&server, "/v1/model_registrations/audio", json!({"model": spec.to_string(), "persist": true})).await;
    // Not there, so Hugging Face it is.
    let body = launch(json!({"model_name": "far", "download_hub": "modelscope"}));
    assert_eq!(post(&server, "/v1/models?wait_ready=false", body).await.status, 200);
    let mut connection = server.connect().await;
    let mut seen = Vec::new();
    let mut last = 0.0;
    loop {
        let progress = connection.get("/v1/models/far/progress").await.json();
        let value = progress["progress"].as_f64().unwrap();
        assert!(value >= last && value <= 1.0, "{value} after {last}");
        last = value;
        if let Some(file) = progress["download_files"].as_array().unwrap().last()
            && file["status"] == "downloading"
        {
            seen.push(file.clone());
        }
        if progress["stage"] == "completed" {
            assert_eq!(progress["replicas"][0]["replica_model_uid"], "far-rep0");
            let files: Vec<(&str, u64)> = progress["download_files"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| (file["name"].as_str().unwrap(), file["downloaded_bytes"].as_u64().unwrap()))
                .collect();
            assert_eq!(files, [("config.json", 20), ("weights.bin", 300_000)]);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let half = seen.iter().find(|file| file["name"] == "weights.bin" && file["downloaded_bytes"].as_u64() > Some(0));
    let half = half.unwrap_or_else(|| panic!("{seen:?}"));
    assert_eq!(half["total_bytes"], 300_000);
    let events = connection.get("/v1/models/far/events").await.json().to_string();
    assert!(events.contains("far: 50 %") && events.contains("ready on cpu"), "{events}");
    let far = connection.get("/v1/models/far").await.json();
    assert_eq!(far["model_revision"], "main");

    let spec = json!({"model_name": "lost", "model_family": "parrot", "multilingual": false, "model_id": "me/absent"});
    post(&server, "/v1/model_registrations/audio", json!({"model": spec.to_string()})).await;
    let answer = post(&server, MODELS, launch(json!({"model_name": "lost"}))).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("me/absent"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cancelled() {
    let hub = Hub::start(false).await;
    hub.pause.store(20_000, Ordering::Relaxed);
    let server = Server::with_hub(&hub.address).await;
    let spec = json!({"model_name": "far", "model_family": "parrot", "multilingual": false, "model_id": "me/far"});
    post(&server, "/v1/model_registrations/audio", json!({"model": spec.to_string()})).await;
    let mut waiting = server.connect().await;
    let body = launch(json!({"model_name": "far"})).to_string();
    waiting.send("POST", MODELS, &[("content-type", "application/json")], body.as_bytes()).await;
    while !hub.seen.lock().unwrap().iter().any(|path| path.ends_with("config.json")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = Instant::now();
    let mut connection = server.connect().await;
    assert_eq!(connection.request("POST", "/v1/models/far/cancel", &[], b"").await.status, 200);
    let answer = waiting.answer().await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (499, &json!("cancelled")));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_do_not_pile_up() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for number in 0..230 {
        let body = launch(json!({"model_uid": format!("bad-{number}"), "fail": "input"}));
        assert_eq!(connection.post_json(MODELS, &body).await.status, 400);
    }
    let instances = connection.get("/v1/models/instances").await.json();
    let failed = instances.as_array().unwrap().iter().filter(|instance| instance["status"] == "ERROR").count();
    assert!((200..=201).contains(&failed), "{failed}");
    assert_eq!(instance(&server, "bad-0").await, Value::Null);
    assert_eq!(instance(&server, "bad-229").await["status"], "ERROR");
}
