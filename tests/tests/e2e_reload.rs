//! Plugins that are replaced under load, again and again, and in every way that files can change.
#![cfg(target_os = "linux")] // looks into /proc
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::{
    env,
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::{self, Variant, beeper, plain_beeper},
    http,
    server::{BeeperFolders, Server, Settings},
    swaps::{self, is_about, pitch, report, speak, wait_for_refusal, wait_until},
    workspace,
};

/// Streams at a time.
const STREAMS: usize = 16;

/// A user that isn't root and has no files.
const NOBODY: u32 = 65_534;

fn second_beeper() -> PathBuf {
    beeper(Variant::SecondEdition).expect("it builds")
}

/// A server with the plain beeper.
fn server(folders: &BeeperFolders) -> Server {
    folders.drop_in(&plain_beeper());
    Server::start(folders.settings())
}

/// The same library in a build of its own: bytes after its end, which nobody reads.
fn build(library: &[u8], number: usize) -> Vec<u8> {
    [library, format!("build {number}").as_bytes()].concat()
}

fn generation(server: &Server) -> Value {
    swaps::beeper(server)["generation"].clone()
}

/// Replaces the plugin and waits until new jobs go to it.
fn swap(server: &Server, folders: &BeeperFolders, content: &[u8]) {
    let before = generation(server);
    folders.drop_in_content(content);
    wait_until("a new generation", server, || generation(server) != before);
}

fn samples(server: &Server, text: &str, pause_ms: u64) -> Vec<u8> {
    let fail = if pause_ms > 0 { json!("slow") } else { Value::Null };
    let response = http::post(&server.url("/v1/audio/speech"))
        .json(&json!({"model": "tone", "input": text, "response_format": "pcm", "stream": true,
                      "fail": fail, "pause_ms": pause_ms}))
        .run();
    assert_eq!((response.status, response.curl), (200, 0), "{}\n{}", response.text(), server.log());
    response.body
}

