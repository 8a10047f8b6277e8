//! A client that speaks HTTP/1.1 by hand: the tests decide about every byte and reuse connections on purpose.

use serde_json::Value;
use std::{collections::HashMap, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    time::timeout,
};

/// Nothing in these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is kept alive.
pub(crate) struct Connection {
    pub(crate) reader: BufReader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
}

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// Whether the body ended as it should.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Connection {
    pub(crate) async fn open(port: u16) -> Self {
        let (reader, writer) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    /// Sends a request without waiting for the answer.
    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send_raw(head.as_bytes()).await;
        // A server that refuses may close while this is still sending.
        let _ = self.writer.write_all(body).await;
    }

    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.send(method, path, headers, body).await;
        self.answer().await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[], b"").await
    }

    pub(crate) async fn post_json(&mut self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes()).await
    }

    pub(crate) async fn post_form(&mut self, path: &str, parts: &[(&str, Part<'_>)]) -> Answer {
        self.request("POST", path, &[("content-type", FORM)], &form(parts)).await
    }

    /// Status and headers of the next response.
    pub(crate) async fn head(&mut self) -> (u16, HashMap<String, String>) {
        timeout(PATIENCE, async {
            let status_line = self.line().await;
            let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
            let mut headers = HashMap::new();
            loop {
                let line = self.line().await;
                let Some((name, value)) = line.split_once(':') else { break };
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
            (status, headers)
        })
        .await
        .expect("an answer in time")
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.reader.read_line(&mut line).await;
        line.trim_end().to_owned()
    }

    /// The next chunk of a chunked body; `Some(empty)` at its proper end, `None` when the connection ends before.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        timeout(PATIENCE, async {
            let size = usize::from_str_radix(&self.line().await, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            self.reader.read_exact(&mut chunk).await.ok()?;
            chunk.truncate(size);
            Some(chunk)
        })
        .await
        .expect("a chunk in time")
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let (status, headers) = self.head().await;
        if status == 100 {
            return Box::pin(self.answer()).await;
        }
        let mut body = Vec::new();
        let mut complete = true;
        if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            loop {
                match self.chunk().await {
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => body.extend(chunk),
                    None => {
                        complete = false;
                        break;
                    }
                }
            }
        } else if let Some(length) = headers.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            complete = timeout(PATIENCE, self.reader.read_exact(&mut body)).await.expect("a body in time").is_ok();
        }
        Answer { status, headers, body, complete }
    }
}

/// A part of a form.
#[derive(Clone, Copy)]
pub(crate) enum Part<'a> {
    Text(&'a str),
    File(&'a [u8]),
}

/// The content type of [`form`].
pub(crate) const FORM: &str = "multipart/form-data; boundary=----parrot";

/// The body of a form.
pub(crate) fn form(parts: &[(&str, Part<'_>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, part) in parts {
        let (file, data) = match part {
            Part::Text(text) => ("", text.as_bytes()),
            Part::File(data) => ("; filename=\"file\"\r\nContent-Type: application/octet-stream", *data),
        };
        body.extend_from_slice(
            format!("------parrot\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(data);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"------parrot--\r\n");
    body
}
