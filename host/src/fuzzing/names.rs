//! Launches and names.

use crate::{
    http::fuzzed::{launch_request as launch, object, voice},
    models::check_uid,
    voices::Voices,
};
use serde_json::Value;
use syrinx_plugin_api::{ModelCard, Voice};

/// A launch is refused, or says something that can be done.
pub fn launch_request(data: &[u8]) {
    let Ok(body) = object(data) else { return };
    let type_is_audio =
        body.get("model_type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("audio"));
    let Ok(spec) = launch::parse(body) else { return };
    assert!(type_is_audio, "only audio models are launched");
    assert!(!spec.model_name.trim().is_empty(), "a launch has a name");
    assert!((1..=64).contains(&spec.replica), "{} replicas", spec.replica);
    for name in [
        "model_name",
        "model_uid",
        "model_path",
        "replica",
        "request_limits",
        "n_gpu",
        "gpu_idx",
        "worker_ip",
        "model_type",
    ] {
        assert!(!spec.options.contains_key(name), "{name} is no option of a plugin's");
    }
    assert!(spec.options.values().all(|value| !value.is_null()), "null is none");
}

/// A uid that is taken can stand in a URL, a log line and a label. A voice that is taken is one of the model's.
pub fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if check_uid(&text).is_ok() {
        assert!((1..=100).contains(&text.chars().count()), "{text:?}");
        let breaks_urls = |c: char| c.is_whitespace() || c.is_control() || "/?#\\".contains(c);
        assert!(!text.chars().any(breaks_urls), "{text:?}");
        assert!(text != "." && text != "..", "clients shorten such paths");
    }
    let voices = ["af_bella", "af_sky", "zf_xiaoyi"];
    let card = ModelCard {
        voices: voices.map(|id| Voice { id: id.to_owned(), ..Voice::default() }).into(),
        voice_aliases: [("alloy".to_owned(), "af_sky".to_owned())].into(),
        ..ModelCard::default()
    };
    if let Ok(voice::Choice::Own(resolved)) = voice::resolve(&text, &card, &Voices::none()) {
        for part in resolved.split('+') {
            let name = part.split('(').next().unwrap_or_default();
            assert!(voices.contains(&name), "{text:?} became {resolved:?}");
        }
    }
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        let named = voice::from_json(&value);
        assert!(!matches!(named, Ok(Some(name)) if name.trim().is_empty()));
    }
}