fn swaps_disturb_no_stream(isolation: &str) {
    const SWAPS: usize = 6;
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone", "isolation": isolation, "concurrency": STREAMS}));
    let texts: Vec<String> = (0..STREAMS).map(|i| format!("{} {}", "a".repeat(8 + i), "b".repeat(17 - i))).collect();
    let undisturbed = || texts.iter().map(|text| samples(&server, text, 0)).collect::<Vec<_>>();
    let editions = [plain_beeper(), second_beeper()].map(|library| fs::read(library).expect("it is there"));
    let first = undisturbed();
    swap(&server, &folders, &build(&editions[1], 0));
    let second = undisturbed();
    assert!(first.iter().zip(&second).all(|(first, second)| first.len() == second.len() && first != second));

    let is_over = AtomicBool::new(false);
    let heard: Vec<(usize, usize)> = thread::scope(|threads| {
        let streams: Vec<_> = (0..STREAMS)
            .map(|i| {
                let (server, text, first, second, is_over) = (&server, &texts[i], &first[i], &second[i], &is_over);
                threads.spawn(move || {
                    let (mut by_first, mut by_second) = (0, 0);
                    while !is_over.load(Ordering::Relaxed) {
                        let heard = samples(server, text, 40);
                        by_first += usize::from(heard == *first);
                        by_second += usize::from(heard == *second);
                        assert!(heard == *first || heard == *second, "a stream of {} bytes is disturbed", heard.len());
                    }
                    (by_first, by_second)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        for number in 1..=SWAPS {
            swap(&server, &folders, &build(&editions[(number + 1) % 2], number));
            thread::sleep(Duration::from_millis(700));
        }
        is_over.store(true, Ordering::Relaxed);
        streams.into_iter().map(|stream| stream.join().expect("no stream failed")).collect()
    });
    let sum = |count: fn(&(usize, usize)) -> usize| heard.iter().map(count).sum::<usize>();
    let (by_first, by_second) = (sum(|heard| heard.0), sum(|heard| heard.1));
    println!(
        "{isolation}: {SWAPS} swaps under {STREAMS} streams: {by_first} of the first edition, {by_second} of the second"
    );
    assert!(by_first > STREAMS && by_second > STREAMS, "{by_first} and {by_second}: swaps happened in between");
    wait_until("the end of old generations", &server, || swaps::beeper(&server)["draining"] == json!([]));
    let metrics = server.get_text("/metrics");
    assert!(!metrics.contains("syrinx_worker_ends_total"), "a process crashed: {metrics}");
}

#[test]
fn swaps_disturb_no_stream_in_process() {
    swaps_disturb_no_stream("in-process");
}

#[test]
fn swaps_disturb_no_stream_in_a_process() {
    swaps_disturb_no_stream("process");
}

/// What a server holds on to.
#[derive(Debug)]
struct Footprint {
    memory: u64,
    threads: u64,
    files: usize,
    copies: usize,
}

impl Footprint {
    fn of(server: &Server, home: &Path) -> Self {
        let staging = fs::read_dir(home.join("staging")).expect("it is there").filter_map(Result::ok);
        let own = staging.map(|entry| entry.path()).find(|path| path.is_dir()).expect("one server, one directory");
        let copies = fs::read_dir(own).expect("it is there").filter_map(Result::ok);
        Self {
            memory: server.memory(),
            threads: server.threads(),
            files: server.open_files(),
            copies: copies.filter(|entry| entry.path().is_dir()).count(),
        }
    }
}

/// Swaps again and again, and says what the server held on to after some and after all.
fn reload(isolation: &str, reloads: usize) -> (Server, Footprint, Footprint) {
    /// Until then, buffers and pools grow.
    const WARM_UP: usize = 5;
    /// The runtime's pool keeps an idle thread for ten seconds.
    const IDLE: Duration = Duration::from_secs(11);
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let home = tempfile::tempdir().expect("a temporary directory");
    let arguments = vec!["--home".to_owned(), home.path().display().to_string()];
    let server = Server::start(Settings { own_store: true, arguments, ..folders.settings() });
    server.launch(&json!({"model_name": "tone", "isolation": isolation}));
    let library = fs::read(plain_beeper()).expect("it is there");
    let expected = samples(&server, "abc", 0);
    let settled = |threads: u64| {
        wait_until("the end of old generations", &server, || swaps::beeper(&server)["draining"] == json!([]));
        // Threads that are idle end, in a while.
        let started = Instant::now();
        while started.elapsed() < IDLE || (server.threads() > threads && started.elapsed() < IDLE * 5) {
            thread::sleep(Duration::from_millis(100));
        }
        Footprint::of(&server, home.path())
    };
    let mut begin = None;
    let started = Instant::now();
    for number in 1..=WARM_UP + reloads {
        swap(&server, &folders, &build(&library, number));
        assert!(samples(&server, "abc", 0) == expected, "reload {number}");
        if number == WARM_UP {
            begin = Some(settled(u64::MAX));
        }
    }
    let seconds = started.elapsed().as_secs();
    let begin = begin.expect("it was taken");
    let end = settled(begin.threads + 2);
    println!("{isolation}: {reloads} reloads in {seconds} s: {begin:?} to {end:?}");
    (server, begin, end)
}

/// As many as `SYRINX_TEST_RELOADS` says.
fn reloads() -> usize {
    env::var("SYRINX_TEST_RELOADS").ok().and_then(|number| number.parse().ok()).unwrap_or(25)
}

#[test]
fn reloads_leave_nothing_behind_in_process_mode() {
    /// Noise of the allocator; a mapped beeper would take more with ten.
    const NOISE: u64 = 8 << 20; // bytes
    let (server, begin, end) = reload("process", reloads());
    assert_eq!(swaps::beeper(&server)["mapped"], 0, "the server itself never opens it");
    assert!(end.memory < begin.memory + NOISE, "{begin:?} to {end:?}");
    assert!(end.threads <= begin.threads + 2 && end.files <= begin.files + 2, "{begin:?} to {end:?}");
    assert_eq!((begin.copies, end.copies), (1, 1));
}

#[test]
fn reloads_in_the_servers_process_leave_only_code_behind() {
    const RELOADS: usize = 10;
    /// Pages of a beeper that are touched, and then some.
    const EACH: u64 = 2 << 20; // bytes
    let (server, begin, end) = reload("in-process", RELOADS);
    assert_eq!(swaps::beeper(&server)["mapped"], json!(6 + RELOADS), "{}", swaps::beeper(&server));
    assert!(end.memory < begin.memory + RELOADS as u64 * EACH, "{begin:?} to {end:?}");
    assert!(end.threads <= begin.threads + 2 && end.files <= begin.files + 2, "{begin:?} to {end:?}");
}

#[test]
fn a_build_that_comes_back_is_not_loaded_again() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone", "isolation": "in-process"}));
    let editions = [plain_beeper(), second_beeper()].map(|library| fs::read(library).expect("it is there"));
    let first = generation(&server);
    for (number, expected) in [(1, 880.0), (0, 440.0), (1, 880.0), (0, 440.0)] {
        swap(&server, &folders, &editions[number]);
        assert!(is_about(pitch(&speak(&server, "abc")), expected));
    }
    let plugin = swaps::beeper(&server);
    assert_eq!((&plugin["generation"], &plugin["mapped"]), (&first, &json!(2)), "{plugin}");
}

#[test]
fn generations_tell_who_uses_them() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone", "isolation": "process"}));
    server.launch(&json!({"model_name": "chime", "isolation": "in-process"}));
    let old = swaps::beeper(&server);
    assert_eq!(old["models"], json!(["chime", "tone"]), "{old}");
    let path = folders.plugin().display().to_string();
    assert_eq!((&old["path"], &old["state"]), (&json!(path), &json!("active")));
    assert_eq!(old["sha256"].as_str().map(str::len), Some(64), "{old}");

    let stream = http::post(&server.url("/v1/audio/speech"))
        .json(&json!({"model": "tone", "input": "a".repeat(60), "response_format": "pcm", "stream": true,
                      "fail": "slow", "pause_ms": 100}))
        .start();
    wait_until("sound", &server, || !stream.so_far().is_empty());
    swap(&server, &folders, &fs::read(second_beeper()).expect("it is there"));
    let new = swaps::beeper(&server);
    assert_eq!(new["models"], json!(["chime", "tone"]), "{new}");
    let [draining] = &new["draining"].as_array().expect("a list")[..] else { panic!("one is draining: {new}") };
    assert_eq!(draining["models"], json!(["tone"]), "{new}");
    for (member, of_old) in [
        ("generation", &old["generation"]),
        ("sha256", &old["sha256"]),
        ("path", &old["path"]),
        ("version", &old["manifest"]["version"]),
        ("abi_version", &old["manifest"]["abi_version"]),
        ("built_with", &old["manifest"]["built_with"]),
    ] {
        assert_eq!(&draining[member], of_old, "{new}");
    }
    let table = syrinx_tests::cli::syrinx(&server, "plugins").good();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("beeper")).collect();
    assert_eq!(rows.len(), 2, "{table}");
    assert!(rows[0].contains("active") && rows[0].contains("chime tone") && rows[0].contains("rustc 1."), "{table}");
    assert!(rows[1].contains("draining") && rows[1].contains("tone") && rows[1].contains("0.1.0"), "{table}");
    stream.wait();
    wait_until("its end", &server, || swaps::beeper(&server)["draining"] == json!([]));
}

#[test]
fn a_launch_that_is_overtaken_follows() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    let launch = http::post(&server.url("/v1/models"))
        .json(&json!({"model_name": "tone", "model_type": "audio", "load_ms": 4000}))
        .start();
    wait_until("the load", &server, || swaps::beeper(&server)["models"] == json!(["tone"]));
    swap(&server, &folders, &fs::read(second_beeper()).expect("it is there"));
    assert_eq!(launch.wait().status, 200);
    wait_until("the move", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
}

#[test]
fn a_file_that_is_written_in_place_and_slowly_is_taken_when_it_is_whole() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    let content = fs::read(second_beeper()).expect("it is there");
    let pieces: Vec<&[u8]> = content.chunks(content.len() / 6 + 1).collect();
    let mut file = File::create(folders.plugin()).expect("writing a file");
    for piece in pieces {
        // Longer than the server waits for a file to settle.
        thread::sleep(Duration::from_millis(450));
        assert!(is_about(pitch(&speak(&server, "abc")), 440.0), "half a file is no plugin");
        file.write_all(piece).expect("writing");
    }
    drop(file);
    wait_until("the whole file", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
    assert_eq!(swaps::beeper(&server)["error"], Value::Null);
    assert!(server.log().contains("cut short"), "it was looked at before: {}", server.log());
}

#[test]
fn what_editors_and_copies_leave_beside_it_is_not_looked_at() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    let before = generation(&server);
    let second = fs::read(second_beeper()).expect("it is there");
    let name = fixtures::library_name("beeper");
    for other in [
        format!(".{name}.swp"),
        format!("{name}~"),
        "4913".into(),
        format!("#{name}#"),
        format!("{name}.part"),
        format!(".{name}"),
    ] {
        fs::write(folders.plugins().join(&other), &second).expect("writing a file");
    }
    fs::create_dir(folders.plugins().join("old")).expect("making a directory");
    fs::write(folders.plugins().join("old").join(&name), &second).expect("writing a file");
    thread::sleep(Duration::from_secs(3));
    assert_eq!(generation(&server), before);
    assert_eq!(server.get("/v1/plugins")["data"].as_array().map(Vec::len), Some(1));
    // As vim saves: the old file gets another name, a new one is written, the old one goes.
    let backup = folders.plugins().join(format!("{name}~"));
    fs::rename(folders.plugin(), &backup).expect("renaming");
    fs::write(folders.plugin(), &second).expect("writing a file");
    fs::remove_file(backup).expect("removing");
    wait_until("the new file", &server, || generation(&server) != before);
}

