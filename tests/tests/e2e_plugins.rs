//! Plugins and catalogue files that come, change and break while the server serves.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::json;
use std::{
    fs, thread,
    time::{Duration, Instant},
};
use syrinx_tests::{
    fixtures::{self, Variant, beeper, plain_beeper},
    http,
    server::{BeeperFolders, Server},
    sound::Sound,
    swaps::{is_about, pitch, report, speak, wait_until},
};

#[test]
fn plugin_that_is_dropped_in_is_available() {
    let folders = BeeperFolders::default();
    let server = Server::start(folders.settings());
    let launch =
        || http::post(&server.url("/v1/models")).json(&json!({"model_name": "tone", "model_type": "audio"})).run();
    let before = launch();
    assert!(before.status >= 400, "there is no plugin yet: {}", before.text());
    assert!(before.error().contains("beeper"), "{}", before.error());

    folders.drop_in(&plain_beeper());
    wait_until("the plugin", &server, || report(&server, "beeper").is_some_and(|plugin| plugin["state"] == "active"));
    let after = launch();
    assert_eq!(after.status, 200, "{}", after.text());
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
}

#[test]
fn plugin_is_swapped_under_load_without_a_failure() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let second = beeper(Variant::SecondEdition).expect("it builds");
    let server = Server::start(folders.settings());
    server.launch(&json!({"model_name": "tone"}));

    let stream = |text: &str, pause: u64| {
        http::post(&server.url("/v1/audio/speech"))
            .json(&json!({"model": "tone", "input": text, "response_format": "pcm", "stream": true,
                          "fail": "slow", "pause_ms": pause}))
            .start()
    };
    // Two streams that were begun with the old edition and end long after the new one is in place.
    const LETTERS: usize = 60;
    let long: Vec<_> = (0..2).map(|_| stream(&"a".repeat(LETTERS), 100)).collect();
    wait_until("sound", &server, || long.iter().all(|stream| !stream.so_far().is_empty()));

    let deadline = Instant::now() + Duration::from_secs(5);
    let (low, high) = thread::scope(|threads| {
        // Short requests all the while.
        let short = threads.spawn(|| {
            let (mut low, mut high) = (0, 0);
            while Instant::now() < deadline {
                match pitch(&speak(&server, "abcd")) {
                    pitch if is_about(pitch, 440.0) => low += 1,
                    pitch if is_about(pitch, 880.0) => high += 1,
                    other => panic!("{other} Hz: of neither edition, or of both"),
                }
            }
            (low, high)
        });
        thread::sleep(Duration::from_millis(300));
        folders.drop_in(&second);
        short.join().expect("no request failed")
    });
    println!("{low} requests by the old edition, {high} by the new one");
    assert!(low > 0 && high > 0, "{low} and {high}: the swap did not happen in between\n{}", server.log());

    for stream in long {
        let response = stream.wait();
        assert_eq!((response.status, response.curl), (200, 0), "{}", server.log());
        assert_eq!(response.body.len(), LETTERS * 1200 * 2, "the stream is whole");
        let sound = Sound { sample_rate: 24_000, samples: syrinx_tests::sound::from_pcm16(&response.body) };
        assert!(is_about(sound.pitch(), 440.0), "a request in flight stays with its edition: {} Hz", sound.pitch());
    }
    let plugin = report(&server, "beeper").expect("it is listed");
    assert_eq!(plugin["manifest"]["version"], "0.2.0", "{plugin}");
    assert!(is_about(pitch(&speak(&server, "abc")), 880.0));
}

