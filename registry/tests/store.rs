//! The store's promises: once for everybody, complete or not there, listed and removed.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Home, Reply, Server, file, model_in, noise, sha256};
use syrinx_registry::{
    Catalogue, FetchError, FetchOptions, Format, Kind, ModelEntry, Silent, Source, Stage, Store, StoreConfig,
};

fn url_source(server: &Server, content: &[u8]) -> String {
    format!(
        "[[model.source]]\nformat = \"onnx\"\n[[model.source.item]]\nurl = \"{}/files/w.bin\"\nto = \"sub/w.bin\"\nsha256 = \"{}\"\nsize = {}\n",
        server.address,
        sha256(content),
        content.len()
    )
}

fn slow_server(content: &[u8]) -> Server {
    let content = content.to_vec();
    Server::start(move |seen| {
        std::thread::sleep(Duration::from_millis(400));
        file(seen, &content, "\"w\"")
    })
}

#[test]
fn threads_that_want_the_same_download_it_once() {
    let content = noise(50_000);
    let server = slow_server(&content);
    let home = Home::new();
    let model = home.model(&url_source(&server, &content));
    let waited = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let recorder = support::Recorder::default();
                    let files = home.store().fetch(&model, &FetchOptions::default(), &recorder).unwrap();
                    let updates = recorder.updates.lock().unwrap();
                    waited.fetch_add(
                        usize::from(updates.iter().any(|update| update.stage == Stage::Waiting)),
                        Ordering::SeqCst,
                    );
                    files.dir
                })
            })
            .collect();
        let dirs: Vec<_> = fetches.into_iter().map(|fetch| fetch.join().unwrap()).collect();
        assert!(dirs.iter().all(|dir| *dir == dirs[0]));
        assert_eq!(std::fs::read(dirs[0].join("sub/w.bin")).unwrap(), content);
    });
    assert_eq!(server.seen().len(), 1);
    assert_eq!(waited.load(Ordering::SeqCst), 3);
}

/// Not a test by itself: what the other processes of the next test do.
#[test]
fn helper_process() {
    let Some(directory) = std::env::var_os("SYRINX_TEST_DIRECTORY") else { return };
    let sources = std::env::var("SYRINX_TEST_SOURCES").unwrap();
    let directory = std::path::PathBuf::from(directory);
    let own = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::at(directory.join("store"))).unwrap();
    store.fetch(&model_in(own.path(), &sources), &FetchOptions::default(), &Silent).unwrap();
}

#[test]
fn processes_that_want_the_same_download_it_once() {
    let content = noise(50_000);
    let server = slow_server(&content);
    let home = Home::new();
    let sources = url_source(&server, &content);
    let children: Vec<_> = (0..3)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "helper_process"])
                .env("SYRINX_TEST_DIRECTORY", home.dir.path())
                .env("SYRINX_TEST_SOURCES", &sources)
                .env_remove("SYRINX_OFFLINE")
                .output_in_background()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(server.seen().len(), 1);
    assert!(home.store().locate(&home.model(&sources)).is_some());
}

trait Background {
    fn output_in_background(&mut self) -> std::process::Child;
}

impl Background for Command {
    fn output_in_background(&mut self) -> std::process::Child {
        self.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    }
}

#[test]
fn a_lock_is_not_waited_for_when_cancelled() {
    let content = noise(10);
    let server = Server::start(move |seen| {
        std::thread::sleep(Duration::from_secs(3));
        file(seen, &content, "\"w\"")
    });
    let home = Home::new();
    let model = home.model(&url_source(&server, &noise(10)));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| home.store().fetch(&model, &FetchOptions::default(), &Silent));
        std::thread::sleep(Duration::from_millis(500));
        let options = FetchOptions::default();
        options.cancel.cancel();
        assert!(matches!(home.store().fetch(&model, &options, &Silent), Err(FetchError::Cancelled)));
        assert!(!first.is_finished());
        first.join().unwrap().unwrap();
    });
}

#[test]
fn a_wrong_digest_is_refused_and_nothing_is_left() {
    let server = Server::start(|seen| file(seen, b"something else", "\"w\""));
    for pinned in [b"something elsE".as_slice(), b"longer than it should be", b"short"] {
        let home = Home::new();
        let toml = url_source(&server, pinned);
        let error = home.store().fetch(&home.model(&toml), &FetchOptions::default(), &Silent).unwrap_err();
        assert!(error.to_string().contains("is not the file"), "{error}");
        assert_eq!(home.files(), Vec::<String>::new());
        assert!(home.store().list().is_empty());
    }
}

