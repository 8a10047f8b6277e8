//! `syrinx plugin new`, `check`, `install` and `remove`, on files that are there. The guide's test builds what `new` makes.
#![cfg(target_os = "linux")] // speaks of modes, and of libraries by their names there

use serde_json::{Value, json};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use syrinx_tests::{
    fixtures::{self, Variant, beeper, plain_beeper},
    server::BeeperFolders,
    workspace,
};

fn syrinx(arguments: &[&str]) -> Output {
    let mut command = Command::new(workspace::syrinx());
    command.args(arguments).env_remove("SYRINX_CONFIG").env_remove("SYRINX_PLUGIN_DIRS").output().expect("it starts")
}

/// What it prints when it succeeds.
fn good(arguments: &[&str]) -> String {
    let output = syrinx(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// What it complains of when it fails.
fn bad(arguments: &[&str]) -> String {
    let output = syrinx(arguments);
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

/// Names of the files in a directory, hidden ones too.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("it is there").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("a name in UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn check_tells_what_a_plugin_says_of_itself() {
    let folders = BeeperFolders::default();
    let plugin = plain_beeper();
    let catalogue = folders.catalogue();
    let said = good(&["plugin", "check", text(&plugin), "--catalogue", text(&catalogue)]);
    for expected in [
        "beeper 0.1.0 (Apache-2.0)",
        "Tones for letters; no model",
        "this program speaks 1.",
        "built by  rustc 1.",
        "runtimes  none",
        "models    tone: audio2text text2audio text2audio_zero_shot",
        "option    load_ms: Milliseconds that the load takes, unless it is cancelled. [default: 0]",
        "in a process of its own",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing:\n{said}");
    }
    let json: Value =
        serde_json::from_str(&good(&["plugin", "check", "--json", text(&plugin)])).expect("it prints JSON");
    assert_eq!(json["manifest"]["name"], "beeper");
    assert!(json["manifest"]["launch_options"]["properties"]["fail"].is_object(), "the schema is in it: {json}");
    assert_eq!((&json["runtimes"], &json["models"]), (&json!([]), &json!([])));
    let golden: Value =
        serde_json::from_str(&good(&["plugin", "check", "--json", text(&fixtures::golden())])).expect("JSON");
    assert_eq!(golden["runtimes"], json!([{"name": "nest", "path": null, "known": false}]));
    assert_eq!(golden["manifest"]["abi_version"], "1.2.0");
}

#[test]
fn check_tells_what_a_model_says_of_itself() {
    let model = tempfile::tempdir().expect("a temporary directory");
    let (plugin, dir) = (plain_beeper(), text(model.path()).to_owned());
    let home = tempfile::tempdir().expect("a temporary directory");
    let check = ["plugin", "check", text(&plugin), "--home", text(home.path()), "--model", &dir];
    let with = |more: &[&'static str]| [&check, more].concat();
    let said = good(&with(&["--option", "translates=true", "--option", "concurrency=3"]));
    for expected in [
        &format!("model     {dir}"),
        "can do    audio2text text2audio text2audio_zero_shot audio2text_translation",
        "input     16000 Hz",
        "output    24000 Hz",
        "voices    2 [default: low]",
        "jobs      3 at a time; results come as they are made",
        "runs on   cpu of 1, float32",
        "parameter pause_ms: Milliseconds per push with `fail: slow`. [default: 50]",
        "option    load_ms: ",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing:\n{said}");
    }
    let json: Value = serde_json::from_str(&good(&with(&["--json"]))).expect("it prints JSON");
    let card = &json["loaded"]["card"];
    assert_eq!((&card["output_sample_rate"], &card["max_concurrency"]), (&json!(24_000), &json!(4)), "{json}");
    assert!(card["parameters"]["properties"]["pause_ms"].is_object(), "the schema is in it: {json}");
    assert!(json["manifest"].is_object() && json["error"].is_null(), "{json}");

    for (options, reason) in [
        (["--option", "fail=error"].as_slice(), "the model can't be loaded: the beeper is out of tune; buy a fork"),
        (&["--option", "fail=panic"], "no load today"),
        (&["--option", "fail=warm_up"], "no warm-up today"),
        (&["--option", "fail=often"], "`fail` is \"often\", but must be"),
        (&["--option", "volume=1"], "`volume` is no launch option of the plugin; there are clones, concurrency, fail"),
        (&["--option", "clones"], "must be `--option KEY=VALUE`"),
        (&["--option", "load_ms=60000", "--timeout", "1"], "loading the model takes longer than 1 s"),
    ] {
        let complaint = bad(&with(options));
        assert!(complaint.contains(reason) && complaint.contains(&dir), "{options:?}: {complaint}");
    }
    let output = syrinx(&with(&["--json", "--option", "fail=error"]));
    let json: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON, too");
    assert!(!output.status.success() && json["error"].as_str().is_some_and(|error| error.contains("fork")), "{json}");
    assert!(json["manifest"].is_object() && json["loaded"].is_null(), "what is known is told: {json}");
    let none = bad(&["plugin", "check", text(&plugin), "--model", "/nowhere"]);
    assert!(none.contains("/nowhere: there is no such directory"), "{none}");
    let golden = fixtures::golden();
    let missing = bad(&["plugin", "check", text(&golden), "--home", text(home.path()), "--model", &dir]);
    assert!(missing.contains("needs nest, which isn't here"), "{missing}");
    assert!(bad(&["plugin", "check", text(&plugin), "--option", "a=b"]).contains("--model"));
}

#[test]
fn check_survives_a_model_that_ends_its_process() {
    let plugin = plain_beeper();
    let model = tempfile::tempdir().expect("a temporary directory");
    let complaint = bad(&["plugin", "check", text(&plugin), "--model", text(model.path()), "--option", "fail=abort"]);
    assert!(complaint.contains("loading the model ends the process (signal: 6"), "{complaint}");
    assert!(complaint.contains("its last words: the beeper falls over"), "{complaint}");
}

#[test]
fn check_tells_why_a_file_is_no_plugin() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let letter = dir.path().join("letter.so");
    fs::write(&letter, "Dear server").expect("writing a file");
    for (file, reason) in [
        (letter, "not a shared library"),
        (beeper(Variant::Abi2_0).expect("it builds"), "built for plugin ABI 2.0.0"),
        (beeper(Variant::PanicInCreate).expect("it builds"), "no plugin today"),
        (dir.path().join("none.so"), "No such file"),
    ] {
        let complaint = bad(&["plugin", "check", text(&file)]);
        assert!(complaint.contains(reason) && complaint.contains(text(&file)), "{reason}: {complaint}");
        if file.exists() {
            let output = syrinx(&["plugin", "check", "--json", text(&file)]);
            let json: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON, too");
            assert!(json["error"].as_str().is_some_and(|error| error.contains(reason)), "{json}");
        }
    }
}

/// A plugin directory that isn't there yet.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary directory") }
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("plugins")
    }

    fn install(&self, from: &Path) -> String {
        good(&["plugin", "install", text(from), "--plugins", text(&self.dir())])
    }

    fn refusal(&self, from: &Path) -> String {
        bad(&["plugin", "install", text(from), "--plugins", text(&self.dir())])
    }
}

