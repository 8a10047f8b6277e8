//! API keys: what is open, what isn't, and what a request without a key gets.

use crate::{errors, fake::Server};
use serde_json::json;
use syrinx::auth::StoredKey;

/// A key of the server under test.
const KEY: &str = "sx-good";

async fn guarded() -> Server {
    Server::with(|config| config.auth.keys = vec![StoredKey::of("other"), StoredKey::of(KEY)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn off_every_key_is_accepted() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/v1/cluster/auth").await.json(), json!({"auth": false}));
    for headers in
        [&[][..], &[("authorization", "Bearer not empty")], &[("authorization", "nonsense")], &[("x-api-key", "")]]
    {
        assert_eq!(connection.request("GET", "/v1/models", headers, b"").await.status, 200, "{headers:?}");
    }
    let token = connection.post_json("/token", &json!({"username": "me", "password": "anything"})).await;
    assert_eq!(token.json(), json!({"access_token": "anything", "token_type": "bearer"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_key_is_needed() {
    let server = guarded().await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/v1/cluster/auth").await.json(), json!({"auth": true}));
    let closed = [
        ("GET", "/v1/models"),
        ("HEAD", "/v1/models"),
        ("GET", "/v1/models/"),
        ("GET", "//v1/models"),
        ("POST", "/v1/models"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/audio/transcriptions"),
        ("DELETE", "/v1/models/parrot-ears"),
        ("GET", "/metrics"),
        ("GET", "/v1/address"),
        ("GET", "/v1/cluster/info"),
        ("GET", "/v1/nothing"),
        ("GET", "/"),
        ("BREW", "/v1/models"),
    ];
    for (method, path) in closed {
        let what = format!("{method} {path}");
        let json = ("content-type", "application/json");
        let wrong = [
            &[json][..],
            &[json, ("authorization", "Bearer sx-goo")],
            &[json, ("authorization", "Bearer sx-good2")],
            &[json, ("authorization", "Basic c3gtZ29vZA==")],
            &[json, ("authorization", "sx-good")],
            &[json, ("x-api-key", "SX-GOOD")],
            &[json, ("authorization", "Bearer \t"), ("x-api-key", "no")],
        ];
        for headers in wrong {
            if method == "HEAD" {
                connection.send(method, path, headers, b"").await;
                let (status, headers) = connection.head().await;
                assert_eq!((status, headers["www-authenticate"].as_str()), (401, "Bearer"), "{what}");
                continue;
            }
            let answer = connection.request(method, path, headers, b"{}").await;
            errors::check(&answer, &format!("{what} {headers:?}"), 401, None);
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
        }
        for header in [("authorization", "Bearer sx-good"), ("authorization", "bearer  other"), ("x-api-key", KEY)] {
            // Let in, the odd ones of them are still odd; the good one must not end the model.
            if method == "GET" || method == "BREW" {
                let status = connection.request(method, path, &[header], b"").await.status;
                assert!(status != 401, "{what} {header:?}: {status}");
            }
        }
    }
    let speech = json!({"model": "parrot-mouth", "input": "hi", "response_format": "pcm"}).to_string();
    let headers = [("authorization", "Bearer sx-good"), ("content-type", "application/json")];
    assert_eq!(connection.request("POST", "/v1/audio/speech", &headers, speech.as_bytes()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_routes_stay_open() {
    let server = guarded().await;
    let mut connection = server.connect().await;
    let open = [
        "/health",
        "/health/live",
        "/health/ready",
        "/status",
        "/v1/cluster/auth",
        "/openapi.json",
        "/docs/",
        "/health/",
    ];
    for path in open {
        assert_eq!(connection.get(path).await.status, 200, "{path}");
        assert_eq!(
            connection.request("GET", path, &[("authorization", "Bearer wrong")], b"").await.status,
            200,
            "{path} with a wrong key"
        );
    }
    let status = connection.get("/status").await.json();
    assert!(status.get("models").is_none(), "who has no key doesn't learn what runs: {status}");
    let status = connection.request("GET", "/status", &[("x-api-key", KEY)], b"").await.json();
    assert!(status["models"].as_array().is_some_and(|models| !models.is_empty()), "{status}");
    let preflight = [
        ("origin", "http://a.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    let answer = connection.request("OPTIONS", "/v1/audio/speech", &preflight, b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-headers"), "authorization");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_before_the_body_is_read() {
    let server = guarded().await;
    let mut connection = server.connect().await;
    let head = "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\n\
                content-length: 150000000\r\n\r\n--b\r\n";
    connection.send_raw(head.as_bytes()).await;
    let answer = connection.answer().await;
    errors::check(&answer, "an upload that has only begun", 401, None);
    let mut connection = server.connect().await;
    connection
        .send_raw(b"POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(connection.head().await.0, 401, "it isn't asked to go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn login() {
    let server = guarded().await;
    let mut connection = server.connect().await;
    let token = connection.post_json("/token", &json!({"username": "me", "password": KEY})).await;
    assert_eq!((token.status, token.json()["access_token"].as_str()), (200, Some(KEY)));
    let refused = connection.post_json("/token", &json!({"username": "me", "password": "guess"})).await;
    errors::check(&refused, "a wrong password", 401, None);
    for (body, param) in [
        (json!({"username": "me"}), "password"),
        (json!({"password": KEY}), "username"),
        (json!({"username": "me", "password": 1}), "password"),
    ] {
        errors::check(&connection.post_json("/token", &body).await, "half a login", 400, Some(param));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_be_open() {
    let server = Server::with(|config| {
        config.auth.keys = vec![StoredKey::of(KEY)];
        config.auth.open_metrics = true;
    })
    .await;
    let mut connection = server.connect().await;
    assert_eq!(connection.get("/metrics").await.status, 200);
    assert_eq!(connection.get("/v1/models").await.status, 401);
}
