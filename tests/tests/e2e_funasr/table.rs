//! What each model does by itself, what launch options add, replace and switch off, and what is refused: the table of the plugin's README, over
//! the catalogue's own entries.

use serde_json::{Value, json};
use syrinx_tests::{
    http,
    server::{Server, Settings, real_plugins},
};

use crate::door::{Running, expected, file, files, kit, launch_of, launched, list, refused_launch, running, speakers};

/// A model of the table.
pub(crate) struct Row {
    /// Its name in the catalogue.
    pub(crate) model: &'static str,
    /// The tiny recogniser that stands for it.
    pub(crate) files: &'static str,
    times: Times,
    speakers: Speakers,
    /// The recogniser whose text depends on hot words, where the model takes any.
    pub(crate) hotwords: Option<&'static str>,
}

/// Whether words have times.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Never,
    WhenAsked,
    Always,
}

/// Whether speakers are told apart.
#[derive(Clone, Copy, PartialEq)]
enum Speakers {
    Never,
    WithOption,
    Always,
}

/// The models of the table.
#[rustfmt::skip]
pub(crate) const MODELS: &[Row] = &[
    Row { model: "paraformer-zh", files: "paraformer-tiny", times: Times::Never, speakers: Speakers::Never, hotwords: None },
    Row { model: "paraformer-zh-hotword", files: "paraformer-hotword-tiny", times: Times::Never, speakers: Speakers::Never, hotwords: Some("contextual") },
    Row { model: "paraformer-zh-spk", files: "paraformer-long-tiny", times: Times::Always, speakers: Speakers::Always, hotwords: None },
    Row { model: "paraformer-zh-long", files: "paraformer-long-tiny", times: Times::Always, speakers: Speakers::WithOption, hotwords: None },
    Row { model: "seaco-paraformer-zh", files: "seaco", times: Times::Always, speakers: Speakers::WithOption, hotwords: Some("seaco") },
    Row { model: SENSEVOICE, files: "sensevoice-tiny", times: Times::WhenAsked, speakers: Speakers::WithOption, hotwords: None },
];

const SENSEVOICE: &str = "SenseVoiceSmall";

/// Hot words of the reference's cases.
pub(crate) const HOTWORDS: &str = "达摩院 宇宙 语音识别";

/// A row by its model.
pub(crate) fn row(model: &str) -> &'static Row {
    MODELS.iter().find(|row| row.model == model).expect("it is in the table")
}

/// Whether a text has punctuation, Chinese or English.
fn is_punctuated(text: &str) -> bool {
    text.contains(['，', '。', '？', '、', ',', '.', '?'])
}