#[test]
fn install_takes_what_works_and_refuses_the_rest() {
    let place = Place::new();
    let source = tempfile::tempdir().expect("a temporary directory");
    let file = source.path().join("libbeeper.so");
    fs::copy(plain_beeper(), &file).expect("copying");
    // However it was built: what is installed isn't writable by others.
    fs::set_permissions(&file, Permissions::from_mode(0o777)).expect("it is ours");
    assert!(place.install(&file).contains("installed beeper 0.1.0"));
    let installed = place.dir().join("libbeeper.so");
    assert_eq!(fs::metadata(&installed).expect("it is there").permissions().mode() & 0o777, 0o644);

    // A later build takes its place; one that doesn't work doesn't.
    fs::copy(beeper(Variant::SecondEdition).expect("it builds"), &file).expect("copying");
    assert!(place.install(&file).contains("installed beeper 0.2.0"));
    let before = fs::read(&installed).expect("it is there");
    fs::copy(beeper(Variant::Abi2_0).expect("it builds"), &file).expect("copying");
    assert!(place.refusal(&file).contains("built for plugin ABI 2.0.0"));
    fs::write(&file, fixtures::with_wild_relocations(&before)).expect("writing a file");
    assert!(place.refusal(&file).contains("opening it ends the process (signal: 11"));
    assert!(fs::read(&installed).expect("it is there") == before, "what worked stays");
    assert_eq!(names(&place.dir()), ["libbeeper.so"], "nothing is left beside it");

    // The same plugin in another file.
    let other = source.path().join("libother.so");
    fs::copy(plain_beeper(), &other).expect("copying");
    let complaint = place.refusal(&other);
    assert!(complaint.contains("syrinx plugin remove beeper") && complaint.contains(text(&installed)), "{complaint}");
}

