//! The edges of HTTP: odd methods, paths and messages, and what is answered before any handler is asked.

use crate::{client::Connection, errors, fake::Server};
use serde_json::json;
use std::time::Duration;
use tokio::{io::AsyncReadExt as _, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn paths_with_slashes_and_escapes() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for path in [
        "/v1/models/",
        "//v1/models",
        "/v1/models//",
        "///v1/models?x=1",
        "/v1/models/parrot%2Dears",
        "/v1/models/parrot%2dears/",
    ] {
        assert_eq!(connection.get(path).await.status, 200, "{path}");
    }
    let speech = json!({"model": "parrot-mouth", "input": "hi", "response_format": "pcm"});
    assert_eq!(connection.post_json("/v1/audio/speech/", &speech).await.status, 200);
    let answer = connection.get("/v1/models/%E9%B8%9A%20or%20not").await;
    errors::check(&answer, "an encoded uid", 404, Some("model"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("鸚 or not"), "{}", answer.text());
    for path in
        ["/v1/models/%00", "/v1/models/..%2f..%2fetc", "/v1/models/%ff", "/v1/%2e%2e/status", "/v1/../status", "/%"]
    {
        let answer = connection.get(path).await;
        assert!((400..500).contains(&answer.status), "{path}: {}", answer.status);
        assert!(answer.json()["detail"].is_string(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_options() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (path, expected) in [("/v1/models", 200), ("/health", 200), ("/v1/models/dodo", 404), ("/v1/audio/speech", 405)]
    {
        connection.send("HEAD", path, &[], b"").await;
        let (status, headers) = connection.head().await;
        assert_eq!(status, expected, "{path}");
        assert!(headers.contains_key("x-request-id") && headers.contains_key("access-control-allow-origin"), "{path}");
        // No body follows: the next answer begins right here.
        assert_eq!(connection.get("/health").await.status, 200, "{path}");
    }
    for path in ["/v1/models", "/v1/nothing", "*"] {
        let answer = connection.request("OPTIONS", path, &[("x-request-id", "mine")], b"").await;
        assert_eq!((answer.status, answer.header("x-request-id")), (200, "mine"), "{path}");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_methods_name_the_right_ones() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (method, path, allowed) in [
        ("GET", "/v1/audio/speech", "POST"),
        ("PUT", "/v1/models", "GET,HEAD,POST"),
        ("PATCH", "/v1/models/parrot-ears", "GET,HEAD,DELETE"),
        ("POST", "/health", "GET,HEAD"),
        ("POST", "/v1/cluster/auth", "GET,HEAD"),
        ("TRACE", "/v1/models", "GET,HEAD,POST"),
    ] {
        let answer = connection.request(method, path, &[], b"some body").await;
        errors::check(&answer, &format!("{method} {path}"), 405, None);
        let sorted = |list: &str| {
            let mut list: Vec<_> = list.split(',').map(|method| method.trim().to_owned()).collect();
            list.sort();
            list
        };
        assert_eq!(sorted(answer.header("allow")), sorted(allowed), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_where_none_belongs() {
    let server = Server::start().await;
    let body = vec![b'x'; 20_000_000];
    for (method, path, status) in [("POST", "/v1/nothing", 404), ("PUT", "/v1/models", 405), ("POST", "/health", 405)] {
        let mut connection = server.connect().await;
        let answer = connection.request(method, path, &[], &body).await;
        errors::check(&answer, &format!("{method} {path}"), status, None);
        assert_eq!(connection.get("/health").await.status, 200, "the connection stays usable after {method} {path}");
    }
}

/// Sends bytes, and reads until the server hangs up.
async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut connection: Connection = server.connect().await;
    let send = async {
        use tokio::io::AsyncWriteExt as _;
        let _ = connection.writer.write_all(bytes).await;
    };
    let mut answer = Vec::new();
    let read = connection.reader.read_to_end(&mut answer);
    let (read, ()) =
        timeout(Duration::from_secs(20), async { tokio::join!(read, send) }).await.expect("an end in time");
    let _ = read;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_told_so_in_both_shapes() {
    let server = Server::start().await;
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    let large_header = format!("GET /health HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "a".repeat(1_000_000));
    let headers: String = (0..300).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many_headers = format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    for (what, bytes, status) in [
        ("garbage", "lorem ipsum dolor\r\n\r\n", 400),
        ("another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", 400),
        ("a header without a colon", "GET /health HTTP/1.1\r\nhost x\r\n\r\n", 400),
        ("a version to come", "GET /health HTTP/3.7\r\nhost: x\r\n\r\n", 400),
        ("a length that is none", "POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n", 400),
        ("two lengths", "POST /v1/models HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
        ("a control character in the path", "GET /\u{1} HTTP/1.1\r\nhost: x\r\n\r\n", 400),
        ("a long path", &long_path, 431),
        ("a large header", &large_header, 431),
        ("many headers", &many_headers, 431),
    ] {
        let answer = exchange(&server, bytes.as_bytes()).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer:?}"));
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{what}: {head}");
        for header in [
            "content-type: application/json",
            "connection: close",
            "x-request-id: req_",
            "access-control-allow-origin: *",
        ] {
            assert!(head.contains(header), "{what}: no {header} in {head}");
        }
        let body: serde_json::Value =
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{what}: {error}: {body}"));
        assert_eq!(body["detail"], body["error"]["message"], "{what}");
        assert_eq!(body["error"]["type"], "invalid_request_error", "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_ways_to_say_the_same() {
    let server = Server::start().await;
    let old = exchange(&server, b"GET /health HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200") && old.ends_with("{\"status\":\"ok\"}"), "{old}");
    let absolute =
        exchange(&server, b"GET http://elsewhere/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(absolute.starts_with("HTTP/1.1 200"), "{absolute}");
    let connect = exchange(&server, b"CONNECT elsewhere:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 4") && connect.contains("\"detail\""), "this is no proxy: {connect}");
    let pipelined = exchange(
        &server,
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/nothing HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert_eq!(pipelined.matches("HTTP/1.1 200 OK").count(), 2, "{pipelined}");
    assert_eq!(pipelined.matches("HTTP/1.1 404").count(), 1, "{pipelined}");
}