#[test]
fn what_is_stored_is_listed_checked_and_deleted() {
    let content = noise(1000);
    let sent = content.clone();
    let server = Server::start(move |seen| file(seen, &sent, "\"w\""));
    let home = Home::new();
    let store = home.store();
    let model = home.model(&url_source(&server, &content));
    let files = store.fetch(&model, &FetchOptions::default(), &Silent).unwrap();
    let [item] = store.list().try_into().unwrap();
    assert_eq!((item.kind, item.name.as_str(), item.bytes, item.source.as_str()), (Kind::Model, "m", 1000, "url"));
    assert_eq!((&item.dir, item.files.as_slice()), (&files.dir, ["sub/w.bin".to_owned()].as_slice()));
    assert_eq!(item.format.as_deref(), Some("onnx"));
    assert_eq!(item.fingerprint, files.fingerprint);

    // Damaged: no longer there, and fetched again.
    std::fs::write(files.dir.join("sub/w.bin"), "short").unwrap();
    assert_eq!(store.locate(&model), None);
    assert!(store.list().is_empty());
    store.fetch(&model, &FetchOptions::default(), &Silent).unwrap();
    assert_eq!(std::fs::read(files.dir.join("sub/w.bin")).unwrap(), content);
    assert_eq!(server.seen().len(), 2);

    assert!(!store.delete(Kind::Model, "m", "0000").unwrap());
    assert!(!store.delete(Kind::Model, "../m", &item.fingerprint).unwrap());
    assert!(store.delete(Kind::Model, "m", &item.fingerprint).unwrap());
    assert_eq!(home.files(), Vec::<String>::new());
    assert!(!store.delete(Kind::Model, "m", &item.fingerprint).unwrap());
}

#[test]
fn a_directory_of_the_user_is_used_where_it_is() {
    let home = Home::new();
    let weights = home.dir.path().join("weights");
    std::fs::create_dir_all(weights.join("voices")).unwrap();
    std::fs::write(weights.join("config.json"), "{}").unwrap();
    let toml = format!(
        "[[model.source]]\n[[model.source.item]]\npath = \"{}\"\nfiles = [\"config.json\", \"voices/*.bin\"]\n",
        weights.display()
    );
    let model = home.model(&toml);
    let error = home.store().fetch(&model, &FetchOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("lacks voices/*.bin"), "{error}");
    std::fs::write(weights.join("voices/a.bin"), "a").unwrap();
    assert_eq!(home.store().fetch(&model, &FetchOptions::default(), &Silent).unwrap().dir, weights);

    // With a new name it has to be a copy.
    let take = "take = [{ file = \"config.json\", to = \"c/config.json\" }]";
    let model =
        home.model(&format!("[[model.source]]\n[[model.source.item]]\npath = \"{}\"\n{take}\n", weights.display()));
    let files = home.store().fetch(&model, &FetchOptions::default(), &Silent).unwrap();
    assert!(files.dir.starts_with(&home.config.root));
    assert_eq!(std::fs::read_to_string(files.dir.join("c/config.json")).unwrap(), "{}");
}

#[test]
fn several_items_fill_one_directory_and_parts_are_joined() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/one" => file(seen, b"first ", "\"1\""),
        "/two" => file(seen, b"second", "\"2\""),
        _ => Reply::new(404, ""),
    });
    let home = Home::new();
    let joined = |digest: &str| {
        format!(
            "[[model.source]]\n[[model.source.item]]\nurl = \"{0}/one\"\n[[model.source.item]]\nurl = \"{0}/two\"\nto = \"b\"\n[[model.source.join]]\nto = \"whole\"\nparts = [\"one\", \"b\"]\nsha256 = \"{digest}\"\n",
            server.address
        )
    };
    let error =
        home.store().fetch(&home.model(&joined(&sha256(b"other"))), &FetchOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("the parts joined to whole are wrong"), "{error}");
    assert_eq!(home.files(), Vec::<String>::new());
    let model = home.model(&joined(&sha256(b"first second")));
    let files = home.store().fetch(&model, &FetchOptions::default(), &Silent).unwrap();
    assert_eq!(std::fs::read(files.dir.join("whole")).unwrap(), b"first second");
    assert_eq!(model.sources[0].file_names(), ["whole"]);
    assert!(!files.dir.join("one").exists() && !files.dir.join("b").exists());
}