#[test]
fn links_are_followed_wherever_they_change() {
    let folders = BeeperFolders::default();
    let builds = tempfile::tempdir().expect("a temporary directory");
    let releases = ["one", "two"].map(|name| builds.path().join(name));
    for (release, library) in releases.iter().zip([plain_beeper(), second_beeper()]) {
        fs::create_dir(release).expect("making a directory");
        fs::copy(library, release.join("lib.so")).expect("copying");
    }
    // In one step, as `mv -T` does.
    let link = |target: &Path, at: &Path| {
        let part = at.with_extension("part");
        symlink(target, &part).expect("linking");
        fs::rename(&part, at).expect("renaming");
    };
    link(&releases[0].join("lib.so"), &folders.plugin());
    let server = Server::start(folders.settings());
    server.launch(&json!({"model_name": "tone"}));
    let wait_for = |what: &str, expected: f64| {
        wait_until(what, &server, || is_about(pitch(&speak(&server, "abc")), expected));
    };
    wait_for("the first release", 440.0);
    link(&releases[1].join("lib.so"), &folders.plugin());
    wait_for("another target", 880.0);
    fixtures::replace(&plain_beeper(), &releases[1].join("lib.so"));
    wait_for("the target's new content", 440.0);
    // A link to a directory in between, as orchestrators have.
    let current = builds.path().join("current");
    symlink(&releases[1], &current).expect("linking");
    link(&current.join("lib.so"), &folders.plugin());
    fs::copy(second_beeper(), releases[0].join("lib.so")).expect("copying");
    link(&releases[0], &current);
    wait_for("another directory", 880.0);
}

