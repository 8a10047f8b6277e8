//! Hugging Face and ModelScope as they behave, well and badly, played by a local server.

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Home, Recorder, Reply, Seen, Server, file, noise, sha256};
use syrinx_registry::{FetchError, FetchOptions, ModelFiles, Silent};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const CONFIG: &[u8] = b"hello\n";
/// `git hash-object` of [`CONFIG`].
const CONFIG_BLOB: &str = "ce013625030ba8dba906f756967f9e9ca394464a";
const HF: &str = "[[model.source]]\n[[model.source.item]]\nhf = \"me/m\"\nfiles = [\"config.json\"]\nweights = \"model.safetensors\"\n";
const SCOPE: &str =
    "[[model.source]]\n[[model.source.item]]\nmodelscope = \"me/m\"\nfiles = [\"config.json\", \"w.bin\"]\n";

fn listing(weights: &[u8]) -> Reply {
    Reply::json(&format!(
        r#"{{"id":"me/m","sha":"{COMMIT}","siblings":[
            {{"rfilename":"config.json","size":6,"blobId":"{CONFIG_BLOB}"}},
            {{"rfilename":"README.md","size":1,"blobId":"{CONFIG_BLOB}"}},
            {{"rfilename":"model.safetensors","size":{n},"blobId":"{CONFIG_BLOB}","lfs":{{"sha256":"{sha}","size":{n},"pointerSize":1}}}}]}}"#,
        n = weights.len(),
        sha = sha256(weights)
    ))
}

/// A hub that has `config.json` and `model.safetensors`; `weights_reply` sends the latter.
fn hub(weights: &[u8], weights_reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Server {
    let listing = listing(weights);
    Server::start(move |seen| match seen.path.as_str() {
        "/api/models/me/m/revision/main?blobs=true" => listing.clone(),
        path if path == format!("/me/m/resolve/{COMMIT}/config.json") => file(seen, CONFIG, "\"c\""),
        path if path == format!("/me/m/resolve/{COMMIT}/model.safetensors") => weights_reply(seen),
        _ => Reply::new(404, ""),
    })
}

fn fetch(home: &Home, toml: &str) -> Result<ModelFiles, FetchError> {
    home.store().fetch(&home.model(toml), &FetchOptions::default(), &Silent)
}

fn home_for(server: &Server) -> Home {
    let mut home = Home::new();
    home.config.hub.hf_endpoint.clone_from(&server.address);
    home
}

fn reason(error: &FetchError) -> &str {
    let FetchError::AllSourcesFailed { attempts, .. } = error else { panic!("{error:?}") };
    &attempts.last().unwrap().reason
}

fn read(files: &ModelFiles, name: &str) -> Vec<u8> {
    std::fs::read(files.dir.join(name)).unwrap()
}

#[test]
fn a_repository_is_fetched_and_then_used_without_the_network() {
    let weights = noise(700_000);
    let content = weights.clone();
    let server = hub(&weights, move |seen| file(seen, &content, "\"w\""));
    let home = home_for(&server);
    let recorder = Recorder::default();
    let model = home.model(HF);
    assert_eq!(home.store().locate(&model), None);
    let files = home.store().fetch(&model, &FetchOptions::default(), &recorder).unwrap();
    assert_eq!(read(&files, "config.json"), CONFIG);
    assert_eq!(read(&files, "model.safetensors"), weights);
    assert!(!files.dir.join("README.md").exists());
    let requests = server.seen().len();
    assert_eq!(home.store().locate(&model), Some(files.clone()));
    assert_eq!(fetch(&home, HF).unwrap(), files);
    assert_eq!(server.seen().len(), requests);
    let updates = recorder.updates.lock().unwrap();
    assert_eq!(updates.last().unwrap().fraction(), Some(1.0));
    assert!(updates.iter().any(|update| update.done == 700_006 && update.total == Some(700_006)));
    assert!(updates.windows(2).all(|pair| pair[0].done <= pair[1].done));
}

#[test]
fn redirects_are_followed_and_the_token_stays_at_home() {
    let weights = noise(1000);
    let content = weights.clone();
    let storage = Server::start(move |seen| file(seen, &content, "\"w\""));
    let target = format!("{}/cdn/w?X-Signature=secret", storage.address);
    let server = hub(&weights, move |seen| {
        if seen.header("authorization").is_some() { Reply::redirect(302, &target) } else { Reply::new(401, "") }
    });
    let renamed = server.address.clone();
    let front = Server::start(move |seen| Reply::redirect(307, &format!("{renamed}{}", seen.path)));
    let mut home = home_for(&server);
    home.config.hub.hf_token = Some("hf_secret".to_owned());
    let files = fetch(&home, HF).unwrap();
    assert_eq!(read(&files, "model.safetensors"), weights);
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer hf_secret")));
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_none()));
    assert_eq!(storage.seen().len(), 1);

    // Through a redirect to another origin the token is gone, and the message says what is missing without saying the secret.
    let mut home = home_for(&front);
    home.config.hub.hf_token = Some("hf_secret".to_owned());
    let error = fetch(&home, HF).unwrap_err();
    assert!(reason(&error).contains("401") && reason(&error).contains("HF_TOKEN"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn relative_redirects_are_followed() {
    let weights = noise(1000);
    let content = weights.clone();
    let listing = listing(&weights);
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.starts_with("/api/models/me/m/") => Reply::redirect(307, "/api/models/you/m?moved"),
        "/api/models/you/m?moved" => listing.clone(),
        path if path.ends_with("/config.json") => file(seen, CONFIG, "\"c\""),
        path if path.ends_with("/resolve-cache/w") => file(seen, &content, "\"w\""),
        path if path.ends_with("/model.safetensors") => Reply::redirect(302, "resolve-cache/w"),
        _ => Reply::new(404, ""),
    });
    assert_eq!(read(&fetch(&home_for(&server), HF).unwrap(), "model.safetensors"), weights);
}

