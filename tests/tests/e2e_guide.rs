//! Follows `plugin-api/README.md` to the letter: every file and every command in it, in order.
#![cfg(unix)] // its commands are for a Unix shell
#![allow(clippy::print_stdout)] // what the reader would see, shown with --nocapture

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use syrinx_tests::{fixtures, sound::Sound, workspace};

/// Longest time from the command to the server's readiness.
const START: Duration = Duration::from_secs(60);

/// A block of code in the guide.
struct Block {
    language: String,
    text: String,
}

/// The blocks between lines of three backticks, in order.
fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in guide.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some(Block { language: language.to_owned(), text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block isn't closed");
    blocks
}

/// A reader with a terminal or two.
struct Reader {
    home: tempfile::TempDir,
    /// Working directory of the terminals.
    dir: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Reader {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        // Free a moment ago, and nobody is told of it before the server takes it.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        Self { dir: home.path().to_owned(), home, port, server: None }
    }

    /// A shell that finds `syrinx`, and builds where the workspace does, in the same way: nothing is built twice.
    fn shell(&self, script: &str) -> Command {
        let program = workspace::syrinx();
        let mut path = vec![program.parent().expect("it lies in a directory").to_owned()];
        path.extend(env::split_paths(&env::var_os("PATH").expect("there is one")));
        let mut shell = Command::new("sh");
        shell.args(["-ec", script]).current_dir(&self.dir).env("PATH", env::join_paths(path).expect("a path"));
        shell.env("SYRINX_HOME", self.home.path().join("home")).env("SYRINX_PORT", self.port.to_string());
        shell.env("SYRINX_ENDPOINT", format!("http://127.0.0.1:{}", self.port)).env_remove("SYRINX_CONFIG");
        shell.env("CARGO_TARGET_DIR", workspace::target_dir());
        for (setting, value) in
            [("OPT_LEVEL", "3"), ("DEBUG", "line-tables-only"), ("CODEGEN_UNITS", "16"), ("INCREMENTAL", "false")]
        {
            shell.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
        }
        shell
    }

    /// Types commands into the first terminal, and says what they print.
    fn type_in(&mut self, script: &str) -> String {
        let left = self.home.path().join("left");
        let output = self.shell(&format!("{script}\npwd > '{}'", left.display())).output().expect("the shell starts");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("$ {script}{said}");
        assert!(output.status.success(), "{script}{said}");
        self.dir = fs::read_to_string(left).expect("it was written").trim().into();
        said
    }

    /// Types a command into the second terminal, where it stays.
    fn serve(&mut self, script: &str) {
        assert!(self.server.is_none(), "one server");
        let log = self.home.path().join("server.log");
        let file = fs::File::create(&log).expect("a file");
        // In place of the shell, so that it is this process that is ended.
        let mut shell = self.shell(&format!("exec {script}"));
        self.server = Some(shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("it starts"));
        let started = Instant::now();
        while !fs::read_to_string(&log).unwrap_or_default().contains("model is ready") {
            assert!(started.elapsed() < START, "{}", fs::read_to_string(&log).unwrap_or_default());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn sound(&self, name: &str) -> Sound {
        Sound::from_wav(&fs::read(self.dir.join(name)).expect("it was written")).expect("a wav file")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if thread::panicking() {
            eprintln!(
                "--- the server's log:\n{}",
                fs::read_to_string(self.home.path().join("server.log")).unwrap_or_default()
            );
        }
    }
}

/// The file that a block is, by its first line: `// src/lib.rs` or `# models/parrot.toml`.
fn file_of(block: &Block) -> &Path {
    let first = block.text.lines().next().expect("it has lines");
    let name = first.trim_start_matches(['/', '#', ' ']);
    assert!(name.contains('.') && !name.contains(' '), "{first:?} names no file");
    Path::new(name)
}

fn names(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines().filter(|line| line.starts_with("parrot"));
    rows.map(|row| row.split_whitespace().collect()).collect()
}

#[test]
fn the_guide_leads_to_a_plugin_that_speaks_and_listens() {
    let guide = fs::read_to_string(workspace::root().join("plugin-api/README.md")).expect("it is there");
    let mut reader = Reader::new();
    let mut said = Vec::new();
    for block in blocks(&guide) {
        match block.language.as_str() {
            "sh" if block.text.starts_with("syrinx serve ") => reader.serve(&block.text),
            // A library is called otherwise on a Mac.
            "sh" => said.push(reader.type_in(&block.text.replace("libparrot.so", &fixtures::library_name("parrot")))),
            "rust" | "toml" => fs::write(reader.dir.join(file_of(&block)), &block.text).expect("writing a file"),
            other => panic!("a block of {other:?}: what would the reader do with it?"),
        }
    }
    let [tests, installed, spoken, changed, _options, listened] = &said[..] else { panic!("{said:#?}") };
    assert!(tests.contains("2 passed"), "{tests}");
    assert!(installed.contains("installed parrot 0.1.0"), "{installed}");
    let table = names(spoken);
    assert_eq!(table[0][..3], ["parrot", "active", "0.1.0"], "{spoken}");
    let generation = |table: &[Vec<&str>]| table[0][4].parse::<u64>().expect("a number");
    assert!(generation(&names(changed)) > generation(&table), "{changed}");
    assert!(listened.contains("1.05 seconds of Polly wants a cracker"), "{listened}");
    assert!(listened.contains("text2audio_zero_shot") && listened.contains("parrot 0.2.0"), "{listened}");

    // 50 ms a letter; 440 Hz, with overtones, an octave higher; then 660 Hz.
    for (name, seconds, pitch) in [("hello.wav", 0.25, 440.0), ("high.wav", 0.25, 880.0), ("cracker.wav", 1.05, 660.0)]
    {
        let sound = reader.sound(name);
        assert!((sound.seconds() - seconds).abs() < 0.02, "{name}: {} s", sound.seconds());
        assert!(name == "cracker.wav" || (sound.pitch() / pitch - 1.0).abs() < 0.05, "{name}: {} Hz", sound.pitch());
    }
    assert_ne!(reader.sound("hello.wav"), reader.sound("again.wav"), "the overtones");
}
