//! Saved voices: made from a recording, usable with every model that clones, kept until they are deleted.

use crate::{
    client::{
        Answer, Connection,
        Part::{self, File, Text},
    },
    fake::{PUSH, SCALES, Server, wav},
};
use serde_json::{Value, json};
use std::time::Duration;

const VOICES: &str = "/v1/audio/voices";
const SPEECH: &str = "/v1/audio/speech";

async fn create(connection: &mut Connection, name: &str, seconds: f64, more: &[(&str, Part<'_>)]) -> Answer {
    let clip = wav(seconds);
    let mut parts = vec![("name", Text(name)), ("audio_sample", File(&clip)), ("consent", Text("I agree"))];
    parts.extend_from_slice(more);
    connection.post_form(VOICES, &parts).await
}

/// Seconds of the clip and length of the prompt text that the mimic gets with this request.
async fn mimic(connection: &mut Connection, more: Value) -> (f32, f32) {
    let mut body = json!({"model": "parrot-mimic", "input": "hi", "response_format": "pcm"});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let answer = connection.post_json(SPEECH, &body).await;
    assert_eq!(answer.status, 200, "{more}: {}", answer.text());
    let at = |place: usize| {
        let place = (place * PUSH + PUSH / 2) * 2;
        f32::from(i16::from_le_bytes([answer.body[place], answer.body[place + 1]])) / 32767.0
    };
    let seconds = at(0) * SCALES[0];
    ((seconds * 10.0).round() / 10.0, (at(2) * SCALES[2]).round())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_from_its_first_to_its_last_day() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::with(|config| config.home = Some(home.path().to_owned())).await;
    server.launch("parrot-mimic").await;
    let mut connection = server.connect().await;
    let answer = create(&mut connection, "Ann", 2.5, &[("prompt_text", Text("what I say"))]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let made = answer.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("voice_") && made["created_at"].as_u64().unwrap() > 1_700_000_000, "{made}");
    let expected = json!({"id": id, "created_at": made["created_at"], "name": "Ann", "object": "audio.voice", "type": "audio_sample"});
    assert_eq!(made, expected);
    // Listed with all voices, with those of a model that clones, and with no other's.
    let listed = json!({"id": id, "name": "Ann", "object": "audio.voice", "language": null, "gender": null,
        "model": "parrot-mimic", "created_at": made["created_at"]});
    let list = connection.get("/v1/audio/voices?model=parrot-mimic").await.json();
    assert_eq!(list, json!({"object": "list", "data": [listed], "voices": [id]}));
    let all = connection.get(VOICES).await.json();
    assert_eq!(all["voices"].as_array().unwrap().last().unwrap(), &json!(id));
    let others = connection.get("/v1/audio/voices?model=parrot-mouth").await.json();
    assert_eq!(others["voices"], json!(["polly", "jack"]));
    // By id, by name in any case, as an object.
    for voice in [json!(id), json!("Ann"), json!(" ANN "), json!({"id": id}), json!({"id": "ann"})] {
        assert_eq!(mimic(&mut connection, json!({"voice": voice})).await, (2.5, 10.0), "{voice}");
    }
    // The caller's own text and clip count more.
    assert_eq!(mimic(&mut connection, json!({"voice": "Ann", "prompt_text": "other"})).await, (2.5, 5.0));
    assert_eq!(mimic(&mut connection, json!({"voice": "Ann", "kwargs": {"prompt_text": "other"}})).await, (2.5, 5.0));
    let clip = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, wav(1.0));
    assert_eq!(mimic(&mut connection, json!({"voice": "Ann", "prompt_speech": clip})).await, (1.0, 0.0));
    // Not with a model that can't clone.
    let body = json!({"model": "parrot-mouth", "input": "hi", "voice": id});
    let answer = connection.post_json(SPEECH, &body).await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &json!("voice")));
    assert!(answer.text().contains("clone") && answer.text().contains("polly"), "{}", answer.text());
    // After a restart it is still there; on disk are nothing but safe names.
    drop(connection);
    drop(server);
    let names: Vec<String> = std::fs::read_dir(home.path().join("voices"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, [id.as_str()]);
    let server = Server::with(|config| config.home = Some(home.path().to_owned())).await;
    server.launch("parrot-mimic").await;
    let mut connection = server.connect().await;
    assert_eq!(mimic(&mut connection, json!({"voice": id})).await, (2.5, 10.0));
    // openai's client sends a content type with its DELETE.
    let path = format!("{VOICES}/{id}");
    let answer = connection.request("DELETE", &path, &[("content-type", "application/json")], b"").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"id": id, "deleted": true, "object": "audio.voice.deleted"}))
    );
    assert_eq!(connection.request("DELETE", &path, &[], b"").await.status, 404);
    assert_eq!(connection.get("/v1/audio/voices?model=parrot-mimic").await.json()["voices"], json!([]));
    let answer = connection.post_json(SPEECH, &json!({"model": "parrot-mimic", "input": "hi", "voice": id})).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("unknown_voice")));
}

