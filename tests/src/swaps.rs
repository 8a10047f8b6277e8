//! What the tests of plugins that come and change share.

use crate::{
    http::{self, Response},
    server::{self, Server},
    sound::Sound,
};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Longest time from a changed file to its effect: settling, copying, loading.
const EFFECT: Duration = Duration::from_secs(15);

/// Lets the model `tone` speak.
pub fn speak(server: &Server, text: &str) -> Response {
    http::post(&server.url("/v1/audio/speech"))
        .json(&json!({"model": "tone", "input": text, "response_format": "wav"}))
        .run()
}

/// Pitch of the beeps in Hz: 440 of the plain edition, 880 of the second.
pub fn pitch(response: &Response) -> f64 {
    assert_eq!((response.status, response.curl), (200, 0), "{}", response.text());
    Sound::from_wav(&response.body).expect("a wav file").pitch()
}

/// Whether two pitches are the same.
pub fn is_about(pitch: f64, expected: f64) -> bool {
    (pitch / expected - 1.0).abs() < 0.05
}

/// What the server says of its plugin called this, or in a file whose path ends so.
pub fn report(server: &Server, name: &str) -> Option<Value> {
    let list =
        server::command(server, &["plugins", "--json"]).unwrap_or_else(|error| panic!("{error}\n{}", server.log()));
    let list: Value = serde_json::from_str(&list).expect("JSON");
    list.as_array()?
        .iter()
        .find(|plugin| plugin["name"] == name || plugin["path"].as_str().is_some_and(|p| p.ends_with(name)))
        .cloned()
}

/// The beeper's report.
pub fn beeper(server: &Server) -> Value {
    report(server, "beeper").unwrap_or_else(|| panic!("the beeper isn't listed:\n{}", server.log()))
}

/// Waits until the beeper's file, or a file called like this, is refused for a reason that contains `reason`.
pub fn wait_for_refusal(server: &Server, name: &str, reason: &str) {
    wait_until(&format!("a refusal ({reason})"), server, || {
        report(server, name).is_some_and(|plugin| plugin["error"].as_str().is_some_and(|error| error.contains(reason)))
    });
}

/// Waits for what a change brings about.
pub fn wait_until(what: &str, server: &Server, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        let listed = || server::command(server, &["plugins", "--json"]).unwrap_or_default();
        assert!(started.elapsed() < EFFECT, "{what} does not happen:\n{}\n{}", listed(), server.log());
        thread::sleep(Duration::from_millis(50));
    }
}