#[test]
fn a_plugin_that_is_removed_serves_its_models_and_comes_back() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    let before = generation(&server);
    let launch =
        || http::post(&server.url("/v1/models")).json(&json!({"model_name": "chime", "model_type": "audio"})).run();

    fs::remove_file(folders.plugin()).expect("removing");
    wait_until("the removal", &server, || swaps::beeper(&server)["state"] == "removed");
    let plugin = swaps::beeper(&server);
    assert_eq!(plugin["draining"][0]["models"], json!(["tone"]), "{plugin}");
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0), "its models go on");
    let refused = launch();
    assert!(refused.status == 400 && refused.error().contains("not installed"), "{}", refused.text());

    folders.drop_in(&plain_beeper());
    wait_until("the return", &server, || swaps::beeper(&server)["state"] == "active");
    assert_eq!(generation(&server), before, "the same build is the same generation");
    assert_eq!(launch().status, 200);

    // The whole directory goes, and comes back with another build.
    fs::remove_dir_all(folders.plugins()).expect("removing");
    wait_until("the removal", &server, || swaps::beeper(&server)["state"] == "removed");
    fs::create_dir(folders.plugins()).expect("making a directory");
    folders.drop_in(&second_beeper());
    wait_until("the return", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
}

#[test]
fn of_two_files_with_one_plugin_the_first_serves() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    let other = folders.plugins().join(fixtures::library_name("another"));
    fixtures::replace(&second_beeper(), &other);
    let first = folders.plugin().display().to_string();
    wait_for_refusal(&server, "another.so", "it is another `beeper`");
    wait_for_refusal(&server, "another.so", &first);
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
    fs::remove_file(folders.plugin()).expect("removing");
    wait_until("the other one", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
    let plugin = swaps::beeper(&server);
    assert_eq!((&plugin["path"], &plugin["error"]), (&json!(other.display().to_string()), &Value::Null));

    // At the start the names decide.
    drop(server);
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    assert_eq!(swaps::beeper(&server)["path"], json!(other.display().to_string()), "`another` comes before `beeper`");
    wait_for_refusal(&server, "libbeeper.so", "it is another `beeper`");
}