#[test]
fn endless_redirects_end() {
    let server = Server::start(|seen| Reply::redirect(302, &format!("{}x", seen.path)));
    let error = fetch(&home_for(&server), HF).unwrap_err();
    assert!(reason(&error).contains("more than 10 redirects"), "{error}");
    let server = Server::start(|_| Reply::redirect(302, "file:///etc/passwd"));
    let error = fetch(&home_for(&server), HF).unwrap_err();
    assert!(reason(&error).contains("leads nowhere"), "{error}");
}

#[test]
fn a_connection_that_breaks_is_resumed_where_it_broke() {
    let weights = noise(600_000);
    let content = weights.clone();
    let tries = AtomicUsize::new(0);
    let server = hub(&weights, move |seen| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => file(seen, &content, "\"w\"").cut_after(200_000),
        1 => file(seen, &content, "\"w\"").cut_after(100_000),
        _ => file(seen, &content, "\"w\""),
    });
    let home = home_for(&server);
    let files = fetch(&home, HF).unwrap();
    assert_eq!(read(&files, "model.safetensors"), weights);
    let ranges: Vec<Option<String>> = server
        .seen()
        .iter()
        .filter(|seen| seen.path.ends_with("model.safetensors"))
        .map(|seen| seen.header("range").map(str::to_owned))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=200000-".to_owned()), Some("bytes=300000-".to_owned())]);
}

