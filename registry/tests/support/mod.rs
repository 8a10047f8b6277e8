//! A web server for tests that can misbehave on purpose, and short ways to make stores and catalogues.
#![allow(dead_code, unreachable_pub)] // Each test file uses another part of this.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use syrinx_registry::{Catalogue, ModelEntry, Progress, ProgressUpdate, Store, StoreConfig};
use tempfile::TempDir;

/// A request as the server saw it. Header names are in lower case.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Say nothing for this long after this many bytes of the body.
    pub stall: Option<(usize, Duration)>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None, stall: None }
    }

    pub fn json(body: &str) -> Self {
        Self::new(200, body).with("Content-Type", "application/json")
    }

    pub fn redirect(status: u16, to: &str) -> Self {
        Self::new(status, "").with("Location", to)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

/// A file as a well-behaved server sends it: with an ETag, and in part when a range is asked for and `If-Range` holds.
pub fn file(seen: &Seen, content: &[u8], etag: &str) -> Reply {
    let whole = Reply::new(200, content).with("ETag", etag).with("Accept-Ranges", "bytes");
    if seen.header("if-range").is_some_and(|wanted| wanted != etag) {
        return whole;
    }
    let Some(start) =
        seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
    else {
        return whole;
    };
    if start >= content.len() {
        return Reply::new(416, "").with("Content-Range", &format!("bytes */{}", content.len()));
    }
    Reply::new(206, &content[start..])
        .with("ETag", etag)
        .with("Content-Range", &format!("bytes {start}-{}/{}", content.len() - 1, content.len()))
}

/// A server on a free port of this machine; it answers until the test program ends.
pub struct Server {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || {
                    // A client that goes away is part of several tests.
                    let _ = serve(stream, &*answer, &log);
                });
            }
        });
        Self { address, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had a path that contains this.
    pub fn count(&self, part: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path.contains(part)).count()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Seen) -> Reply, log: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => drop(headers.insert(name.to_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let seen = Seen { path, headers };
        log.lock().unwrap().push(seen.clone());
        let reply = answer(&seen);
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        writer.write_all(format!("{head}\r\n").as_bytes())?;
        if let Some((after, time)) = reply.stall {
            writer.write_all(&reply.body[..after])?;
            writer.flush()?;
            std::thread::sleep(time);
            return writer.shutdown(Shutdown::Both);
        }
        if let Some(cut) = reply.cut {
            writer.write_all(&reply.body[..cut])?;
            writer.flush()?;
            return writer.shutdown(Shutdown::Both);
        }
        writer.write_all(&reply.body)?;
        writer.flush()?;
    }
}

/// An address where nobody listens.
pub fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A scratch directory with a store that knows nothing of this machine's settings.
pub struct Home {
    pub dir: TempDir,
    pub config: StoreConfig,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::at(dir.path().join("store"));
        config.offline = false;
        config.hub.hf_endpoint = dead_address();
        config.hub.hf_token = None;
        config.hub.hf_cache = dir.path().join("hf-cache");
        config.hub.hf_offline = false;
        config.hub.modelscope_endpoint = dead_address();
        config.hub.modelscope_token = None;
        config.timeouts.connect = Duration::from_secs(2);
        config.timeouts.answer = Duration::from_secs(5);
        config.timeouts.stall = Duration::from_secs(5);
        Self { dir, config }
    }

    pub fn store(&self) -> Store {
        Store::open(self.config.clone()).unwrap()
    }

    /// Every file below the store's root, without locks.
    pub fn files(&self) -> Vec<String> {
        fn walk(root: &Path, below: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    walk(root, &entry.path(), found);
                } else {
                    found.push(entry.path().strip_prefix(root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.config.root, &self.config.root, &mut found);
        found.retain(|path| !path.starts_with("locks"));
        found.sort();
        found
    }

    /// A model named `m` with these sources (TOML after the model's own keys).
    pub fn model(&self, sources: &str) -> Arc<ModelEntry> {
        model_in(self.dir.path(), sources)
    }
}

/// As [`Home::model`], with the catalogue file in this directory.
pub fn model_in(directory: &Path, sources: &str) -> Arc<ModelEntry> {
    let catalogue = directory.join("catalogue");
    std::fs::create_dir_all(&catalogue).unwrap();
    let text = format!(
        "schema = 1\n[[model]]\nname = \"m\"\nfamily = \"f\"\nplugin = \"p\"\nabilities = [\"audio2text\"]\nmultilingual = true\n{sources}"
    );
    std::fs::write(catalogue.join("m.toml"), text).unwrap();
    Catalogue::load(&[catalogue]).unwrap_or_else(|error| panic!("{error}")).model("m").unwrap()
}

/// Bytes that are different everywhere.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps the news of a download.
#[derive(Default)]
pub struct Recorder {
    pub updates: Mutex<Vec<ProgressUpdate>>,
    pub notes: Mutex<Vec<String>>,
}

impl Progress for Recorder {
    fn update(&self, update: &ProgressUpdate) {
        self.updates.lock().unwrap().push(update.clone());
    }

    fn note(&self, message: &str) {
        self.notes.lock().unwrap().push(message.to_owned());
    }
}
