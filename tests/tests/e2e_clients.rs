//! Official clients, unchanged: OpenAI's for Python and Node, and Xinference's. What they check is in `python/` and `node/`.
#![allow(clippy::print_stdout)] // what was checked, shown with --nocapture

use serde_json::{Value, json};
use std::{fs, process::Command, sync::OnceLock};
use syrinx_registry::StoreConfig;
use syrinx_tests::{
    clips::clip,
    fixtures, node,
    python::Environment,
    server::{self, BeeperFolders, Server, Settings},
    workspace,
};

const CLIP: &str = "en_quick_brown_fox";

/// A server with real models; with the beeper as `tone`, and as `echo`, which clones; and with a home of its own, so that
/// what clients leave there vanishes with it. The weights in it are the developer's.
struct Served {
    server: Server,
    _home: tempfile::TempDir,
    _folders: BeeperFolders,
}

fn server() -> &'static Server {
    static SERVED: OnceLock<Served> = OnceLock::new();
    &SERVED.get_or_init(serve).server
}

fn serve() -> Served {
    let home = tempfile::tempdir().expect("a temporary directory");
    let own = StoreConfig::from_env().expect("a home").root;
    for part in ["models", "assets", "runtimes"] {
        #[cfg(unix)]
        std::os::unix::fs::symlink(own.join(part), home.path().join(part)).expect("a link in the temporary directory");
    }
    let folders = BeeperFolders::default();
    folders.drop_in(&fixtures::plain_beeper());
    let server = Server::start(Settings {
        plugins: vec![server::real_plugins(), folders.plugins()],
        launch: ["whisper-base", "Kokoro-82M", "tone"].map(str::to_owned).into(),
        own_store: true,
        arguments: vec!["--home".to_owned(), home.path().display().to_string()],
        ..folders.settings()
    });
    server.launch(&json!({"model_name": "tone", "model_uid": "echo", "clones": true}));
    ["whisper-base", "Kokoro-82M", "tone"].iter().for_each(|model| server.wait_until_ready(model));
    Served { server, _home: home, _folders: folders }
}

/// All checks of a client passed, and there were at least `least`.
fn passed(report: &Value, least: usize) {
    let failed = report["failed"].as_object().expect("a report");
    let complaints: Vec<String> =
        failed.iter().map(|(name, what)| format!("-- {name}\n{}", what.as_str().unwrap_or_default())).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let names = report["passed"].as_array().expect("a report");
    println!("{} checks: {report}", names.len());
    assert!(names.len() >= least, "only {} checks", names.len());
}

/// The arguments of every client's checks.
fn run(checks: impl FnOnce(&[&str]) -> Value, least: usize) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let clip = clip(CLIP);
    let (path, directory) = (clip.path().display().to_string(), directory.path().display().to_string());
    let arguments = [server().address(), path.as_str(), clip.transcript.as_deref().expect("it is known"), &directory];
    passed(&checks(&arguments), least);
}

#[test]
fn openai_for_python() {
    run(|arguments| Environment::Clients.run("openai_checks.py", arguments), 20);
}

#[test]
fn openai_for_node() {
    run(
        |arguments| {
            node::run("openai_checks.mjs", arguments).unwrap_or_else(|| {
                workspace::skipped("OpenAI's client for Node", "there is no node, or no npm");
                json!({"passed": vec!["nothing"; 10], "failed": {}})
            })
        },
        10,
    );
}

#[test]
fn xinference_for_python() {
    run(|arguments| Environment::Xinference.run("xinference_checks.py", arguments), 20);
}

/// The README's section about clients, snippet by snippet.
#[test]
fn readme_is_true() {
    let readme = fs::read_to_string(workspace::root().join("README.md")).expect("the README");
    let section = readme.split("\n## ").find(|section| section.starts_with("Use it")).expect("the section");
    let mut parts = section.split("```").skip(1).step_by(2);
    let mut snippets = 0;
    while let Some((language, code)) = parts.next().and_then(|part| part.split_once('\n')) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::copy(clip(CLIP).path(), directory.path().join("clip.wav")).expect("copying a clip");
        let code = code.replace("http://127.0.0.1:9997", server().address());
        let mut command = match language {
            "python" => {
                let xinference = code.contains("xinference");
                let environment = if xinference { Environment::Xinference } else { Environment::Clients };
                let mut command = Command::new(environment.interpreter());
                command.args(["-c", &code]);
                command
            }
            "js" => match node::command_of(&code) {
                Some(command) => command,
                None => continue,
            },
            "sh" => {
                let mut command = Command::new("sh");
                let programs = [Environment::Xinference.interpreter(), &workspace::syrinx()]
                    .map(|program| program.parent().expect("it lies in a directory").display().to_string());
                let path = format!("{}:{}", programs.join(":"), std::env::var("PATH").unwrap_or_default());
                command.args(["-e", "-c", &code]).env("PATH", path).env("SYRINX_ENDPOINT", server().address());
                command.env("XINFERENCE_HOME", workspace::scratch("xinference-home"));
                command
            }
            _ => continue,
        };
        let output = command.current_dir(directory.path()).output().expect("it starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{code}\n{out}{err}");
        // A server's refusal makes no failure of curl's.
        assert!(!out.contains("\"error\""), "{code}\n{out}");
        println!("{code}\n--\n{out}");
        snippets += 1;
    }
    assert!(snippets >= 4, "{snippets}");
}
