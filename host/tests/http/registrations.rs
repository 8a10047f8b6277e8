//! Models that clients register.

use crate::{client::Answer, fake::Server};
use serde_json::{Value, json};
use std::sync::Arc;

const ROUTE: &str = "/v1/model_registrations/audio";

fn body(more: Value, persist: bool) -> Value {
    let mut spec = json!({"model_name": "mine", "model_family": "parrot", "multilingual": false, "version": 2});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    json!({"model": spec.to_string(), "persist": persist, "worker_ip": null})
}

async fn register(server: &Server, body: &Value) -> Answer {
    server.connect().await.post_json(ROUTE, body).await
}

async fn unregister(server: &Server, name: &str) -> Answer {
    server
        .connect()
        .await
        .request("DELETE", &format!("{ROUTE}/{name}"), &[("content-type", "application/json")], b"")
        .await
}

async fn names(server: &Server) -> Vec<String> {
    let list = server.connect().await.get(ROUTE).await.json();
    list.as_array().unwrap().iter().map(|model| model["model_name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_registering_to_forgetting() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let nest = server.dir().path().join("nest").display().to_string();
    let spec = json!({
        "model_uri": format!("file://{nest}"), "is_builtin": true, "model_ability": ["text2audio", "text2audio_zero_shot"],
        "language": "en", "default_model_config": {"load_ms": 20}, "anything": [1]
    });
    let answer = register(&server, &body(spec, false)).await;
    assert_eq!((answer.status, answer.json()), (200, Value::Null), "{}", answer.text());
    let list = connection.get(ROUTE).await.json();
    assert!(list.as_array().unwrap().contains(&json!({"model_name": "mine", "is_builtin": false})));
    let detailed = connection.get(&format!("{ROUTE}?detailed=true")).await.json();
    let mine = detailed.as_array().unwrap().iter().find(|model| model["model_name"] == "mine").unwrap().clone();
    for (member, value) in [
        ("model_family", json!("parrot")),
        ("multilingual", json!(false)),
        ("language", json!("en")),
        ("model_lang", json!(["en"])),
        ("model_uri", json!(nest)),
        ("default_model_config", json!({"load_ms": 20})),
        ("model_ability", json!(["text2audio", "text2audio_zero_shot"])),
        ("is_builtin", json!(false)),
        ("cache_status", json!(true)),
        ("model_version_count", json!(1)),
        ("model_instance_count", json!(0)),
    ] {
        assert_eq!(mine[member], value, "{member}");
    }
    assert_eq!(connection.get(&format!("{ROUTE}/mine")).await.json()["model_name"], "mine");
    let versions = connection.get("/v1/models/audio/mine/versions").await.json();
    assert_eq!((&versions[0]["cache_status"], &versions[0]["model_file_location"]), (&json!(true), &json!(nest)));
    let engines = connection.get("/v1/engines/audio/mine").await.json();
    assert_eq!(engines["parrot"][0]["model_name"], "mine");

    let launch = json!({"model_name": "mine", "model_type": "audio", "replica": 1});
    assert_eq!(connection.post_json("/v1/models", &launch).await.status, 200);
    let running = connection.get("/v1/models/mine").await.json();
    assert_eq!((&running["model_name"], &running["model_family"]), (&json!("mine"), &json!("parrot")));
    let by_version =
        json!({"model_version": versions[0]["model_version"], "model_uid": "again", "replica": 1, "n_gpu": "auto"});
    let answer = connection.post_json("/v1/models/instance", &by_version).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"model_uid": "again"})), "{}", answer.text());
    let instances = connection.get("/v1/models/instances?model_name=mine").await.json();
    assert_eq!(instances.as_array().unwrap().len(), 2);
    assert_eq!(instances[0]["model_version"], versions[0]["model_version"]);
    let detailed = connection.get(&format!("{ROUTE}?detailed=1")).await.json();
    let mine = detailed.as_array().unwrap().iter().find(|model| model["model_name"] == "mine").unwrap().clone();
    assert_eq!(mine["model_instance_count"], 2);

    // The running model goes on.
    for _ in 0..2 {
        let answer = unregister(&server, "mine").await;
        assert_eq!((answer.status, answer.json()), (200, Value::Null));
    }
    assert_eq!(connection.get(&format!("{ROUTE}/mine")).await.status, 404);
    let speech = json!({"model": "mine", "input": "hi"});
    assert_eq!(connection.post_json("/v1/audio/speech", &speech).await.status, 200);
    assert_eq!(connection.get("/v1/models/mine").await.status, 200);
    let answer = connection.post_json("/v1/models", &launch).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("model_name")));
    assert_eq!(connection.post_json("/v1/models/instance", &by_version).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_survives_a_restart() {
    let server = Server::start().await;
    let dir = server.dir().clone();
    let uri = dir.path().join("nest").display().to_string();
    for (name, persist) in [("kept", true), ("gone", false), ("模型", true)] {
        let answer = register(
            &server,
            &body(json!({"model_name": name, "model_uri": uri.clone(), "model_ability": ["text2audio"]}), persist),
        )
        .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let stop = |mut server: Server| async move {
        server.begin_stopping();
        server.stopped().await;
    };
    stop(server).await;
    let server = Server::at(dir.clone(), |_| (), |_| ()).await;
    let there = names(&server).await;
    assert!(there.contains(&"kept".to_owned()) && there.contains(&"模型".to_owned()), "{there:?}");
    assert!(!there.contains(&"gone".to_owned()));
    let launch = json!({"model_name": "kept", "model_type": "audio"});
    assert_eq!(server.connect().await.post_json("/v1/models", &launch).await.status, 200);
    let answer = register(&server, &body(json!({"model_name": "kept"}), true)).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("model_name")));
    assert_eq!(unregister(&server, "kept").await.status, 200);
    stop(server).await;
    let server = Server::at(dir, |_| (), |_| ()).await;
    let there = names(&server).await;
    assert!(!there.contains(&"kept".to_owned()) && there.contains(&"模型".to_owned()), "{there:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_registered() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let before = names(&server).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (request, field) in [
        (json!({}), "model"),
        (json!({"model": null}), "model"),
        (json!({"model": 3}), "model"),
        (json!({"model": "{"}), "model"),
        (json!({"model": "[]"}), "model"),
        (json!({"model": deep}), "model"),
        (json!({"model": body(json!({"x": "y".repeat(100_000)}), false)["model"]}), "model"),
        (json!({"model": body(json!({}), false)["model"], "persist": "perhaps"}), "persist"),
        (json!({"model": body(json!({}), false)["model"], "persist": 3}), "persist"),
        (body(json!({"model_name": null}), false), "model_name"),
        (body(json!({"model_name": "../x"}), true), "model_name"),
        (body(json!({"model_name": "/etc/x"}), true), "model_name"),
        (body(json!({"model_name": "a\\b"}), true), "model_name"),
        (body(json!({"model_name": "a\u{0}b"}), true), "model_name"),
        (body(json!({"model_name": "a b"}), true), "model_name"),
        (body(json!({"model_name": ".hidden"}), true), "model_name"),
        (body(json!({"model_name": "x".repeat(300)}), true), "model_name"),
        (body(json!({"model_name": "whisper-base"}), false), "model_name"),
        (body(json!({"model_name": "whisper-base-mlx"}), false), "model_name"),
        (body(json!({"model_name": "parrot-mouth"}), false), "model_name"),
        (body(json!({"model_family": null}), false), "model_family"),
        (body(json!({"model_family": "nonsense"}), false), "model_family"),
        (body(json!({"multilingual": null}), false), "multilingual"),
        (body(json!({"multilingual": "no"}), false), "multilingual"),
        (body(json!({"version": 3}), false), "version"),
        (body(json!({"model_uri": "relative"}), false), "model_uri"),
        (body(json!({"model_uri": "/no/such/directory"}), false), "model_uri"),
        (body(json!({"model_uri": "file:///no/such/directory"}), false), "model_uri"),
        (body(json!({"model_uri": "s3://bucket/x"}), false), "model_uri"),
        (body(json!({"model_id": "../../etc/passwd"}), false), "model_id"),
        (body(json!({"model_ability": ["fly"]}), false), "model_ability"),
        (body(json!({"default_model_config": 3}), false), "default_model_config"),
    ] {
        let answer = connection.post_json(ROUTE, &request).await;
        let told = (answer.status, answer.json()["error"]["param"].clone());
        assert_eq!(told, (400, json!(field)), "{}", request.to_string().chars().take(200).collect::<String>());
    }
    for (path, status) in [("/v1/model_registrations/LLM", 400), ("/v1/model_registrations/nonsense", 400)] {
        assert_eq!(connection.post_json(path, &body(json!({}), false)).await.status, status, "{path}");
    }
    assert_eq!(connection.get("/v1/model_registrations/nonsense").await.status, 400);
    assert_eq!(names(&server).await, before);
    assert!(!server.dir().path().join("home/registrations").exists(), "nothing was kept");
    // Built-in models stay, whatever they are called.
    for name in ["whisper-base", "whisper-base-mlx", "parrot-mouth", "..%2F..%2Fx", "%00", "never-heard"] {
        let answer = unregister(&server, name).await;
        assert_eq!((answer.status, answer.json()), (200, Value::Null), "{name}");
    }
    assert_eq!(names(&server).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let server = Arc::new(Server::start().await);
    let attempts: Vec<_> = (0..16)
        .map(|number| {
            let server = server.clone();
            tokio::spawn(async move {
                let own = body(json!({"model_name": format!("own-{number}"), "model_ability": ["text2audio"]}), true);
                assert_eq!(register(&server, &own).await.status, 200);
                register(&server, &body(json!({"model_ability": ["text2audio"]}), true)).await.status
            })
        })
        .collect();
    let mut won = 0;
    for attempt in attempts {
        match attempt.await.unwrap() {
            200 => won += 1,
            status => assert_eq!(status, 400),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(names(&server).await.iter().filter(|name| name.starts_with("own-")).count(), 16);
    let forgetting: Vec<_> = (0..16)
        .map(|number| {
            let server = server.clone();
            tokio::spawn(async move { unregister(&server, &format!("own-{number}")).await.status })
        })
        .collect();
    for forgotten in forgetting {
        assert_eq!(forgotten.await.unwrap(), 200);
    }
    assert_eq!(names(&server).await.iter().filter(|name| name.starts_with("own-")).count(), 0);
    let kept = std::fs::read_dir(server.dir().path().join("home/registrations")).unwrap().count();
    assert_eq!(kept, 1, "only `mine`");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_of_the_list_resolves() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let all = names(&server).await;
    assert!(all.len() >= 36, "{all:?}");
    for name in &all {
        let answer = connection.get(&format!("{ROUTE}/{name}")).await;
        assert_eq!((answer.status, &answer.json()["model_name"]), (200, &json!(name)));
        assert_eq!(connection.get(&format!("/v1/models/audio/{name}/versions")).await.status, 200, "{name}");
        assert_eq!(connection.get(&format!("/v1/engines/audio/{name}")).await.status, 200, "{name}");
    }
    let index = connection.get(&format!("{ROUTE}/IndexTTS2")).await.json();
    assert_eq!(index["default_model_config"], json!({"small_models_dir": null}));
    for (retired, name) in [("whisper-large-v3-mlx", "whisper-large-v3"), ("Kokoro-82M-MLX", "Kokoro-82M")] {
        assert_eq!(connection.get(&format!("{ROUTE}/{retired}")).await.json()["model_name"], name);
    }
    let engines = connection.get("/v1/engines/audio/ChatTTS").await.json();
    assert!(engines["chattts"].as_str().unwrap().contains("not installed"), "{engines}");
    assert_eq!(connection.get("/v1/engines/LLM/x").await.json(), Value::Null);
    assert_eq!(connection.get("/v1/engines/audio/unheard").await.status, 404);
    assert_eq!(connection.get("/v1/models/audio/unheard/versions").await.status, 404);
    assert_eq!(connection.get("/v1/models/nonsense/x/versions").await.status, 400);
    for path in ["downloads", "launch_history", "model_favorites", "autostart/models"] {
        assert_eq!(connection.get(&format!("/v1/{path}")).await.json(), json!([]), "{path}");
    }
    assert_eq!(connection.get("/v1/virtualenvs").await.json(), json!({"list": []}));
}
