//! Spans reach an OpenTelemetry collector: `cargo test --release -p syrinx --features otel --test otel`.
#![cfg(unix)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// Longest wait for spans.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the client's own tracing says: version, trace, span, sampled.
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What was sent to the collector: head and body.
type Export = (String, Vec<u8>);

/// Takes whatever comes and says that it is well.
fn collector() -> (String, Receiver<Export>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, exports) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(export) = receive(&mut stream) {
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                    let _ = sender.send(export);
                }
            });
        }
    });
    (address, exports)
}

fn receive(stream: &mut BufReader<TcpStream>) -> Option<Export> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A server that is ended with the test.
struct Server {
    process: Child,
    address: String,
    _home: tempfile::TempDir,
}

impl Server {
    fn start(variables: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_syrinx"));
        command.args(["serve", "--port", "0", "--home"]).arg(home.path()).current_dir(home.path());
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address_in =
            |line: String| Some(line.split("listening on http://").nth(1)?.split_whitespace().next()?.to_owned());
        let listening = lines.find_map(address_in);
        let address = listening.expect("it starts");
        thread::spawn(move || lines.for_each(drop));
        Self { process, address, _home: home }
    }

    fn get(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&hexadecimal[at..at + 2], 16).unwrap();
    (0..hexadecimal.len()).step_by(2).map(digit).collect()
}

#[test]
fn requests_arrive_as_spans_below_their_callers() {
    let (collector, exports) = collector();
    let server = Server::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector), ("OTEL_BSP_SCHEDULE_DELAY", "100")]);
    let headers = format!("traceparent: {TRACE}\r\nx-request-id: of-otel\r\n");
    assert!(server.get("/v1/models", &headers).starts_with("HTTP/1.1 200"));
    let (head, body) = exports.recv_timeout(PATIENCE).expect("spans are sent");
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let mut parts = TRACE.split('-').skip(1);
    for part in [bytes(parts.next().unwrap()), bytes(parts.next().unwrap())] {
        assert!(contains(&body, &part), "the caller's trace and span are in it");
    }
    for text in ["service.name", "syrinx", "request", "request_id", "of-otel", "http.route", "/v1/models"] {
        assert!(contains(&body, text.as_bytes()), "{text} is in it: {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_collector_that_is_not_there_disturbs_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("http://{nobody}/v1/traces"))]);
    for _ in 0..3 {
        assert!(server.get("/v1/models", "").starts_with("HTTP/1.1 200"));
    }
}
