//! The catalogue that comes with the program: complete, official names, everything pinned that can be.

use std::collections::BTreeSet;

use syrinx_registry::{Ability, Catalogue, Format, Origin, Source};

/// Xinference 4.1.0: name, family, Hugging Face id, ModelScope id, multilingual.
const OFFICIAL: &[(&str, &str, &str, Option<&str>, bool)] = &[
    (
        "Belle-whisper-large-v3-zh",
        "whisper",
        "BELLE-2/Belle-whisper-large-v3-zh",
        Some("Xorbits/Belle-whisper-large-v3-zh"),
        false,
    ),
    ("Kokoro-82M", "Kokoro", "hexgrad/Kokoro-82M", Some("AI-ModelScope/Kokoro-82M"), true),
    ("Kokoro-82M-v1.1-zh", "Kokoro-zh", "hexgrad/Kokoro-82M-v1.1-zh", Some("AI-ModelScope/Kokoro-82M-v1.1-zh"), false),
    ("whisper-base", "whisper", "openai/whisper-base", None, true),
    ("whisper-base.en", "whisper", "openai/whisper-base.en", None, false),
    ("whisper-large-v3", "whisper", "openai/whisper-large-v3", Some("AI-ModelScope/whisper-large-v3"), true),
    (
        "whisper-large-v3-turbo",
        "whisper",
        "openai/whisper-large-v3-turbo",
        Some("AI-ModelScope/whisper-large-v3-turbo"),
        true,
    ),
    ("whisper-medium", "whisper", "openai/whisper-medium", None, true),
    ("whisper-medium.en", "whisper", "openai/whisper-medium.en", None, false),
    ("whisper-small", "whisper", "openai/whisper-small", None, true),
    ("whisper-small.en", "whisper", "openai/whisper-small.en", None, false),
    ("whisper-tiny", "whisper", "openai/whisper-tiny", None, true),
    ("whisper-tiny.en", "whisper", "openai/whisper-tiny.en", None, false),
];

fn all_sources(catalogue: &Catalogue) -> Vec<(String, Source)> {
    let models =
        catalogue.models().flat_map(|entry| entry.sources.iter().map(|source| (entry.name.clone(), source.clone())));
    let assets =
        catalogue.assets().flat_map(|entry| entry.sources.iter().map(|source| (entry.name.clone(), source.clone())));
    let runtimes = catalogue.runtimes().flat_map(|entry| {
        let sources = entry.builds.iter().flat_map(|build| &build.sources);
        sources.map(|source| (entry.name.clone(), source.clone()))
    });
    models.chain(assets).chain(runtimes).collect()
}

#[test]
fn the_official_models_are_there_under_their_official_names() {
    let catalogue = Catalogue::builtin();
    let names: Vec<&str> = catalogue.models().map(|model| model.name.as_str()).collect();
    assert_eq!(names, OFFICIAL.iter().map(|(name, ..)| *name).collect::<Vec<_>>());
    for (name, family, huggingface, modelscope, multilingual) in OFFICIAL {
        let model = catalogue.model(name).unwrap();
        assert_eq!(model.family, *family, "{name}");
        assert_eq!(model.huggingface.as_ref().map(|hub| hub.id.as_str()), Some(*huggingface), "{name}");
        assert_eq!(model.modelscope.as_ref().map(|hub| hub.id.as_str()), *modelscope, "{name}");
        assert_eq!(model.multilingual, *multilingual, "{name}");
        let speaks = model.plugin == "kokoro";
        assert_eq!(model.can(Ability::TextToAudio) && model.can(Ability::ZeroShot), speaks, "{name}");
        assert_eq!(model.can(Ability::AudioToText), !speaks, "{name}");
        assert!(model.builtin && !model.sources.is_empty() && !model.languages.is_empty(), "{name}");
    }
}

#[test]
fn retired_names_resolve() {
    let catalogue = Catalogue::builtin();
    for (retired, name) in [
        ("whisper-tiny-mlx", "whisper-tiny"),
        ("whisper-base.en-mlx", "whisper-base.en"),
        ("whisper-large-v3-mlx", "whisper-large-v3"),
        ("whisper-large-v3-turbo-mlx", "whisper-large-v3-turbo"),
        ("Kokoro-82M-MLX", "Kokoro-82M"),
    ] {
        assert_eq!(catalogue.model(retired).unwrap().name, name);
    }
}

