//! Requests through the real `curl`.

use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A request to be sent.
pub struct Request {
    command: Command,
    /// Holds the body, the headers and what is sent from files.
    dir: tempfile::TempDir,
    form_parts: usize,
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Body, decoded from chunks.
    pub body: Vec<u8>,
    /// Response headers as sent.
    pub headers: String,
    /// Time until the first byte of the body.
    pub first_byte: Duration,
    /// Time until the last.
    pub total: Duration,
    /// curl's own exit status; 18 and the like when a body was cut off.
    pub curl: i32,
}

/// `GET url`.
pub fn get(url: &str) -> Request {
    Request::new("GET", url)
}

/// `POST url`.
pub fn post(url: &str) -> Request {
    Request::new("POST", url)
}

/// `DELETE url`.
pub fn delete(url: &str) -> Request {
    Request::new("DELETE", url)
}

impl Request {
    fn new(method: &str, url: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--noproxy", "*", "--no-buffer", "--request", method, url]);
        command.args(["--max-time", "300", "--write-out", "%{json}"]);
        command.arg("--output").arg(dir.path().join("body")).arg("--dump-header").arg(dir.path().join("headers"));
        Self { command, dir, form_parts: 0 }
    }

    /// Sends JSON.
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().as_bytes())
    }

    /// Sends bytes.
    pub fn body(mut self, content_type: &str, body: &[u8]) -> Self {
        let file = self.dir.path().join("sent");
        fs::write(&file, body).expect("writing a file");
        self.command.arg("--header").arg(format!("content-type: {content_type}"));
        self.command.arg("--data-binary").arg(format!("@{}", file.display()));
        self
    }

    /// Adds a form field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.command.arg("--form-string").arg(format!("{name}={value}"));
        self
    }

    /// Adds a file to the form.
    pub fn file(mut self, name: &str, path: &Path) -> Self {
        self.command.arg("--form").arg(format!("{name}=@{}", path.display()));
        self
    }

    /// Adds a file with this content to the form.
    pub fn file_of(mut self, name: &str, content: &[u8]) -> Self {
        self.form_parts += 1;
        let path = self.dir.path().join(format!("part{}", self.form_parts));
        fs::write(&path, content).expect("writing a file");
        self.file(name, &path)
    }

    /// Adds a header.
    pub fn header(mut self, header: &str) -> Self {
        self.command.args(["--header", header]);
        self
    }

    /// Any further arguments of curl's.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Gives up after this time instead of five minutes.
    pub fn patience(self, limit: Duration) -> Self {
        self.arguments(&["--max-time", &limit.as_secs_f64().to_string()])
    }

    /// Sends it and waits for the end of the answer.
    pub fn run(self) -> Response {
        self.start().wait()
    }

    /// Sends it without waiting.
    pub fn start(mut self) -> Pending {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().unwrap_or_else(|error| panic!("curl does not start: {error}"));
        Pending { child: Some(child), dir: self.dir }
    }
}

/// A request under way.
pub struct Pending {
    child: Option<Child>,
    dir: tempfile::TempDir,
}

impl Pending {
    /// What of the body has arrived so far.
    pub fn so_far(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("body")).unwrap_or_default()
    }

    /// Hangs up.
    pub fn hang_up(mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the end of the answer.
    pub fn wait(mut self) -> Response {
        let child = self.child.take().expect("it is waited for once");
        let output = child.wait_with_output().expect("curl ends");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let seconds = |name: &str| Duration::from_secs_f64(report[name].as_f64().unwrap_or_default());
        let status = report["http_code"].as_u64().unwrap_or_default() as u16;
        let curl = output.status.code().unwrap_or(-1);
        assert!(status != 0 || curl == 52, "no answer: {}", String::from_utf8_lossy(&output.stderr));
        Response {
            status,
            body: self.so_far(),
            headers: fs::read_to_string(self.dir.path().join("headers")).unwrap_or_default(),
            first_byte: seconds("time_starttransfer"),
            total: seconds("time_total"),
            curl,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{} ({error}): {}", self.status, self.text()))
    }

    /// A header's value. Names are in lower case.
    pub fn header(&self, name: &str) -> Option<String> {
        // An interim response such as `100 Continue` comes first.
        let last = self.headers.trim_end().rsplit("\r\n\r\n").next()?;
        last.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The text of an error, after checking that both shapes of it are there and agree.
    pub fn error(&self) -> String {
        let body = self.json();
        let message = body["error"]["message"].as_str().unwrap_or_else(|| panic!("no error: {body}"));
        assert_eq!(body["detail"], message, "both clients read the same");
        let leaks = ["panicked", ".rs:", "0x", "/tmp/"];
        assert!(!leaks.iter().any(|leak| message.contains(leak)), "the message shows the inside: {message}");
        message.to_owned()
    }

    /// The field that an error blames.
    pub fn blamed(&self) -> Option<String> {
        self.json()["error"]["param"].as_str().map(ToOwned::to_owned)
    }
}
