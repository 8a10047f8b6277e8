//! The command line, and Xinference's own, against a running server.

use serde_json::Value;
use std::{fs, path::PathBuf, time::Duration};
use syrinx_tests::{
    cli::{self, syrinx, syrinx_as, xinference},
    fixtures::plain_beeper,
    server::{BeeperFolders, Server},
    workspace,
};

/// A server with the beeper and nothing running.
struct Served {
    server: Server,
    _folders: BeeperFolders,
    files: tempfile::TempDir,
}

fn serve() -> Served {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    Served { server, _folders: folders, files: tempfile::tempdir().expect("a temporary directory") }
}

impl Served {
    /// A description of a model of one's own.
    fn description(&self) -> String {
        let weights = self.files.path().join("weights");
        fs::create_dir_all(&weights).expect("a directory in the temporary one");
        fs::write(weights.join("fork.txt"), "440 Hz").expect("writing a file");
        let description = serde_json::json!({
            "version": 2, "model_name": "my-tone", "model_family": "beeper", "multilingual": false,
            "model_ability": ["text2audio"], "model_uri": weights,
        });
        let file = self.files.path().join("my-tone.json");
        fs::write(&file, description.to_string()).expect("writing a file");
        file.display().to_string()
    }
}

/// Columns of the row that begins with `first`.
fn row(table: &str, first: &str) -> Vec<String> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(first));
    row.unwrap_or_else(|| panic!("no row {first}:\n{table}")).split_whitespace().map(ToOwned::to_owned).collect()
}

#[test]
fn launch_list_terminate() {
    let served = serve();
    let server = &served.server;
    let launched =
        syrinx(server, "launch --concurrency 2 --model-name tone --model-type audio -u my.tone --spare {\"a\":1}");
    assert!(launched.err.contains("100.0%"), "{launched:?}");
    assert_eq!(launched.good().trim(), "Model uid: my.tone");
    let list = syrinx(server, "list").good();
    let titles: Vec<&str> = list.lines().next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["UID", "Type", "Name", "State", "Memory", "Used"]);
    assert_eq!(row(&list, "my.tone")[..4], ["my.tone", "audio", "tone", "READY"]);
    let models: Value = serde_json::from_str(&syrinx(server, "list --json").good()).expect("JSON");
    assert_eq!(models[0]["id"], "my.tone");

    let taken = syrinx(server, "launch tone -u my.tone").bad();
    assert!(taken.contains("my.tone"), "{taken}");
    assert_eq!(syrinx(server, "terminate --model-uid my.tone").good(), "");
    let gone = syrinx(server, "terminate --model-uid my.tone").bad();
    assert!(gone.contains("my.tone"), "{gone}");
    assert_eq!(syrinx(server, "launch tone").good().trim(), "Model uid: tone");
    syrinx(server, "terminate tone").good();
}

#[test]
fn uids_with_odd_characters() {
    let served = serve();
    let server = &served.server;
    for uid in ["a%20b", "50%", "ü&x=1", "..a", "a+b;c,d@e:f"] {
        assert_eq!(syrinx(server, &format!("launch -n tone -u {uid}")).good().trim(), format!("Model uid: {uid}"));
        assert_eq!(row(&syrinx(server, "list").good(), uid)[0], uid);
        syrinx(server, &format!("terminate --model-uid {uid}")).good();
    }
    for uid in ["a/b", "a?b", "a#b", "x-rep0", ".", ".."] {
        let refusal = syrinx(server, &format!("launch -n tone -u {uid}")).bad();
        assert!(refusal.contains("uid"), "{uid}: {refusal}");
    }
}

#[test]
fn what_goes_wrong_is_told() {
    let served = serve();
    let server = &served.server;
    for (line, part) in [
        ("launch -n nobody", "nobody"),
        ("launch -n tone -t LLM", "audio"),
        ("launch -n tone -r 0", "replica"),
        ("launch -n tone --fail error", "out of tune"),
        ("launch -n tone --model_path /nowhere/at/all", "/nowhere/at/all"),
        ("launch -n tone stray", "stray"),
        ("launch", "which model"),
        ("terminate --model-uid nobody", "nobody"),
        ("unregister -t painting -n x", "painting"),
        ("register -f /nowhere/at/all.json", "/nowhere/at/all.json"),
        ("registrations -t painting", "painting"),
        ("engine -n nobody", "nobody"),
        ("stop-cluster -e http://127.0.0.1:1 --check", "SIGTERM"),
        ("cal-model-mem -s 7 -f pytorch -c 1", "doesn't apply"),
        ("generate --model-uid tone", "doesn't apply"),
        ("chat --model-uid tone", "doesn't apply"),
        ("vllm-models", "doesn't apply"),
        ("reload --model-uid tone", "doesn't apply"),
        ("service install", "doesn't apply"),
        ("-e http://127.0.0.1:1 list", "no server answers at http://127.0.0.1:1"),
        ("nonsense", "nonsense"),
    ] {
        let complaint = syrinx(server, line).bad();
        assert!(complaint.contains(part), "{line}: {complaint}");
    }
    assert!(syrinx(server, "login --username a --password b").good().contains("no key"));
    assert_eq!(syrinx(server, "list").good().lines().count(), 2, "titles only");
}

