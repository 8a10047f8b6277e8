//! Text through `curl` into real Kokoro weights, judged by real decoders and by Whisper.
#![allow(clippy::print_stdout)] // figures, shown with --nocapture

use serde_json::{Value, json};
use std::{fs, sync::OnceLock, time::Duration};
use syrinx_tests::{
    clips::clip,
    http::{self, Request, Response},
    python,
    server::{self, Server},
    sound::{self, Sound},
    text,
};

const TTS: &str = "Kokoro-82M";
const STT: &str = "whisper-base";
/// Kokoro's, in Hz.
const RATE: u32 = 24_000;
/// Two sentences, so that a stream has more than one piece.
const TEXT: &str = "Please turn left at the next traffic light. Then go straight on until you see the old library.";

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::real)
}

fn request(body: Value) -> Request {
    let mut whole = json!({"model": TTS, "input": TEXT, "voice": "af_heart"});
    whole.as_object_mut().expect("it is one").extend(body.as_object().expect("an object").clone());
    http::post(&server().url("/v1/audio/speech")).json(&whole)
}

fn good(request: Request) -> Response {
    let response = request.run();
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.curl, 0, "the body came whole");
    response
}

fn wav(body: Value) -> Sound {
    let mut body = body;
    body["response_format"] = "wav".into();
    Sound::from_wav(&good(request(body)).body).expect("a wav file")
}

fn heard(sound: &[u8]) -> String {
    let request = http::post(&server().url("/v1/audio/transcriptions")).field("model", STT).field("language", "en");
    good(request.file_of("file", sound)).json()["text"].as_str().expect("a text").trim().to_owned()
}

/// The ten English sentences of the kit's README, section 14, and the limit there.
#[test]
fn what_is_spoken_is_understood() {
    const SENTENCES: [&str; 10] = [
        "The weather today is partly cloudy with a chance of showers.",
        "Please turn left at the next traffic light.",
        "Machine learning models need a lot of data.",
        "She sells sea shells by the sea shore.",
        "Your package will arrive on Monday morning.",
        "Water boils at one hundred degrees.",
        "The old library closes at nine o'clock tonight.",
        "I would like a cup of coffee with milk.",
        "My brother bought a new bicycle yesterday.",
        "Nobody knows where the treasure is hidden.",
    ];
    const LIMIT: f64 = 0.12;
    let (mut errors, mut words) = (0, 0);
    for sentence in SENTENCES {
        let speech = good(request(json!({"input": sentence, "response_format": "wav"})));
        let transcript = heard(&speech.body);
        let (wrong, all) = text::word_errors(sentence, &transcript);
        println!("{wrong} of {all}: {transcript}");
        errors += wrong;
        words += all;
    }
    let rate = errors as f64 / words as f64;
    println!("word error rate over {words} words: {rate:.3}");
    assert!(rate <= LIMIT, "{rate:.3} > {LIMIT}");
}

/// Format, content type, container and codec as FFmpeg calls them, rate inside.
const FORMATS: [(&str, &str, &str, &str, u32); 5] = [
    ("mp3", "audio/mpeg", "mp3", "mp3", RATE),
    ("wav", "audio/wav", "wav", "pcm_s16le", RATE),
    ("flac", "audio/flac", "flac", "flac", RATE),
    ("opus", "audio/ogg", "ogg", "opus", 48_000),
    ("aac", "audio/aac", "aac", "aac", RATE),
];

