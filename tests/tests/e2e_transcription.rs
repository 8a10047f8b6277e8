//! Real recordings through `curl` into real Whisper weights.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::sync::OnceLock;
use syrinx_tests::{
    clips::clip,
    http::{self, Request, Response},
    server::Server,
    sound::Sound,
    text,
};

const MODEL: &str = "whisper-base";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::real_with(&[MODEL], &[]))
}

fn request(name: &str) -> Request {
    let clip = clip(name);
    http::post(&server().url("/v1/audio/transcriptions"))
        .field("model", MODEL)
        .field("language", &clip.language)
        .file("file", &clip.path())
}

fn good(request: Request) -> Response {
    let response = request.run();
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

fn transcript(name: &str) -> String {
    let answer = good(request(name)).json();
    answer["text"].as_str().expect("a text").trim().to_owned()
}

/// Error rates of the base model that the kit's README gives in section 16, openai-whisper with beam 5: words for
/// languages with spaces, else characters.
#[test]
fn recordings_are_understood_as_well_as_by_the_reference() {
    for (name, limit) in [("en_quick_brown_fox", 0.0), ("en_jfk", 0.0), ("es_pangrama", 0.45)] {
        let (clip, got) = (clip(name), transcript(name));
        let rate = text::word_error_rate(clip.transcript.as_deref().expect("it is known"), &got);
        println!("{name}: word error rate {rate:.3}: {got}");
        assert!(rate <= limit, "{name}: {rate:.3} > {limit}: {got}");
    }
    for (name, limit) in [("zh_pangrama", 0.32), ("zh_zero_shot_prompt", 0.08)] {
        let (clip, got) = (clip(name), transcript(name));
        let rate = text::character_error_rate(clip.transcript.as_deref().expect("it is known"), &got);
        println!("{name}: character error rate {rate:.3}: {got}");
        assert!(rate <= limit, "{name}: {rate:.3} > {limit}: {got}");
    }
    // The reference, too, writes digits here.
    assert_eq!(transcript("en_counting"), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10.");
    // No transcript is known; the reference hears Hong Kong Airlines.
    let radio = transcript("zh_common_voice");
    assert!(radio.contains("香港航空"), "{radio}");
}

#[test]
fn every_format_carries_the_same_transcript() {
    let whole = transcript("en_jfk");
    let plain = good(request("en_jfk").field("response_format", "text"));
    assert!(plain.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    assert_eq!(plain.text().trim(), whole);

    let verbose = good(request("en_jfk").field("response_format", "verbose_json")).json();
    assert_eq!(verbose["task"], "transcribe");
    assert!(matches!(verbose["language"].as_str(), Some("en" | "english")), "{}", verbose["language"]);
    let duration = verbose["duration"].as_f64().expect("a duration");
    assert!((duration - clip("en_jfk").seconds).abs() < 0.02, "{duration}");
    assert_eq!(verbose["text"].as_str().map(str::trim), Some(whole.as_str()));
    let segments = verbose["segments"].as_array().expect("segments");
    let joined: String = segments.iter().map(|segment| segment["text"].as_str().unwrap_or_default()).collect();
    assert_eq!(joined.trim(), whole);
    let mut last = 0.0;
    for segment in segments {
        let (start, end) = (segment["start"].as_f64().expect("a time"), segment["end"].as_f64().expect("a time"));
        assert!(last <= start && start <= end && end <= duration + 0.001, "{segment}");
        assert!(segment["avg_logprob"].as_f64().is_some_and(|value| value < 0.0), "{segment}");
        assert!(segment["compression_ratio"].as_f64().is_some_and(|value| value > 0.5), "{segment}");
        assert!(segment["tokens"].as_array().is_some_and(|tokens| !tokens.is_empty()), "{segment}");
        last = end;
    }
    assert_eq!(verbose.get("words"), None, "words only when asked for");

    let srt = good(request("en_jfk").field("response_format", "srt")).text();
    assert!(srt.starts_with("1\n00:00:0"), "{srt}");
    let vtt = good(request("en_jfk").field("response_format", "vtt")).text();
    assert!(vtt.starts_with("WEBVTT\n\n"), "{vtt}");
    assert_eq!(srt.matches(" --> ").count(), segments.len());
    assert_eq!(vtt.matches(" --> ").count(), segments.len());
    let spoken = |subtitles: &str| {
        let lines =
            subtitles.lines().filter(|line| line.chars().any(char::is_alphabetic) && !line.starts_with("WEBVTT"));
        lines.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(spoken(&srt), whole);
    assert_eq!(spoken(&vtt), whole);
}

#[test]
fn words_have_times_when_asked_for() {
    let request = request("en_jfk").field("response_format", "verbose_json");
    let answer =
        good(request.field("timestamp_granularities[]", "word").field("timestamp_granularities[]", "segment")).json();
    let words = answer["words"].as_array().expect("words");
    assert_eq!(words.len(), 22, "{words:?}");
    let country = words.iter().find(|word| word["word"].as_str().is_some_and(|word| word.trim() == "country"));
    let start = country.expect("it is said")["start"].as_f64().expect("a time");
    assert!((5.0..9.0).contains(&start), "{start}");
    let times: Vec<f64> = words.iter().filter_map(|word| word["start"].as_f64()).collect();
    assert!(times.is_sorted() && times.len() == words.len());
}

#[test]
fn language_is_found_out() {
    for (name, code, english) in
        [("en_jfk", "en", "english"), ("es_pangrama", "es", "spanish"), ("zh_pangrama", "zh", "chinese")]
    {
        let request = http::post(&server().url("/v1/audio/transcriptions"))
            .file("file", &clip(name).path()) // before the model, as some clients do
            .field("model", MODEL)
            .field("response_format", "verbose_json");
        let answer = good(request).json();
        let language = answer["language"].as_str().unwrap_or_default().to_lowercase();
        assert!(language == code || language == english, "{name}: {answer}");
    }
}

#[test]
fn translation_is_english() {
    let clip = clip("es_pangrama");
    let request = http::post(&server().url("/v1/audio/translations")).field("model", MODEL).field("language", "es");
    let answer = good(request.file("file", &clip.path()).field("response_format", "verbose_json")).json();
    assert_eq!(answer["task"], "translate");
    let text = answer["text"].as_str().expect("a text").to_lowercase();
    assert!(text.contains("happy") || text.contains("kiwi"), "{text}");
}

#[test]
fn json_with_base64_works_as_in_the_users_document() {
    // A trailing comma, a Python word and a comment: the document has all three.
    let sound = std::fs::read(clip("en_quick_brown_fox").path()).expect("the clip is there");
    let body = format!(
        "{{\"model\": \"{MODEL}\", # the uid\n \"file\": \"{}\", \"stream\": False, \"prompt\": None,}}",
        text::base64(&sound)
    );
    let request = http::post(&server().url("/v1/audio/transcriptions")).body("application/json", body.as_bytes());
    let text = good(request).json()["text"].as_str().expect("a text").to_owned();
    assert_eq!(text::plain(&text), "the quick brown fox jumps over the lazy dog");
}

#[test]
fn events_add_up_to_the_transcript() {
    let answer = good(request("en_jfk").field("stream", "true"));
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let body = answer.text();
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")))
        .collect();
    let deltas: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    let done = events.last().expect("events");
    assert_eq!(done["type"], "transcript.text.done", "{body}");
    assert_eq!(done["text"], json!(deltas));
    assert_eq!(deltas.trim(), transcript("en_jfk"));
}

#[test]
fn long_recording_is_transcribed_window_by_window() {
    // 5 × (jfk and a second of silence), as in the kit's speed table.
    let jfk = Sound::open(&long_clip()).expect("it reads");
    assert!((jfk.seconds() - 60.0).abs() < 0.1);
    let request = http::post(&server().url("/v1/audio/transcriptions")).field("model", MODEL).field("language", "en");
    let answer = good(request.file("file", &long_clip()).field("response_format", "verbose_json")).json();
    let reference = vec![clip("en_jfk").transcript.expect("it is known"); 5].join(" ");
    let rate = text::word_error_rate(&reference, answer["text"].as_str().expect("a text"));
    println!("60 s: word error rate {rate:.3}");
    assert!(rate <= 0.05, "{rate}: {answer}");
    let end = answer["segments"].as_array().and_then(|all| all.last()?["end"].as_f64()).expect("segments");
    assert!(end > 55.0, "{end}");
}

#[test]
fn requests_side_by_side_are_all_served() {
    let pending: Vec<_> = (0..4).map(|_| request("en_quick_brown_fox").start()).collect();
    for pending in pending {
        let response = pending.wait();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(
            text::plain(response.json()["text"].as_str().expect("a text")),
            "the quick brown fox jumps over the lazy dog"
        );
    }
}

/// Xinference's clients send every model what they send to any.
#[test]
fn launch_keys_of_other_families_are_ignored() {
    server().launch(&json!({
        "model_name": MODEL, "model_uid": "odd-keys", "model_type": "audio", "compile": true, "lang_code": "z", "use_fp16": false,
        "vad_kwargs": {"max_single_segment_time": 30000}, "small_models_dir": null, "trust_remote_code": true,
    }));
    let clip = clip("en_jfk");
    let request = http::post(&server().url("/v1/audio/transcriptions"))
        .field("model", "odd-keys")
        .field("chunking_strategy[type]", "server_vad")
        .field("chunking_strategy[prefix_padding_ms]", "300")
        .file("file", &clip.path());
    let text = good(request).json()["text"].as_str().expect("a text").to_owned();
    assert_eq!(text::word_error_rate(clip.transcript.as_deref().expect("it is known"), &text), 0.0, "{text}");
    assert_eq!(http::delete(&server().url("/v1/models/odd-keys")).run().status, 200);
}

#[test]
fn command_line_transcribes() {
    let file = clip("en_jfk").path().display().to_string();
    let text = syrinx_tests::server::command(server(), &["transcribe", &file, "--language", "en"]).expect("it works");
    assert_eq!(text.trim(), transcript("en_jfk"));
}

/// 16 kHz, 16 bit, 60 s.
fn long_clip() -> std::path::PathBuf {
    static LONG: OnceLock<std::path::PathBuf> = OnceLock::new();
    LONG.get_or_init(|| {
        let dir = syrinx_tests::workspace::scratch("e2e-clips");
        let (flac, wav) = (clip("en_jfk").path(), dir.join("jfk60.wav"));
        let arguments = [flac.display().to_string(), wav.display().to_string(), "5".into(), "1".into()];
        syrinx_tests::python::run("repeat_clip.py", &arguments.each_ref().map(String::as_str));
        wav
    })
    .clone()
}
