//! Launching, listing and ending models, and what clients ask around it.

use crate::fake::Server;
use serde_json::{Value, json};
use std::time::Duration;

const MODELS: &str = "/v1/models";

fn launch(more: Value) -> Value {
    let mut body =
        json!({"model_name": "parrot-mouth", "model_type": "audio", "replica": 1, "n_gpu": "auto", "model_uid": null});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn launch_list_show_end() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let answer = connection
        .post_json(MODELS, &launch(json!({"model_uid": "mine", "replica": "2", "anything": {"else": [1]}})))
        .await;
    assert_eq!((answer.status, answer.json()), (200, json!({"model_uid": "mine"})));
    let list = connection.get(MODELS).await.json();
    assert_eq!(list["object"], "list");
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["mine", "parrot-ears", "parrot-ears-plain", "parrot-mouth", "parrot-mouth-plain"]);
    let mine = connection.get("/v1/models/mine").await.json();
    for (member, value) in [
        ("id", json!("mine")),
        ("object", json!("model")),
        ("owned_by", json!("xinference")),
        ("model_type", json!("audio")),
        ("model_name", json!("parrot-mouth")),
        ("model_family", json!("parrot")),
        ("model_lang", json!(["en"])),
        ("model_ability", json!(["text2audio", "text2audio_zero_shot"])),
        ("replica", json!(2)),
        ("n_worker", json!(1)),
        ("quantization", json!("none")),
        ("accelerators", json!([])),
    ] {
        assert_eq!(mine[member], value, "{member}");
    }
    assert!(mine["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(mine["address"], format!("127.0.0.1:{}", server.port));
    assert_eq!(connection.get("/v1/models/mine/replicas").await.json().as_array().unwrap().len(), 2);
    // As openai's and Xinference's clients end a model: a content type and no body.
    let gone = connection.request("DELETE", "/v1/models/mine", &[("content-type", "application/json")], b"").await;
    assert_eq!((gone.status, gone.json()), (200, json!({"id": "mine", "object": "model", "deleted": true})));
    assert_eq!(connection.get("/v1/models/mine").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn uids_are_made_up_when_none_is_given() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let uid = connection.post_json(MODELS, &launch(json!({}))).await.json()["model_uid"].as_str().unwrap().to_owned();
    let suffix = uid.strip_prefix("parrot-mouth-").unwrap();
    assert!(suffix.len() == 8 && suffix.chars().all(|c| c.is_ascii_alphanumeric()), "{uid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_in_the_background() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = launch(json!({"model_uid": "slow", "load_ms": 600}));
    assert_eq!(connection.post_json("/v1/models?wait_ready=False", &body).await.status, 200);
    let answer = connection.post_json("/v1/audio/speech", &json!({"model": "slow", "input": "hi"})).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "30"), "{}", answer.text());
    // A second launch of the uid loses.
    assert_eq!(connection.post_json(MODELS, &body).await.status, 400);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let progress = connection.get("/v1/models/slow/progress").await.json();
    assert_eq!(
        (&progress["stage"], &progress["replicas"][0]["replica_model_uid"]),
        (&json!("loading"), &json!("slow-rep0"))
    );
    let value = progress["progress"].as_f64().unwrap();
    assert!(value > 0.0 && value < 1.0, "{value}");
    let instances = connection.get("/v1/models/instances?model_uid=slow").await.json();
    assert_eq!(
        (&instances[0]["status"], &instances[0]["replica_statuses"][0]["model_state"]),
        (&json!("LOADING"), &json!("LOADING"))
    );
    while connection.get("/v1/models/slow").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connection.get("/v1/models/slow/progress").await.json()["stage"], "completed");
    assert_eq!(connection.get("/v1/models/unheard/progress").await.json()["stage"], "pending");
    assert_eq!(connection.get("/v1/models/instances?model_uid=slow").await.json()[0]["status"], "READY");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_cancelled() {
    let server = Server::start().await;
    let mut waiting = server.connect().await;
    let body = launch(json!({"model_uid": "slow", "load_ms": 10_000}));
    waiting.send("POST", MODELS, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    let mut connection = server.connect().await;
    while connection.get("/v1/models/instances?model_uid=slow").await.json() == json!([]) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = connection.request("POST", "/v1/models/slow/cancel", &[], b"").await;
    assert_eq!((answer.status, answer.json()), (200, Value::Null));
    let answer = waiting.answer().await;
    assert_eq!(answer.status, 499, "{}", answer.text());
    assert!(connection.get(MODELS).await.json()["data"].as_array().unwrap().iter().all(|model| model["id"] != "slow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_launch_stays_visible() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (fail, message) in [("resources", "no seeds left"), ("panic", "internal error")] {
        let body = launch(json!({"model_uid": "bad", "fail": fail}));
        assert_eq!(connection.post_json("/v1/models?wait_ready=false", &body).await.status, 200);
        let instance = loop {
            let instance = connection.get("/v1/models/instances?model_uid=bad").await.json()[0].clone();
            if instance["status"] == "ERROR" {
                break instance;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let told = instance["error_message"].as_str().unwrap();
        assert!(told.contains(message) && !told.contains("secret"), "{told}");
        assert_eq!(connection.get("/v1/models/bad").await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_survive_the_end_of_their_model() {
    let server = Server::start().await;
    let mut speaking = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "pcm", "stream": true, "delay_ms": 50});
    speaking
        .send("POST", "/v1/audio/speech", &[("content-type", "application/json")], body.to_string().as_bytes())
        .await;
    server.busy("parrot-mouth", 1).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.request("DELETE", "/v1/models/parrot-mouth", &[], b"").await.status, 200);
    let answer = speaking.answer().await;
    assert_eq!((answer.status, answer.complete, answer.body.len()), (200, true, 10 * crate::fake::PUSH * 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let list = connection.get("/v1/model_registrations/audio").await.json();
    let names: Vec<String> =
        list.as_array().unwrap().iter().map(|model| model["model_name"].as_str().unwrap().to_lowercase()).collect();
    assert!(
        names.is_sorted() && names.contains(&"whisper-base".to_owned()) && names.contains(&"parrot-mouth".to_owned())
    );
    assert_eq!(list[0].as_object().unwrap().len(), 2, "{}", list[0]);
    for name in connection.get("/v1/model_registrations/audio?detailed=true").await.json().as_array().unwrap() {
        let name = name["model_name"].as_str().unwrap();
        let answer = connection.get(&format!("/v1/model_registrations/audio/{name}")).await;
        assert_eq!((answer.status, &answer.json()["model_name"]), (200, &json!(name)));
    }
    let parrot = connection.get("/v1/model_registrations/audio/parrot-mouth").await.json();
    assert_eq!((&parrot["is_builtin"], &parrot["model_family"]), (&json!(false), &json!("parrot")));
    // A text or null, as in Xinference.
    let kokoro = connection.get("/v1/model_registrations/audio/Kokoro-82M").await.json();
    assert_eq!((&kokoro["model_format"], &kokoro["quantization"]), (&json!("onnx"), &json!("int8")));
    assert_eq!(parrot["quantization"], Value::Null);
    for kind in ["LLM", "embedding", "image"] {
        assert_eq!(connection.get(&format!("/v1/model_registrations/{kind}")).await.json(), json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_ask_around_models() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/v1/cluster/auth").await.json(), json!({"auth": false}));
    assert_eq!(connection.get("/v1/address").await.json(), format!("127.0.0.1:{}", server.port));
    assert_eq!(connection.get("/health").await.json(), json!({"status": "ok"}));
    assert_eq!(connection.get("/health/ready").await.json(), json!({"status": "ready"}));
    assert_eq!(connection.get("/v1/plugins").await.json()["data"][0]["name"], "parrot");
    let status = connection.get("/status").await.json();
    assert_eq!(status["models"][0], json!({"uid": "parrot-ears", "state": "READY", "running": 0, "waiting": 0}));
    connection.post_json("/v1/audio/speech", &json!({"model": "parrot-mouth", "input": "hi", "stream": true})).await;
    let answer = connection.get("/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    for line in [
        "syrinx_http_requests_total{method=\"POST\",route=\"/v1/audio/speech\",status=\"200\"}",
        "syrinx_http_request_duration_seconds_count",
        "syrinx_http_requests_in_flight",
        "syrinx_first_byte_seconds_bucket{model=\"parrot-mouth\"",
        "syrinx_audio_output_seconds_total{model=\"parrot-mouth\",generation=\"1\"}",
        "syrinx_job_real_time_factor_bucket{model=\"parrot-mouth\",generation=\"1\",task=\"speak\"",
        "syrinx_jobs_running{model=\"parrot-ears\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_each_operation_once() {
    let server = Server::start().await;
    let description = server.connect().await.get("/openapi.json").await.json();
    let operations =
        description["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    let mut ours = Vec::new();
    let mut all = Vec::new();
    for operation in operations.filter(|operation| operation.is_object()) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        if operation["tags"] == json!(["models"]) {
            ours.push(id.clone());
        }
        all.push(id);
    }
    assert!(ours.len() >= 28, "{ours:?}");
    for id in ours {
        assert_eq!(all.iter().filter(|other| **other == id).count(), 1, "{id}");
    }
    let replica = &description["components"]["schemas"]["Launch"]["properties"]["replica"];
    assert_eq!((&replica["type"], &replica["maximum"]), (&json!("integer"), &json!(64)));
}
