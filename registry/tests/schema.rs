//! The JSON Schema that editors read: as current as the types it is made of, and of the same opinion as the program.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use syrinx_registry::Catalogue;

const HEADER: &str = "#:schema ../schema/catalogue.json";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<PathBuf> {
    let entries = |folder: &str| fs::read_dir(here().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries("models").chain(entries("runtimes")).collect();
    assert!(files.len() > 8, "{files:?}");
    files
}

/// `SYRINX_WRITE_SCHEMA=1 cargo test -p syrinx-registry --test schema` writes the file.
#[test]
fn the_file_is_current() {
    let path = here().join("schema/catalogue.json");
    let current = format!("{:#}\n", Catalogue::json_schema());
    if std::env::var_os("SYRINX_WRITE_SCHEMA").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert!(kept == current, "{} is old; SYRINX_WRITE_SCHEMA=1 with this test makes it anew", path.display());
}

#[test]
fn every_file_names_it_and_keeps_to_it() {
    let schema = jsonschema::draft7::new(&Catalogue::json_schema()).unwrap();
    for path in files() {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().next(), Some(HEADER), "{}", path.display());
        let value: Value = toml::from_str(&text).unwrap();
        let mistakes: Vec<String> = schema.iter_errors(&value).map(|mistake| mistake.to_string()).collect();
        assert_eq!(mistakes, [""; 0], "{}", path.display());
    }
}

#[test]
fn it_refuses_what_the_program_refuses() {
    let schema = jsonschema::draft7::new(&Catalogue::json_schema()).unwrap();
    let model = json!({"name": "m", "family": "whisper", "plugin": "whisper", "abilities": ["audio2text"], "multilingual": true});
    let with = |key: &str, value: Value| {
        let mut model = model.clone();
        model[key] = value;
        json!({"schema": 1, "model": [model]})
    };
    assert!(schema.is_valid(&with("description", json!("x"))));
    for (key, value) in [
        ("famly", json!("x")),
        ("abilities", json!(["audio2txt"])),
        ("multilingual", json!("yes")),
        ("source", json!([{"item": [{"path": "x", "weigths": "y"}]}])),
        ("source", json!([{"format": "tensorflow", "item": [{"path": "x", "files": ["*"]}]}])),
        ("source", json!([{"item": [{"url": "https://x/y", "sha256": "12"}]}])),
    ] {
        assert!(!schema.is_valid(&with(key, value.clone())), "{key} = {value}");
    }
    assert!(!schema.is_valid(&json!({"schema": 2})) && !schema.is_valid(&json!({})));
}
