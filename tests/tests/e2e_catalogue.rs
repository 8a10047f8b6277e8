//! The catalogue in the hands of people: edits of running models, checks without a server, and models of one's own of every
//! family that has a plugin.

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::plain_beeper,
    http,
    server::{self, BeeperFolders, Server, Settings, real_plugins},
    workspace,
};

fn beeping(folders: &BeeperFolders) -> Server {
    folders.drop_in(&plain_beeper());
    Server::start(folders.settings())
}

/// Runs a command without a server, in a directory of its own.
fn offline(arguments: &[&str], directory: &Path) -> Output {
    let mut command = Command::new(workspace::syrinx());
    command.args(arguments).current_dir(directory).env_remove("SYRINX_CATALOGUE_DIRS").env_remove("SYRINX_CONFIG");
    command.output().expect("it starts")
}

fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn bad(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn wait_for(server: &Server, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} does not happen:\n{}", server.log());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_edit_says_what_a_running_model_needs() {
    let folders = BeeperFolders::default();
    let server = beeping(&folders);
    server.launch(&json!({"model_name": "tone"}));
    server.launch(&json!({"model_name": "chime"}));
    let state = |uid: &str| server.get(&format!("/v1/models/{uid}"))["catalogue"].clone();
    let list = || server::command(&server, &["list"]).expect("it lists");
    let current = json!({"state": "current", "needs": "nothing", "changed": []});
    assert_eq!((state("tone"), state("chime")), (current.clone(), current.clone()));

    let text = folders.catalogue_text();
    // Only the first entry, which is that of `tone`.
    let described = text.replacen("Tones for letters", "Tones for all", 1);
    fs::write(folders.catalogue_file(), &described).expect("a test's file");
    server.wait_for_log("its catalogue entry has changed (description); nothing has to be done");
    assert_eq!(state("tone"), json!({"state": "changed", "needs": "nothing", "changed": ["description"]}));
    assert_eq!(state("chime"), current);

    let slower =
        described.replacen("multilingual = false", "multilingual = false\nlaunch_defaults = { load_ms = 1 }", 1);
    fs::write(folders.catalogue_file(), &slower).expect("a test's file");
    server.wait_for_log("(launch_defaults, description); terminate and launch it again to apply that");
    let changed = json!({"state": "changed", "needs": "relaunch", "changed": ["launch_defaults", "description"]});
    assert_eq!(state("tone"), changed);
    assert!(list().contains("changed: launch_defaults, description (launch it again)"), "{}", list());
    let told = server.get("/v1/models/tone/events").to_string();
    assert!(told.contains("\"event_name\":\"catalogue\""), "{told}");

    // A mistake changes nothing, and says where it is.
    fs::write(folders.catalogue_file(), slower.replacen("abilities", "abilites", 1)).expect("a test's file");
    server.wait_for_log("beeper.toml:9:1: unknown key `abilites`; did you mean `abilities`?");
    assert_eq!(state("tone"), changed);

    assert_eq!(http::delete(&server.url("/v1/models/tone")).run().status, 200);
    server.launch(&json!({"model_name": "tone"}));
    assert_eq!(state("tone"), current, "it was launched from the last good one");

    let only_chime = format!("schema = 1\n[[model]]{}", text.rsplit("[[model]]").next().expect("the second"));
    fs::write(folders.catalogue_file(), only_chime).expect("a test's file");
    server.wait_for_log("its catalogue entry is gone");
    assert_eq!(state("tone")["state"], "removed");
    assert!(list().contains("removed"), "{}", list());
    let speech = http::post(&server.url("/v1/audio/speech")).json(&json!({"model": "tone", "input": "a"})).run();
    assert_eq!(speech.status, 200, "it goes on: {}", speech.text());
    fs::write(folders.catalogue_file(), &slower).expect("a test's file");
    server.wait_for_log("its catalogue entry says again what it was launched with");
}

