//! What is asked, and what must come back.

use crate::{
    sound::Sound,
    wire::{self, Answer, FORM, Wire, form, request},
};
use serde_json::{Value, json};
use std::io;

/// The model in the server's own process.
pub(super) const INSIDE: &str = "inside";
/// The model in processes of its own.
pub(super) const OUTSIDE: &str = "outside";

/// A model in the server's own process that only a turn of the clock disturbs.
pub(super) const STILL: &str = "still";

/// Something to ask one of the models, and the answer that was given while all was well.
pub(super) struct Ask {
    pub(super) what: String,
    pub(super) uid: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) expected: Answer,
    /// Whether the answer comes as it is made, so that it may break off.
    pub(super) is_streamed: bool,
}

/// Sends a request over a connection of its own.
pub(super) fn ask(port: u16, bytes: &[u8]) -> io::Result<Answer> {
    let mut wire = Wire::connect(port)?;
    // A server that refuses may close while this is still sending; the answer is there all the same.
    let _ = wire.send(bytes);
    wire.answer()
}

/// Everything that is asked. The model inside tells what is right.
pub(super) fn all(port: u16) -> Vec<Ask> {
    let mut asks = Vec::new();
    for (what, is_streamed, bytes_for) in questions() {
        for uid in [INSIDE, OUTSIDE] {
            let expected = answer_of(port, &what, &bytes_for(INSIDE));
            asks.push(Ask { what: format!("{what} of {uid}"), uid, bytes: bytes_for(uid), expected, is_streamed });
        }
    }
    asks
}

/// What is right. Asked again where the time ran out: a machine that stood still.
fn answer_of(port: u16, what: &str, bytes: &[u8]) -> Answer {
    const TRIES: usize = 3;
    let mut heard = Vec::new();
    for _ in 0..TRIES {
        match ask(port, bytes) {
            Ok(answer) if answer.status == 200 && answer.complete => return answer,
            Ok(answer) => heard.push(format!("{} {}", answer.status, answer.text())),
            Err(error) => heard.push(error.to_string()),
        }
    }
    panic!("{what}: {}", heard.join("; "))
}

type Question = (String, bool, Box<dyn Fn(&str) -> Vec<u8>>);

fn questions() -> Vec<Question> {
    let mut all: Vec<Question> = Vec::new();
    for (number, format) in ["pcm", "wav", "mp3", "flac", "opus", "aac", "m4a"].into_iter().enumerate() {
        for (how, more) in [
            ("whole", json!({})),
            ("streamed", json!({"stream": true})),
            ("slowly streamed", json!({"stream": true, "fail": "slow", "pause_ms": 20})),
            ("as events", json!({"stream_format": "sse", "voice": "high"})),
        ] {
            let text = "to and fro ".repeat(number + 1);
            let body = json!({"input": text, "response_format": format});
            let bytes = move |uid: &str| speech(uid, &[&body, &more]);
            all.push((format!("{format}, {how}"), how != "whole", Box::new(bytes)));
        }
    }
    for (number, format) in ["json", "text", "srt", "vtt", "verbose_json"].into_iter().enumerate() {
        let file = sound(0.5 + number as f32);
        let bytes = move |uid: &str| {
            let parts = [
                ("file", true, file.as_slice()),
                ("model", false, uid.as_bytes()),
                ("response_format", false, format.as_bytes()),
            ];
            request("POST", "/v1/audio/transcriptions", &[("content-type", FORM)], &form(&parts))
        };
        all.push((format!("transcription as {format}"), false, Box::new(bytes)));
    }
    all
}

/// A request to speak, out of the members of several objects.
pub(super) fn speech(uid: &str, members: &[&Value]) -> Vec<u8> {
    let mut body = json!({"model": uid});
    for more in members {
        body.as_object_mut().expect("it is one").extend(more.as_object().expect("an object").clone());
    }
    wire::json("POST", "/v1/audio/speech", body.to_string().as_bytes())
}

/// A tone of this length at 16 kHz.
fn sound(seconds: f32) -> Vec<u8> {
    let samples = (0..(seconds * 16_000.0) as usize).map(|n| (n as f32 / 8.0).sin() * 0.3).collect();
    Sound { sample_rate: 16_000, samples }.to_wav()
}