#[test]
fn install_takes_all_plugins_of_a_directory() {
    let place = Place::new();
    let source = tempfile::tempdir().expect("a temporary directory");
    assert!(place.refusal(source.path()).contains("has no plugin file (*.so) in it"));
    fs::copy(plain_beeper(), source.path().join("libbeeper.so")).expect("copying");
    fs::copy(fixtures::golden(), source.path().join("libsongbird.so")).expect("copying");
    fs::write(source.path().join("README"), "not looked at").expect("writing a file");
    let said = place.install(source.path());
    assert!(said.contains("installed beeper") && said.contains("installed songbird"), "{said}");
    assert_eq!(names(&place.dir()), ["libbeeper.so", "libsongbird.so"]);

    assert!(place.refusal(&workspace::root().join("registry")).contains("crate-type"), "a project without a plugin");
}

#[test]
fn install_keeps_to_the_rules_of_trust() {
    let place = Place::new();
    fs::create_dir(place.dir()).expect("making a directory");
    fs::set_permissions(place.dir(), Permissions::from_mode(0o777)).expect("it is ours");
    let complaint = place.refusal(&plain_beeper());
    assert!(complaint.contains(&format!("chmod o-w {}", place.dir().display())), "{complaint}");
    fs::set_permissions(place.dir(), Permissions::from_mode(0o755)).expect("it is ours");

    let config = place.root.path().join("syrinx.toml");
    fs::write(&config, "plugin_dirs = [\"plugins\"]\n[plugins]\nallow = []\n").expect("writing a file");
    let mut command = Command::new(workspace::syrinx());
    command.args(["plugin", "install", text(&plain_beeper())]).current_dir(place.root.path());
    let output = command.env_remove("SYRINX_PLUGIN_DIRS").output().expect("it starts");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("plugins.allow"), "{complaint}");
    assert_eq!(names(&place.dir()), [""; 0]);
    fs::write(&config, "plugin_dirs = [\"plugins\"]\n").expect("writing a file");
    assert!(command.output().expect("it starts").status.success(), "the settings say where plugins are");
    assert_eq!(names(&place.dir()).len(), 1);
}

#[test]
fn remove_finds_a_plugin_by_its_name_or_its_files() {
    let place = Place::new();
    let dir = place.dir();
    fs::create_dir(&dir).expect("making a directory");
    let run = |name: &str| syrinx(&["plugin", "remove", name, "--plugins", text(&dir)]);
    fs::copy(plain_beeper(), dir.join("libanything.so")).expect("copying");
    fs::write(dir.join("libbroken.so"), "broken").expect("writing a file");
    let output = run("nightingale");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("libanything.so, libbroken.so"), "{complaint}");
    assert!(run("beeper").status.success());
    assert_eq!(names(&dir), ["libbroken.so"]);
    assert!(run("libbroken.so").status.success());
    assert_eq!(names(&dir), [""; 0]);
}

#[test]
fn new_makes_a_project_once_and_under_a_good_name() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = text(dir.path()).to_owned();
    for (name, reason) in
        [("Parrot", "small letters"), ("match", "in Rust"), ("kokoro", "catalogue"), ("../p", "small letters")]
    {
        let complaint = bad(&["plugin", "new", name, "--dir", &at]);
        assert!(complaint.contains(reason), "{name}: {complaint}");
    }
    assert_eq!(names(dir.path()), [""; 0]);
    good(&["plugin", "new", "my-parrot", "--dir", &at]);
    let project = dir.path().join("my-parrot");
    assert!(fs::read_to_string(project.join("tests/speaks.rs")).expect("it is there").contains("use my_parrot::"));
    assert!(project.join("syrinx-plugin-api/src/abi/current.rs").is_file());
    assert!(bad(&["plugin", "new", "my-parrot", "--dir", &at]).contains("exists already"));

    let api = workspace::root().join("plugin-api");
    good(&["plugin", "new", "p2", "--dir", &at, "--api", text(&api)]);
    let manifest = fs::read_to_string(dir.path().join("p2/Cargo.toml")).expect("it is there");
    assert!(manifest.contains(&format!("{{ path = \"{}\" }}", api.display())), "{manifest}");
    assert!(!dir.path().join("p2/syrinx-plugin-api").exists());
    assert!(bad(&["plugin", "new", "p3", "--dir", &at, "--api", &at]).contains("plugin-api"));
}