#[test]
fn files_are_checked_without_a_server() {
    let folders = BeeperFolders::default();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let check = |paths: &[&Path]| {
        let paths = paths.iter().map(|path| path.to_str().expect("UTF-8"));
        let arguments: Vec<&str> = ["models", "--check"].into_iter().chain(paths).collect();
        offline(&arguments, scratch.path())
    };
    assert_eq!(good(&check(&[])), "0 models of yours, no problems\n");
    assert_eq!(good(&check(&[&folders.catalogue()])), "2 models of yours, no problems\n");
    assert_eq!(good(&check(&[&folders.catalogue_file()])), "2 models of yours, no problems\n");

    let wrong = folders.catalogue_text().replacen("\"audio2text\"", "\"audio2txt\"", 1);
    fs::write(folders.catalogue_file(), wrong).expect("a test's file");
    let told = bad(&check(&[&folders.catalogue()]));
    for part in [
        "1 problem\n",
        "beeper.toml:9:14: unknown value `audio2txt`; did you mean `audio2text`?\n",
        "9 | abilities = [\"audio2txt\",",
        "  |              ^^^^^^^^^^^\n",
        "= accepted: audio2text, text2audio, ",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    assert!(bad(&check(&[Path::new("nowhere.toml")])).contains("nowhere.toml: there is no such file or directory"));

    // The settings say where to look; and for programs.
    let settings = format!("catalogue_dirs = [\"{}\"]\n", folders.catalogue().display());
    fs::write(scratch.path().join("syrinx.toml"), settings).expect("a test's file");
    let output = offline(&["models", "--check", "--json"], scratch.path());
    bad(&output);
    let report: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!((&report["problems"][0]["line"], &report["problems"][0]["column"]), (&json!(9), &json!(14)), "{report}");
    let schema: Value = serde_json::from_str(&good(&offline(&["models", "--schema"], scratch.path()))).expect("JSON");
    assert_eq!(schema["title"], "Syrinx catalogue");
}

#[test]
fn a_model_is_added_from_the_command_line_and_launched() {
    let folders = BeeperFolders::default();
    let server = beeping(&folders);
    let weights = tempfile::tempdir().expect("a temporary directory");
    fs::write(weights.path().join("fork.txt"), "440 Hz").expect("a test's file");
    let catalogue = folders.catalogue();
    let add = |name: &str, more: &[&str]| {
        let own = ["models", "add", name, "--catalogue", catalogue.to_str().expect("UTF-8")];
        let of = ["--family", "beeper", "--path", weights.path().to_str().expect("UTF-8")];
        let arguments: Vec<&str> = own.into_iter().chain(of).chain(more.iter().copied()).collect();
        offline(&arguments, weights.path())
    };
    let file = catalogue.join("models.toml");
    fs::write(&file, "schema = 1 # mine\n").expect("a test's file");
    let said = good(&add("bell", &["--option", "load_ms=30", "--description", "A \"bell\""]));
    assert!(said.contains("bell is in ") && said.contains("models.toml"), "{said}");
    let text = fs::read_to_string(&file).expect("it is there");
    assert!(text.starts_with("schema = 1 # mine\n"), "{text}");
    wait_for(&server, "the new entry", || server.get("/v1/model_registrations/audio").to_string().contains("\"bell\""));
    server.launch(&json!({"model_name": "bell"}));
    let speech = http::post(&server.url("/v1/audio/speech")).json(&json!({"model": "bell", "input": "a"})).run();
    assert_eq!(speech.status, 200, "{}", speech.text());

    for name in ["bell", "whisper-base", "tone"] {
        assert!(bad(&add(name, &[])).contains("already"), "{name}");
    }
    let refused = bad(&add("x", &["--family", "whsper"]));
    assert!(refused.contains("--family"), "given twice: {refused}");
    let mut unknown = vec!["models", "add", "x", "--family", "whsper", "--hf", "me/mine", "--catalogue"];
    unknown.push(catalogue.to_str().expect("UTF-8"));
    assert!(bad(&offline(&unknown, weights.path())).contains("did you mean `whisper`?"));
    assert!(bad(&offline(&unknown[..7], weights.path())).contains("--catalogue DIR"));
    assert_eq!(fs::read_to_string(&file).expect("it is there"), text, "refusals write nothing");

    // A family that the catalogue doesn't know needs to be told its plugin and what it can do.
    let other = tempfile::tempdir().expect("a temporary directory");
    let place = other.path().to_str().expect("UTF-8");
    let stranger = ["models", "add", "y", "--family", "parrot", "--hf", "me/y", "--catalogue", place];
    assert!(bad(&offline(&stranger, other.path())).contains("no family `parrot`"));
    let told: Vec<&str> = stranger.into_iter().chain(["--plugin", "bird", "--ability", "text2audio"]).collect();
    good(&offline(&told, other.path()));
    let text = fs::read_to_string(other.path().join("models.toml")).expect("it was made");
    assert!(text.contains("plugin = \"bird\"") && text.contains("hf = \"me/y\""), "{text}");
}

fn kit(path: &str) -> PathBuf {
    workspace::root().join("tests/kits").join(path)
}

/// A server with real plugins and this text for a catalogue.
fn with_catalogue(text: &str) -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    fs::write(folder.path().join("mine.toml"), text).expect("a test's file");
    let plugins = vec![real_plugins()];
    let catalogues = vec![folder.path().to_owned()];
    let server = Server::start(Settings { plugins, catalogues, own_store: true, ..Settings::default() });
    (server, folder)
}