/// Letters and digits in lower case.
fn letters(text: &str) -> String {
    text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The text of a case of the reference, without tags.
fn reference(case: &str) -> Option<String> {
    let case = expected(case)?;
    let text = case["results"][0]["text"].as_str().expect("a text");
    let parts = text.split("<|").map(|part| part.split_once("|>").map_or(part, |(_, rest)| rest));
    Some(parts.collect())
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn they_say_what_the_reference_says() {
    let hot = [("hotword", HOTWORDS)];
    for (model, case, fields) in [
        ("paraformer-zh", "e2e_plain_paraformer", &[][..]),
        ("paraformer-zh-hotword", "e2e_hotword_contextual", &hot),
        ("paraformer-zh-spk", "e2e_spk_preset2", &[("preset_spk_num", "2")]),
        ("paraformer-zh-long", "e2e_spk_preset2", &[]),
        ("seaco-paraformer-zh", "e2e_hotword_seaco", &hot),
        (SENSEVOICE, "e2e_sensevoice_merge", &[("emoji", "false")]),
    ] {
        // The project has no results of a real SeACo model; whole kits do.
        if let Some(reference) = reference(case) {
            let text = running(row(model)).text(fields);
            assert_eq!(without_space(&text), without_space(&reference), "{model}");
        }
    }
}

#[test]
fn speech_is_looked_for() {
    for row in MODELS {
        let model = running(row);
        assert!(model.has_parameter("merge_vad"), "{}", row.model);
        let blind = launched(row, "blind", json!({"vad_model": "none", "spk_model": "none"}));
        assert!(!blind.has_parameter("merge_vad"), "{}", row.model);
        assert_ne!(model.text(&[]), blind.text(&[]), "{}: it hears all of it as one piece", row.model);
        let other = launched(row, "tiny-vad", json!({"vad_model": kit("models/fsmn-vad-tiny")}));
        assert_ne!(model.text(&[]), other.text(&[]), "{}: another detector finds other stretches", row.model);
        let (field, message) = refused_launch(row, &json!({"vad_model": "no-such-model"}));
        assert_eq!(field, "vad_model", "{message}");
        assert!(message.contains("fsmn-vad"), "{message}");
    }
}

#[test]
fn texts_are_punctuated() {
    for row in MODELS {
        let text = running(row).text(&[]);
        assert!(is_punctuated(&text), "{}: {text}", row.model);
        if row.model == SENSEVOICE {
            let plain = running(row).text(&[("use_itn", "false"), ("merge_vad", "false")]);
            assert!(!plain.contains('。'), "its marks are its own: {plain}");
            continue;
        }
        let bare = launched(row, "bare", json!({"punc_model": "none", "spk_model": "none"})).text(&[]);
        assert!(!is_punctuated(&bare), "{}: {bare}", row.model);
        assert_eq!(letters(&bare), letters(&text), "{}: marks are all that is added", row.model);
        let (field, message) = refused_launch(row, &json!({"punc_model": "no-such-model"}));
        assert_eq!(field, "punc_model", "{message}");
        assert!(message.contains("ct-punc"), "{message}");
    }
}

/// Words and their times, in order and where the segments are.
fn assert_timed(document: &Value, model: &str) {
    let words = list(document, "words");
    assert!(words.len() > 10, "{model}: {document}");
    let time = |of: &Value, name: &str| of[name].as_f64().expect("seconds");
    assert!(words.windows(2).all(|pair| time(&pair[0], "start") <= time(&pair[1], "start")), "{model}: {words:?}");
    for word in words {
        assert!(!word["word"].as_str().expect("a text").trim().is_empty(), "{model}: {word}");
        let (start, end) = (time(word, "start"), time(word, "end"));
        let is_within = |segment: &Value| time(segment, "start") <= start && end <= time(segment, "end");
        assert!(start < end && list(document, "segments").iter().any(is_within), "{model}: {word}");
    }
    let said: String = words.iter().filter_map(|word| word["word"].as_str()).collect();
    assert_eq!(letters(&said), letters(document["text"].as_str().expect("a text")), "{model}");
}

#[test]
fn words_have_times() {
    for row in MODELS {
        let model = running(row);
        let by_itself = model.verbose(&[]);
        assert_eq!(by_itself.get("words").is_some(), row.times == Times::Always, "{}: {by_itself}", row.model);
        let ways = [("timestamp_granularities[]", "word"), ("timestamp", "true"), ("output_timestamp", "true")];
        // What the tiny SenseVoice says of joined stretches has tags within words.
        let apart = ("merge_vad", "false");
        for way in ways {
            let fields = [("response_format", "verbose_json"), way];
            if row.times != Times::Never {
                assert_timed(&model.verbose(&[way, apart]), row.model);
                continue;
            }
            let (field, message) = model.refused(&fields);
            let blamed = if way.1 == "word" { "timestamp_granularities" } else { "timestamp" };
            assert_eq!(field, blamed, "{}: {message}", row.model);
            for able in MODELS.iter().filter(|row| row.times != Times::Never) {
                assert!(message.contains(able.model), "{}: {message}", row.model);
            }
        }
        // Segments have times everywhere.
        let ends: Vec<f64> =
            list(&by_itself, "segments").iter().filter_map(|segment| segment["end"].as_f64()).collect();
        assert!(ends.len() > 1 && ends.is_sorted(), "{}: {ends:?}", row.model);
    }
}

/// What a model says of who speaks.
fn assert_tells_speakers(model: &Running<'_>) {
    let diarized = model.document("diarized_json", &[]);
    let count = list(&diarized, "segments").len();
    assert!(count > 1 && speakers(&diarized).len() == count, "{}: {diarized}", model.uid);
    let two = model.verbose(&[("preset_spk_num", "2")]);
    let mut names = speakers(&two);
    assert_eq!(names.len(), list(&two, "segments").len(), "{}: {two}", model.uid);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["A", "B"], "{}", model.uid);
    let untold = model.verbose(&[("return_spk_res", "false")]);
    assert!(speakers(&untold).is_empty(), "{}: {untold}", model.uid);
    // With times of words there are no emoji.
    let [untold, two] = [untold, two].map(|document| letters(document["text"].as_str().expect("a text")));
    assert_eq!(untold, two, "{}", model.uid);
}

fn assert_tells_no_speakers(model: &Running<'_>) {
    for (field, value) in [("response_format", "diarized_json"), ("preset_spk_num", "2"), ("return_spk_res", "true")] {
        let (blamed, message) = model.refused(&[(field, value)]);
        assert_eq!(blamed, field, "{}: {message}", model.uid);
        assert_says_who_can(&message);
    }
    let verbose = model.verbose(&[]);
    assert!(speakers(&verbose).is_empty(), "{}: {verbose}", model.uid);
}

fn assert_says_who_can(message: &str) {
    for able in ["paraformer-zh-spk", "paraformer-zh-long", "seaco-paraformer-zh", "cam++"] {
        assert!(message.contains(able), "{message}");
    }
}

#[test]
fn speakers_are_told_apart() {
    for row in MODELS {
        let by_itself = running(row);
        match row.speakers {
            Speakers::Always => {
                assert_tells_speakers(&by_itself);
                assert_tells_no_speakers(&launched(row, "speakerless", json!({"spk_model": "none"})));
            }
            Speakers::WithOption => {
                assert_tells_no_speakers(&by_itself);
                // By its name and by its path.
                assert_tells_speakers(&launched(row, "by-name", json!({"spk_model": "cam++"})));
                let path = kit("models/campplus-tiny");
                assert_tells_speakers(&launched(row, "by-path", json!({"spk_model": path})));
            }
            Speakers::Never => {
                assert_tells_no_speakers(&by_itself);
                let (field, message) = refused_launch(row, &json!({"spk_model": "cam++"}));
                assert_eq!(field, "spk_model", "{}: {message}", row.model);
                assert_says_who_can(&message);
            }
        }
    }
}

#[test]
fn hotwords_are_heard_where_the_model_can() {
    let list = file("hotwords.txt", &HOTWORDS.replace(' ', "\n"));
    for row in MODELS {
        let model = running(row);
        assert_eq!(model.has_parameter("hotword"), row.hotwords.is_some(), "{}", row.model);
        let Some(listening) = row.hotwords else {
            assert_eq!(model.text(&[]), model.text(&[("hotword", HOTWORDS)]), "{}", row.model);
            let (field, message) = refused_launch(row, &json!({"hotword_file": list}));
            assert_eq!(field, "hotword_file", "{}: {message}", row.model);
            for able in MODELS.iter().filter(|row| row.hotwords.is_some()) {
                assert!(message.contains(able.model), "{}: {message}", row.model);
            }
            continue;
        };
        let path = files(listening);
        let model = launched(row, "listening", json!({"model_path": path}));
        let (plain, hot) = (model.text(&[]), model.text(&[("hotword", HOTWORDS)]));
        assert_ne!(plain, hot, "{}", row.model);
        let other = model.text(&[("hotword", "世界 你好")]);
        assert!(other != hot && other != plain, "{}: {other}", row.model);
        let kwargs = json!({"hotword": HOTWORDS}).to_string();
        assert_eq!(model.text(&[("kwargs", &kwargs)]), hot, "{}", row.model);
        let keywords: Vec<(&str, &str)> = HOTWORDS.split(' ').map(|word| ("keywords[]", word)).collect();
        assert_eq!(model.text(&keywords), hot, "{}", row.model);
        let of_file = launched(row, "of-file", json!({"model_path": path, "hotword_file": list}));
        assert_eq!(of_file.text(&[]), hot, "{}", row.model);
        assert_eq!(of_file.text(&[("hotword", "世界 你好")]), other, "{}: a request's words come first", row.model);
    }
}

/// Companions by path, on a machine that has no network and of the catalogue's companions only the detector.
#[test]
fn paths_need_no_network() {
    let server = Server::start(Settings {
        plugins: vec![real_plugins()],
        own_store: true,
        environment: ["SYRINX_OFFLINE", "HF_HUB_OFFLINE"].map(|name| (name.to_owned(), "1".to_owned())).to_vec(),
        ..Settings::default()
    });
    let companion = |name: &str| kit("models").join(name);
    for row in MODELS {
        let mut options = json!({"vad_model": companion("fsmn-vad-tiny")});
        if row.model != SENSEVOICE {
            let mut launch = launch_of(row, row.model, &options);
            launch["model_type"] = json!("audio");
            let refused = http::post(&server.url("/v1/models")).json(&launch).run();
            assert_eq!(refused.status, 400, "{}: {}", row.model, refused.text());
            assert!(refused.error().contains("ct-punc"), "{}: {}", row.model, refused.text());
            options["punc_model"] = json!(companion("punc-tiny"));
        }
        if row.speakers == Speakers::Always {
            options["spk_model"] = json!(companion("campplus-tiny"));
        }
        server.launch(&launch_of(row, row.model, &options));
        let text = Running { server: &server, uid: row.model.to_owned() }.text(&[]);
        assert!(is_punctuated(&text), "{}: {text}", row.model);
    }
}