#[tokio::test(flavor = "multi_thread")]
async fn dialects_of_creation() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    // What openai's client can send besides, and other formats of sound.
    let tolerated = [
        ("type", Text("audio_sample")),
        ("model", Text("auto")),
        ("script_hint", Text("Hello")),
        ("prompt", Text("deep")),
    ];
    assert_eq!(create(&mut connection, "tolerated", 1.0, &tolerated).await.status, 200);
    let speech = json!({"model": "parrot-mouth", "input": "x".repeat(20), "response_format": "mp3"});
    let mp3 = connection.post_json(SPEECH, &speech).await.body;
    let parts = [("audio_sample", File(mp3.as_slice())), ("consent", Text("cons_1")), ("name", Text("小红"))];
    let answer = connection.post_form(VOICES, &parts).await;
    assert_eq!((answer.status, &answer.json()["name"]), (200, &json!("小红")), "{}", answer.text());
    // JSON with base64.
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, wav(1.0));
    let body = json!({"name": "../../etc/passwd", "audio_sample": encoded, "consent": "yes"});
    assert_eq!(connection.post_json(VOICES, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_voice() {
    let server = Server::with(|config| config.limits.voices = 2).await;
    let mut connection = server.connect().await;
    assert_eq!(create(&mut connection, "Ann", 1.0, &[]).await.status, 200);
    let clip = wav(1.5);
    let sample = ("audio_sample", File(clip.as_slice()));
    let (name, consent) = (("name", Text("Bob")), ("consent", Text("yes")));
    let (short, long) = (wav(0.5), wav(61.5));
    let endless = "x".repeat(101);
    for (what, parts, param) in [
        ("nothing", vec![("x", Text("x"))], "name"),
        ("no name", vec![sample, consent], "name"),
        ("blank name", vec![sample, consent, ("name", Text("  "))], "name"),
        ("long name", vec![sample, consent, ("name", Text(&endless))], "name"),
        ("name with a line break", vec![sample, consent, ("name", Text("a\nb"))], "name"),
        ("OpenAI's name", vec![sample, consent, ("name", Text("Alloy"))], "name"),
        ("name like an id", vec![sample, consent, ("name", Text("voice_1"))], "name"),
        ("name that is taken", vec![sample, consent, ("name", Text("aNN"))], "name"),
        ("no consent", vec![sample, name], "consent"),
        ("empty consent", vec![sample, name, ("consent", Text(""))], "consent"),
        ("no sample", vec![name, consent], "audio_sample"),
        ("empty sample", vec![name, consent, ("audio_sample", File(b""))], "audio_sample"),
        ("sample that is no audio", vec![name, consent, ("audio_sample", File(b"hello hello hello"))], "audio_sample"),
        ("short sample", vec![name, consent, ("audio_sample", File(&short))], "audio_sample"),
        ("long sample", vec![name, consent, ("audio_sample", File(&long))], "audio_sample"),
        ("voice from a description", vec![name, ("type", Text("prompt")), ("prompt", Text("deep"))], "type"),
    ] {
        let answer = connection.post_form(VOICES, &parts).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let body = answer.json();
        assert_eq!(
            (&body["error"]["param"], &body["detail"]),
            (&json!(param), &body["error"]["message"]),
            "{what}: {body}"
        );
    }
    // As many as there may be.
    assert_eq!(create(&mut connection, "Bob", 1.0, &[]).await.status, 200);
    let answer = create(&mut connection, "Cid", 1.0, &[]).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!("voice_limit_reached")));
    for path in ["/v1/audio/voices/voice_123", "/v1/audio/voices/Ann", "/v1/audio/voices/..%2F..%2Fetc"] {
        let answer = connection.request("DELETE", path, &[], b"").await;
        assert_eq!((answer.status, &answer.json()["error"]["param"]), (404, &json!("voice_id")), "{path}");
    }
    let answer = connection.get("/v1/audio/voices/voice_123").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "DELETE"));
    assert_eq!(connection.get("/v1/audio/voices?model=dodo").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let server = Server::start().await;
    server.launch("parrot-mimic").await;
    let mut creating = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut connection = server.connect().await;
        creating.spawn(async move {
            let own = create(&mut connection, &format!("own {number}"), 1.0, &[]).await.json()["id"]
                .as_str()
                .unwrap()
                .to_owned();
            let same = create(&mut connection, "same", 1.0, &[]).await.status;
            let deleted = connection.request("DELETE", &format!("{VOICES}/{own}"), &[], b"").await.status;
            (same, deleted)
        });
    }
    let outcomes = creating.join_all().await;
    assert_eq!(outcomes.iter().filter(|(same, _)| *same == 200).count(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(same, deleted)| [200, 400].contains(same) && *deleted == 200), "{outcomes:?}");
    let mut connection = server.connect().await;
    let list = connection.get("/v1/audio/voices?model=parrot-mimic").await.json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    // One that is deleted while it speaks doesn't stop.
    let id = list["voices"][0].as_str().unwrap();
    let body = json!({"model": "parrot-mimic", "input": "hi", "voice": id, "stream": true, "response_format": "pcm", "fail_at": 9, "delay_ms": 150});
    let mut speaking = server.connect().await;
    speaking.send("POST", SPEECH, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    speaking.head().await;
    assert_eq!(connection.request("DELETE", &format!("{VOICES}/{id}"), &[], b"").await.status, 200);
    let mut bytes = 0;
    while let Some(chunk) = speaking.chunk().await.filter(|chunk| !chunk.is_empty()) {
        bytes += chunk.len();
    }
    assert_eq!(bytes, 5 * PUSH * 2);
    assert!(server.idle("parrot-mimic", Duration::from_secs(2)).await);
}
