//! Every way to send something wrong, over a real connection to the real process: each has its status, blames the right field,
//! looks the same to both families of clients, tells nothing of the inside, and leaves the connection usable where HTTP lets it.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::{
    panic::{self, AssertUnwindSafe},
    time::Duration,
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
const MODELS: &str = "/v1/models";

/// What is sent, and what must come back.
struct Row {
    what: String,
    sent: Vec<u8>,
    /// The first is ours, the others are tolerated by the contract.
    statuses: &'static [u16],
    /// The field at fault.
    param: Option<&'static str>,
    /// Whether the connection can go on: after broken framing it can't.
    stays: bool,
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn row(&mut self, what: &str, sent: Vec<u8>, statuses: &'static [u16], param: Option<&'static str>) {
        self.0.push(Row { what: what.to_owned(), sent, statuses, param, stays: true });
    }

    /// A row after which the connection ends.
    fn last(&mut self, what: &str, sent: Vec<u8>, statuses: &'static [u16]) {
        self.0.push(Row { what: what.to_owned(), sent, statuses, param: None, stays: false });
    }
}

fn start() -> (Server, BeeperFolders) {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    server.launch(&json!({"model_name": "tone"}));
    (server, folders)
}

/// Half a second of sound.
fn sound() -> Vec<u8> {
    Sound { sample_rate: 16_000, samples: (0..8000).map(|n| (n as f32 / 8.0).sin() * 0.3).collect() }.to_wav()
}

/// What every error must look like.
fn check(row: &Row, answer: &Answer) {
    let what = &row.what;
    let said = answer.text();
    assert!(row.statuses.contains(&answer.status), "{what}: {} instead of {:?}: {said}", answer.status, row.statuses);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{what}: no request id");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{what}");
    let body = answer.json();
    let message = body["error"]["message"].as_str().unwrap_or_else(|| panic!("{what}: {said}"));
    assert!(!message.is_empty(), "{what}");
    assert_eq!(body["detail"], body["error"]["message"], "{what}");
    assert_eq!(body["error"]["param"].as_str(), row.param, "{what}: {message}");
    let kind = if answer.status >= 500 { "server_error" } else { "invalid_request_error" };
    assert_eq!(body["error"]["type"], kind, "{what}");
    assert!(body["error"].as_object().is_some_and(|error| error.contains_key("code")), "{what}");
    for leak in ["/tmp/", "/home/", "/proc/", "/usr/", "panicked", ".rs", "pid", "0x", "RUST_", "stack", "src/"] {
        assert!(!message.contains(leak), "{what}: {leak:?} in {message:?}");
    }
    assert!(!message.chars().any(|c| c.is_control() && c != '\n'), "{what}: {message:?}");
    assert!(message.chars().count() < 1000, "{what}: the message has {} characters", message.chars().count());
    match (answer.status, answer.header("connection")) {
        (405, _) => assert!(answer.header("allow").is_some(), "{what}: no Allow"),
        (_, Some("close")) => assert!(!row.stays, "{what}: the connection should stay"),
        _ => {}
    }
}

/// The next request on the same connection is answered as if nothing had been.
fn goes_on(wire: &mut Wire, what: &str) {
    let body = json!({"model": "tone", "input": "a", "response_format": "pcm"}).to_string();
    let json = [("content-type", "application/json")];
    let answer = wire.request("POST", SPEECH, &json, body.as_bytes()).unwrap_or_else(|e| panic!("after {what}: {e}"));
    assert_eq!((answer.status, answer.body.len()), (200, 2400), "after {what}: {}", answer.text());
}

/// Sends a row on this connection and looks at what comes back.
fn send(row: &Row, wire: &mut Wire) {
    let what = &row.what;
    // A server that refuses may close while this is still sending.
    let sent = wire.send(&row.sent);
    let answer = wire.answer().unwrap_or_else(|error| panic!("{what}: no answer: {error} (sent: {sent:?})"));
    check(row, &answer);
    if row.stays {
        goes_on(wire, what);
    }
}