#[test]
fn another_version_behind_the_same_address_is_not_glued_on() {
    // The first server breaks off; the second process finds a server whose file changed: its If-Range must bring the whole new file.
    let old = noise(300_000);
    let new: Vec<u8> = noise(300_001).into_iter().rev().collect();
    let (first, second) = (old.clone(), new.clone());
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |seen| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => file(seen, &first, "\"old\"").cut_after(100_000),
        _ => file(seen, &second, "\"new\""),
    });
    let home = Home::new();
    let toml = format!("[[model.source]]\n[[model.source.item]]\nurl = \"{}/w.bin\"\n", server.address);
    let files = fetch(&home, &toml).unwrap();
    assert_eq!(read(&files, "w.bin"), new);
    let seen = server.seen();
    assert_eq!(seen[1].header("range"), Some("bytes=100000-"));
    assert_eq!(seen[1].header("if-range"), Some("\"old\""));
}

#[test]
fn a_resumed_file_that_turns_out_wrong_is_fetched_whole() {
    let weights = noise(300_000);
    let content = weights.clone();
    let tries = AtomicUsize::new(0);
    let server = hub(&weights, move |seen| {
        let mut reply = file(seen, &content, "\"w\"");
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.body[7] ^= 1;
            return reply.cut_after(100_000);
        }
        reply
    });
    let home = home_for(&server);
    assert_eq!(read(&fetch(&home, HF).unwrap(), "model.safetensors"), weights);
    assert_eq!(server.count("model.safetensors"), 3);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let weights = noise(300_000);
    let content = weights.clone();
    let tries = AtomicUsize::new(0);
    let server = hub(&weights, move |_| {
        let whole = Reply::new(200, content.clone());
        if tries.fetch_add(1, Ordering::SeqCst) == 0 { whole.cut_after(100_000) } else { whole }
    });
    assert_eq!(read(&fetch(&home_for(&server), HF).unwrap(), "model.safetensors"), weights);
}

#[test]
fn a_cancelled_download_stops_at_once_and_goes_on_later() {
    let weights = noise(400_000);
    let content = weights.clone();
    let tries = AtomicUsize::new(0);
    let server = hub(&weights, move |seen| {
        let mut reply = file(seen, &content, "\"w\"");
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            reply.stall = Some((150_000, Duration::from_secs(20)));
        }
        reply
    });
    let home = home_for(&server);
    let options = FetchOptions::default();
    let cancel = options.cancel.clone();
    let started = Instant::now();
    let watcher = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        cancel.cancel();
    });
    let error = home.store().fetch(&home.model(HF), &options, &Silent).unwrap_err();
    watcher.join().unwrap();
    assert!(matches!(error, FetchError::Cancelled), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // Nothing that looks like a model; the part that came is kept for later.
    assert!(home.files().iter().all(|path| path.starts_with("partial/")), "{:?}", home.files());
    let files = fetch(&home, HF).unwrap();
    assert_eq!(read(&files, "model.safetensors"), weights);
    let resumed = server.seen().into_iter().filter(|seen| seen.path.ends_with("model.safetensors")).nth(1).unwrap();
    assert_eq!(resumed.header("range"), Some("bytes=150000-"));
    assert!(home.files().iter().all(|path| path.starts_with("models/")), "{:?}", home.files());
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let weights = noise(100_000);
    let content = weights.clone();
    let server = hub(&weights, move |seen| {
        let mut reply = file(seen, &content, "\"w\"");
        let start = content.len() - reply.body.len();
        reply.stall = Some((if start == 0 { 1000 } else { 0 }, Duration::from_secs(3)));
        reply
    });
    let mut home = home_for(&server);
    home.config.timeouts.stall = Duration::from_millis(300);
    home.config.timeouts.answer = Duration::from_millis(600);
    let error = fetch(&home, HF).unwrap_err();
    assert!(reason(&error).contains("sends nothing any more"), "{error}");
}

