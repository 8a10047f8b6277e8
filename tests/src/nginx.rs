//! nginx in front of a server, with the settings that the README shows.

use crate::{
    debian::{self, output},
    workspace,
};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest time from start to listening.
const START: Duration = Duration::from_secs(20);

/// The settings, as in the README.
pub fn settings() -> String {
    let path = workspace::tests_dir().join("nginx/syrinx.conf");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A proxy that speaks TLS. Ends when dropped.
pub struct Proxy {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Proxy {
    /// A proxy in front of the server on this port.
    ///
    /// # Errors
    /// When there is no nginx to be had; says why.
    pub fn start(upstream: u16) -> Result<Self, String> {
        let nginx = find()?;
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        certificate(dir.path())?;
        let port = free_port();
        let file = dir.path().join("nginx.conf");
        fs::write(&file, complete(dir.path(), port, upstream)).map_err(|error| error.to_string())?;
        let mut command = nginx.command();
        command.arg("-e").arg("stderr").arg("-p").arg(dir.path()).arg("-c").arg(&file);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map_err(|error| format!("nginx does not start: {error}"))?;
        let mut proxy = Self { process, port, dir };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = proxy.process.try_wait() {
                return Err(format!("nginx ended: {status}"));
            }
            if started.elapsed() > START {
                return Err("nginx does not listen".to_owned());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(proxy)
    }

    /// The address of a route.
    pub fn url(&self, route: &str) -> String {
        format!("https://localhost:{}{route}", self.port)
    }

    /// The certificate that clients must trust.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("certificate.pem")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program and where its libraries are, if not in the system.
struct Nginx {
    program: PathBuf,
    libraries: Option<String>,
}

impl Nginx {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The system's nginx, or Debian's, unpacked.
fn find() -> Result<Nginx, String> {
    for program in ["nginx", "/usr/sbin/nginx"] {
        if Command::new(program).arg("-v").output().is_ok_and(|output| output.status.success()) {
            return Ok(Nginx { program: program.into(), libraries: None });
        }
    }
    let root = debian::unpacked("nginx", || {
        debian::versions("nginx")?;
        Ok(vec!["nginx".to_owned()])
    })?;
    Ok(Nginx { program: root.join("usr/sbin/nginx"), libraries: Some(debian::libraries(&root)) })
}

/// A certificate for `localhost`, signed by itself.
fn certificate(dir: &Path) -> Result<(), String> {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.arg("-keyout").arg(dir.join("key.pem")).arg("-out").arg(dir.join("certificate.pem"));
    output(&mut openssl).map(drop)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// The README's settings with ports and certificate of the test, in what surrounds them on a system.
fn complete(dir: &Path, port: u16, upstream: u16) -> String {
    let mut settings = settings();
    for (shown, used) in [
        ("127.0.0.1:9997", format!("127.0.0.1:{upstream}")),
        ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
        ("speech.example.org;", "localhost;".to_owned()),
        ("/etc/ssl/speech.example.org.pem", dir.join("certificate.pem").display().to_string()),
        ("/etc/ssl/speech.example.org.key", dir.join("key.pem").display().to_string()),
    ] {
        assert!(settings.contains(shown), "the settings have no {shown:?}");
        settings = settings.replacen(shown, &used, 1);
    }
    let dir = dir.display();
    let places: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {dir}/{kind};\n"))
        .collect();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log stderr warn;\nevents {{}}\n\
         http {{\n    access_log off;\n{places}\n{settings}\n}}\n"
    )
}
