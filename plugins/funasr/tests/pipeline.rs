//! The plugin as the host sees it, with models of the kit and the real voice activity detector.

mod made;

use std::path::{Path, PathBuf};

use made::Made;
use serde_json::{Value, json};
use syrinx_plugin_api::{
    AudioInput, Clip, Error, ErrorKind, Granularity, Host, LoadRequest, Model, Plugin, TranscribeRequest,
    TranscribeSettings,
};
use syrinx_plugin_common::kits;
use syrinx_plugin_common::testing::{HeardText, recording};
use syrinx_plugin_funasr::FunasrPlugin;
use syrinx_registry::{Catalogue, FetchOptions, Silent, Store};

fn kit() -> PathBuf {
    kits::folder("funasr").expect("it is in the project")
}

fn store() -> Store {
    Store::default_location().expect("the store")
}

fn real_vad() -> PathBuf {
    let asset = Catalogue::builtin().asset("fsmn-vad").expect("it is listed");
    store().fetch_asset(&asset, &FetchOptions::default(), &Silent).expect("the package can be fetched")
}

fn host() -> Host {
    let library = store().fetch_runtime("onnxruntime", &FetchOptions::default(), &Silent).expect("ONNX Runtime");
    let runtime_libraries = [("onnxruntime".to_owned(), library)].into();
    Host::detached(syrinx_plugin_api::Detached { runtime_libraries, ..Default::default() })
}

/// Loads a recogniser of the kit with options, in which names of the kit's models are paths.
fn load(model: &str, options: Value) -> Result<Box<dyn Model>, Error> {
    load_from(&kit().join("models").join(model), options)
}

/// As [`load`], of another directory.
fn load_from(directory: &Path, options: Value) -> Result<Box<dyn Model>, Error> {
    let mut options = options.as_object().cloned().expect("an object");
    for (_, value) in options.iter_mut().filter(|(name, _)| name.ends_with("_model")) {
        if let Some(name) = value.as_str().filter(|name| name.ends_with("-tiny")) {
            *value = json!(kit().join("models").join(name));
        }
    }
    options.entry("quantize").or_insert(json!(false));
    FunasrPlugin.load(
        LoadRequest {
            model: "the model".to_owned(),
            model_dir: directory.to_owned(),
            assets: [("fsmn-vad".to_owned(), real_vad())].into(),
            options,
            threads: 1,
        },
        host(),
    )
}

fn transcribe(
    model: &dyn Model,
    samples: &[f32],
    parameters: Value,
    settings: TranscribeSettings,
    most: Option<usize>,
) -> Result<HeardText, Error> {
    let parameters = parameters.as_object().cloned().expect("an object");
    let settings = TranscribeSettings { parameters, ..settings };
    HeardText::of(model, TranscribeRequest::new(settings, AudioInput::from_samples(samples)), most)
}

fn listen(model: &dyn Model, samples: &[f32], parameters: Value) -> HeardText {
    transcribe(model, samples, parameters, TranscribeSettings::default(), None).expect("it is transcribed")
}

/// The clips of the kit: 29.7 s.
fn clips() -> Vec<f32> {
    recording(&kit().join("audio/long_mix.wav")).expect("the kit's clips")
}

/// What the reference says of the clips.
fn expected(case: &str) -> Value {
    let text = std::fs::read_to_string(kit().join("cases").join(format!("{case}.json"))).expect("a case of the kit");
    serde_json::from_str::<Value>(&text).expect("JSON")["expect"]["results"][0].clone()
}

