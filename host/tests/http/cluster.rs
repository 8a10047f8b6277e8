//! What Xinference's clients ask about the cluster.

use crate::{
    client::Part,
    errors,
    fake::{Server, wav},
};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn nodes() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let address = connection.get("/v1/address").await.json();
    assert_eq!(address, json!(format!("127.0.0.1:{}", server.port)));
    let plain = connection.get("/v1/cluster/info").await.json();
    let nodes = plain.as_array().unwrap();
    assert_eq!(
        nodes.iter().map(|node| node["node_type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Supervisor", "Worker"]
    );
    for node in nodes {
        assert_eq!(node["ip_address"], address);
        assert!(node["gpu_count"].is_u64() && node.get("gpu_vram_total").is_some(), "{node}");
        assert!(node.get("cpu_count").is_none(), "only when asked for: {node}");
    }
    for yes in ["true", "True", "1", "yes"] {
        let detailed = connection.get(&format!("/v1/cluster/info?detailed={yes}")).await.json();
        for node in detailed.as_array().unwrap() {
            assert!(node["cpu_count"].as_u64().unwrap() > 0, "{node}");
            assert!(node["cpu_available"].as_f64().unwrap() <= node["cpu_count"].as_f64().unwrap(), "{node}");
            let memory = ["mem_used", "mem_available", "mem_total"].map(|name| node[name].as_u64().unwrap());
            assert_eq!(memory[0] + memory[1], memory[2], "{node}");
            assert!(node.get("gpu_utilization").is_some() && node.get("gpu_vram_available").is_some(), "{node}");
            assert!(node["software_version"].is_string(), "{node}");
        }
    }
    assert_eq!(connection.get("/v1/cluster/devices").await.json(), nodes[1]["gpu_count"]);
    let version = connection.get("/v1/cluster/version").await.json();
    assert_eq!(version, json!({"version": env!("CARGO_PKG_VERSION"), "full-revisionid": null}));
    let workers = connection.get("/v1/workers").await.json();
    assert_eq!(workers[0]["work-ip"], address);
    assert!(workers[0]["models"].as_array().unwrap().contains(&json!("parrot-ears")), "{workers}");
    assert_eq!(connection.get("/v1/supervisor").await.json(), json!({"supervisor_ip": address}));
}

#[tokio::test(flavor = "multi_thread")]
async fn status() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let status = connection.get("/status").await.json();
    assert!(status["uptime"].is_u64(), "{status}");
    let worker = &status["workers"][format!("127.0.0.1:{}", server.port)];
    assert!(worker["update_time"].as_f64().unwrap() > 1.7e9 && worker["failure_remaining_count"].is_u64(), "{worker}");
    let cpu = &worker["status"]["cpu"];
    assert!((0.0..=1.0).contains(&cpu["usage"].as_f64().unwrap()), "{cpu}");
    for name in ["total", "memory_used", "memory_available", "memory_total"] {
        assert!(cpu[name].as_u64().unwrap() > 0, "{name}: {cpu}");
    }
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    let models = status["models"].as_array().unwrap();
    assert!(models.iter().any(|model| model["uid"] == "parrot-ears" && model["state"] == "READY"), "{models:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_of_requests() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let unknown = connection.get("/v1/requests/nobody/progress").await;
    errors::check(&unknown, "unknown request", 400, Some("request_id"));

    let clip = wav(4.0);
    let parts = [
        ("model", Part::Text("parrot-ears")),
        ("kwargs", Part::Text("{\"delay_ms\": 200}")),
        ("file", Part::File(&clip)),
    ];
    let mut busy = server.connect().await;
    let headers = [("content-type", crate::client::FORM), ("x-request-id", "long-one")];
    busy.send("POST", "/v1/audio/transcriptions", &headers, &crate::client::form(&parts)).await;
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..200 {
        let answer = connection.get("/v1/requests/long-one/progress").await;
        if answer.status == 200 {
            seen.push(answer.json());
        } else if !seen.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(busy.answer().await.status, 200);
    let shares: Vec<f64> = seen.iter().map(|progress| progress["progress"].as_f64().unwrap()).collect();
    assert!(shares.is_sorted() && shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    assert!(shares.iter().any(|share| (0.2..0.9).contains(share)), "it moves: {shares:?}");
    assert!(seen.last().unwrap()["elapsed_seconds"].as_f64().unwrap() > 0.1, "{seen:?}");
    assert!(seen.iter().any(|progress| progress["eta_seconds"].is_f64()), "{seen:?}");
    assert_eq!(connection.get("/v1/requests/long-one/progress").await.status, 400, "over");
}
