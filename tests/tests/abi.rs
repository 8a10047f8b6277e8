//! Proofs of the plugin ABI: other compilers, other versions, panics, files that are no plugins.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use syrinx_plugin_api::{
    Ability, Clip, Error, ErrorKind, Flow, Granularity, LoadRequest, Object, ReceivePcm, ReceiveTranscript,
    SpeechEvent, SpeechSettings, Task, TranscribeSettings, TranscriptEvent,
    abi::ABI_VERSION,
    host_side::{LoadedModel, OpenError, PluginLibrary, WholeAudio},
};
use syrinx_tests::{
    fixtures::{self, Variant, beeper, plain_beeper},
    other_rustc,
    services::Services,
    workspace,
};

/// Samples of one beep.
const BEEP: usize = 1200;

/// Keeps everything, and stops after a number of pushes.
struct Keep {
    samples: Vec<f32>,
    pushes_wanted: usize,
}

impl Keep {
    fn all() -> Self {
        Self { samples: Vec::new(), pushes_wanted: usize::MAX }
    }
}

impl ReceivePcm for Keep {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.samples.extend_from_slice(samples);
        self.pushes_wanted -= 1;
        if self.pushes_wanted == 0 { Flow::Stop } else { Flow::Continue }
    }
}

#[derive(Default)]
struct Written(String);

impl ReceiveTranscript for Written {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        if let TranscriptEvent::Segment { segment } = event {
            self.0.push_str(&segment.text);
        }
        Flow::Continue
    }
}

fn object(value: serde_json::Value) -> Object {
    value.as_object().cloned().expect("an object")
}

fn load(library: &PluginLibrary, options: serde_json::Value) -> Result<LoadedModel, Error> {
    let request = LoadRequest { model: "tone".into(), options: object(options), ..LoadRequest::default() };
    library.load(&request, Arc::new(Services::default()))
}

fn speak(model: &LoadedModel, text: &str, parameters: serde_json::Value) -> Result<Vec<f32>, (Error, Vec<f32>)> {
    let settings = SpeechSettings { text: text.into(), parameters: object(parameters), ..SpeechSettings::default() };
    let mut sink = Keep::all();
    match model.synthesize(&settings, &[], &mut sink) {
        Ok(()) => Ok(sink.samples),
        Err(error) => Err((error, sink.samples)),
    }
}

fn transcribe(model: &LoadedModel, samples: &[f32], parameters: serde_json::Value) -> Result<String, Error> {
    let settings = TranscribeSettings { parameters: object(parameters), ..TranscribeSettings::default() };
    let mut sink = Written::default();
    model.transcribe(&settings, &mut WholeAudio::new(samples), &[], &mut sink)?;
    Ok(sink.0)
}

/// The transcript of a job that introduces two speakers.
fn transcribe_known(model: &LoadedModel) -> String {
    let recording = [0.0; 7];
    let speaker = |name, samples: usize| Clip { name, samples: &recording[..samples], sample_rate: 16_000 };
    let mut sink = Written::default();
    model
        .transcribe(
            &TranscribeSettings::default(),
            &mut WholeAudio::new(&[0.0; 9]),
            &[speaker("Anna", 5), speaker("Ben", 7)],
            &mut sink,
        )
        .expect("it transcribes");
    sink.0
}

fn open(path: &Path) -> PluginLibrary {
    PluginLibrary::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn refusal(path: &Path) -> OpenError {
    match PluginLibrary::open(path) {
        Ok(library) => panic!("{} was taken for a plugin: {:?}", path.display(), library.manifest()),
        Err(error) => error,
    }
}

/// Speaks and transcribes, as proof that jobs work.
fn assert_works(model: &LoadedModel) {
    let tone = speak(model, "ab", json!({})).expect("it speaks");
    assert_eq!(tone.len(), 2 * BEEP);
    assert!(tone.iter().any(|sample| *sample > 0.2), "two beeps are audible");
    let text = transcribe(model, &[0.0; 1234], json!({})).expect("it transcribes");
    assert!(text.starts_with(" 1234 samples"), "{text}");
}

#[test]
fn plugin_describes_itself_and_works() {
    let library = open(&plain_beeper());
    let manifest = library.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("beeper", "0.1.0"));
    assert_eq!(manifest.abi_version, ABI_VERSION);
    assert!(manifest.built_with.starts_with("rustc "), "{}", manifest.built_with);
    assert!(manifest.launch_options["properties"]["fail"].is_object());

    let services = Arc::new(Services::default());
    let request = LoadRequest { model: "tone".into(), ..LoadRequest::default() };
    let model = library.load(&request, services.clone()).expect("it loads");
    assert_eq!(services.stages(), ["tuning"]);
    assert!(services.log_lines()[0].contains("beeper loads tone at 440 Hz"), "{:?}", services.log_lines());
    let card = model.card();
    assert!(card.abilities.contains(&Ability::Speak));
    assert_eq!(card.device, "cpu of 1", "the host's devices reach the plugin");
    assert_eq!(transcribe_known(&model), " 9 samples, 5 of Anna, 7 of Ben, cold");
    assert_works(&model);
    model.warm_up().expect("warm-up");
    assert!(transcribe(&model, &[], json!({})).expect("it transcribes").ends_with(", warm"));
}