#[test]
fn broken_plugin_leaves_the_old_one_serving() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    server.launch(&json!({"model_name": "tone"}));
    let generation = report(&server, "beeper").expect("it is listed")["generation"].clone();

    let whole = fs::read(plain_beeper()).expect("it is there");
    let broken = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, content: &[u8]| {
        let path = broken.path().join(name);
        fs::write(&path, content).expect("writing a file");
        path
    };
    for (what, library, reason) in [
        ("a text", file("text", b"no plugin\n"), "not a shared library"),
        ("half a file", file("half", &whole[..whole.len() / 2]), "cut short"),
        ("another ABI", beeper(Variant::Abi2_0).expect("it builds"), "2.0.0"),
        ("one that panics", beeper(Variant::PanicInManifest).expect("it builds"), "no manifest today"),
    ] {
        folders.drop_in(&library);
        wait_until(what, &server, || {
            report(&server, "beeper")
                .is_some_and(|plugin| plugin["error"].as_str().is_some_and(|error| error.contains(reason)))
        });
        let plugin = report(&server, "beeper").expect("it is listed");
        assert_eq!(plugin["generation"], generation, "{what}: {plugin}");
        assert!(is_about(pitch(&speak(&server, "abc")), 440.0), "{what}");
    }
    assert!(server.log().contains("2.0.0"), "the log says it, too");
    folders.drop_in(&beeper(Variant::SecondEdition).expect("it builds"));
    wait_until("the repair", &server, || is_about(pitch(&speak(&server, "abc")), 880.0));
}

#[test]
fn plugin_that_breaks_running_models_is_not_taken() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    // Its card panics in every edition, and the launch says so.
    let body = json!({"model_name": "tone", "model_type": "audio", "fail": "card"});
    let refused = http::post(&server.url("/v1/models")).json(&body).run();
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(server.is_alive());
    server.launch(&json!({"model_name": "tone"}));
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
}

#[test]
fn catalogue_with_a_typo_leaves_the_old_one() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    let server = Server::start(folders.settings());
    let names = || {
        let list = server.get("/v1/model_registrations/audio");
        let names =
            list.as_array().expect("a list").iter().filter_map(|model| model["model_name"].as_str().map(str::to_owned));
        names.collect::<Vec<_>>()
    };
    assert!(names().iter().any(|name| name == "chime"), "{:?}", names());

    let good = folders.catalogue_text();
    let line = 1 + good.lines().position(|line| line.starts_with("plugin")).expect("there is one");
    let part = folders.catalogue().join("part");
    let write = |text: &str| {
        fs::write(&part, text).expect("writing a file");
        fs::rename(&part, folders.catalogue_file()).expect("renaming");
    };
    write(&good.replacen("plugin =", "plugni =", 1));
    server.wait_for_log(&format!("beeper.toml:{line}:"));
    assert!(server.log().contains("plugni"), "{}", server.log());
    assert!(names().iter().any(|name| name == "chime"), "the old state stays");
    server.launch(&json!({"model_name": "chime"}));

    write(&good.replace("\"chime\"", "\"bell\""));
    wait_until("the repair", &server, || names().iter().any(|name| name == "bell"));
    assert!(!names().iter().any(|name| name == "chime"));
}

#[test]
fn server_with_a_broken_catalogue_says_where() {
    let folders = BeeperFolders::default();
    fs::write(folders.catalogue_file(), folders.catalogue_text().replacen("family", "famliy", 1))
        .expect("writing a file");
    let log = Server::try_start(folders.settings()).err().expect("it doesn't start");
    assert!(log.contains("beeper.toml:") && log.contains("famliy") && log.contains("family"), "{log}");
}

#[test]
fn file_that_is_no_plugin_does_not_keep_the_server_from_starting() {
    let folders = BeeperFolders::default();
    folders.drop_in(&plain_beeper());
    fs::write(folders.plugins().join(fixtures::library_name("letter")), "Dear server").expect("writing a file");
    fs::write(folders.plugins().join("README.txt"), "not looked at").expect("writing a file");
    let server = Server::start(folders.settings());
    let letter = report(&server, &fixtures::library_name("letter")).expect("it is listed");
    assert_eq!(letter["state"], "refused", "{letter}");
    assert!(report(&server, "README.txt").is_none());
    server.launch(&json!({"model_name": "tone"}));
    assert!(is_about(pitch(&speak(&server, "abc")), 440.0));
}