/// JSON and, where the values are texts and numbers, the same as a form.
fn both(
    table: &mut Table,
    what: &str,
    path: &str,
    body: &Value,
    statuses: &'static [u16],
    param: Option<&'static str>,
) {
    table.row(&format!("{what} (JSON)"), wire::json("POST", path, body.to_string().as_bytes()), statuses, param);
    let texts: Vec<(String, Vec<u8>)> = body
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, value)| {
            (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned).into_bytes())
        })
        .collect();
    let parts: Vec<(&str, bool, &[u8])> =
        texts.iter().map(|(name, text)| (name.as_str(), false, text.as_slice())).collect();
    table.row(
        &format!("{what} (form)"),
        request("POST", path, &[("content-type", FORM)], &form(&parts)),
        statuses,
        param,
    );
}

/// Requests that are HTTP, but make no sense.
fn sensible_http(table: &mut Table) {
    let file = base64(&sound());
    let speak = |more: Value| merged(json!({"model": "tone", "input": "abc"}), more);
    let hear = |more: Value| merged(json!({"model": "tone", "file": file}), more);
    for (what, more, param) in [
        ("unknown voice", json!({"voice": "soprano"}), "voice"),
        ("path as voice", json!({"voice": "../../etc/passwd"}), "voice"),
        ("voice with a NUL", json!({"voice": "low\u{0}"}), "voice"),
        ("long voice", json!({"voice": "v".repeat(100_000)}), "voice"),
        ("unknown format", json!({"response_format": "midi"}), "response_format"),
        ("unknown format, streamed", json!({"response_format": "midi", "stream": true}), "response_format"),
        ("unknown stream format", json!({"stream_format": "morse"}), "stream_format"),
        ("too slow", json!({"speed": 0.249}), "speed"),
        ("too fast", json!({"speed": 4.01}), "speed"),
        ("huge speed", json!({"speed": 1e308}), "speed"),
        ("negative speed", json!({"speed": -1}), "speed"),
        ("speed as a word", json!({"speed": "fast"}), "speed"),
        ("speed NaN", json!({"speed": "NaN"}), "speed"),
        ("speed infinite", json!({"speed": "-inf"}), "speed"),
        ("rate of zero", json!({"sample_rate": 0}), "sample_rate"),
        ("rate beyond all bounds", json!({"sample_rate": 18_446_744_073_709_551_615u64}), "sample_rate"),
        ("stream maybe", json!({"stream": "maybe"}), "stream"),
        ("blank input", json!({"input": " \n\u{a0}"}), "input"),
        ("long input", json!({"input": "x".repeat(8193)}), "input"),
        ("clip that is an address", json!({"prompt_speech": "http://127.0.0.1:1/a.wav"}), "prompt_speech"),
        ("clip that is no audio", json!({"prompt_speech": "aGVsbG8gd29ybGQ="}), "prompt_speech"),
        ("kwargs that are a list", json!({"kwargs": "[1]"}), "kwargs"),
        ("kwargs that nest", json!({"kwargs": "[".repeat(5000)}), "kwargs"),
        ("parameter of the family", json!({"pause_ms": "soon"}), "pause_ms"),
        ("negative parameter", json!({"pause_ms": -1}), "pause_ms"),
        ("parameter in kwargs", json!({"kwargs": "{\"fail\": \"loudly\"}"}), "fail"),
    ] {
        both(table, what, SPEECH, &speak(more), &[400], Some(param));
    }
    for (what, more, param) in [
        ("unknown format", json!({"response_format": "pdf"}), "response_format"),
        ("no speakers", json!({"response_format": "diarized_json"}), "response_format"),
        ("hot", json!({"temperature": 3}), "temperature"),
        ("temperature NaN", json!({"temperature": "nan"}), "temperature"),
        ("stream of subtitles", json!({"stream": "true", "response_format": "srt"}), "response_format"),
        ("bad base64", json!({"file": "<audio bytes>"}), "file"),
        ("a path as file", json!({"file": "/etc/hostname"}), "file"),
        ("an address as file", json!({"file": "file:///etc/hostname"}), "file"),
        ("data URL of text", json!({"file": "data:text/plain,hello"}), "file"),
        ("text as file", json!({"file": base64(b"To be, or not to be, that is the question.")}), "file"),
        ("wav of 4 GHz", json!({"file": base64(&wav_of(4_000_000_000))}), "file"),
        ("wav of 1 Hz", json!({"file": base64(&wav_of(1))}), "file"),
        ("wav without channels", json!({"file": base64(&with(&sound(), 22, 0))}), "file"),
        ("wav of 65535 channels", json!({"file": base64(&with(&sound(), 22, 0xff))}), "file"),
        ("granularity", json!({"timestamp_granularities": "letter"}), "timestamp_granularities"),
        ("granularity that it lacks", json!({"timestamp_granularities": "word"}), "timestamp_granularities"),
        ("include", json!({"include": "everything"}), "include"),
        ("chunking", json!({"chunking_strategy": "often"}), "chunking_strategy"),
        ("kwargs", json!({"kwargs": "{oops"}), "kwargs"),
    ] {
        both(table, what, TRANSCRIPTIONS, &hear(more), &[400], Some(param));
    }
    both(table, "translation by a model that can't", TRANSLATIONS, &hear(json!({})), &[400], Some("model"));
    for path in [SPEECH, TRANSCRIPTIONS, TRANSLATIONS] {
        both(table, &format!("{path}: unknown model"), path, &json!({"model": "nobody"}), &[404], Some("model"));
        both(table, &format!("{path}: no model"), path, &json!({"input": "a"}), &[400], Some("model"));
        both(table, &format!("{path}: a path as model"), path, &json!({"model": "../tone"}), &[404], Some("model"));
        table.row(&format!("{path}: empty"), wire::json("POST", path, b""), &[400], None);
        table.row(&format!("{path}: no type"), request("POST", path, &[], b"{}"), &[415], None);
        table.row(
            &format!("{path}: text"),
            request("POST", path, &[("content-type", "text/plain")], b"{}"),
            &[415],
            None,
        );
        table.row(&format!("{path}: GET"), request("GET", path, &[], b""), &[405], None);
        table.row(&format!("{path}: PUT"), request("PUT", path, &[], b""), &[405], None);
    }
    table.row(
        "no file",
        request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &form(&[("model", false, b"tone")])),
        &[400],
        Some("file"),
    );
    let empty = form(&[("model", false, b"tone"), ("file", true, b"")]);
    table.row("empty file", request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &empty), &[400], Some("file"));
}

