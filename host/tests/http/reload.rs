//! Other launch options for a model that runs.

use crate::fake::Server;
use serde_json::{Value, json};
use std::time::Duration;

const RELOAD: &str = "/v1/models/parrot-mouth/reload";

async fn settled(server: &Server) -> Value {
    for _ in 0..500 {
        let status = server.connect().await.get(RELOAD).await.json();
        if status["status"] != "reloading" {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the reload does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_serves_while_it_is_reloaded() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get(RELOAD).await.json()["status"], "idle");
    let options = connection.get(&format!("{RELOAD}/config")).await.json();
    assert_eq!((&options["engine"], &options["values"]), (&json!("parrot"), &json!({})));
    assert_eq!(options["parameters"]["load_ms"]["type"], "integer");
    let answer = connection.post_json(RELOAD, &json!({"model_config": {"load_ms": "400"}, "drain_timeout": 300})).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("reloading")), "{}", answer.text());
    let speech = json!({"model": "parrot-mouth", "input": "hi"});
    assert_eq!(connection.post_json("/v1/audio/speech", &speech).await.status, 200);
    let answer = connection.post_json(RELOAD, &json!({"model_config": {"load_ms": 1}})).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("reload_in_progress")));
    let status = settled(&server).await;
    assert_eq!((&status["status"], &status["error"]), (&json!("ready"), &Value::Null));
    assert!(status["finished_at"].as_u64() >= status["started_at"].as_u64());
    assert_eq!(connection.get(&format!("{RELOAD}/config")).await.json()["values"], json!({"load_ms": 400}));
    assert_eq!(connection.post_json("/v1/audio/speech", &speech).await.status, 200);
    let events = connection.get("/v1/models/parrot-mouth/events").await.json().to_string();
    assert!(events.contains("reloaded"), "{events}");
    // Back to the default.
    assert_eq!(connection.post_json(RELOAD, &json!({"model_config": {"load_ms": null}})).await.status, 202);
    assert_eq!(settled(&server).await["status"], "ready");
    assert_eq!(connection.get(&format!("{RELOAD}/config")).await.json()["values"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_fails_changes_nothing() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(connection.post_json(RELOAD, &json!({"model_config": {"fail": "panic"}})).await.status, 202);
    let status = settled(&server).await;
    assert_eq!(status["status"], "error");
    let text = status["error"].as_str().unwrap();
    assert!(text.contains("internal error") && !text.contains("secret"), "{text}");
    assert_eq!(connection.get(&format!("{RELOAD}/config")).await.json()["values"], json!({}));
    let speech = json!({"model": "parrot-mouth", "input": "hi"});
    assert_eq!(connection.post_json("/v1/audio/speech", &speech).await.status, 200);
    for (body, field) in [
        (json!({}), "model_config"),
        (json!({"model_config": {}}), "model_config"),
        (json!({"model_config": [1]}), "model_config"),
        (json!({"model_config": {"unheard": 1}}), "model_config"),
        (json!({"model_config": {"load_ms": -1}}), "load_ms"),
        (json!({"model_config": {"load_ms": 1}, "drain_timeout": 0}), "drain_timeout"),
        (json!({"model_config": {"load_ms": 1}, "drain_timeout": "x"}), "drain_timeout"),
        (json!({"model_config": {"load_ms": 1}, "python_executable": "/bin/sh"}), "python_executable"),
    ] {
        let answer = connection.post_json(RELOAD, &body).await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!(field)), "{body}");
    }
    let answer = connection.post_json("/v1/models/unheard/reload", &json!({"model_config": {"load_ms": 1}})).await;
    assert_eq!(answer.status, 404);
    assert_eq!(connection.get("/v1/models/unheard/reload").await.status, 404);
    assert_eq!(connection.get("/v1/models/unheard/reload/config").await.status, 404);
}
