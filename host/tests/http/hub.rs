//! A model hub on this machine: answers as Hugging Face and ModelScope do, as slowly as a test wants.

use serde_json::json;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// What every repository of it has.
pub(crate) const FILES: [(&str, usize); 2] = [("config.json", 20), ("weights.bin", 300_000)];

/// Serves until the test ends.
pub(crate) struct Hub {
    pub(crate) address: String,
    /// Pause in the middle of each file. [ms]
    pub(crate) pause: Arc<AtomicU64>,
    /// Paths that were asked for.
    pub(crate) seen: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    /// `has_modelscope`: whether it also plays that hub, or says 404 to it.
    pub(crate) async fn start(has_modelscope: bool) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let hub = Self { address, pause: Arc::default(), seen: Arc::default() };
        let (pause, seen) = (hub.pause.clone(), hub.seen.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, has_modelscope, pause.clone(), seen.clone()));
            }
        });
        hub
    }
}

async fn serve(stream: TcpStream, has_modelscope: bool, pause: Arc<AtomicU64>, seen: Arc<Mutex<Vec<String>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            request.push_str(&line);
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().unwrap().push(path.clone());
        let size =
            FILES.iter().find(|(name, _)| path.split(['/', '=']).any(|part| part == *name)).map(|(_, size)| *size);
        let is_modelscope = path.starts_with("/api/v1/");
        let body = if path.contains("absent") || (is_modelscope && !has_modelscope) {
            None
        } else if path.starts_with("/api/models/") {
            let files = FILES.map(|(name, size)| json!({"rfilename": name, "size": size}));
            Some(json!({"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": files}).to_string().into_bytes())
        } else if path.contains("/repo/files?") {
            let files = FILES.map(|(name, size)| json!({"Path": name, "Size": size, "Type": "blob"}));
            Some(json!({"Code": 200, "Success": true, "Data": {"Files": files}}).to_string().into_bytes())
        } else {
            size.map(|size| vec![b'x'; size])
        };
        let (status, body) = body.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
        let (first, rest) = body.split_at(body.len() / 2);
        let pause = if size.is_some() { pause.load(Ordering::Relaxed) } else { 0 };
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(first).await?;
            stream.flush().await?;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stream.write_all(rest).await?;
            stream.flush().await
        };
        if sent.await.is_err() {
            return;
        }
    }
}