#[test]
fn stop_ends_a_job_within_one_push() {
    let model = load(&open(&plain_beeper()), json!({})).expect("it loads");
    let settings = SpeechSettings { text: "a long text".into(), ..SpeechSettings::default() };
    let mut sink = Keep { samples: Vec::new(), pushes_wanted: 2 };
    model.synthesize(&settings, &[], &mut sink).expect("a stopped job is no failure");
    assert_eq!(sink.samples.len(), 2 * BEEP);
}

#[test]
fn plugin_of_another_compiler_works() {
    let what = "plugin_of_another_compiler_works";
    if !Path::new("/usr/bin/apt-get").is_file() {
        return workspace::skipped(
            what,
            "the other compiler comes from Debian's archive, and there is no apt-get here",
        );
    }
    let file = beeper(Variant::OtherCompiler).unwrap_or_else(|reason| panic!("no other compiler: {reason}"));
    let library = open(&file);
    let theirs = &library.manifest().built_with;
    let version = other_rustc::version().expect("it ran before");
    assert_eq!(theirs, version.trim(), "the plugin is by the compiler it should be by");
    let ours = open(&plain_beeper()).manifest().built_with.clone();
    assert_ne!(*theirs, ours);

    let model = load(&library, json!({})).expect("it loads");
    assert_works(&model);
    model.warm_up().expect("warm-up");
    let (error, _) = speak(&model, "a", json!({"fail": "panic"})).expect_err("it panics");
    assert!(error.message.contains("no job today"), "{error}");
    assert_works(&model);
    println!("{theirs} in {ours}");
}

#[test]
fn plugin_of_the_previous_minor_version_works() {
    let library = open(&beeper(Variant::Abi1_0).expect("it builds"));
    assert_eq!(library.manifest().abi_version, "1.0.0");
    assert_ne!(ABI_VERSION, "1.0.0");
    let model = load(&library, json!({})).expect("it loads");
    assert_eq!(model.card().device, "cpu of 0", "1.0 knows no devices");
    assert_works(&model);
    model.warm_up().expect("a warm-up that 1.0 doesn't have does nothing");
    assert!(transcribe(&model, &[], json!({})).expect("it transcribes").ends_with(", cold"));
    assert_eq!(transcribe_known(&model), " 9 samples, cold", "1.0 knows no speakers, and the job goes on without them");
}

