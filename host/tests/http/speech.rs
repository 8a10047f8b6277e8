//! Speech: formats, whole and streamed.

use crate::{
    client::{
        Answer, FORM,
        Part::{File, Text},
        form,
    },
    fake::{HEARD, PUSH, RATE, SCALES, Server, object, wav},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SPEECH: &str = "/v1/audio/speech";

fn size_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_wav_has_true_sizes() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let answer = connection
        .post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "hello", "response_format": "wav"}))
        .await;
    assert_eq!(
        (answer.status, answer.header("content-type"), answer.header("x-sample-rate")),
        (200, "audio/wav", "24000")
    );
    let data = 5 * PUSH * 2;
    assert_eq!(answer.header("content-length"), (44 + data).to_string());
    assert_eq!((size_at(&answer.body, 4) as usize, size_at(&answer.body, 40) as usize), (36 + data, data));
    assert_eq!(size_at(&answer.body, 24), RATE);
    assert!(answer.body[44..].iter().any(|byte| *byte != 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_whole_and_streamed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let formats: [(&str, &str, &[u8]); 8] = [
        ("mp3", "audio/mpeg", b""),
        ("wav", "audio/wav", b"RIFF"),
        ("opus", "audio/ogg", b"OggS"),
        ("ogg", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff"),
        ("flac", "audio/flac", b"fLaC"),
        ("m4a", "audio/mp4", b""),
        ("pcm", "audio/pcm", b""),
    ];
    for (format, kind, magic) in formats {
        for stream in [false, true] {
            let body =
                json!({"model": "parrot-mouth", "input": "hello world", "response_format": format, "stream": stream});
            let answer = connection.post_json(SPEECH, &body).await;
            let what = format!("{format} {stream}");
            assert_eq!((answer.status, answer.header("content-type"), answer.complete), (200, kind, true), "{what}");
            assert!(answer.body.starts_with(magic), "{what}");
            assert_eq!(answer.headers.contains_key("content-length"), !stream, "{what}");
            assert!(!answer.header("x-sample-rate").is_empty(), "{what}");
            let decoded = syrinx::audio::decode(answer.body.clone(), RATE, &syrinx::audio::decode::Limits::default());
            let seconds = match format {
                "pcm" => answer.body.len() as f64 / 2.0 / f64::from(RATE),
                _ => decoded.unwrap_or_else(|error| panic!("{what}: {error}")).source.seconds,
            };
            assert!((seconds - 1.1).abs() < 0.15, "{what}: {seconds} s");
        }
    }
    let default = connection.post_json(SPEECH, &json!({"model": "parrot-mouth", "input": "x"})).await;
    assert_eq!(default.header("content-type"), "audio/mpeg");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bytes_leave_before_the_last_are_made() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for format in ["wav", "mp3", "pcm", "opus", "aac", "flac"] {
        let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": format, "stream": true, "delay_ms": 60});
        let begun = Instant::now();
        connection.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
        assert_eq!(connection.head().await.0, 200);
        let mut first = None;
        while let Some(chunk) = connection.chunk().await.filter(|chunk| !chunk.is_empty()) {
            if first.is_none() {
                first = Some(begun.elapsed());
                assert!(format != "wav" || chunk[40..44] == [0xff; 4], "sizes aren't known yet");
            }
        }
        let (first, last) = (first.unwrap(), begun.elapsed());
        assert!(first < last / 2, "{format}: first after {first:?} of {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialects_mean_the_same() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let plain = json!({"model": "parrot-mouth", "input": "hi", "response_format": "pcm"});
    let expected = connection.post_json(SPEECH, &plain).await.body;
    let with = |more: Value| {
        let mut body = plain.clone();
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        body
    };
    for more in [
        json!({"voice": null}),
        json!({"voice": ""}),
        json!({"voice": "polly"}),
        json!({"voice": "alloy"}),
        json!({"voice": {"id": "polly"}}),
        json!({"kwargs": "{}", "speed": 1.0, "stream": false}),
        json!({"kwargs": {"seed": 7}, "instructions": "whisper"}),
        json!({"unknown": [1, {"a": 2}], "stream_format": "audio"}),
        json!({"speed": "1"}),
    ] {
        let answer = connection.post_json(SPEECH, &with(more.clone())).await;
        assert!(answer.status == 200 && answer.body == expected, "{more}: {}", answer.text());
    }
    // A form without any file, and one with a clip.
    let clip = wav(0.5);
    let mut parts = vec![
        ("model", Text("parrot-mouth")),
        ("input", Text("hi")),
        ("voice", Text("")),
        ("response_format", Text("pcm")),
        ("speed", Text("1.0")),
        ("stream", Text("False")),
        ("kwargs", Text("{}")),
    ];
    assert_eq!(connection.post_form(SPEECH, &parts).await.body, expected);
    parts.push(("prompt_speech", File(&clip)));
    assert_eq!(connection.post_form(SPEECH, &parts).await.body, expected);
    // The document's careless JSON.
    let careless = "{ \"model\": \"parrot-mouth\", \"input\": \"hi\", # text\n \"voice\": \"alloy\", \"response_format\": \"pcm\", \"stream\": True, }";
    let answer = connection.request("POST", SPEECH, &[("content-type", "application/json")], careless.as_bytes()).await;
    assert_eq!((answer.status, answer.body), (200, expected));
    // Another voice, and speed.
    let jack = connection.post_json(SPEECH, &with(json!({"voice": "echo"}))).await.body;
    assert!(jack.iter().all(|byte| *byte == 0));
    let fast = connection.post_json(SPEECH, &with(json!({"speed": 2}))).await.body;
    assert_eq!(fast.len(), PUSH * 2);
    let low = connection.post_json(SPEECH, &with(json!({"sample_rate": 8000}))).await;
    assert_eq!((low.header("x-sample-rate"), low.body.len()), ("8000", 1600 * 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn server_sent_events() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "hello", "response_format": "pcm", "stream_format": "sse"});
    let answer = connection.post_json(SPEECH, &body).await;
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    let text = answer.text();
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let (done, deltas) = events.split_last().unwrap();
    let audio: Vec<u8> = deltas
        .iter()
        .flat_map(|delta| {
            assert_eq!(delta["type"], "speech.audio.delta");
            STANDARD.decode(delta["audio"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(audio.len(), 5 * PUSH * 2);
    assert_eq!(done["type"], "speech.audio.done");
    assert_eq!(done["usage"]["total_tokens"], 2 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_the_first_byte_ends_the_connection() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "wav", "stream": true, "fail": "panic", "fail_at": 5, "delay_ms": 30});
    let answer = connection.post_json(SPEECH, &body).await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(answer.body.len(), 44 + 4 * PUSH * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_model_run_together() {
    let server = Server::start().await;
    let body = json!({"model": "parrot-mouth", "input": "0123456789", "response_format": "pcm", "stream": true, "delay_ms": 50});
    let begun = Instant::now();
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (mut connection, body) = (server.connect().await, body.clone());
        streams.spawn(async move { connection.post_json(SPEECH, &body).await.body.len() });
    }
    assert!(streams.join_all().await.iter().all(|length| *length == 10 * PUSH * 2));
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn voices_are_listed() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let all = connection.get("/v1/audio/voices?model=parrot-mouth").await.json();
    assert_eq!(all["voices"], json!(["polly", "jack"]));
    let polly = json!({"id": "polly", "name": "POLLY", "object": "audio.voice", "language": "en", "gender": null, "model": "parrot-mouth"});
    assert_eq!(all["data"][0], polly);
    assert_eq!(connection.get("/v1/audio/voices").await.json()["voices"].as_array().unwrap().len(), 4);
    assert_eq!(connection.get("/v1/audio/voices?model=").await.json()["voices"].as_array().unwrap().len(), 4);
    assert_eq!(connection.get("/v1/audio/voices?model=parrot-ears").await.json()["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_stops_the_job() {
    let server = Server::start().await;
    let long = json!({"model": "parrot-mouth", "input": "x".repeat(500), "response_format": "wav", "delay_ms": 20});
    for stream in [true, false] {
        let mut body = long.clone();
        body["stream"] = json!(stream);
        let mut connection = server.connect().await;
        connection.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
        server.busy("parrot-mouth", 1).await;
        if stream {
            connection.head().await;
            connection.chunk().await;
        }
        drop(connection);
        assert!(server.idle("parrot-mouth", Duration::from_secs(2)).await, "the job goes on (stream: {stream})");
    }
    // The same for transcriptions, which have nothing to say until the end.
    let clip = wav(200.0);
    let mut connection = server.connect().await;
    let body = form(&[("file", File(&clip)), ("model", Text("parrot-ears")), ("delay_ms", Text("50"))]);
    connection.send("POST", "/v1/audio/transcriptions", &[("content-type", FORM)], &body).await;
    server.busy("parrot-ears", 1).await;
    drop(connection);
    assert!(server.idle("parrot-ears", Duration::from_secs(2)).await, "the transcription goes on");
}

/// What the mimic heard, by its place in [`HEARD`].
fn heard(pcm: &[u8]) -> [f32; 5] {
    assert_eq!(pcm.len(), HEARD.len() * PUSH * 2);
    std::array::from_fn(|at| {
        let place = (at * PUSH + PUSH / 2) * 2;
        f32::from(i16::from_le_bytes([pcm[place], pcm[place + 1]])) / 32767.0 * SCALES[at]
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn clips_arrive_in_every_dialect() {
    let server = Server::start().await;
    server.launch("parrot-mimic").await;
    let mut connection = server.connect().await;
    let (prompt, emotion) = (wav(3.0), wav(1.5));
    let (prompt64, emotion64) =
        (STANDARD.encode(&prompt), format!("data:audio/wav;base64,{}", STANDARD.encode(&emotion)));
    let check = |what: &str, answer: Answer| {
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let [prompt, emotion, text, voice, rate] = heard(&answer.body);
        assert!((prompt - 3.0).abs() < 0.01 && (emotion - 1.5).abs() < 0.01, "{what}: {prompt} {emotion}");
        assert_eq!((text.round(), voice.round(), (rate / 10.0).round()), (4.0, 0.0, 1600.0), "{what}");
    };
    for name in ["emo_audio_prompt", "emo_prompt_speech"] {
        let base = json!({"model": "parrot-mimic", "input": "hi", "response_format": "pcm"});
        let clips = json!({"prompt_speech": prompt64, name: emotion64, "prompt_text": "said", "emo_alpha": 0.5});
        let with = |more: Value| {
            let mut body = base.clone();
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            body
        };
        check("top level", connection.post_json(SPEECH, &with(clips.clone())).await);
        check("kwargs object", connection.post_json(SPEECH, &with(json!({"kwargs": clips}))).await);
        check("kwargs text", connection.post_json(SPEECH, &with(json!({"kwargs": clips.to_string()}))).await);
        // What is in kwargs counts more.
        let both = with(json!({"prompt_text": "something else", "kwargs": clips}));
        check("both", connection.post_json(SPEECH, &both).await);
        let plain = [("model", Text("parrot-mimic")), ("input", Text("hi")), ("response_format", Text("pcm"))];
        let kwargs = json!({"prompt_text": "said", "emo_alpha": 0.5}).to_string();
        let mut parts = plain.to_vec();
        parts.extend([("prompt_speech", File(&prompt)), (name, File(&emotion)), ("kwargs", Text(&kwargs))]);
        check("files", connection.post_form(SPEECH, &parts).await);
        let mut parts = plain.to_vec();
        parts.extend([("prompt_speech", Text(&prompt64)), (name, Text(&emotion64)), ("prompt_text", Text("said"))]);
        check("text in a form", connection.post_form(SPEECH, &parts).await);
        let kwargs = json!({name: emotion64, "prompt_text": "said"}).to_string();
        let mut parts = plain.to_vec();
        parts.extend([("prompt_speech", File(&prompt)), ("kwargs", Text(&kwargs)), ("prompt_latent", File(b"latent"))]);
        check("a file and kwargs", connection.post_form(SPEECH, &parts).await);
    }
    let out_of_range = json!({"model": "parrot-mimic", "input": "hi", "kwargs": {"emo_alpha": 1.5}});
    let answer = connection.post_json(SPEECH, &out_of_range).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("emo_alpha")));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_with_one_speed_are_stretched() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let body = |speed: f64, format: &str| json!({"model": "parrot-mouth-plain", "input": "0123456789", "speed": speed, "response_format": format});
    for (speed, seconds) in [(0.25, 4.0), (0.5, 2.0), (1.0, 1.0), (1.25, 0.8), (4.0, 0.25)] {
        let whole = connection.post_json(SPEECH, &body(speed, "pcm")).await;
        assert_eq!(whole.status, 200, "{}", whole.text());
        assert_eq!(whole.body.len(), (seconds * f64::from(RATE)) as usize * 2, "at {speed}");
        // A stream has the same samples.
        let mut streamed = body(speed, "pcm");
        streamed["stream"] = json!(true);
        assert!(connection.post_json(SPEECH, &streamed).await.body == whole.body, "at {speed}");
        let wav = connection.post_json(SPEECH, &body(speed, "wav")).await.body;
        assert!(wav[44..] == whole.body && size_at(&wav, 40) as usize == whole.body.len(), "at {speed}");
    }
    // Resampled as well, and with the first bytes before the last are made.
    let mut slow = body(2.0, "pcm");
    slow.as_object_mut().unwrap().extend(object(json!({"stream": true, "sample_rate": 8000, "delay_ms": 60})));
    let begun = Instant::now();
    connection.send("POST", SPEECH, &[("content-type", "application/json")], slow.to_string().as_bytes()).await;
    assert_eq!(connection.head().await.1["x-sample-rate"], "8000");
    let (mut first, mut bytes) = (None, 0);
    while let Some(chunk) = connection.chunk().await.filter(|chunk| !chunk.is_empty()) {
        first.get_or_insert_with(|| begun.elapsed());
        bytes += chunk.len();
    }
    assert_eq!(bytes, 4000 * 2);
    assert!(first.unwrap() < begun.elapsed() / 2, "first after {first:?} of {:?}", begun.elapsed());
    // Events count the seconds of the file.
    let mut events = body(0.5, "pcm");
    events["stream_format"] = json!("sse");
    let text = connection.post_json(SPEECH, &events).await.text();
    let done: Value =
        serde_json::from_str(text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap()).unwrap();
    assert_eq!(done["usage"], json!({"input_tokens": 3, "output_tokens": 40, "total_tokens": 43}));
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_voices_work_everywhere() {
    let server = Server::start().await;
    server.launch("parrot-mimic").await;
    let mut connection = server.connect().await;
    let names = [
        "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin",
        "cedar",
    ];
    for model in ["parrot-mouth", "parrot-mouth-plain", "parrot-mimic"] {
        for voice in names.map(|name| json!(name)).into_iter().chain([
            json!(null),
            json!(""),
            json!({"id": "nova"}),
            json!({"id": ""}),
        ]) {
            let body = json!({"model": model, "input": "x", "voice": voice, "response_format": "pcm"});
            let once = connection.post_json(SPEECH, &body).await;
            assert_eq!(once.status, 200, "{model} {voice}: {}", once.text());
            // Always the same voice.
            assert_eq!(connection.post_json(SPEECH, &body).await.body, once.body);
        }
    }
    // In forms, an object is text or members.
    for voice in [("voice", "{\"id\": \"echo\"}"), ("voice[id]", "echo"), ("voice", "echo")] {
        let parts = [
            ("model", Text("parrot-mouth")),
            ("input", Text("x")),
            (voice.0, Text(voice.1)),
            ("response_format", Text("pcm")),
        ];
        let answer = connection.post_form(SPEECH, &parts).await;
        assert!(answer.status == 200 && answer.body.iter().all(|byte| *byte == 0), "{voice:?}: {}", answer.status);
    }
}