fn without_space(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

#[test]
fn a_plain_model_says_what_the_reference_says() {
    let model = load("paraformer-tiny", json!({"punc_model": "punc-tiny"})).expect("it loads");
    model.warm_up().expect("it works");
    let card = model.card();
    assert_eq!((card.granularities, card.diarizes), (vec![Granularity::Segment], false));
    assert!(!card.parameters["properties"].as_object().unwrap().contains_key("hotword"));
    let heard = listen(&*model, &clips(), json!({"batch_size_s": 300}));
    assert_eq!(heard.text(), expected("e2e_plain_paraformer")["text"].as_str().unwrap());
    assert_eq!(heard.languages, ["zh"]);
    assert!(heard.segments.iter().enumerate().all(|(i, segment)| segment.id == i));
    // Without times of words, segments are the detector's.
    assert_eq!((heard.segments[0].start, heard.segments[0].end), (1.17, 5.99));
    assert!((heard.progress[heard.progress.len() - 1] - clips().len() as f64 / 16_000.0).abs() < 1e-6);
}

#[test]
fn hot_words_are_heard() {
    let model = load("paraformer-hotword-tiny", json!({"punc_model": "punc-tiny"})).expect("it loads");
    let heard = listen(&*model, &clips(), json!({"hotword": "达摩院 宇宙 语音识别"}));
    assert_eq!(heard.text(), expected("e2e_hotword_contextual")["text"].as_str().unwrap());
    let listed = listen(&*model, &clips(), json!({"hotword": ["达摩院", "宇宙"], "keywords": ["语音识别"]}));
    assert_eq!(listed.text(), heard.text());
    let bad = transcribe(&*model, &clips(), json!({"hotword": "a\u{7}b"}), TranscribeSettings::default(), None);
    assert_eq!(bad.err().and_then(|error| error.field).as_deref(), Some("hotword"));
}

/// Sentences with times, and who says them.
#[test]
fn sentences_have_times_and_speakers() {
    let options = json!({"punc_model": "punc-tiny", "spk_model": "campplus-tiny"});
    let model = load("paraformer-long-tiny", options).expect("it loads");
    model.warm_up().expect("it works");
    assert!(model.card().diarizes);
    let want = expected("e2e_spk_preset2");
    let heard = listen(&*model, &clips(), json!({"preset_spk_num": 2}));
    assert_eq!(heard.text(), want["text"].as_str().unwrap().trim());
    let words: Vec<Value> = heard
        .segments
        .iter()
        .flat_map(|segment| segment.words.clone().unwrap_or_default())
        .map(|word| json!([(word.start * 1000.0).round(), (word.end * 1000.0).round()]))
        .collect();
    let spans: Vec<Value> =
        want["timestamp"].as_array().unwrap().iter().map(|span| json!([span[0].as_f64(), span[1].as_f64()])).collect();
    assert_eq!(words, spans);
    for (segment, sentence) in heard.segments.iter().zip(want["sentence_info"].as_array().unwrap()) {
        let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
        assert_eq!(json!([ms(segment.start), ms(segment.end)]), json!([sentence["start"], sentence["end"]]));
        assert_eq!(segment.speaker.as_deref(), Some(sentence["spk"].to_string().as_str()));
    }
    let alone = listen(&*model, &clips(), json!({"return_spk_res": false}));
    assert_eq!(alone.text(), heard.text());
    assert!(alone.segments.iter().all(|segment| segment.speaker.is_none()));
}

#[test]
fn a_known_speaker_has_a_name() {
    let options = json!({"punc_model": "punc-tiny", "spk_model": "campplus-tiny"});
    let model = load("paraformer-long-tiny", options).expect("it loads");
    let samples = clips();
    let voice = Clip { name: "Ann", samples: &samples[18_720..95_840], sample_rate: 16_000 };
    let request = TranscribeRequest {
        known_speakers: vec![voice],
        ..TranscribeRequest::new(TranscribeSettings::default(), AudioInput::from_samples(&samples))
    };
    let heard = HeardText::of(&*model, request, None).expect("it is transcribed");
    assert_eq!(heard.segments[0].speaker.as_deref(), Some("Ann"));
}

/// Segments come before the audio is over, and a job ends when nobody listens.
#[test]
fn segments_come_as_they_are_known() {
    let model = load("paraformer-long-tiny", json!({"punc_model": "punc-tiny"})).expect("it loads");
    let stopped =
        transcribe(&*model, &clips(), json!({}), TranscribeSettings::default(), Some(1)).expect("it is no error");
    assert_eq!(stopped.segments.len(), 1);
    assert!(stopped.progress.iter().all(|seconds| *seconds < 25.0), "{:?}", stopped.progress);
}

#[test]
fn tags_become_fields_and_leave_the_text() {
    let options = json!({"vad_kwargs": {"max_single_segment_time": 30_000}});
    let model = load("sensevoice-tiny", options).expect("it loads");
    model.warm_up().expect("it works");
    let mut parameters = json!({"use_itn": true, "batch_size_s": 60, "merge_vad": true, "merge_length_s": 15});
    let want = expected("e2e_sensevoice_merge");
    // Emoji of neighbours are shown once, as the reference shows them in the text of a whole recording.
    let shown = listen(&*model, &clips(), parameters.clone()).text();
    let emoji = syrinx_plugin_funasr::text::rich::with_emoji(want["text"].as_str().unwrap());
    assert_eq!(without_space(&shown), without_space(&emoji));
    parameters["emoji"] = json!(false);
    let heard = listen(&*model, &clips(), parameters);
    let plain = syrinx_plugin_funasr::text::rich::without_tags(want["text"].as_str().unwrap());
    assert_eq!(without_space(&heard.text()), without_space(&plain));
    let first = &heard.segments[0];
    assert_eq!((first.language.as_deref(), first.event.as_deref()), (Some("zh"), Some("speech")));
    assert!(first.emotion.is_some() && first.words.is_none());
    let words = TranscribeSettings { granularities: vec![Granularity::Word], ..TranscribeSettings::default() };
    let timed = transcribe(&*model, &clips(), json!({"use_itn": true}), words, None).expect("it is transcribed");
    let times: Vec<f64> =
        timed.segments.iter().flat_map(|segment| segment.words.iter().flatten().map(|word| word.start)).collect();
    assert!(times.len() > 5 && times.is_sorted(), "{times:?}");
}

/// A batch is padded to its longest stretch, which nobody hears: not the stretches that are shorter, nor their hot words.
#[test]
fn stretches_say_the_same_together_and_alone() {
    let of_kit = |name: &str| kit().join("models").join(name);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let made = [Made::Contextual, Made::Seaco].map(|kind| {
        let directory = folder.path().join(format!("{kind:?}"));
        std::fs::create_dir(&directory).expect("a test's directory");
        made::make(kind, &of_kit("paraformer-long-tiny"), &directory);
        directory
    });
    // Whole kits have a SeACo model that was trained to be one, as an official graph.
    let trained = Some(of_kit("seaco-tiny")).filter(|directory| directory.is_dir());
    let few = "达摩院 宇宙 语音识别 魔搭 你好";
    // More than are decoded without being filtered.
    let many: String = "天地玄黄宇宙洪荒日月盈昃辰宿列张".repeat(5).chars().map(|word| format!("{word} ")).collect();
    // Without punctuation stretches don't wait for each other's marks, and are recognised in one batch but for the first.
    let options = json!({"punc_model": "none"});
    for directory in made.iter().chain(&trained) {
        let model = load_from(directory, options.clone()).expect("it loads");
        let mut texts = Vec::new();
        for hotword in ["", few, &many] {
            let heard = [0, 300].map(|s| listen(&*model, &clips(), json!({"hotword": hotword, "batch_size_s": s})));
            assert_eq!(heard[0].segments, heard[1].segments, "{}, {hotword}", directory.display());
            texts.push(heard[0].text());
        }
        assert!(texts[0] != texts[1] && texts[1] != texts[2], "{}: {texts:?}", directory.display());
    }
    for name in ["paraformer-tiny", "paraformer-hotword-tiny", "paraformer-long-tiny", "sensevoice-tiny"] {
        let model = load(name, options.clone()).expect("it loads");
        let [alone, together] = [0, 300].map(|s| listen(&*model, &clips(), json!({"batch_size_s": s})));
        assert!(alone.segments.len() > 2, "{name}");
        assert_eq!(alone.segments, together.segments, "{name}");
    }
    let [plain, seaco] = [&of_kit("paraformer-long-tiny"), &made[1]].map(|directory| {
        listen(&*load_from(directory, options.clone()).expect("it loads"), &clips(), json!({})).segments
    });
    assert_eq!(plain, seaco, "without hot words it is what it was made of");
}

#[test]
fn nothing_said_is_no_error() {
    for (name, options) in [
        ("paraformer-long-tiny", json!({"punc_model": "punc-tiny", "spk_model": "campplus-tiny"})),
        ("sensevoice-tiny", json!({})),
        ("paraformer-tiny", json!({"vad_model": "none"})),
    ] {
        let model = load(name, options).expect("it loads");
        for samples in [vec![], vec![0.0; 800], vec![0.0; 80_000], clips()[9000 + 16_000..9000 + 16_800].to_vec()] {
            let heard = listen(&*model, &samples, json!({"merge_vad": true}));
            let is_short = samples.len() <= 800 || samples.iter().all(|sample| *sample == 0.0);
            assert!(!is_short || name == "paraformer-tiny" || heard.text().is_empty(), "{name}: {}", heard.text());
        }
    }
}

/// Hours of audio of which only the last seconds are speech.
#[test]
fn long_silences_are_let_go() {
    let model = load("sensevoice-tiny", json!({})).expect("it loads");
    let mut samples = vec![0.0; 16_000 * 60 * 12];
    samples.extend(clips());
    for merge in [false, true] {
        let heard = listen(&*model, &samples, json!({"merge_vad": merge, "use_itn": true}));
        assert!(heard.segments[0].start > 700.0 && !heard.text().is_empty());
    }
}

#[test]
#[ignore = "needs 2 GB and a minute or two"]
fn a_working_day_is_heard_to_its_end() {
    let model = load("paraformer-tiny", json!({"punc_model": "punc-tiny"})).expect("it loads");
    let clips = clips();
    let hours = 8 * 3600 * 16_000 / clips.len();
    let samples = clips.repeat(hours);
    let heard = listen(&*model, &samples, json!({}));
    let last = heard.segments.last().expect("there is speech");
    assert!((last.end - samples.len() as f64 / 16_000.0).abs() < 30.0, "{}", last.end);
    assert!(heard.segments.windows(2).all(|pair| pair[0].start <= pair[1].start));
}

/// What the launch asks for: bytes where the files have floats.
#[test]
fn weights_are_quantised_when_asked_for() {
    let options = |dtype: &str| json!({"punc_model": "punc-tiny", "dtype": dtype});
    let exact = load("paraformer-tiny", options("float32")).expect("it loads");
    let bytes = load("paraformer-tiny", options("int8")).expect("it loads");
    assert_eq!([exact.card().dtype, bytes.card().dtype], ["float32", "int8"]);
    let [exact, bytes] = [exact, bytes].map(|model| listen(&*model, &clips(), json!({})));
    // The detector stays exact, and so do the stretches; of the tiny network's text most is left.
    assert_eq!(bytes.segments.len(), exact.segments.len());
    assert_eq!(bytes.segments[0].start, exact.segments[0].start);
    let (exact, bytes) = (exact.text(), bytes.text());
    let mut rest: Vec<char> = bytes.chars().collect();
    let lost = exact.chars().filter(|character| {
        let found = rest.iter().position(|other| other == character);
        found.map(|at| rest.remove(at)).is_none()
    });
    assert!(lost.count() * 10 < exact.chars().count(), "{exact}\n{bytes}");
    assert!(load("paraformer-tiny", json!({"dtype": "int3"})).is_err());
}

#[test]
fn what_a_model_cannot_do_is_refused() {
    let refused = load("paraformer-tiny", json!({"spk_model": "campplus-tiny"})).err().expect("no times, no speakers");
    assert_eq!((refused.kind, refused.field.as_deref()), (ErrorKind::InvalidInput, Some("spk_model")));
    assert!(refused.message.contains("paraformer-zh-spk"), "{}", refused.message);
    let refused = load("paraformer-tiny", json!({"vad_model": "/nowhere"})).err().expect("there is nothing");
    assert_eq!(refused.field.as_deref(), Some("vad_model"));
    let refused = load("paraformer-tiny", json!({"device": "abacus"})).err().expect("no device");
    assert_eq!(refused.field.as_deref(), Some("device"));

    let model = load("paraformer-tiny", json!({})).expect("it loads");
    let field = |parameters: Value, settings: TranscribeSettings| {
        let refused = transcribe(&*model, &[0.0; 16_000], parameters, settings, None).expect_err("it is refused");
        (refused.field.unwrap_or_default(), refused.message)
    };
    let (name, message) = field(json!({"preset_spk_num": 2}), TranscribeSettings::default());
    assert_eq!(name, "preset_spk_num");
    assert!(message.contains("paraformer-zh-spk"));
    let words = TranscribeSettings { granularities: vec![Granularity::Word], ..TranscribeSettings::default() };
    assert_eq!(field(json!({}), words).0, "timestamp_granularities");
    let warm = TranscribeSettings { temperature: 0.5, ..TranscribeSettings::default() };
    assert_eq!(field(json!({}), warm).0, "temperature");
    assert_eq!(field(json!({"max_end_silence_time": 10}), TranscribeSettings::default()).0, "max_end_silence_time");
}
