//! Bad requests: each has its status, names the field, has both shapes, and leaves the connection usable.

use crate::{
    client::{Answer, FORM, Part, form},
    fake::{Server, wav},
};
use serde_json::{Value, json};

const TRANSCRIPTIONS: &str = "/v1/audio/transcriptions";
const TRANSLATIONS: &str = "/v1/audio/translations";
const SPEECH: &str = "/v1/audio/speech";
/// A wav file of 8 samples.
const SHORT: &str =
    "data:audio/wav;base64,UklGRjQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YRAAAAAAAAAAAAAAAAAAAAAAAAAA";
const MODELS: &str = "/v1/models";

/// How a row's body is sent.
enum Send<'a> {
    /// Nothing.
    Get,
    Method(&'static str),
    Json(Value),
    /// Text with the JSON content type.
    Text(&'a str),
    Form(Vec<(&'a str, Part<'a>)>),
    /// Content type and bytes.
    Raw(&'a str, Vec<u8>),
}

/// What every error must look like.
pub(crate) fn check(answer: &Answer, what: &str, status: u16, param: Option<&str>) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert!(answer.header("content-type").starts_with("application/json"), "{what}: {:?}", answer.headers);
    assert!(!answer.header("x-request-id").is_empty(), "{what}: no request id");
    assert_eq!(answer.header("access-control-allow-origin"), "*", "{what}");
    let body = answer.json();
    let message = body["error"]["message"].as_str().unwrap_or_else(|| panic!("{what}: {body}"));
    assert!(!message.is_empty(), "{what}");
    assert_eq!(body["detail"], body["error"]["message"], "{what}");
    assert_eq!(body["error"]["param"].as_str(), param, "{what}: {message}");
    assert!(body["error"].as_object().unwrap().contains_key("code"), "{what}");
    let kind = body["error"]["type"].as_str().unwrap();
    let expected = match status {
        401 => "authentication_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    assert_eq!(kind, expected, "{what}");
    for leak in ["secret", "panicked", "/srv", ".rs:"] {
        assert!(!message.contains(leak), "{what}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests() {
    use Part::{File, Text};
    let server = Server::start().await;
    let clip = wav(1.0);
    let clip = clip.as_slice();
    let base = |more: Value| {
        let mut body = json!({"model": "parrot-mouth", "input": "hi"});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        Send::Json(body)
    };
    let ears = |more: Vec<(&'static str, Part<'static>)>| {
        let mut parts: Vec<(&str, Part<'_>)> = vec![("model", Text("parrot-ears")), ("file", File(clip))];
        parts.extend(more);
        Send::Form(parts)
    };
    let launch = |more: Value| {
        let mut body = json!({"model_name": "parrot-mouth", "model_type": "audio", "model_uid": "new"});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        Send::Json(body)
    };
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let long = "x".repeat(8193);
    let mut broken_early = b"------parrot\r\nno header at all\r\n\r\n".to_vec();
    broken_early.extend(vec![b'x'; 3_000_000]);
    #[rustfmt::skip]
    let rows: Vec<(&str, &str, Send<'_>, u16, Option<&str>)> = vec![
        // Routes and methods.
        ("unknown route", "/v1/audio/nothing", Send::Get, 404, None),
        ("root", "/", Send::Get, 404, None),
        ("odd path", "/v1/models/%ff", Send::Get, 400, None),
        ("wrong method", SPEECH, Send::Get, 405, None),
        ("wrong method", MODELS, Send::Method("DELETE"), 405, None),
        ("wrong method", "/health", Send::Method("POST"), 405, None),
        ("unknown method", SPEECH, Send::Method("BREW"), 405, None),
        // Bodies.
        ("no content type", SPEECH, Send::Raw("", b"{}".to_vec()), 415, None),
        ("plain text", SPEECH, Send::Raw("text/plain", b"hi".to_vec()), 415, None),
        ("url encoded", TRANSCRIPTIONS, Send::Raw("application/x-www-form-urlencoded", b"model=x".to_vec()), 415, None),
        ("launch as a form", MODELS, Send::Form(vec![("model_name", Text("x"))]), 415, None),
        ("empty body", SPEECH, Send::Text(""), 400, None),
        ("malformed JSON", SPEECH, Send::Text("{\"model\": \"parrot-mouth\", \"input\" \"hi\"}"), 400, None),
        ("single quotes", SPEECH, Send::Text("{'model': 'parrot-mouth'}"), 400, None),
        ("cut JSON", SPEECH, Send::Text("{\"model\": \"parrot"), 400, None),
        ("JSON list", SPEECH, Send::Text("[]"), 400, None),
        ("JSON text", SPEECH, Send::Text("\"hi\""), 400, None),
        ("deep JSON", SPEECH, Send::Text(&deep), 400, None),
        ("not UTF-8", SPEECH, Send::Raw("application/json", b"{\"model\": \"\xff\"}".to_vec()), 400, None),
        ("no boundary", SPEECH, Send::Raw("multipart/form-data", b"x".to_vec()), 400, None),
        ("no form at all", SPEECH, Send::Raw(FORM, b"hello".to_vec()), 400, None),
        ("cut form", TRANSCRIPTIONS, Send::Raw(FORM, form(&[("model", Text("parrot-ears")), ("file", File(clip))])[..5000].to_vec()), 400, None),
        ("form that is broken early", SPEECH, Send::Raw(FORM, broken_early), 400, None),
        ("nameless part", SPEECH, Send::Raw(FORM, b"------parrot\r\nContent-Disposition: form-data\r\n\r\nx\r\n------parrot--\r\n".to_vec()), 400, None),
        // Models.
        ("no model", SPEECH, Send::Json(json!({"input": "hi"})), 400, Some("model")),
        ("empty model", SPEECH, Send::Json(json!({"model": "", "input": "hi"})), 400, Some("model")),
        ("null model", SPEECH, Send::Json(json!({"model": null, "input": "hi"})), 400, Some("model")),
        ("model of another type", SPEECH, Send::Json(json!({"model": 5, "input": "hi"})), 400, Some("model")),
        ("unknown model", SPEECH, Send::Json(json!({"model": "dodo", "input": "hi"})), 404, Some("model")),
        ("unknown model", TRANSCRIPTIONS, Send::Form(vec![("model", Text("dodo")), ("file", File(clip))]), 404, Some("model")),
        ("unknown model, nothing else", TRANSLATIONS, Send::Form(vec![("model", Text("dodo"))]), 404, Some("model")),
        ("model that can't speak", SPEECH, Send::Json(json!({"model": "parrot-ears", "input": "hi"})), 400, Some("model")),
        ("model that can't hear", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-mouth")), ("file", File(clip))]), 400, Some("model")),
        ("model that can't translate", TRANSLATIONS, Send::Form(vec![("model", Text("parrot-ears-plain")), ("file", File(clip))]), 400, Some("model")),
        ("model to show", "/v1/models/dodo", Send::Get, 404, Some("model")),
        ("model to end", "/v1/models/dodo", Send::Method("DELETE"), 404, Some("model")),
        ("launch to cancel", "/v1/models/dodo/cancel", Send::Method("POST"), 404, Some("model_uid")),
        ("voices of nobody", "/v1/audio/voices?model=dodo", Send::Get, 404, Some("model")),
        // Audio.
        ("no file", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears"))]), 400, Some("file")),
        ("empty file", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears")), ("file", File(b""))]), 400, Some("file")),
        ("text as file", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears")), ("file", File(b"To be, or not to be: that is the question"))]), 400, Some("file")),
        ("wav without samples", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears")), ("file", File(&clip[..44]))]), 400, Some("file")),
        ("wav cut in its header", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears")), ("file", File(&clip[..30]))]), 400, Some("file")),
        ("bad base64", TRANSCRIPTIONS, Send::Json(json!({"model": "parrot-ears", "file": "<audio bytes>"})), 400, Some("file")),
        ("a path as file", TRANSCRIPTIONS, Send::Json(json!({"model": "parrot-ears", "file": "/etc/hostname"})), 400, Some("file")),
        ("an address as file", TRANSCRIPTIONS, Send::Json(json!({"model": "parrot-ears", "file": "http://localhost/a.wav"})), 400, Some("file")),
        ("data URL without base64", TRANSCRIPTIONS, Send::Json(json!({"model": "parrot-ears", "file": "data:audio/wav,abc"})), 400, Some("file")),
        ("number as file", TRANSCRIPTIONS, Send::Json(json!({"model": "parrot-ears", "file": 3})), 400, Some("file")),
        // Fields of transcriptions.
        ("unknown format", TRANSCRIPTIONS, ears(vec![("response_format", Text("ass"))]), 400, Some("response_format")),
        ("no speakers", TRANSCRIPTIONS, ears(vec![("response_format", Text("diarized_json"))]), 400, Some("response_format")),
        ("unknown language of a model with one", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears-plain")), ("file", File(clip)), ("language", Text("klingon"))]), 400, Some("language")),
        ("unknown language among several", TRANSCRIPTIONS, ears(vec![("languages[]", Text("en")), ("languages[]", Text("klingon"))]), 400, Some("languages")),
        ("chunking of another type", TRANSCRIPTIONS, ears(vec![("chunking_strategy[type]", Text("manual"))]), 400, Some("chunking_strategy")),
        ("chunking out of range", TRANSCRIPTIONS, ears(vec![("chunking_strategy[type]", Text("server_vad")), ("chunking_strategy[threshold]", Text("2"))]), 400, Some("chunking_strategy")),
        ("speaker without a recording", TRANSCRIPTIONS, ears(vec![("known_speaker_names[]", Text("Ann"))]), 400, Some("known_speaker_references")),
        ("recording that is none", TRANSCRIPTIONS, ears(vec![("known_speaker_names[]", Text("Ann")), ("known_speaker_references[]", Text("ann.wav"))]), 400, Some("known_speaker_references")),
        ("recording that is too short", TRANSCRIPTIONS, ears(vec![("known_speaker_names[]", Text("Ann")), ("known_speaker_references[]", Text(SHORT))]), 400, Some("known_speaker_references")),
        ("too many speakers", TRANSCRIPTIONS, ears(vec![("known_speaker_names", Text("[\"a\", \"b\", \"c\", \"d\", \"e\"]"))]), 400, Some("known_speaker_names")),
        ("unknown language", TRANSCRIPTIONS, ears(vec![("language", Text("klingon"))]), 400, Some("language")),
        ("hot", TRANSCRIPTIONS, ears(vec![("temperature", Text("3"))]), 400, Some("temperature")),
        ("cold", TRANSCRIPTIONS, ears(vec![("temperature", Text("-1"))]), 400, Some("temperature")),
        ("NaN", TRANSCRIPTIONS, ears(vec![("temperature", Text("nan"))]), 400, Some("temperature")),
        ("no number", TRANSCRIPTIONS, ears(vec![("temperature", Text("warm"))]), 400, Some("temperature")),
        ("unknown granularity", TRANSCRIPTIONS, ears(vec![("timestamp_granularities[]", Text("letter"))]), 400, Some("timestamp_granularities")),
        ("granularity of another model", TRANSCRIPTIONS, Send::Form(vec![("model", Text("parrot-ears-plain")), ("file", File(clip)), ("timestamp_granularities[]", Text("word"))]), 400, Some("timestamp_granularities")),
        ("no boolean", TRANSCRIPTIONS, ears(vec![("stream", Text("maybe"))]), 400, Some("stream")),
        ("format that can't be streamed", TRANSCRIPTIONS, ears(vec![("stream", Text("true")), ("response_format", Text("srt"))]), 400, Some("response_format")),
        ("kwargs not JSON", TRANSCRIPTIONS, ears(vec![("kwargs", Text("{oops"))]), 400, Some("kwargs")),
        ("kwargs no object", TRANSCRIPTIONS, ears(vec![("kwargs", Text("[1]"))]), 400, Some("kwargs")),
        ("unknown include", TRANSCRIPTIONS, ears(vec![("include[]", Text("everything"))]), 400, Some("include")),
        ("no logprobs", TRANSCRIPTIONS, ears(vec![("include[]", Text("logprobs"))]), 400, Some("include")),
        ("bad chunking", TRANSCRIPTIONS, ears(vec![("chunking_strategy", Text("often"))]), 400, Some("chunking_strategy")),
        ("family parameter out of range", TRANSCRIPTIONS, ears(vec![("beam_size", Text("99"))]), 400, Some("beam_size")),
        ("family parameter in kwargs", TRANSCRIPTIONS, ears(vec![("kwargs", Text("{\"mode\": \"best\"}"))]), 400, Some("mode")),
        ("plugin refuses a value", TRANSCRIPTIONS, ears(vec![("fail", Text("input"))]), 400, Some("hotword")),
        ("plugin can't", TRANSCRIPTIONS, ears(vec![("fail", Text("unsupported"))]), 400, None),
        ("plugin out of resources", TRANSCRIPTIONS, ears(vec![("fail", Text("resources"))]), 503, None),
        ("plugin broken", TRANSCRIPTIONS, ears(vec![("fail", Text("internal"))]), 500, None),
        ("plugin panics", TRANSCRIPTIONS, ears(vec![("fail", Text("panic"))]), 500, None),
        ("plugin panics later", TRANSCRIPTIONS, ears(vec![("fail", Text("panic")), ("fail_at", Text("1"))]), 500, None),
        ("stream fails before it begins", TRANSCRIPTIONS, ears(vec![("stream", Text("true")), ("fail", Text("input"))]), 400, Some("hotword")),
        // Fields of speech.
        ("no input", SPEECH, Send::Json(json!({"model": "parrot-mouth"})), 400, Some("input")),
        ("empty input", SPEECH, base(json!({"input": ""})), 400, Some("input")),
        ("blank input", SPEECH, base(json!({"input": " \n\t"})), 400, Some("input")),
        ("input of another type", SPEECH, base(json!({"input": ["hi"]})), 400, Some("input")),
        ("long input", SPEECH, base(json!({"input": long})), 400, Some("input")),
        ("unknown voice", SPEECH, base(json!({"voice": "nobody"})), 400, Some("voice")),
        ("path as voice", SPEECH, base(json!({"voice": "../../etc/passwd"})), 400, Some("voice")),
        ("voice object without id", SPEECH, base(json!({"voice": {"name": "polly"}})), 400, Some("voice")),
        ("voice of another type", SPEECH, base(json!({"voice": 3})), 400, Some("voice")),
        ("blend with a stranger", SPEECH, base(json!({"voice": "polly+nobody"})), 400, Some("voice")),
        ("unknown format", SPEECH, base(json!({"response_format": "wma"})), 400, Some("response_format")),
        ("slow", SPEECH, base(json!({"speed": 0.2})), 400, Some("speed")),
        ("fast", SPEECH, base(json!({"speed": 4.01})), 400, Some("speed")),
        ("speed as a word", SPEECH, base(json!({"speed": "fast"})), 400, Some("speed")),
        ("speed as a boolean", SPEECH, base(json!({"speed": true})), 400, Some("speed")),
        ("speed of another world", SPEECH, Send::Text("{\"model\": \"parrot-mouth\", \"input\": \"hi\", \"speed\": 1e400}"), 400, None),
        ("speed that is no number", SPEECH, Send::Form(vec![("model", Text("parrot-mouth")), ("input", Text("hi")), ("speed", Text("1e400"))]), 400, Some("speed")),
        ("saved voice that isn't there", SPEECH, base(json!({"voice": "voice_0123456789abcdef01234567"})), 400, Some("voice")),
        ("voice as broken JSON", SPEECH, base(json!({"voice": "{\"id\""})), 400, Some("voice")),
        ("rate too low", SPEECH, base(json!({"sample_rate": 4000})), 400, Some("sample_rate")),
        ("rate no whole number", SPEECH, base(json!({"sample_rate": 16000.5})), 400, Some("sample_rate")),
        ("unknown stream format", SPEECH, base(json!({"stream_format": "morse"})), 400, Some("stream_format")),
        ("clip that is no audio", SPEECH, base(json!({"prompt_speech": "aGVsbG8gd29ybGQ="})), 400, Some("prompt_speech")),
        ("clip that is no base64", SPEECH, base(json!({"kwargs": "{\"emo_audio_prompt\": \"**\"}"})), 400, Some("emo_audio_prompt")),
        ("latents that are no base64", SPEECH, base(json!({"prompt_latent": "**"})), 400, Some("prompt_latent")),
        ("seed of another type", SPEECH, base(json!({"seed": "lucky"})), 400, Some("seed")),
        ("stream fails before the first byte", SPEECH, base(json!({"stream": true, "fail": "input"})), 400, Some("hotword")),
        ("stream panics before the first byte", SPEECH, base(json!({"stream": true, "fail": "panic", "fail_at": 1})), 500, None),
        ("whole file fails half way", SPEECH, base(json!({"fail": "resources", "fail_at": 2})), 503, None),
        // Launches.
        ("no name", MODELS, Send::Json(json!({"model_type": "audio"})), 400, Some("model_name")),
        ("unknown name", MODELS, launch(json!({"model_name": "parot-mouth"})), 400, Some("model_name")),
        ("no type", MODELS, Send::Json(json!({"model_name": "parrot-mouth"})), 400, Some("model_type")),
        ("another type", MODELS, launch(json!({"model_type": "LLM"})), 400, Some("model_type")),
        ("uid in use", MODELS, launch(json!({"model_uid": "parrot-mouth"})), 400, Some("model_uid")),
        ("uid with a slash", MODELS, launch(json!({"model_uid": "a/b"})), 400, Some("model_uid")),
        ("uid of a replica", MODELS, launch(json!({"model_uid": "a-rep1"})), 400, Some("model_uid")),
        ("no replica", MODELS, launch(json!({"replica": 0})), 400, Some("replica")),
        ("replica null", MODELS, launch(json!({"replica": null})), 400, Some("replica")),
        ("path that isn't there", MODELS, launch(json!({"model_path": "/no/such/dir"})), 400, Some("model_path")),
        ("option out of range", MODELS, launch(json!({"load_ms": -1})), 400, Some("load_ms")),
        ("load refused", MODELS, launch(json!({"fail": "input"})), 400, Some("fail")),
        ("load without resources", MODELS, launch(json!({"fail": "resources"})), 503, None),
        ("load broken", MODELS, launch(json!({"fail": "internal"})), 503, None),
        ("load panics", MODELS, launch(json!({"fail": "panic"})), 500, None),
        ("unknown registration", "/v1/model_registrations/audio/dodo", Send::Get, 404, Some("model_name")),
        ("unknown type of registrations", "/v1/model_registrations/birds", Send::Get, 400, Some("model_type")),
    ];
    assert!(rows.len() >= 60);
    let mut connection = server.connect().await;
    for (what, path, send, status, param) in rows {
        let what = format!("{what} ({path})");
        let answer = match send {
            Send::Get => connection.get(path).await,
            Send::Method(method) => connection.request(method, path, &[], b"").await,
            Send::Json(body) => connection.post_json(path, &body).await,
            Send::Text(text) => {
                connection.request("POST", path, &[("content-type", "application/json")], text.as_bytes()).await
            }
            Send::Form(parts) => connection.post_form(path, &parts).await,
            Send::Raw("", body) => connection.request("POST", path, &[], &body).await,
            Send::Raw(kind, body) => connection.request("POST", path, &[("content-type", kind)], &body).await,
        };
        check(&answer, &what, status, param);
        if status == 405 {
            assert!(!answer.header("allow").is_empty(), "{what}: no Allow");
        }
        // The same connection serves on.
        assert_eq!(connection.get("/health").await.status, 200, "after {what}");
    }
    // After failures a uid is free again.
    let again = connection
        .post_json(MODELS, &json!({"model_name": "parrot-mouth", "model_type": "audio", "model_uid": "new"}))
        .await;
    assert_eq!((again.status, again.json()), (200, json!({"model_uid": "new"})));
    assert!(server.idle("parrot-ears", std::time::Duration::from_secs(5)).await);
    assert!(server.idle("parrot-mouth", std::time::Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_say_what_would_be_right() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    for (body, words) in [
        (json!({"model": "parrot-mouth", "input": "hi", "voice": "x"}), vec!["polly", "jack"]),
        (
            json!({"model": "parrot-mouth", "input": "hi", "response_format": "x"}),
            vec!["mp3", "wav", "opus", "aac", "flac", "pcm"],
        ),
        (json!({"model": "parrot-mouth", "input": "hi", "mode": "x"}), vec!["mode", "\"x\"", "fast", "good"]),
        (json!({"model": "parrot-mouth", "input": "hi", "speed": 9}), vec!["0.25", "4"]),
        (json!({"model": "dodo", "input": "hi"}), vec!["dodo"]),
    ] {
        let answer = connection.post_json(SPEECH, &body).await;
        let message = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    let answer = connection.post_json(SPEECH, &json!({"model": "dodo", "input": "hi"})).await;
    assert_eq!(answer.json()["error"]["code"], "model_not_found");
    let answer = connection.post_json(MODELS, &json!({"model_name": "parot-mouth", "model_type": "audio"})).await;
    assert!(answer.text().contains("parrot-mouth"), "did you mean: {}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_and_cors() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let answer = connection
        .request("GET", "/v1/nothing", &[("x-request-id", "mine-1"), ("origin", "http://a.example")], b"")
        .await;
    assert_eq!((answer.status, answer.header("x-request-id")), (404, "mine-1"));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let first = connection.get("/health").await.header("x-request-id").to_owned();
    assert_ne!(first, connection.get("/health").await.header("x-request-id"));
    let preflight = connection
        .request(
            "OPTIONS",
            SPEECH,
            &[
                ("origin", "http://a.example"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization, x-stainless-os"),
            ],
            b"",
        )
        .await;
    assert_eq!(preflight.status, 200);
    assert!(preflight.header("access-control-allow-methods").contains("DELETE"));
    assert!(preflight.header("access-control-allow-headers").contains("x-stainless-os"));
}
