//! Transcriptions and translations: dialects, formats, streams.

use crate::{
    client::{
        Connection,
        Part::{File, Text},
    },
    fake::{Server, wav},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";

async fn format(connection: &mut Connection, format: &str, seconds: f64) -> (String, String) {
    let clip = wav(seconds);
    let answer = connection
        .post_form(
            TRANSCRIPTIONS,
            &[("file", File(&clip)), ("response_format", Text(format)), ("model", Text("parrot-ears"))],
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (answer.header("content-type").to_owned(), answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let (kind, text) = format(&mut connection, "json", 2.5).await;
    assert_eq!(kind, "application/json");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json,
        json!({"text": "word0 word1 word2", "languages": [{"code": "de"}], "usage": {"type": "duration", "seconds": 2.5}})
    );
    assert_eq!(
        format(&mut connection, "text", 2.5).await,
        ("text/plain; charset=utf-8".into(), "word0 word1 word2\n".into())
    );
    let (kind, text) = format(&mut connection, "srt", 1.5).await;
    assert_eq!(kind, "text/plain; charset=utf-8");
    assert_eq!(text, "1\n00:00:00,000 --> 00:00:01,000\nword0\n\n2\n00:00:01,000 --> 00:00:01,500\nword1\n\n");
    let (kind, text) = format(&mut connection, "vtt", 1.0).await;
    assert_eq!(
        (kind.as_str(), text.as_str()),
        ("text/vtt; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nword0\n\n")
    );
    let (_, text) = format(&mut connection, "verbose_json", 1.5).await;
    let verbose: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&verbose["task"], &verbose["language"], &verbose["duration"]),
        (&json!("transcribe"), &json!("german"), &json!(1.5))
    );
    assert!(verbose.get("words").is_none());
    let segment = json!({"id": 1, "seek": 0, "start": 1.0, "end": 1.5, "text": " word1", "tokens": [1, 2, 3], "temperature": 0.0,
        "avg_logprob": -0.25, "compression_ratio": 0.0, "no_speech_prob": 0.0});
    assert_eq!(verbose["segments"][1], segment);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_when_asked_for() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(1.0);
    let mut parts = vec![
        ("file", File(&clip)),
        ("model", Text("parrot-ears")),
        ("response_format", Text("verbose_json")),
        ("timestamp_granularities[]", Text("word")),
        ("timestamp_granularities[]", Text("segment")),
        ("language", Text("English")),
    ];
    let verbose = connection.post_form(TRANSCRIPTIONS, &parts).await.json();
    assert_eq!(verbose["words"], json!([{"word": "word0", "start": 0.0, "end": 0.5}]));
    assert_eq!((&verbose["language"], verbose["segments"].as_array().unwrap().len()), (&json!("english"), 1));
    // The same as bare name and JSON list.
    parts.retain(|(name, _)| *name != "timestamp_granularities[]");
    parts.push(("timestamp_granularities", Text("[\"word\"]")));
    let verbose = connection.post_form(TRANSCRIPTIONS, &parts).await.json();
    assert_eq!(verbose["words"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_bodies_with_base64_and_data_urls() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let encoded = STANDARD.encode(wav(1.0));
    let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for file in [encoded.clone(), format!("data:audio/wav;base64,{encoded}"), lines.join("\r\n")] {
        let answer = connection
            .post_json(TRANSCRIPTIONS, &json!({"model": "parrot-ears", "file": file, "temperature": 0.5}))
            .await;
        assert_eq!((answer.status, &answer.json()["text"]), (200, &json!("word0")));
    }
    // As the document prints it.
    let careless =
        format!("{{\n \"model\": \"parrot-ears\", # the model\n \"file\": \"{encoded}\",\n \"stream\": False,\n}}");
    let answer =
        connection.request("POST", TRANSCRIPTIONS, &[("content-type", "application/json")], careless.as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_xinferences_client_sends() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(1.0);
    for (format, body) in [
        (
            "json",
            json!({"text": "word0", "languages": [{"code": "de"}], "usage": {"type": "duration", "seconds": 1.0}}),
        ),
        ("text", json!("word0\n")),
    ] {
        let parts = [
            ("model", Text("parrot-ears")),
            ("response_format", Text(format)),
            ("temperature", Text("0")),
            ("timestamp_granularities[]", Text("segment")),
            ("kwargs", Text("{\"beam_size\": 5, \"unknown\": null}")),
            ("file", File(&clip)),
        ];
        let answer = connection.post_form(TRANSCRIPTIONS, &parts).await;
        // With `kwargs` every answer is JSON.
        assert_eq!((answer.header("content-type"), answer.json()), ("application/json", body));
    }
    // The asynchronous client sends empty text for null.
    let parts = [
        ("model", Text("parrot-ears")),
        ("language", Text("")),
        ("prompt", Text("")),
        ("temperature", Text("")),
        ("file", File(&clip)),
    ];
    assert_eq!(connection.post_form(TRANSCRIPTIONS, &parts).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn translations_are_english() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(1.0);
    let parts = [("file", File(&clip)), ("model", Text("parrot-ears")), ("response_format", Text("verbose_json"))];
    let verbose = connection.post_form("/v1/audio/translations", &parts).await.json();
    assert_eq!(
        (&verbose["task"], &verbose["language"], &verbose["source_language"]),
        (&json!("translate"), &json!("english"), &json!("german"))
    );
    let parts = [("file", File(&clip)), ("model", Text("parrot-ears-plain"))];
    let answer = connection.post_form("/v1/audio/translations", &parts).await;
    assert!(answer.status == 400 && answer.text().contains("does not support translations"));
}

/// The events of a stream.
fn events(text: &str) -> Vec<Value> {
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        let data = block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        if let Some(kind) = block.lines().find_map(|line| line.strip_prefix("event: ")) {
            assert_eq!(data["type"], kind);
        }
        events.push(data);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_arrive_as_they_are_made() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(3.0);
    let parts =
        [("file", File(&clip)), ("model", Text("parrot-ears")), ("stream", Text("True")), ("delay_ms", Text("300"))];
    connection
        .send("POST", TRANSCRIPTIONS, &[("content-type", crate::client::FORM)], &crate::client::form(&parts))
        .await;
    let (status, headers) = connection.head().await;
    assert_eq!((status, headers["cache-control"].as_str()), (200, "no-cache"));
    assert!(headers["content-type"].starts_with("text/event-stream"));
    let mut times = Vec::new();
    let mut text = String::new();
    while let Some(chunk) = connection.chunk().await.filter(|chunk| !chunk.is_empty()) {
        times.push(std::time::Instant::now());
        text.push_str(&String::from_utf8(chunk).unwrap());
    }
    assert!(times.last().unwrap().duration_since(times[0]).as_millis() > 400, "the first came with the last");
    let events = events(&text);
    let deltas: Vec<&str> = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, ["word0", " word1", " word2"]);
    let done = events.last().unwrap();
    assert_eq!(
        (&done["type"], done["text"].as_str().unwrap()),
        (&json!("transcript.text.done"), deltas.concat().as_str())
    );
    assert_eq!((&done["usage"]["type"], &done["usage"]["output_tokens"]), (&json!("tokens"), &json!(9)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_later_ends_with_an_error() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(3.0);
    let parts = [
        ("file", File(&clip)),
        ("model", Text("parrot-ears")),
        ("stream", Text("1")),
        ("fail", Text("panic")),
        ("fail_at", Text("3")),
    ];
    let answer = connection.post_form(TRANSCRIPTIONS, &parts).await;
    assert_eq!((answer.status, answer.complete), (200, true));
    let events = events(&answer.text());
    assert_eq!(events.len(), 3);
    assert_eq!(events[2]["error"]["type"], "server_error");
    assert!(!answer.text().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunked_uploads_and_expect_continue() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(1.0);
    let body = crate::client::form(&[("file", File(&clip)), ("model", Text("parrot-ears"))]);
    let head = format!(
        "POST {TRANSCRIPTIONS} HTTP/1.1\r\nhost: x\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n",
        crate::client::FORM
    );
    connection.send_raw(head.as_bytes()).await;
    assert_eq!(connection.head().await.0, 100);
    for piece in body.chunks(1000) {
        connection.send_raw(format!("{:x}\r\n", piece.len()).as_bytes()).await;
        connection.send_raw(piece).await;
        connection.send_raw(b"\r\n").await;
    }
    connection.send_raw(b"0\r\n\r\n").await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, &answer.json()["text"]), (200, &json!("word0")));
}

/// A form for the model that tells speakers apart.
async fn scribe(
    connection: &mut Connection,
    seconds: f64,
    more: &[(&str, crate::client::Part<'_>)],
) -> crate::client::Answer {
    let clip = wav(seconds);
    let mut parts = vec![("file", File(&clip)), ("model", Text("parrot-scribe"))];
    parts.extend_from_slice(more);
    connection.post_form(TRANSCRIPTIONS, &parts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn speakers_have_letters_or_their_names() {
    let server = Server::start().await;
    server.launch("parrot-scribe").await;
    let mut connection = server.connect().await;
    let format = ("response_format", Text("diarized_json"));
    let answer = scribe(&mut connection, 6.5, &[format]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    assert_eq!((&body["task"], &body["duration"]), (&json!("transcribe"), &json!(6.5)));
    assert_eq!(body["text"], "word0 word1 word2 word3  word5 word6");
    assert_eq!(body["usage"], json!({"type": "duration", "seconds": 6.5}));
    let first = json!({"id": "seg_000", "type": "transcript.text.segment", "start": 0.0, "end": 1.0, "text": "word0", "speaker": "A"});
    assert_eq!(body["segments"][0], first);
    // Seven seconds, one of them silent; whom the model can't tell is who spoke last.
    let speakers = |body: &Value| -> Vec<String> {
        body["segments"].as_array().unwrap().iter().map(|s| s["speaker"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(speakers(&body), ["A", "B", "B", "A", "C", "D"]);
    // A known name stays; its recording comes as a file or as text.
    let reference = wav(3.0);
    let encoded = format!("data:audio/wav;base64,{}", STANDARD.encode(&reference));
    for recording in [File(&reference), Text(&encoded)] {
        let known = [format, ("known_speaker_names[]", Text("Ann")), ("known_speaker_references[]", recording)];
        let body = scribe(&mut connection, 6.5, &known).await.json();
        assert_eq!(speakers(&body), ["A", "B", "B", "A", "Ann", "C"]);
    }
    // verbose_json has the same labels and times, and its words, which nobody asked for.
    let verbose = scribe(&mut connection, 6.5, &[("response_format", Text("verbose_json"))]).await.json();
    let segments = verbose["segments"].as_array().unwrap();
    assert_eq!((segments.len(), &segments[1]["speaker"], &segments[1]["end"]), (7, &json!("B"), &json!(2.0)));
    assert_eq!(verbose["words"].as_array().unwrap().len(), 6);
    assert_eq!(verbose["words"][0]["word"], "word0");
    // Subtitles leave the silent one out.
    let srt = scribe(&mut connection, 6.5, &[("response_format", Text("srt"))]).await.text();
    assert!(
        srt.contains("5\n00:00:05,000 --> 00:00:06,000\nword5\n\n6\n00:00:06,000 --> 00:00:06,500\nword6\n\n"),
        "{srt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn speakers_in_streams() {
    let server = Server::start().await;
    server.launch("parrot-scribe").await;
    let mut connection = server.connect().await;
    let answer =
        scribe(&mut connection, 3.0, &[("response_format", Text("diarized_json")), ("stream", Text("true"))]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let events = events(&answer.text());
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let pair = ["transcript.text.delta", "transcript.text.segment"];
    assert_eq!(kinds, [pair[0], pair[1], pair[0], pair[1], pair[0], pair[1], "transcript.text.done"]);
    let segment = json!({"type": "transcript.text.segment", "id": "seg_001", "start": 1.0, "end": 2.0, "text": "word1", "speaker": "B"});
    assert_eq!((&events[2]["segment_id"], &events[3]), (&json!("seg_001"), &segment));
    assert_eq!(events[6]["text"], "word0 word1 word2");
    // Plain streams have neither.
    let answer = scribe(&mut connection, 2.0, &[("stream", Text("true"))]).await.text();
    assert!(!answer.contains("segment"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_models_schema_says_is_what_it_takes() {
    let server = Server::start().await;
    server.launch("parrot-scribe").await;
    let mut connection = server.connect().await;
    // No sampling, so no temperature but 0.
    for (temperature, status) in [("0", 200), ("0.0", 200), ("", 200), ("0.2", 400), ("1", 400)] {
        let answer = scribe(&mut connection, 1.0, &[("temperature", Text(temperature))]).await;
        assert_eq!(answer.status, status, "{temperature}: {}", answer.text());
        assert!(status == 200 || answer.json()["error"]["param"] == "temperature");
    }
    // Its voice activity detection can be tuned.
    let tuned = [
        ("chunking_strategy[type]", Text("server_vad")),
        ("chunking_strategy[threshold]", Text("0.25")),
        ("chunking_strategy[silence_duration_ms]", Text("300")),
    ];
    assert_eq!(scribe(&mut connection, 1.0, &tuned).await.json()["text"], "word0 vad 0.25");
    let text = [("chunking_strategy", Text("{\"type\": \"server_vad\", \"threshold\": 0.5}"))];
    assert_eq!(scribe(&mut connection, 1.0, &text).await.json()["text"], "word0 vad 0.5");
    assert_eq!(scribe(&mut connection, 1.0, &[("chunking_strategy", Text("auto"))]).await.json()["text"], "word0");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_in_every_spelling() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let clip = wav(1.0);
    for more in [
        vec![("temperature", Text(" 0 ")), ("stream", Text(" NO "))],
        vec![("temperature", Text("")), ("stream", Text("")), ("language", Text(" ")), ("kwargs", Text(""))],
        vec![("language", Text("xx")), ("language", Text("de"))],
        vec![("languages", Text("[\"en\", \"de\"]")), ("keywords[]", Text("a")), ("keywords[]", Text("b"))],
        vec![("chunking_strategy", Text("auto")), ("include[]", Text("")), ("known_speaker_names[]", Text(""))],
        vec![("unknown[member]", Text("x")), ("unknown[other]", Text("y")), ("whatever", File(b"bytes"))],
    ] {
        let mut parts = vec![("model", Text("parrot-ears")), ("file", File(clip.as_slice()))];
        parts.extend(more);
        let answer = connection.post_form(TRANSCRIPTIONS, &parts).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // JSON from clients with one kind of number, and with empty settings.
    let encoded = STANDARD.encode(&clip);
    for more in
        [json!({"beam_size": 5.0}), json!({"beam_size": ""}), json!({"kwargs": {"beam_size": "", "mode": null}})]
    {
        let mut body = json!({"model": "parrot-ears", "file": encoded});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let answer = connection.post_json(TRANSCRIPTIONS, &body).await;
        assert_eq!(answer.status, 200, "{more}: {}", answer.text());
    }
    // `kwargs` lie over the plain fields.
    let parts = [
        ("model", Text("parrot-ears")),
        ("file", File(&clip)),
        ("prompt", Text("x")),
        ("kwargs", Text("{\"prompt\": \"!\",}")),
    ];
    assert_eq!(connection.post_form(TRANSCRIPTIONS, &parts).await.json()["text"], "word0!");
    // Silence is an answer, too.
    let parts = [
        ("model", Text("parrot-ears")),
        ("file", File(&clip)),
        ("response_format", Text("text")),
        ("kwargs", Text("{}")),
    ];
    assert_eq!(connection.post_form(TRANSCRIPTIONS, &parts).await.json(), json!("word0\n"));
}