#[test]
fn own_models_and_the_catalogue() {
    let served = serve();
    let server = &served.server;
    let file = served.description();
    syrinx(server, &format!("register --model-type audio --file {file} --persist")).good();
    let table = syrinx(server, "registrations --model-type audio").good();
    let titles: Vec<_> = table.lines().next().expect("titles").split_whitespace().collect();
    assert_eq!(titles, ["Type", "Name", "Family", "Multilingual", "Is-built-in"]);
    let line = |name: &str| {
        let found = table.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        found.unwrap_or_else(|| panic!("no {name}:\n{table}")).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("my-tone"), "audio my-tone beeper False False");
    assert_eq!(line("Kokoro-82M"), "audio Kokoro-82M Kokoro True True");
    assert_eq!(syrinx(server, "launch -n my-tone").good().trim(), "Model uid: my-tone");
    syrinx(server, "terminate --model-uid my-tone").good();
    syrinx(server, "unregister -t audio -n my-tone").good();
    assert!(!syrinx(server, "registrations").good().contains("my-tone"));
    assert_eq!(syrinx(server, "registrations -t LLM").good().lines().count(), 2, "titles only");
}

#[test]
fn engines_and_downloads() {
    let served = serve();
    let server = &served.server;
    let engines = syrinx(server, "engine -n whisper-base").good();
    assert_eq!(engines.split_whitespace().next(), Some("Name"), "{engines}");
    assert_eq!(syrinx(server, "cached --model_name whisper-base").good().trim(), "There are no cache files.");
    let nothing = syrinx(server, "remove-cache --model_version nothing").bad();
    assert!(nothing.contains("nothing"), "{nothing}");
}

#[test]
fn other_names_of_the_program() {
    let served = serve();
    let links = served.files.path();
    let link = |name: &str| -> PathBuf {
        let link = links.join(name);
        #[cfg(unix)]
        std::os::unix::fs::symlink(workspace::syrinx(), &link).expect("a link in the temporary directory");
        link
    };
    let (own, local) = (link("xinference"), link("xinference-local"));
    syrinx_as(&own, &served.server, "launch --model-name tone --model-type audio", "").good();
    assert!(syrinx_as(&own, &served.server, "list", "").good().contains("tone"));
    assert!(syrinx_as(&own, &served.server, "--version", "").good().contains("syrinx"));
    assert!(syrinx_as(&own, &served.server, "-v", "").good().contains("syrinx"));
    // It gets as far as the port, which is taken.
    for program in [&own, &local] {
        let line = format!("-H 127.0.0.1 --port {} --log-level WARNING", served.server.port());
        let complaint = syrinx_as(program, &served.server, &line, "").bad();
        assert!(complaint.contains("in use"), "{complaint}");
    }
}

#[test]
fn pipe_that_closes_early_is_no_disaster() {
    use std::process::{Command, Stdio};
    let served = serve();
    let mut command = Command::new(workspace::syrinx());
    command.args(["registrations", "-e", served.server.address()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn xinferences_command_line_works() {
    let served = serve();
    let server = &served.server;
    let run = |line: &str| xinference(server, line, "");

    let launched = run("launch --model-name tone --model-type audio --concurrency 2 --spare 1.5 -u mine").good_both();
    assert!(launched.contains("100.0%") && launched.contains("Model uid: mine"), "{launched}");
    let list = run("list").good_both();
    assert_eq!(row(&list, "mine"), ["mine", "audio", "tone"]);
    let refusal = run("launch -n tone -t audio -u mine").bad();
    assert!(refusal.contains("mine"), "{refusal}");
    let failure = run("launch -n tone -t audio -u ill --fail error").bad();
    assert!(failure.contains("out of tune"), "{failure}");
    run("terminate --model-uid mine").good();
    let gone = run("terminate --model-uid mine").bad();
    assert!(gone.contains("mine"), "{gone}");

    let file = served.description();
    run(&format!("register --model-type audio --file {file} --persist")).good();
    let table = run("registrations --model-type audio").good_both();
    assert!(table.contains("my-tone") && table.contains("IndexTTS2"), "{table}");
    run("unregister --model-type audio --model-name my-tone").good();
    assert!(!run("registrations -t audio").good_both().contains("my-tone"));
    run("registrations").good();

    assert!(run("cached").good_both().contains("There are no cache files."));
    assert!(run("remove-cache --model_version nothing").good_both().contains("nothing"));
    run("login --username a --password b").good();
    // Of a model whose plugin is there: where it isn't, this command stumbles over the text that says so.
    let engines = run("engine -n tone").good_both();
    assert!(engines.contains("beeper"), "{engines}");
}

#[test]
fn servers_end_is_clean_with_a_launch_under_way() {
    let served = serve();
    cli::syrinx(&served.server, "launch -n tone --load_ms 60000 --no-wait").good();
    served.server.send_sigterm();
    assert!(served.server.wait_for_end(Duration::from_secs(10)).success());
}
