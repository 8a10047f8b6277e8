//! HTTP by hand: what a well-behaved client would never send, connections that are used again on purpose, and clients that
//! vanish in the middle.

use serde_json::Value;
use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    os::fd::AsRawFd as _,
    time::Duration,
};

/// Longest time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// What has been received and not yet used.
    received: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Without its chunks.
    pub body: Vec<u8>,
    /// Whether the body ended as it should.
    pub complete: bool,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Wire {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    /// When that isn't possible.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side has hung up.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
        // A server that refuses may close while this is still sending.
        let _ = self.send(&request(method, path, headers, body));
        self.answer()
    }

    /// Receives more; false at the end.
    fn receive(&mut self) -> io::Result<bool> {
        let mut space = [0; 16_384];
        let count = loop {
            match self.stream.read(&mut space) {
                // By a signal, such as one that stopped and continued this process.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                count => break count?,
            }
        };
        self.received.extend_from_slice(&space[..count]);
        Ok(count > 0)
    }

    /// Receives at most this many bytes of whatever comes; 0 at the end.
    ///
    /// # Errors
    /// When nothing comes, or the connection is reset.
    pub fn receive_some(&mut self, most: usize) -> io::Result<usize> {
        let mut space = vec![0; most];
        self.stream.read(&mut space)
    }

    /// A line, without its end.
    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Ok(line);
            }
            if !self.receive()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Takes bytes off; fewer at the end.
    fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.received.len() < count && self.receive()? {}
        Ok(self.received.drain(..count.min(self.received.len())).collect())
    }

    /// Status and headers of the next answer. Interim ones are passed over.
    ///
    /// # Errors
    /// When there is none.
    pub fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        loop {
            let line = self.line()?;
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
            let mut headers = Vec::new();
            while let Some((name, value)) = self.line()?.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if status >= 200 {
                return Ok((status, headers));
            }
        }
    }

    /// The next answer.
    ///
    /// # Errors
    /// When there is none.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let (status, headers) = self.head()?;
        let mut answer = Answer { status, headers, body: Vec::new(), complete: true };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.complete = self.chunks(&mut answer.body).is_ok();
        } else if let Some(length) = answer.header("content-length").and_then(|length| length.parse().ok()) {
            answer.body = self.bytes(length)?;
            answer.complete = answer.body.len() == length;
        }
        Ok(answer)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            let chunk = self.bytes(size + 2)?;
            if chunk.len() < size + 2 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Ok(());
            }
        }
    }

    /// Whether the other side closes within `patience` without saying anything more.
    pub fn is_closed_within(&mut self, patience: Duration) -> bool {
        let _ = self.stream.set_read_timeout(Some(patience));
        let mut one = [0];
        match self.stream.read(&mut one) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        }
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Hangs up without a goodbye, as a machine does that loses power and comes back.
    pub fn reset(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: the descriptor is open, and the option is of the size that is told.
        unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }

    /// Makes the system take few bytes in advance, so that a reader that stalls is felt at once. Works best before anything
    /// is received.
    pub fn with_small_window(self) -> Self {
        let size: libc::c_int = 4096;
        // SAFETY: as in `reset`.
        unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUF,
                (&raw const size).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            );
        }
        self
    }
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    if !body.is_empty() || method == "POST" {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// The bytes of a request with a JSON body.
pub fn json(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    request(method, path, &[("content-type", "application/json")], body)
}

/// The content type of [`form`].
pub const FORM: &str = "multipart/form-data; boundary=wire";

/// The body of a form: name, whether it is a file, content.
pub fn form(parts: &[(&str, bool, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, is_file, content) in parts {
        let file = if *is_file { "; filename=\"file\"\r\ncontent-type: application/octet-stream" } else { "" };
        body.extend(format!("--wire\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--wire--\r\n");
    body
}