#[test]
fn a_file_with_the_wrong_content_is_refused_and_nothing_is_left() {
    let weights = noise(5000);
    let mut wrong = weights.clone();
    wrong[17] ^= 1;
    let server = hub(&weights, move |seen| file(seen, &wrong, "\"w\""));
    let home = home_for(&server);
    let error = fetch(&home, HF).unwrap_err();
    assert!(
        reason(&error).contains("model.safetensors is not the file") && reason(&error).contains("SHA-256"),
        "{error}"
    );
    assert_eq!(home.files(), Vec::<String>::new());

    // Small files are checked by their git id.
    let listing = listing(&weights);
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.starts_with("/api/") => listing.clone(),
        _ => file(seen, b"hellO\n", "\"c\""),
    });
    let error = fetch(&home_for(&server), HF).unwrap_err();
    assert!(reason(&error).contains("config.json") && reason(&error).contains("git blob id"), "{error}");
}

#[test]
fn refusals_say_what_to_do() {
    for (status, words) in [(401, "HF_TOKEN"), (403, "accept the terms"), (404, "doesn't exist, or is private")] {
        let server = Server::start(move |_| Reply::new(status, "{}"));
        let error = fetch(&home_for(&server), HF).unwrap_err();
        assert!(reason(&error).contains(&status.to_string()) && reason(&error).contains(words), "{error}");
        assert_eq!(server.seen().len(), 1, "no use asking again");
    }
    let server = Server::start(|_| Reply::json("<html>"));
    let error = fetch(&home_for(&server), HF).unwrap_err();
    assert!(reason(&error).contains("not the JSON"), "{error}");
}

#[test]
fn a_busy_hub_is_asked_again() {
    let weights = noise(1000);
    let content = weights.clone();
    let tries = AtomicUsize::new(0);
    let server = hub(&weights, move |seen| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, ""),
        1 => Reply::new(429, "").with("Retry-After", "1"),
        _ => file(seen, &content, "\"w\""),
    });
    assert_eq!(read(&fetch(&home_for(&server), HF).unwrap(), "model.safetensors"), weights);
    assert_eq!(server.count("model.safetensors"), 3);
}

#[test]
fn missing_files_are_named() {
    let listing = Reply::json(&format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"README.md"}}]}}"#));
    let server = Server::start(move |_| listing.clone());
    let error = fetch(&home_for(&server), HF).unwrap_err();
    assert!(reason(&error).contains("lacks config.json (it has README.md)"), "{error}");
}

#[test]
fn shards_are_found_by_their_index() {
    let index = br#"{"metadata":{},"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}"#;
    let listing = Reply::json(&format!(
        r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"config.json"}},{{"rfilename":"model.safetensors.index.json"}},
            {{"rfilename":"model-1.safetensors"}},{{"rfilename":"model-2.safetensors"}},{{"rfilename":"model-3.safetensors"}}]}}"#
    ));
    let server = Server::start(move |seen| match seen.path.rsplit('/').next().unwrap() {
        "main?blobs=true" => listing.clone(),
        "model.safetensors.index.json" => file(seen, index, "\"i\""),
        name => file(seen, name.as_bytes(), "\"s\""),
    });
    let home = home_for(&server);
    let files = fetch(&home, HF).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(&files.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, ["config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"]);
    assert_eq!(read(&files, "model-2.safetensors"), b"model-2.safetensors");
}