#[test]
fn callers_choose_among_sources() {
    let server = Server::start(|seen| file(seen, seen.path.as_bytes(), "\"w\""));
    let home = Home::new();
    let source = |id: &str, format: &str, quantization: &str| {
        format!(
            "[[model.source]]\nid = \"{id}\"\nformat = \"{format}\"\nquantization = \"{quantization}\"\n[[model.source.item]]\nurl = \"{}/{id}\"\n",
            server.address
        )
    };
    let model = home.model(&format!("{}{}", source("small", "onnx", "int8"), source("large", "pytorch", "fp16")));
    let fetch = |options: FetchOptions| home.store().fetch(&model, &options, &Silent).map(|files| files.source);
    let base = FetchOptions::default;
    assert_eq!(fetch(FetchOptions { source: Some("large".into()), ..base() }).unwrap(), "large");
    assert_eq!(fetch(FetchOptions { quantization: Some("int8".into()), ..base() }).unwrap(), "small");
    assert_eq!(fetch(FetchOptions { format: Some(Format::Pytorch), ..base() }).unwrap(), "large");
    assert_eq!(fetch(FetchOptions { quantization: Some("none".into()), ..base() }).unwrap(), "small");
    let error = fetch(FetchOptions { quantization: Some("int3".into()), ..base() }).unwrap_err();
    assert_eq!(error.to_string(), "m has no source with quantization `int3`; it has int8, fp16");
    let error = fetch(FetchOptions { source: Some("smal".into()), ..base() }).unwrap_err();
    assert_eq!(error.to_string(), "m has no source with the name `smal` (did you mean `small`?); it has small, large");
}

#[test]
fn a_store_that_cannot_be_made_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let error = Store::open(StoreConfig::at(blocked.join("store"))).unwrap_err();
    assert!(error.to_string().starts_with("can't create "), "{error}");
}

#[test]
fn models_are_registered_at_run_time() {
    let home = Home::new();
    let mut catalogue = Catalogue::builtin();
    let base = catalogue.model("whisper-base").unwrap();
    let mine = |name: &str| ModelEntry { name: name.to_owned(), aliases: Vec::new(), ..(*base).clone() };
    let weights = home.dir.path().join("weights");
    std::fs::create_dir(&weights).unwrap();
    std::fs::write(weights.join("model.bin"), "w").unwrap();
    let entry = ModelEntry { sources: vec![Source::local_directory(&weights)], ..mine("mine") };
    catalogue.register(entry).unwrap();
    let entry = catalogue.model("mine").unwrap();
    assert!(!entry.builtin);
    assert_eq!(home.store().locate(&entry).unwrap().dir, weights);
    for taken in ["mine", "whisper-base", "whisper-base-mlx"] {
        assert!(catalogue.register(mine(taken)).unwrap_err().to_string().contains("already"), "{taken}");
    }
    assert!(catalogue.register(mine("a/b")).unwrap_err().to_string().contains("may not contain"));
    assert!(!catalogue.unregister("whisper-base") && catalogue.unregister("mine") && !catalogue.unregister("mine"));
    assert!(catalogue.model("mine").is_err());
}

#[test]
fn a_model_path_replaces_the_model_but_not_its_assets() {
    let server = Server::start(|seen| file(seen, b"lexicon", "\"l\""));
    let home = Home::new();
    let asset = format!(
        "[[asset]]\nname = \"lexicon\"\n[[asset.source]]\n[[asset.source.item]]\nurl = \"{}/l\"\n",
        server.address
    );
    let model = home.model(&format!("assets = [\"lexicon\"]\n{asset}"));
    assert_eq!(home.store().locate(&model), None);
    let files = home.store().fetch_around(&model, home.dir.path(), &FetchOptions::default(), &Silent).unwrap();
    assert_eq!(files.dir, home.dir.path());
    assert_eq!(std::fs::read(files.assets["lexicon"].join("l")).unwrap(), b"lexicon");
    let absent = home.dir.path().join("absent");
    let error = home.store().fetch_around(&model, &absent, &FetchOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().ends_with("absent is not a directory"), "{error}");
}

#[test]
fn a_model_goes_without_an_optional_asset() {
    let server = Server::start(|_| Reply::new(404, ""));
    let home = Home::new();
    let asset = |optional: &str| {
        format!(
            "assets = [\"lexicon\"]\n[[asset]]\nname = \"lexicon\"\n{optional}[[asset.source]]\n[[asset.source.item]]\nurl = \"{}/l\"\n",
            server.address
        )
    };
    let around =
        |model: &ModelEntry| home.store().fetch_around(model, home.dir.path(), &FetchOptions::default(), &Silent);
    let files = around(&home.model(&asset("optional = true\n"))).unwrap();
    assert!(files.assets.is_empty());
    assert!(around(&home.model(&asset(""))).is_err());
}

#[test]
fn a_library_of_the_user_goes_before_everything() {
    let mut home = Home::new();
    let runtime = Catalogue::builtin().runtime("onnxruntime").unwrap();
    let own = home.dir.path().join("libmine.so");
    home.config.libraries.insert("onnxruntime".to_owned(), own.clone());
    let error = home.store().fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().starts_with("the configuration names ") && error.to_string().contains("libmine.so"));
    std::fs::write(&own, "").unwrap();
    assert_eq!(home.store().locate_runtime_entry(&runtime).unwrap(), Some(own.clone()));
    assert_eq!(home.store().fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent).unwrap(), own);
    assert!(home.store().fetch_runtime("onxruntime", &FetchOptions::default(), &Silent).is_err());
}