#[test]
fn every_format_is_a_valid_file_whole_and_streamed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let reference = wav(json!({}));
    assert_eq!(reference.sample_rate, RATE);
    assert!((3.0..9.0).contains(&reference.seconds()), "{}", reference.seconds());
    for (format, content_type, container, codec, rate) in FORMATS {
        for stream in [false, true] {
            let response = good(request(json!({"response_format": format, "stream": stream})));
            let what = format!("{format}, stream {stream}");
            assert!(
                response.header("content-type").is_some_and(|kind| kind.starts_with(content_type)),
                "{what}: {}",
                response.headers
            );
            assert_eq!(response.header("x-sample-rate"), Some(rate.to_string()), "{what}: {}", response.headers);
            assert_eq!(response.header("content-length").is_none(), stream, "{what}: {}", response.headers);
            let file = dir.path().join(format!("{stream}.{format}"));
            fs::write(&file, &response.body).expect("writing a file");
            let probe = python::probe(&file);
            println!("{what}: {} bytes, {probe:?}", response.body.len());
            assert_eq!((probe.format.as_str(), probe.sample_rate, probe.channels), (container, rate, 1), "{what}");
            // FFmpeg has several decoders for some codecs: mp3 and mp3float, opus and libopus.
            assert!(probe.codec.contains(codec), "{what}: {}", probe.codec);
            assert!(
                (probe.seconds - reference.seconds()).abs() < 0.15,
                "{what}: {} of {} s",
                probe.seconds,
                reference.seconds()
            );
            let loudness = probe.loudness / reference.loudness();
            assert!((0.8..1.25).contains(&loudness), "{what}: {loudness} times as loud");
        }
    }
}

#[test]
fn pcm_is_the_bare_samples() {
    let reference = wav(json!({}));
    for stream in [false, true] {
        let response = good(request(json!({"response_format": "pcm", "stream": stream})));
        assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("audio/pcm")));
        assert_eq!(response.header("x-sample-rate"), Some(RATE.to_string()));
        let samples = sound::from_pcm16(&response.body);
        assert!(samples.len().abs_diff(reference.samples.len()) < RATE as usize / 10, "{}", samples.len());
    }
}

#[test]
fn streams_begin_before_they_are_done() {
    let long = [
        TEXT,
        "It closes at nine o'clock tonight, so you will have to hurry.",
        "Nobody knows where the treasure is hidden.",
    ]
    .join(" ");
    for format in ["mp3", "wav", "opus", "pcm"] {
        let response = good(request(json!({"input": long, "response_format": format, "stream": true})));
        println!("{format}: first byte after {:?} of {:?}", response.first_byte, response.total);
        assert!(
            response.first_byte < response.total.mul_f64(0.7),
            "{format}: {:?} of {:?}",
            response.first_byte,
            response.total
        );
    }
}

#[test]
fn streamed_wav_has_sizes_that_say_unknown() {
    let response = good(request(json!({"response_format": "wav", "stream": true})));
    let size = u32::from_le_bytes(response.body[4..8].try_into().expect("four bytes"));
    assert!(size >= 0x7fff_ff00, "{size:#x}");
    let whole = good(request(json!({"response_format": "wav"})));
    let size = u32::from_le_bytes(whole.body[4..8].try_into().expect("four bytes"));
    assert_eq!(size as usize + 8, whole.body.len());
}

#[test]
fn mp3_is_the_default_and_openai_voices_work() {
    let response = good(http::post(&server().url("/v1/audio/speech")).json(&json!({"model": TTS, "input": "Hello."})));
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("audio/mpeg")));
    for voice in [
        "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin",
        "cedar",
    ] {
        let sound = wav(json!({"input": "Hello.", "voice": voice}));
        assert!(sound.loudness() > 0.005, "{voice} is silent");
    }
    good(request(json!({"input": "Hello.", "voice": {"id": "bm_george"}})));
    good(request(json!({"input": "Hello.", "voice": null})));
}

#[test]
fn speed_changes_the_length() {
    let normal = wav(json!({})).seconds();
    for speed in [0.5, 2.0] {
        let ratio = wav(json!({"speed": speed})).seconds() * speed / normal;
        assert!((0.75..1.3).contains(&ratio), "at speed {speed} the length is {ratio} times what it should be");
    }
}

#[test]
fn events_carry_the_sound() {
    let response = good(request(json!({"response_format": "pcm", "stream_format": "sse"})));
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    let body = response.text();
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    let (last, deltas) = events.split_last().expect("events");
    assert_eq!(last["type"], "speech.audio.done");
    assert!(
        !deltas.is_empty()
            && deltas.iter().all(|event| event["type"] == "speech.audio.delta" && event["audio"].is_string())
    );
}