#[test]
fn a_hub_cannot_write_outside_of_the_model() {
    let listing = Reply::json(&format!(r#"{{"sha":"{COMMIT}","siblings":[{{"rfilename":"../evil.json"}}]}}"#));
    let server = Server::start(
        move |seen| if seen.path.starts_with("/api") { listing.clone() } else { file(seen, b"x", "\"x\"") },
    );
    let home = home_for(&server);
    let toml = "[[model.source]]\n[[model.source.item]]\nhf = \"me/m\"\nfiles = [\"*/*.json\"]\n";
    let error = fetch(&home, toml).unwrap_err();
    assert!(reason(&error).contains("leads out of the model's directory"), "{error}");
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn an_unreachable_hub_costs_little_and_the_next_source_is_taken() {
    let weights = noise(1000);
    let scope = scope_server(&weights);
    let mut home = Home::new();
    home.config.hub.modelscope_endpoint.clone_from(&scope.address);
    let recorder = Recorder::default();
    let started = Instant::now();
    let model = home.model(&format!("{HF}{SCOPE}"));
    let files = home.store().fetch(&model, &FetchOptions::default(), &recorder).unwrap();
    assert_eq!(files.source, "modelscope");
    assert!(started.elapsed() < Duration::from_secs(5));
    let notes = recorder.notes.lock().unwrap();
    assert!(notes[0].contains("source `hf` failed") && notes[0].contains("can't be reached"), "{notes:?}");
}

#[test]
fn a_name_that_nobody_knows_is_not_asked_for_again() {
    let mut home = Home::new();
    // RFC 6761: never resolves.
    home.config.hub.hf_endpoint = "http://hub.invalid".to_owned();
    let recorder = Recorder::default();
    let error = home.store().fetch(&home.model(HF), &FetchOptions::default(), &recorder).unwrap_err();
    assert!(reason(&error).starts_with("hub.invalid can't be reached"), "{error}");
}

#[test]
fn when_nothing_works_every_reason_is_told() {
    let error = fetch(&Home::new(), &format!("{HF}{SCOPE}")).unwrap_err();
    let FetchError::AllSourcesFailed { attempts, .. } = &error else { panic!("{error:?}") };
    assert_eq!(attempts.iter().map(|attempt| attempt.source.as_str()).collect::<Vec<_>>(), ["hf", "modelscope"]);
    let text = error.to_string();
    assert!(
        text.contains("\n  hf (Hugging Face me/m@main): 127.0.0.1:") && text.contains("\n  modelscope ("),
        "{text}"
    );
}

fn scope_server(weights: &[u8]) -> Server {
    let listing = Reply::json(&format!(
        r#"{{"Code":200,"Success":true,"Data":{{"Files":[
            {{"Name":"x","Path":"x","Type":"tree","Size":0}},
            {{"Name":"config.json","Path":"config.json","Type":"blob","Size":6,"Sha256":"{}","Revision":"{COMMIT}"}},
            {{"Name":"w.bin","Path":"w.bin","Type":"blob","Size":{},"Sha256":"{}","Revision":"{COMMIT}"}}]}}}}"#,
        sha256(CONFIG),
        weights.len(),
        sha256(weights)
    ));
    let weights = weights.to_vec();
    Server::start(move |seen| match seen.path.as_str() {
        "/api/v1/models/me/m/repo/files?Revision=master&Recursive=true" => listing.clone(),
        "/api/v1/models/me/m/repo?Revision=master&FilePath=config.json" => file(seen, CONFIG, "\"c\""),
        "/api/v1/models/me/m/repo?Revision=master&FilePath=w.bin" => file(seen, &weights, "\"w\""),
        _ => Reply::new(404, ""),
    })
}