/// Bodies that are no JSON and no form.
fn bodies(table: &mut Table) {
    let json = |table: &mut Table, what: &str, body: &[u8], param: Option<&'static str>, statuses| {
        table.row(what, wire::json("POST", SPEECH, body), statuses, param);
    };
    json(table, "UTF-16 with its mark", b"\xff\xfe{\0}\0", None, &[400]);
    json(table, "Latin-1", b"{\"model\": \"tone\", \"input\": \"\xe9\"}", None, &[400]);
    json(table, "overlong UTF-8", b"{\"model\": \"\xc0\x80\"}", None, &[400]);
    json(table, "lone surrogate", br#"{"model": "tone", "input": "\ud800"}"#, None, &[400]);
    json(table, "surrogates the wrong way round", br#"{"model": "tone", "input": "\udc00\ud800"}"#, None, &[400]);
    json(table, "NaN", br#"{"model": "tone", "input": "a", "speed": NaN}"#, None, &[400]);
    json(table, "Infinity", br#"{"model": "tone", "input": "a", "speed": Infinity}"#, None, &[400]);
    json(table, "a number too large", br#"{"model": "tone", "input": "a", "speed": 1e999}"#, None, &[400]);
    json(
        table,
        "a number of many digits",
        format!("{{\"model\": \"tone\", \"input\": \"a\", \"speed\": {}}}", "9".repeat(5000)).as_bytes(),
        None,
        &[400],
    );
    json(table, "a control character in a string", b"{\"model\": \"tone\", \"input\": \"a\nb\"}", None, &[400]);
    json(
        table,
        "the later of two keys counts",
        br#"{"model": "tone", "input": "a", "model": "nobody"}"#,
        Some("model"),
        &[404],
    );
    json(table, "two values", b"{} {}", None, &[400]);
    json(table, "single quotes", b"{'model': 'tone'}", None, &[400]);
    json(table, "comment of another language", b"{} // done", None, &[400]);
    json(table, "a list", b"[]", None, &[400]);
    json(table, "null", b"null", None, &[400]);
    json(table, "deep lists", "[".repeat(1_000_000).as_bytes(), None, &[400]);
    json(table, "deep objects", "{\"a\":".repeat(100_000).as_bytes(), None, &[400]);
    json(
        table,
        "deep in a field",
        format!("{{\"model\": \"tone\", \"input\": {}{}}}", "[".repeat(5000), "]".repeat(5000)).as_bytes(),
        None,
        &[400],
    );
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    for encoding in ["gzip", "br", "deflate, gzip", "nonsense"] {
        let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
        table.row(&format!("encoded as {encoding}"), request("POST", SPEECH, &headers, gzip), &[415], None);
    }
    let utf16: Vec<u8> = "{\"model\": \"tone\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let headers = [("content-type", "application/json; charset=utf-16")];
    table.row("another charset", request("POST", SPEECH, &headers, &utf16), &[400, 415], None);
    let multipart = |table: &mut Table, what: &str, kind: &str, body: &[u8]| {
        table.row(what, request("POST", TRANSCRIPTIONS, &[("content-type", kind)], body), &[400], None);
    };
    multipart(table, "no boundary", "multipart/form-data", b"x");
    multipart(table, "an empty boundary", "multipart/form-data; boundary=", b"x");
    multipart(table, "another boundary", "multipart/form-data; boundary=other", &form(&[("model", false, b"tone")]));
    multipart(table, "no form at all", FORM, b"hello");
    multipart(table, "an empty form body", FORM, b"");
    multipart(
        table,
        "a form that is cut",
        FORM,
        b"--wire\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\ntone",
    );
    multipart(
        table,
        "a part without a name",
        FORM,
        b"--wire\r\ncontent-disposition: form-data\r\n\r\nx\r\n--wire--\r\n",
    );
    multipart(table, "a part without headers", FORM, b"--wire\r\n\r\nx\r\n--wire--\r\n");
    multipart(table, "a part with broken headers", FORM, b"--wire\r\nno header\r\n\r\nx\r\n--wire--\r\n");
    let many: Vec<(&str, bool, &[u8])> = vec![("a", false, b"x"); 2000];
    multipart(table, "too many parts", FORM, &form(&many));
    let nested = form(&[("model", false, b"tone"), ("model[a]", false, b"x")]);
    table.row(
        "a value and an object",
        request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &nested),
        &[400],
        Some("model"),
    );
    let file = form(&[("model", false, b"tone"), ("chunking_strategy[type]", true, b"x")]);
    table.row(
        "a file as member",
        request("POST", TRANSCRIPTIONS, &[("content-type", FORM)], &file),
        &[400],
        Some("chunking_strategy"),
    );
}

/// Models, launches, registrations, routes.
fn models(table: &mut Table) {
    for (what, more, param) in [
        ("unknown name", json!({"model_name": "tune"}), "model_name"),
        ("a path as name", json!({"model_name": "../../etc/passwd"}), "model_name"),
        ("name of another type", json!({"model_name": 3}), "model_name"),
        ("no type", json!({"model_type": null}), "model_type"),
        ("another type", json!({"model_type": "LLM"}), "model_type"),
        ("uid with a slash", json!({"model_uid": "a/b"}), "model_uid"),
        ("uid of dots", json!({"model_uid": ".."}), "model_uid"),
        ("uid with a line break", json!({"model_uid": "a\r\nx: y"}), "model_uid"),
        ("uid with an escape", json!({"model_uid": "\u{1b}[2J"}), "model_uid"),
        ("long uid", json!({"model_uid": "u".repeat(101)}), "model_uid"),
        ("uid of a replica", json!({"model_uid": "a-rep0"}), "model_uid"),
        ("uid in use", json!({"model_uid": "tone"}), "model_uid"),
        ("no replica", json!({"replica": 0}), "replica"),
        ("many replicas", json!({"replica": 1e18}), "replica"),
        ("half a replica", json!({"replica": 1.5}), "replica"),
        ("path that isn't there", json!({"model_path": "/no/such/place"}), "model_path"),
        ("path with a NUL", json!({"model_path": "/etc\u{0}/x"}), "model_path"),
        ("path of another type", json!({"model_path": {"a": 1}}), "model_path"),
        ("devices", json!({"gpu_idx": [0, 1, 2], "replica": 2}), "gpu_idx"),
        ("negative devices", json!({"n_gpu": -1}), "n_gpu"),
        ("limits", json!({"request_limits": -1}), "request_limits"),
        ("hub", json!({"download_hub": "http://evil.example"}), "download_hub"),
        ("option of the plugin", json!({"concurrency": -1}), "concurrency"),
        ("option of another type", json!({"fail": ["panic"]}), "fail"),
    ] {
        let body = merged(json!({"model_name": "tone", "model_type": "audio", "model_uid": "new"}), more);
        table.row(
            &format!("launch: {what}"),
            wire::json("POST", MODELS, body.to_string().as_bytes()),
            &[400, 409],
            Some(param),
        );
    }
    table.row("launch: a list", wire::json("POST", MODELS, b"[]"), &[400], None);
    table.row(
        "launch: a form",
        request("POST", MODELS, &[("content-type", FORM)], &form(&[("model_name", false, b"tone")])),
        &[415],
        None,
    );
    for (method, path, statuses, param) in [
        ("GET", "/v1/models/nobody", &[404][..], Some("model")),
        ("DELETE", "/v1/models/nobody", &[404], Some("model")),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", &[404], Some("model")),
        ("POST", "/v1/models/nobody/cancel", &[404], Some("model_uid")),
        ("GET", "/v1/audio/voices?model=nobody", &[404], Some("model")),
        ("GET", "/v1/model_registrations/birds", &[400], Some("model_type")),
        ("GET", "/v1/model_registrations/audio/nobody", &[404], Some("model_name")),
        ("GET", "/v1/model_registrations/audio/..%2f..%2fetc%2fpasswd", &[404], Some("model_name")),
        ("GET", "/v1/models/%ff", &[400], None),
        ("GET", "/", &[404], None),
        ("GET", "/v1/audio/nothing", &[404], None),
        ("GET", "/v1/models/../../etc/passwd", &[404], None),
        ("GET", "//etc/passwd", &[404], None),
        ("GET", "/%00", &[404, 400], None),
        ("GET", "/v1/audio/speech/%0d%0aset-cookie:x", &[404], None),
        ("DELETE", "/health", &[405], None),
        ("POST", "/metrics", &[405], None),
        ("BREW", SPEECH, &[405], None),
        ("get", "/health", &[405], None),
    ] {
        let statuses: &'static [u16] = statuses;
        table.row(&format!("{method} {path}"), request(method, path, &[], b""), statuses, param);
    }
}

/// What is hardly HTTP.
fn broken_http(table: &mut Table) {
    let post = |headers: &str, body: &str| {
        format!("POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{body}")
            .into_bytes()
    };
    table.last("no HTTP", b"HELLO THERE\r\n\r\n".to_vec(), &[400]);
    table.last("a TLS handshake", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n".to_vec(), &[400]);
    table.last("another version", b"GET /health HTTP/9.9\r\nhost: x\r\n\r\n".to_vec(), &[400]);
    table.last("a header without a colon", b"GET /health HTTP/1.1\r\nhost x\r\n\r\n".to_vec(), &[400]);
    table.last("a space before the colon", post("content-length : 2\r\n", "{}"), &[400]);
    table.last("a folded header", b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n".to_vec(), &[400]);
    table.last("a NUL in a header", b"GET /health HTTP/1.1\r\nhost: x\0y\r\n\r\n".to_vec(), &[400]);
    table.last("two lengths", post("content-length: 2\r\ncontent-length: 3\r\n", "{}x"), &[400]);
    table.last("a negative length", post("content-length: -1\r\n", ""), &[400]);
    table.last("a length with a sign", post("content-length: +2\r\n", "{}"), &[400]);
    table.last("a length that is no number", post("content-length: 2x\r\n", "{}"), &[400]);
    table.last("a length beyond 64 bits", post("content-length: 99999999999999999999999\r\n", ""), &[400]);
    table.last("an enormous length", post("content-length: 9999999999999999\r\n", ""), &[413]);
    table.last("an encoding that isn't chunked", post("transfer-encoding: gzip\r\n", ""), &[400]);
    table.last("chunked is not the last", post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"), &[400]);
    table.last(
        "chunks in HTTP/1.0",
        b"POST /v1/audio/speech HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
        &[400],
    );
    // The length is ignored, so what follows the last chunk is a request of its own, and broken.
    table.last("length and chunks", post("content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\nG"), &[400]);
    table.last("chunk of no size", post("transfer-encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), &[400]);
    table.last("chunk of too much", post("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n{}"), &[400]);
    table.last("chunk without its end", post("transfer-encoding: chunked\r\n", "2\r\n{}0\r\n\r\n"), &[400]);
    table.last(
        "chunk extensions without end",
        post("transfer-encoding: chunked\r\n", &format!("2;{}", "x".repeat(100_000))),
        &[400],
    );
    table.last(
        "trailers without end",
        post("transfer-encoding: chunked\r\n", &format!("2\r\n{{}}\r\n0\r\n{}", "x: y\r\n".repeat(20_000))),
        &[400],
    );
    table.last(
        "large headers",
        format!("GET /health HTTP/1.1\r\nx-a: {}\r\n\r\n", "a".repeat(200_000)).into_bytes(),
        &[431],
    );
    table.last(
        "many headers",
        format!("GET /health HTTP/1.1\r\n{}\r\n", "x-a: b\r\n".repeat(500)).into_bytes(),
        &[431],
    );
    table.last(
        "a long address",
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(200_000)).into_bytes(),
        &[414, 431],
    );
}

#[test]
fn bad_requests_over_the_wire() {
    let (server, _folders) = start();
    let mut table = Table::default();
    sensible_http(&mut table);
    bodies(&mut table);
    models(&mut table);
    broken_http(&mut table);
    println!("{} bad requests", table.0.len());
    assert!(table.0.len() >= 60);
    let mut faults = Vec::new();
    let mut wire = None;
    for row in &table.0 {
        let mut current = wire.take().unwrap_or_else(|| Wire::connect(server.port()).expect("it listens"));
        match panic::catch_unwind(AssertUnwindSafe(|| send(row, &mut current))) {
            Ok(()) if row.stays => wire = Some(current),
            Ok(()) => {}
            Err(fault) => faults.push(fault.downcast_ref::<String>().cloned().unwrap_or_else(|| row.what.clone())),
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), table.0.len(), faults.join("\n"));
    let metrics = server.get_text("/metrics");
    assert!(metrics.contains("syrinx_jobs_running{model=\"tone\"} 0"), "{metrics}");
    // Whatever paths and ids were sent: they are no labels.
    assert!(metrics.lines().count() < 1000, "{} lines of metrics", metrics.lines().count());
    assert!(!metrics.contains("passwd") && !metrics.contains("nobody"), "{metrics}");
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(
        !log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("x: y")),
        "lines are forged in the log"
    );
}

#[test]
fn what_only_looks_wrong_is_taken() {
    let (server, _folders) = start();
    let mut wire = Wire::connect(server.port()).expect("it listens");
    let speak = |more: &str| format!("{{\"model\": \"tone\", \"input\": \"a\", \"response_format\": \"pcm\"{more}}}");
    let gentle = [
        ("a mark of UTF-8", format!("\u{feff}{}", speak(""))),
        ("a comma too many", speak(",")),
        ("Python's words", speak(", \"stream\": False, \"voice\": None")),
        ("a comment", speak(" # done\n")),
        ("the same key twice", speak(", \"input\": \"a\"")),
        ("nulls", speak(", \"speed\": null, \"kwargs\": null")),
        ("numbers as text", speak(", \"speed\": \"1.0\", \"stream\": \"0\"")),
        ("empty kwargs", speak(", \"kwargs\": \"\"")),
        ("unknown fields", speak(", \"zzz\": {\"a\": [1]}")),
        ("a surrogate pair", speak(", \"user\": \"\\ud83d\\ude00\"")),
    ];
    for (what, body) in gentle {
        let answer = wire.request("POST", SPEECH, &[("content-type", "application/json")], body.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!((answer.status, answer.body.len()), (200, 2400), "{what}: {}", answer.text());
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"] {
        let answer = wire.request("POST", SPEECH, &[("content-type", kind)], speak("").as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
    // Pieces of one byte, and a request right behind another.
    let body = speak("");
    let mut chunks = String::new();
    for character in body.chars() {
        chunks.push_str(&format!("{:x};note=1\r\n{character}\r\n", character.len_utf8()));
    }
    let head = format!(
        "POST {SPEECH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let twice = format!("{head}{chunks}0\r\nx-trailer: y\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    wire.send(twice.as_bytes()).expect("it is read");
    assert_eq!(wire.answer().expect("an answer").body.len(), 2400);
    assert_eq!(wire.answer().expect("another answer").status, 200);
}

#[test]
fn request_ids_cannot_split_anything() {
    let (server, _folders) = start();
    let mut wire = Wire::connect(server.port()).expect("it listens");
    for id in ["a b", "ü", "x\ty", &"i".repeat(500), ""] {
        let answer = wire.request("GET", "/health", &[("x-request-id", id)], b"").expect("an answer");
        let given = answer.header("x-request-id").expect("an id");
        assert!(given != id && given.starts_with("req_"), "{id:?} became {given:?}");
    }
    let answer = wire.request("GET", "/health", &[("x-request-id", "mine-1")], b"").expect("an answer");
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
}

#[test]
fn headers_that_never_end_cost_nobody_else() {
    let (server, _folders) = start();
    let before = server.memory();
    let mut slow: Vec<Wire> = (0..100).map(|_| Wire::connect(server.port()).expect("it listens")).collect();
    for wire in &mut slow {
        wire.send(b"GET /health HTTP/1.1\r\nx-a: ").expect("it is read");
        wire.send(&[b'a'; 40_000]).expect("it is read");
    }
    let begun = std::time::Instant::now();
    assert!(server.get("/health")["status"].is_string());
    assert!(begun.elapsed() < Duration::from_secs(5));
    let grown = server.memory().saturating_sub(before);
    println!("100 requests that stop in their headers take {} kB", grown >> 10);
    assert!(grown < 64 << 20, "{grown} bytes");
}

fn merged(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}

/// A wav file that says it has this rate.
fn wav_of(rate: u32) -> Vec<u8> {
    let mut file = sound();
    file[24..28].copy_from_slice(&rate.to_le_bytes());
    file[28..32].copy_from_slice(&rate.wrapping_mul(2).to_le_bytes());
    file
}

/// The file with another byte at two places next to each other.
fn with(file: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at..at + 2].fill(byte);
    file
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let symbol = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(symbol) } else { '=' });
        }
    }
    text
}