#[test]
fn unknown_names_get_a_suggestion() {
    let error = Catalogue::builtin().model("wisper-large-v3-turb").unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no model `wisper-large-v3-turb` in the catalogue; did you mean `whisper-large-v3-turbo`?"
    );
    let error = Catalogue::builtin().model("gpt-4").unwrap_err();
    assert_eq!(error.to_string(), "there is no model `gpt-4` in the catalogue");
    assert!(Catalogue::builtin().runtime("onxruntime").unwrap_err().to_string().contains("`onnxruntime`"));
}

#[test]
fn small_packages_come_first_where_there_are_any() {
    let catalogue = Catalogue::builtin();
    for name in ["whisper-tiny.en", "whisper-base", "Kokoro-82M"] {
        assert_eq!(catalogue.model(name).unwrap().sources[0].id, "wheel", "{name}");
    }
    for name in ["whisper-tiny", "whisper-large-v3-turbo", "Belle-whisper-large-v3-zh"] {
        assert_eq!(catalogue.model(name).unwrap().sources[0].id, "hf", "{name}");
    }
}

#[test]
fn packages_and_their_large_files_are_pinned() {
    for (name, source) in all_sources(&Catalogue::builtin()) {
        for item in &source.items {
            let (Origin::Wheel(package) | Origin::Npm(package)) = &item.origin else { continue };
            assert!(package.size.is_some(), "{name}: size of {}", package.name);
            for rule in &item.files {
                // Licences and the like are covered by the digest of the package alone.
                let small = ["LICENSE", "LICENSES_SOURCES", "config.cfg", "cfg", "patterns"];
                let is_small = small.contains(&rule.to.rsplit('/').next().unwrap());
                assert!(rule.sha256.is_some() || is_small, "{name}: digest of {}", rule.from);
            }
        }
    }
}

#[test]
fn fingerprints_differ_and_do_not_depend_on_the_name_of_the_source() {
    let mut seen = BTreeSet::new();
    for (name, source) in all_sources(&Catalogue::builtin()) {
        assert!(seen.insert(source.fingerprint()), "{name} {}", source.id);
        let renamed = Source { id: "other".to_owned(), ..source.clone() };
        assert_eq!(renamed.fingerprint(), source.fingerprint());
    }
}

#[test]
fn kokoro_brings_all_voices_and_shared_assets() {
    let catalogue = Catalogue::builtin();
    let kokoro = catalogue.model("Kokoro-82M").unwrap();
    for source in &kokoro.sources {
        let names = source.file_names();
        assert_eq!(names.iter().filter(|name| name.starts_with("voices/")).count(), 54, "{}", source.id);
        assert!(!names.iter().any(|name| name.contains(".part")), "{names:?}");
    }
    assert!(kokoro.sources[0].file_names().contains(&"kokoro-v1.0.int8.onnx".to_owned()));
    let assets: Vec<&str> = kokoro.assets.iter().map(|asset| asset.name.as_str()).collect();
    assert_eq!(assets, ["misaki", "spacy-en"]);
    assert_eq!(kokoro.runtimes, ["onnxruntime"]);
    assert_eq!(kokoro.quantizations()[..2], ["int8", "fp32"]);
    assert_eq!(catalogue.model("Kokoro-82M-v1.1-zh").unwrap().launch_options()["lang_code"], "z");
}

#[test]
fn whisper_knows_its_languages_and_formats() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.model("whisper-tiny").unwrap().languages.len(), 99);
    assert_eq!(catalogue.model("whisper-large-v3").unwrap().languages.len(), 100);
    assert_eq!(catalogue.model("whisper-small.en").unwrap().languages, ["en"]);
    let base = catalogue.model("whisper-base").unwrap();
    let formats: Vec<Option<Format>> = base.sources.iter().map(|source| source.format).collect();
    assert_eq!(formats, [Some(Format::CTranslate2), Some(Format::Safetensors)]);
    let belle = catalogue.model("Belle-whisper-large-v3-zh").unwrap();
    assert!(belle.sources[0].file_names().contains(&"pytorch_model.bin".to_owned()));
    assert!(belle.sources[0].revision().unwrap().starts_with("3bebc724"));
}

#[test]
fn onnx_runtime_has_a_build_for_the_usual_machines() {
    let runtime = Catalogue::builtin().runtime("onnxruntime").unwrap();
    let builds: Vec<(&str, &str)> =
        runtime.builds.iter().map(|build| (build.os.as_str(), build.arch.as_str())).collect();
    assert_eq!(builds, [("linux", "x86_64"), ("linux", "aarch64"), ("macos", "aarch64"), ("windows", "x86_64")]);
    assert_eq!(runtime.env, ["SYRINX_ONNXRUNTIME", "ORT_DYLIB_PATH"]);
}