#[test]
fn modelscope_lists_and_delivers() {
    let weights = noise(2000);
    let server = scope_server(&weights);
    let mut home = Home::new();
    home.config.hub.modelscope_endpoint.clone_from(&server.address);
    home.config.hub.modelscope_token = Some("ms-1".to_owned());
    let files = fetch(&home, SCOPE).unwrap();
    assert_eq!(read(&files, "w.bin"), weights);
    assert!(server.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer ms-1")));

    let server = Server::start(|_| Reply::json(r#"{"Code":10010205001,"Message":"no such model","Success":false}"#));
    home.config.hub.modelscope_endpoint.clone_from(&server.address);
    std::fs::remove_dir_all(&home.config.root).unwrap();
    let error = fetch(&home, SCOPE).unwrap_err();
    assert!(reason(&error).contains("no such model"), "{error}");
}

#[test]
fn a_wish_for_a_hub_changes_the_order() {
    let weights = noise(1000);
    let scope = scope_server(&weights);
    let content = weights.clone();
    let hf = hub(&weights, move |seen| file(seen, &content, "\"w\""));
    let mut home = home_for(&hf);
    home.config.hub.modelscope_endpoint.clone_from(&scope.address);
    let model = home.model(&format!("{HF}{SCOPE}"));
    let options = FetchOptions { hub: Some("modelscope".to_owned()), ..FetchOptions::default() };
    assert_eq!(home.store().fetch(&model, &options, &Silent).unwrap().source, "modelscope");
    assert!(hf.seen().is_empty());
}

/// Puts files into a Hugging Face cache the way its own library does: blobs, and links in snapshots.
fn fill_cache(cache: &Path, commit: &str, files: &[(&str, &[u8])]) {
    let repository = cache.join("models--me--m");
    let snapshot = repository.join("snapshots").join(commit);
    std::fs::create_dir_all(&snapshot).unwrap();
    std::fs::create_dir_all(repository.join("blobs")).unwrap();
    std::fs::create_dir_all(repository.join("refs")).unwrap();
    std::fs::write(repository.join("refs/main"), commit).unwrap();
    for (name, content) in files {
        let blob = repository.join("blobs").join(sha256(content));
        std::fs::write(&blob, content).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&blob, snapshot.join(name)).unwrap();
        #[cfg(not(unix))]
        std::fs::copy(&blob, snapshot.join(name)).unwrap();
    }
}

#[test]
fn a_complete_hugging_face_cache_is_used_in_place() {
    let mut home = Home::new();
    home.config.hub.hf_offline = true;
    fill_cache(&home.config.hub.hf_cache, COMMIT, &[("config.json", CONFIG), ("model.safetensors", b"w")]);
    let files = fetch(&home, HF).unwrap();
    assert_eq!(files.dir, home.config.hub.hf_cache.join("models--me--m/snapshots").join(COMMIT));
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn an_incomplete_hugging_face_cache_saves_what_it_has() {
    let weights = noise(3000);
    let server = hub(&weights, |_| Reply::new(500, ""));
    let home = home_for(&server);
    fill_cache(&home.config.hub.hf_cache, COMMIT, &[("model.safetensors", &weights)]);
    let files = fetch(&home, HF).unwrap();
    assert_eq!(read(&files, "model.safetensors"), weights);
    assert_eq!(server.count("model.safetensors"), 0);

    // A damaged file of the cache is not believed.
    let content = weights.clone();
    let server = hub(&weights, move |seen| file(seen, &content, "\"w\""));
    let home = home_for(&server);
    fill_cache(&home.config.hub.hf_cache, COMMIT, &[("model.safetensors", b"damaged")]);
    assert_eq!(read(&fetch(&home, HF).unwrap(), "model.safetensors"), weights);
}

#[test]
fn offline_takes_what_is_there_and_says_what_is_missing() {
    let mut home = Home::new();
    home.config.hub.hf_offline = true;
    assert!(matches!(fetch(&home, HF), Err(FetchError::Offline { .. })));
    // That variable is about one hub only.
    let error = fetch(&home, &format!("{HF}{SCOPE}")).unwrap_err();
    assert!(error.to_string().contains("HF_HUB_OFFLINE is set"), "{error}");
    assert!(reason(&error).contains("can't be reached"), "{error}");

    home.config.offline = true;
    let error = fetch(&home, HF).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    assert!(text.contains("hf (Hugging Face me/m@main): config.json, model.safetensors"), "{text}");

    // Pinned to another commit than the cache has: good enough without the network.
    let pinned = HF.replace("files", &format!("revision = \"{}\"\nfiles", "f".repeat(40)));
    fill_cache(&home.config.hub.hf_cache, COMMIT, &[("config.json", CONFIG), ("model.safetensors", b"w")]);
    assert!(fetch(&home, &pinned).is_ok());
    home.config.offline = false;
    home.config.hub.hf_offline = false;
    assert!(home.store().locate(&home.model(&pinned)).is_none());
}