#[test]
fn users_document_snippet_works() {
    // As printed there: Python's `True` and a trailing comma.
    let body = format!("{{\"model\": \"{TTS}\", \"input\": \"Hello there.\", \"voice\": \"echo\", \"stream\": True,}}");
    good(http::post(&server().url("/v1/audio/speech")).body("application/json", body.as_bytes()));
    // Multipart without any file.
    good(
        http::post(&server().url("/v1/audio/speech"))
            .field("model", TTS)
            .field("input", "Hello there.")
            .field("voice", ""),
    );
}

#[test]
fn client_that_leaves_stops_the_job() {
    let long = TEXT.repeat(20);
    let pending = request(json!({"input": long, "stream": true, "response_format": "pcm"})).start();
    let started = std::time::Instant::now();
    while pending.so_far().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing arrives");
        std::thread::sleep(Duration::from_millis(20));
    }
    pending.hang_up();
    // The next one isn't held up by what nobody hears any more: 20 times the text takes much longer than this.
    let next = good(request(json!({"input": "Hello."}))).total;
    assert!(next < Duration::from_secs(15), "{next:?}");
}

#[test]
fn official_openai_client_does_everything() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let jfk = clip("en_jfk");
    let arguments = [server().address(), &jfk.path().display().to_string(), &dir.path().display().to_string()];
    let report = python::run("openai_client.py", &arguments);
    println!("{report:#}");
    let said = jfk.transcript.expect("it is known");
    assert_eq!(report["models"], json!([TTS, STT]));
    assert_eq!(report["model"], STT);
    assert_eq!(text::word_error_rate(&said, report["text"].as_str().expect("a text")), 0.0);
    let verbose = &report["verbose"];
    assert!((verbose["duration"].as_f64().expect("a number") - jfk.seconds).abs() < 0.05);
    assert_eq!(verbose["words"].as_array().map(Vec::len), Some(22));
    assert!(report["srt"].as_str().is_some_and(|srt| srt.contains("-->")), "{}", report["srt"]);
    let events = report["events"].as_array().expect("events");
    assert_eq!(events.last().expect("events")[0], "transcript.text.done");
    assert!(report["translation"].as_str().is_some_and(|text| text.contains("country")));

    let whole = fs::read(report["whole"].as_str().expect("a path")).expect("the client wrote it");
    let (errors, words) = text::word_errors(TEXT, &heard(&whole));
    assert!(errors <= 2, "{errors} of {words}: {}", heard(&whole));
    let streamed = &report["streamed"];
    let probe = python::probe(std::path::Path::new(streamed["file"].as_str().expect("a path")));
    assert!(probe.codec.starts_with("mp3") && probe.seconds > 3.0, "{probe:?}");
    let (first, total) = (streamed["first"].as_f64().expect("a time"), streamed["total"].as_f64().expect("a time"));
    assert!(first < total * 0.9, "first chunk after {first} of {total} s");

    assert_eq!(report["errors"]["unknown model"]["kind"], "NotFoundError", "{report}");
    let voice = &report["errors"]["unknown voice"];
    assert_eq!(voice["kind"], "BadRequestError", "{report}");
    assert!(voice["message"].as_str().is_some_and(|text| text.contains("af_heart")), "{voice}");
}

#[test]
fn command_line_speaks() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("said.wav");
    let arguments = ["speak", "Water boils at one hundred degrees.", "--output", &file.display().to_string()];
    server::command(server(), &arguments).expect("it works");
    assert!(Sound::open(&file).expect("a wav file").seconds() > 1.0);
    let list = server::command(server(), &["list"]).expect("it works");
    assert!(list.contains(TTS) && list.contains(STT), "{list}");
    let models = server::command(server(), &["list", "--json"]).expect("it works");
    assert!(serde_json::from_str::<Value>(&models).is_ok(), "{models}");
}