#[test]
fn host_of_the_previous_minor_version_takes_todays_plugin() {
    let plugin = plain_beeper();
    let output = Command::new(fixtures::old_host()).arg(&plugin).output().expect("it starts");
    let (line, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    // It knows no devices, so the plugin sees none.
    let expected = format!("host 1.0.0, plugin {ABI_VERSION}, cpu of 0: {} samples; 10 samples, cold", 2 * BEEP);
    assert_eq!(line.trim(), expected);
}

/// Keeps everything that a job says.
#[derive(Default)]
struct Heard {
    samples: Vec<f32>,
    notes: Vec<SpeechEvent>,
    events: Vec<TranscriptEvent>,
}

impl ReceivePcm for Heard {
    fn push(&mut self, samples: &[f32]) -> Flow {
        self.samples.extend_from_slice(samples);
        Flow::Continue
    }

    fn note(&mut self, event: SpeechEvent) -> Flow {
        self.notes.push(event);
        Flow::Continue
    }
}

impl ReceiveTranscript for Heard {
    fn push(&mut self, event: TranscriptEvent) -> Flow {
        self.events.push(event);
        Flow::Continue
    }
}

fn parsed(document: &str) -> serde_json::Value {
    serde_json::from_str(document).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The frozen plugin of ABI 1.2 uses all of that ABI. Whatever version the host has, all of it arrives.
#[test]
fn plugin_of_abi_1_2_works_to_the_last_detail() {
    let library = open(&fixtures::golden());
    let manifest = library.manifest();
    assert_eq!((manifest.abi_version.as_str(), manifest.name.as_str()), ("1.2.0", "songbird"));
    assert_eq!(manifest.runtimes, ["nest"]);
    assert!(manifest.launch_options["properties"]["fail"].is_object());
    for (fail, kind, field) in [
        ("invalid_input", ErrorKind::InvalidInput, Some("fail")),
        ("not_supported", ErrorKind::NotSupported, None),
        ("out_of_resources", ErrorKind::OutOfResources, Some("fail")),
        ("internal", ErrorKind::Internal, None),
        ("panic", ErrorKind::Internal, None),
    ] {
        let error = load(&library, json!({"fail": fail})).err().expect("it fails");
        assert_eq!((error.kind, error.field.as_deref()), (kind, field), "{error}");
        assert!(error.message.contains("as asked"), "{error}");
    }

    let runtimes = [("nest".to_owned(), PathBuf::from("/lib/nest.so"))];
    let mut services = Services::with_runtimes(runtimes.into());
    services.cache_dir = "/cache".into();
    let services = Arc::new(services);
    let request = LoadRequest {
        model: "tit".into(),
        model_dir: "/weights".into(),
        assets: [("lexicon".to_owned(), PathBuf::from("/lexicon"))].into(),
        threads: 3,
        ..LoadRequest::default()
    };
    let model = library.load(&request, services.clone()).expect("it loads");
    assert_eq!(services.stages(), ["tuning"]);
    let lines = services.log_lines();
    let found = parsed(lines[0].strip_prefix("Info ").expect("its level"));
    let expected = json!({
        "model": "tit", "model_dir": "/weights", "assets": {"lexicon": "/lexicon"}, "threads": 3, "cache_dir": "/cache",
        "nest": "/lib/nest.so", "none": null, "cancelled": false, "devices": [{"id": "cpu", "name": "test"}],
    });
    assert_eq!(found, expected);

    let card = model.card();
    assert!(
        card.diarizes && card.streams && card.applies_speed && card.abilities.contains(&Ability::Emotion),
        "{card:?}"
    );
    assert_eq!((card.max_concurrency, card.voice_aliases["alloy"].as_str()), (2, "tit"));
    assert_eq!(card.voices[0].language.as_deref(), Some("en"));
    model.warm_up().expect("it warms up");

    let settings = TranscribeSettings {
        task: Task::Translate,
        language: Some("en".into()),
        prompt: Some("before".into()),
        temperature: 0.5,
        granularities: vec![Granularity::Word],
        parameters: object(json!({"key": 1})),
    };
    let speaker = Clip { name: "Anna", samples: &[0.0; 5], sample_rate: 16_000 };
    let mut heard = Heard::default();
    model.transcribe(&settings, &mut WholeAudio::new(&[0.0; 9]), &[speaker], &mut heard).expect("it transcribes");
    let [
        TranscriptEvent::Language { language, probability: Some(0.9) },
        TranscriptEvent::Logprobs { tokens },
        TranscriptEvent::Segment { segment },
        TranscriptEvent::Progress { .. },
    ] = &heard.events[..]
    else {
        panic!("{:?}", heard.events)
    };
    assert_eq!((language.as_str(), tokens[0].logprob), ("en", -1.0));
    let expected = json!({
        "read": 3, "rest": 6, "translate": true, "language": "en", "prompt": "before", "temperature": 0.5, "words": true,
        "parameters": {"key": 1}, "speakers": [["Anna", 5, 16_000]], "warm": true,
    });
    assert_eq!(parsed(&segment.text), expected);
    assert_eq!(segment.words.as_ref().map(|words| words[0].probability), Some(Some(0.5)));
    assert_eq!((segment.speaker.as_deref(), segment.emotion.as_deref()), (Some("A"), Some("happy")));

    let settings = SpeechSettings {
        text: "abc".into(),
        voice: Some("tit".into()),
        speed: 1.5,
        instructions: Some("softly".into()),
        parameters: object(json!({"key": 2})),
    };
    let clip = Clip { name: "prompt_speech", samples: &[0.5; 7], sample_rate: 16_000 };
    let mut heard = Heard::default();
    model.synthesize(&settings, &[clip], &mut heard).expect("it speaks");
    let notes = [[0.0; 100], [0.01; 100], [0.02; 100]].concat();
    assert_eq!(heard.samples, [&notes[..], &[0.5; 7]].concat());
    let [SpeechEvent::Warning { message }, SpeechEvent::Mark { text, .. }] = &heard.notes[..] else {
        panic!("{:?}", heard.notes)
    };
    let expected = json!({"voice": "tit", "speed": 1.5, "instructions": "softly", "parameters": {"key": 2}});
    assert_eq!((parsed(message), text.as_str()), (expected, "abc"));
    let (error, _) = speak(&model, "panic", json!({})).expect_err("it panics");
    assert!(error.message.contains("as asked"), "{error}");
    let mut sink = Keep { samples: Vec::new(), pushes_wanted: 2 };
    model.synthesize(&settings, &[], &mut sink).expect("a stopped job is no failure");
    assert_eq!(sink.samples.len(), 200);
}

#[test]
fn host_of_abi_1_2_takes_todays_plugin() {
    let output = Command::new(fixtures::golden_host()).arg(plain_beeper()).output().expect("it starts");
    let (line, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let expected = format!("host 1.2.0, plugin {ABI_VERSION}, cpu of 1: {} samples; 10 samples, cold", 2 * BEEP);
    assert_eq!(line.trim(), expected);
}

#[test]
fn plugin_of_another_major_version_is_refused_by_name() {
    let error = refusal(&beeper(Variant::Abi2_0).expect("it builds"));
    assert!(matches!(error, OpenError::WrongVersion { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("2.0.0") && message.contains(ABI_VERSION), "{message}");
}

#[test]
fn plugin_with_another_layout_is_refused() {
    let error = refusal(&beeper(Variant::BrokenLayout).expect("it builds"));
    assert!(matches!(error, OpenError::WrongLayout { .. }), "{error:?}");
    let message = error.to_string();
    // Both sides call themselves by the same version, and the message says so, and what differs.
    assert_eq!(message.matches(ABI_VERSION).count(), 2, "{message}");
    assert!(message.contains("prefix"), "{message}");
}

#[test]
fn panic_costs_its_job_only() {
    let model = load(&open(&plain_beeper()), json!({})).expect("it loads");
    std::thread::scope(|threads| {
        let neighbour = threads.spawn(|| speak(&model, "neighbour", json!({"fail": "slow", "pause_ms": 20})));
        for (fail, reason, beeps) in [
            ("panic", "no job today", 0),
            ("panic_late", "no rest of the job today", 1),
            ("panic_oddly", "no message", 0),
        ] {
            let (error, before) = speak(&model, "abc", json!({"fail": fail})).expect_err("it panics");
            assert_eq!(error.kind, ErrorKind::Internal);
            assert!(error.message.contains("panicked") && error.message.contains(reason), "{error}");
            assert_eq!(before.len(), beeps * BEEP, "what was pushed before stays");
            if fail != "panic_oddly" {
                let error = transcribe(&model, &[0.0; 10], json!({"fail": fail})).expect_err("it panics");
                assert!(error.message.contains(reason), "{error}");
            }
            assert_works(&model);
        }
        let neighbour = neighbour.join().expect("no panic crosses").expect("the job beside them goes through");
        assert_eq!(neighbour.len(), "neighbour".len() * BEEP);
    });
}

#[test]
fn error_keeps_its_kind_and_field() {
    let model = load(&open(&plain_beeper()), json!({})).expect("it loads");
    let (error, _) = speak(&model, "a", json!({"fail": "error"})).expect_err("it fails");
    assert_eq!((error.kind, error.field.as_deref()), (ErrorKind::InvalidInput, Some("fail")));
    let (error, before) = speak(&model, "abc", json!({"fail": "error_late"})).expect_err("it fails");
    assert_eq!((error.kind, before.len()), (ErrorKind::Internal, BEEP));
    let (error, _) = speak(&model, "a", json!({"pause_ms": "soon"})).expect_err("wrong type");
    assert_eq!(error.kind, ErrorKind::InvalidInput);
    assert!(error.message.contains("soon"), "{error}");
    let error = load(&open(&plain_beeper()), json!({"fail": "error"})).err().expect("it fails");
    assert_eq!(error.kind, ErrorKind::OutOfResources);
}

#[test]
fn panics_outside_of_jobs_are_contained() {
    let library = open(&plain_beeper());
    for (fail, reason) in [("panic", "no load today"), ("card", "no card today")] {
        let error = load(&library, json!({"fail": fail})).err().expect("it panics");
        assert!(error.message.contains(reason), "{error}");
    }
    let model = load(&library, json!({"fail": "warm_up"})).expect("it loads");
    assert!(model.warm_up().expect_err("it panics").message.contains("no warm-up today"));
    drop(load(&library, json!({"fail": "drop"})).expect("it loads"));
    assert_works(&load(&library, json!({})).expect("the library goes on"));

    for (variant, reason) in
        [(Variant::PanicInCreate, "no plugin today"), (Variant::PanicInManifest, "no manifest today")]
    {
        let error = refusal(&beeper(variant).expect("it builds"));
        assert!(matches!(error, OpenError::Broken(_)), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

/// A directory with spoilt copies of the beeper.
struct Spoilt {
    dir: tempfile::TempDir,
    whole: Vec<u8>,
}

impl Spoilt {
    fn new() -> Self {
        let whole = fs::read(plain_beeper()).expect("the beeper is there");
        Self { dir: tempfile::tempdir().expect("a temporary directory"), whole }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.dir.path().join(fixtures::library_name(name));
        fs::write(&path, content).expect("writing a file");
        path
    }
}

#[test]
fn truncated_plugin_is_refused_at_every_length() {
    let spoilt = Spoilt::new();
    let whole = &spoilt.whole;
    for length in [0, 1, 4, 16, 63, 64, 100, 4096, whole.len() / 2, whole.len() - 4096, whole.len() - 1] {
        let error = refusal(&spoilt.file(&format!("cut{length}"), &whole[..length]));
        let message = error.to_string();
        match length {
            1..=4 => assert!(matches!(error, OpenError::NotALibrary(_)), "{length}: {error:?}"),
            _ => assert!(message.contains("cut short"), "{length}: {message}"),
        }
    }
}

#[test]
fn other_files_are_refused_in_their_own_words() {
    let spoilt = Spoilt::new();
    // e_machine, a little-endian u16 at offset 18; 0xB7 is AArch64.
    let mut foreign = spoilt.whole.clone();
    foreign[18..20].copy_from_slice(&0xB7_u16.to_le_bytes());
    // The headers of an AArch64 library and nothing else: type 3 (shared object), version 1, header size 64.
    let mut stub = vec![0_u8; 64];
    stub[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (offset, value) in [(16, 3_u16), (18, 0xB7), (20, 1), (52, 64)] {
        stub[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
    }
    // An executable, not a library: type 2.
    let mut executable = spoilt.whole.clone();
    executable[16..18].copy_from_slice(&2_u16.to_le_bytes());

    for (name, content, expected) in [
        ("text", &b"This is no plugin.\n"[..], "not a shared library"),
        ("foreign", &foreign, "built for linux aarch64"),
        ("stub", &stub, "built for linux aarch64"),
        ("executable", &executable, "not a shared library: it is of kind Executable"),
    ] {
        let message = refusal(&spoilt.file(name, content)).to_string();
        assert!(message.contains(expected), "{name}: {message}");
        println!("{name}: {message}");
    }
    let missing = refusal(&spoilt.dir.path().join("libmissing.so"));
    assert!(matches!(missing, OpenError::Unreadable(_)), "{missing:?}");
    let directory = refusal(spoilt.dir.path());
    assert!(matches!(directory, OpenError::Unreadable(_)), "{directory:?}");
    assert_works(&load(&open(&plain_beeper()), json!({})).expect("the host is alive"));
}

/// Libraries that every process of this system has open anyway.
#[cfg(target_os = "linux")]
#[test]
fn library_that_is_no_plugin_is_refused() {
    let maps = fs::read_to_string("/proc/self/maps").expect("the process's own mappings");
    let libc = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|path| path.contains("libc.so"));
    let error = refusal(Path::new(libc.expect("the C library is mapped")));
    assert!(matches!(error, OpenError::NotAPlugin), "{error:?}");
    assert!(error.to_string().contains("syrinx_plugin_v1"), "{error}");
}