fn written_down(server: &Server, uid: &str, clip: &Path) -> Value {
    let request = http::post(&server.url("/v1/audio/transcriptions")).field("model", uid);
    let response = request.field("response_format", "verbose_json").file("file", clip).run();
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn a_whisper_of_ones_own_needs_no_more_than_an_entry() {
    let text = format!(
        r#"schema = 1

[[model]]
name = "my-whisper"
family = "whisper"
plugin = "whisper"
abilities = ["audio2text"]
multilingual = true
languages = ["en", "de"]
launch_defaults = {{ compute_type = "float32" }}

[[model.source]]
[[model.source.item]]
path = "{}"
files = ["config.json", "generation_config.json", "tokenizer.json"]
weights = "model.safetensors"
"#,
        kit("whisper/models/rand-v2-hf").display()
    );
    let (server, _folder) = with_catalogue(&text);
    server.launch(&json!({"model_name": "my-whisper", "model_uid": "ears"}));
    let model = server.get("/v1/models/ears");
    assert_eq!((&model["model_lang"], &model["model_family"]), (&json!(["en", "de"]), &json!("whisper")), "{model}");
    let transcript = written_down(&server, "ears", &kit("funasr/audio/long_mix.wav"));
    assert!(transcript["duration"].as_f64() > Some(1.0), "{transcript}");
}

#[test]
fn a_kokoro_of_ones_own_needs_no_more_than_an_entry() {
    let text = format!(
        r#"schema = 1

[[model]]
name = "my-kokoro"
family = "Kokoro"
plugin = "kokoro"
abilities = ["text2audio", "text2audio_zero_shot"]
multilingual = false
languages = ["en"]
assets = ["misaki", "spacy-en"]
runtimes = ["onnxruntime"]

[[model.source]]
format = "onnx"
[[model.source.item]]
path = "{}"
files = ["*"]
"#,
        kit("kokoro/models/tiny-kokoro-onnx").display()
    );
    let (server, _folder) = with_catalogue(&text);
    server.launch(&json!({"model_name": "my-kokoro", "model_uid": "mouth"}));
    let voices = server.get("/v1/models/mouth");
    let request = json!({"model": "mouth", "input": "Hello there.", "response_format": "wav"});
    let speech = http::post(&server.url("/v1/audio/speech")).json(&request).run();
    assert_eq!(speech.status, 200, "{}: {voices}", speech.text());
    assert!(speech.body.starts_with(b"RIFF") && speech.body.len() > 10_000, "{} bytes", speech.body.len());
}

#[test]
fn a_paraformer_of_ones_own_needs_no_more_than_an_entry() {
    let text = format!(
        r#"schema = 1

[[model]]
name = "my-paraformer"
family = "funasr"
plugin = "funasr"
abilities = ["audio2text"]
multilingual = false
languages = ["zh"]
default_model_config = {{ vad_model = "my-vad", punc_model = "my-punc" }}
assets = ["my-vad", "my-punc"]
runtimes = ["onnxruntime"]

[[model.source]]
[[model.source.item]]
path = "{}"
files = ["*"]

[[asset]]
name = "my-vad"
[[asset.source]]
[[asset.source.item]]
path = "{}"
files = ["*"]

[[asset]]
name = "my-punc"
[[asset.source]]
[[asset.source.item]]
path = "{}"
files = ["*"]
"#,
        kit("funasr/models/paraformer-tiny").display(),
        kit("funasr/models/fsmn-vad-tiny").display(),
        kit("funasr/models/punc-tiny").display()
    );
    let (server, _folder) = with_catalogue(&text);
    server.launch(&json!({"model_name": "my-paraformer", "model_uid": "ears"}));
    let transcript = written_down(&server, "ears", &kit("funasr/audio/long_mix.wav"));
    assert!(transcript["text"].as_str().is_some_and(|text| !text.is_empty()), "{transcript}");
}
