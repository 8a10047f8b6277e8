//! What is on disk, and removing it.

use crate::{
    fake::Server,
    hub::{FILES, Hub},
};
use serde_json::{Value, json};
use std::path::Path;

const CACHE: &str = "/v1/cache/models";

#[tokio::test(flavor = "multi_thread")]
async fn listing_and_removing_files() {
    let hub = Hub::start(true).await;
    let server = Server::with_hub(&hub.address).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get(CACHE).await.json(), json!({"list": []}));
    for (name, hub) in [("near", "huggingface"), ("far", "modelscope")] {
        let spec = json!({"model_name": name, "model_family": "parrot", "multilingual": false, "model_id": "me/it", "model_hub": hub, "model_ability": ["text2audio"]});
        let answer = connection.post_json("/v1/model_registrations/audio", &json!({"model": spec.to_string()})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = connection.post_json("/v1/models", &json!({"model_name": name, "model_type": "audio"})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let list = connection.get(&format!("{CACHE}?model_name=near")).await.json();
    let [near] = list["list"].as_array().unwrap().as_slice() else { panic!("{list}") };
    let version = near["model_version"].as_str().unwrap();
    let size: usize = FILES.iter().map(|(_, size)| size).sum();
    for (member, value) in [
        ("model_name", json!("near")),
        ("model_type", json!("audio")),
        ("model_engine", json!("parrot")),
        ("model_size_in_billions", Value::Null),
        ("model_format", Value::Null),
        ("quantization", Value::Null),
        ("size_bytes", json!(size)),
    ] {
        assert_eq!(near[member], value, "{member}");
    }
    assert!(Path::new(near["real_path"].as_str().unwrap()).join("weights.bin").is_file());
    assert_eq!(connection.get(&format!("{CACHE}?model_name=")).await.json()["list"].as_array().unwrap().len(), 2);
    assert_eq!(connection.get(&format!("{CACHE}?model_name=x")).await.json()["list"], json!([]));
    let files = connection.get(&format!("{CACHE}/files?model_version={version}")).await.json();
    assert_eq!((&files["model_version"], files["paths"].as_array().unwrap().len()), (&json!(version), 2));
    assert_eq!(connection.get(&format!("{CACHE}/files?model_version=x")).await.json()["paths"], json!([]));
    let versions = connection.get("/v1/models/audio/near/versions").await.json();
    assert_eq!((&versions[0]["model_version"], &versions[0]["cache_status"]), (&json!(version), &json!(true)));

    let remove = format!("{CACHE}?model_version={version}");
    let answer = connection.request("DELETE", &remove, &[], b"").await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("model_version")));
    assert!(answer.text().contains("`near` uses"), "{}", answer.text());
    assert_eq!(connection.request("DELETE", "/v1/models/near", &[], b"").await.status, 200);
    for result in [true, false] {
        let answer = connection.request("DELETE", &remove, &[("content-type", "application/json")], b"").await;
        assert_eq!((answer.status, answer.json()), (200, json!({"result": result})));
    }
    assert!(!Path::new(near["real_path"].as_str().unwrap()).exists());
    assert_eq!(connection.get(CACHE).await.json()["list"].as_array().unwrap().len(), 1);
    let versions = connection.get("/v1/models/audio/near/versions").await.json();
    assert_eq!(versions[0]["cache_status"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_of_the_store_is_removed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for path in [CACHE.to_owned(), format!("{CACHE}?model_version="), format!("{CACHE}?model_version=%20")] {
        let answer = connection.request("DELETE", &path, &[], b"").await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("model_version")), "{path}");
    }
    assert_eq!(connection.get(&format!("{CACHE}/files")).await.status, 400);
    for version in [
        "x",
        "..--0123456789abcdef",
        "../../nest--0123456789abcdef",
        "%2e%2e%2Fnest--0123456789abcdef",
        "/etc--0123456789abcdef",
        "a%00b--0123456789abcdef",
        "whisper-base--0123456789abcdef",
    ] {
        let answer = connection.request("DELETE", &format!("{CACHE}?model_version={version}"), &[], b"").await;
        assert_eq!((answer.status, answer.json()), (200, json!({"result": false})), "{version}");
    }
    // A directory that the catalogue names is nobody's to remove.
    let versions = connection.get("/v1/models/audio/parrot-mouth/versions").await.json();
    let version = versions[0]["model_version"].as_str().unwrap();
    connection.request("DELETE", "/v1/models/parrot-mouth", &[], b"").await;
    let answer = connection.request("DELETE", &format!("{CACHE}?model_version={version}"), &[], b"").await;
    assert_eq!(answer.json(), json!({"result": false}));
    assert!(server.dir().path().join("nest/seeds").is_file());
}