#[test]
fn at_the_start_files_come_in_the_order_of_their_names() {
    const PADDING: usize = 64 << 20; // bytes
    let folders = BeeperFolders::default();
    // What comes after the end of a library is nobody's business, but the file takes longer than those after it.
    let mut large = fs::read(plain_beeper()).expect("it was built");
    large.resize(large.len() + PADDING, 0);
    let second = fs::read(second_beeper()).expect("it was built");
    let golden = fs::read(fixtures::golden()).expect("it was built");
    let none = b"no library".to_vec();
    let contents =
        [("a", &large), ("b", &second), ("c", &none), ("d", &none), ("e", &golden), ("f", &second), ("g", &none)];
    for (name, content) in contents {
        fs::write(folders.plugins().join(fixtures::library_name(name)), content).expect("writing a file");
    }
    let server = Server::start(folders.settings());
    let log = server.log();
    let told = log.lines().filter(|line| line.contains("plugin loaded") || line.contains("plugin refused"));
    let state = |line: &str| if line.contains("plugin loaded") { "loaded" } else { "refused" };
    // As often as they are told at the start: whatever is looked at again comes later.
    let told: Vec<String> = told
        .filter_map(|line| {
            // Refusals name other files after it.
            let path = line.split("path=").nth(1)?.split(' ').next()?;
            let (name, _) = contents.into_iter().find(|(name, _)| path.ends_with(&fixtures::library_name(name)))?;
            Some(format!("{name} {}", state(line)))
        })
        .collect();
    assert_eq!(
        told,
        ["a loaded", "b refused", "c refused", "d refused", "e loaded", "f refused", "g refused"],
        "{log}"
    );
    let first = folders.plugins().join(fixtures::library_name("a")).display().to_string();
    assert_eq!(swaps::beeper(&server)["path"], json!(first));
    assert_eq!(swaps::beeper(&server)["generation"], json!(1));
    wait_for_refusal(&server, "libf.so", &first);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

#[test]
fn what_others_can_write_is_refused_until_it_is_mended() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    let before = generation(&server);
    let accepted = || wait_until("acceptance", &server, || swaps::beeper(&server)["error"] == Value::Null);
    for (path, open, closed) in [(folders.plugin(), 0o646, 0o644), (folders.plugins(), 0o777, 0o755)] {
        set_mode(&path, open);
        if path == folders.plugins() {
            // Nobody looks at a directory until something in it changes.
            folders.drop_in(&plain_beeper());
        }
        wait_for_refusal(&server, "beeper", &format!("run `chmod o-w {}`", path.display()));
        assert!(is_about(pitch(&speak(&server, "abc")), 440.0), "what is loaded serves on");
        set_mode(&path, closed);
        if path == folders.plugins() {
            folders.drop_in(&plain_beeper());
        }
        accepted();
    }
    assert_eq!(generation(&server), before);
}

/// Whether this is root, who may give files away.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

#[test]
fn what_belongs_to_others_is_refused_until_it_is_mended() {
    if !is_root() {
        return workspace::skipped("what_belongs_to_others_is_refused", "only root can give files to others");
    }
    let folders = BeeperFolders::default();
    let server = server(&folders);
    let before = generation(&server);
    chown(folders.plugin(), Some(NOBODY), None).expect("this is root");
    wait_for_refusal(&server, "beeper", &format!("belongs to user {NOBODY}"));
    wait_for_refusal(&server, "beeper", &format!("chown 0 {}", folders.plugin().display()));
    chown(folders.plugin(), Some(0), None).expect("this is root");
    wait_until("acceptance", &server, || swaps::beeper(&server)["error"] == Value::Null);
    assert_eq!(generation(&server), before);
    drop(server);

    // Root's files are good enough for everybody; those that can't be read are not.
    let others_may_look = folders.plugins().parent().expect("it has one").to_owned();
    set_mode(&others_may_look, 0o755);
    let server = Server::start(Settings { user: Some(NOBODY), ..folders.settings() });
    server.launch(&json!({"model_name": "tone", "isolation": "process"}));
    set_mode(&folders.plugin(), 0o600);
    wait_for_refusal(&server, "beeper", "Permission denied");
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
    set_mode(&folders.plugin(), 0o644);
    wait_until("acceptance", &server, || swaps::beeper(&server)["error"] == Value::Null);
}

#[test]
fn a_list_says_which_builds_are_loaded() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let checked = syrinx(&["plugin", "check", "--json", &plain_beeper().display().to_string()]);
    let digest = checked["sha256"].as_str().expect("it has one").to_owned();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = dir.path().join("syrinx.toml");
    fs::write(&config, format!("[plugins]\nallow = [\"{digest}\"]\n")).expect("writing a file");
    let arguments = vec!["--config".to_owned(), config.display().to_string()];
    let server = Server::start(Settings { arguments, ..folders.settings() });
    server.launch(&json!({"model_name": "tone"}));
    folders.drop_in(&second_beeper());
    let other = syrinx(&["plugin", "check", "--json", &second_beeper().display().to_string()])["sha256"].clone();
    wait_for_refusal(&server, "beeper", other.as_str().expect("it has one"));
    wait_for_refusal(&server, "beeper", "plugins.allow");
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
}

/// What a command of the product prints as JSON.
fn syrinx(arguments: &[&str]) -> Value {
    let output = std::process::Command::new(workspace::syrinx()).args(arguments).output().expect("it starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_file_that_crashes_whoever_opens_it_costs_nothing() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    let whole = fs::read(plain_beeper()).expect("it is there");
    let spoilt = fixtures::with_wild_relocations(&whole);
    folders.drop_in_content(&spoilt);
    wait_for_refusal(&server, "beeper", "opening it ends the process (signal: 11");
    assert!(server.is_alive());
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));

    let file = tempfile::tempdir().expect("a temporary directory");
    let file = file.path().join(fixtures::library_name("spoilt"));
    fs::create_dir_all(file.parent().expect("it has one")).expect("making a directory");
    fs::write(&file, &spoilt).expect("writing a file");
    let checked = syrinx(&["plugin", "check", "--json", &file.display().to_string()]);
    assert!(checked["error"].as_str().is_some_and(|error| error.contains("signal: 11")), "{checked}");
    folders.drop_in(&second_beeper());
    wait_until("the repair", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
}

#[test]
fn a_file_may_become_another_plugin() {
    let folders = BeeperFolders::default();
    let server = server(&folders);
    server.launch(&json!({"model_name": "tone"}));
    folders.drop_in(&fixtures::golden());
    wait_until("the other plugin", &server, || {
        report(&server, "songbird").is_some_and(|plugin| plugin["state"] == "active")
    });
    assert_eq!(swaps::beeper(&server)["state"], "removed", "no file has it any more");
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0), "its models go on");
}
