//! The `voice` of a request, checked against what the model says it has.

use crate::http::error::{ApiError, clip};
use serde_json::Value;
use syrinx_plugin_api::ModelCard;

/// Voices that a message lists at most.
const LISTED: usize = 24;

/// The text of a `voice` field: a name, or `{"id": name}`. Empty means the default.
///
/// # Errors
/// 400 when it is something else.
pub(crate) fn from_json(value: &Value) -> Result<Option<String>, ApiError> {
    let name = match value {
        Value::Null => None,
        Value::String(name) => Some(name),
        Value::Object(object) => match object.get("id") {
            Some(Value::String(id)) => Some(id),
            _ => return Err(ApiError::invalid("voice", "`voice` as an object must have a text `id`")),
        },
        _ => return Err(ApiError::invalid("voice", "`voice` must be a name, or an object with an `id`")),
    };
    Ok(name.filter(|name| !name.trim().is_empty()).cloned())
}

/// The model's own spelling of a voice that a caller names: a voice, one of its other names, or a blend such as
/// `af_bella(2)+af_sky(1)` of such names. A model that lists no voices takes any name.
///
/// # Errors
/// 400 that lists voices when there is no such one.
pub(crate) fn resolve(given: &str, card: &ModelCard) -> Result<String, ApiError> {
    if let Some(known) = known(given.trim(), card) {
        return Ok(known.to_owned());
    }
    if card.voices.is_empty() {
        return Ok(given.to_owned());
    }
    blend(given, card).ok_or_else(|| {
        let names: Vec<&str> = card.voices.iter().take(LISTED).map(|voice| voice.id.as_str()).collect();
        let more = card.voices.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more (GET /v1/audio/voices lists all)") } else { String::new() };
        let message = format!("unknown voice \"{}\"; this model has {}{more}", clip(given), names.join(", "));
        ApiError::invalid("voice", message)
    })
}

/// The voice that one name stands for.
fn known<'a>(name: &str, card: &'a ModelCard) -> Option<&'a str> {
    let voice = card.voices.iter().find(|voice| voice.id == name).map(|voice| voice.id.as_str());
    voice.or_else(|| card.voice_aliases.get(name).map(String::as_str))
}

/// A blend with every part in the model's own spelling; none when a part is unknown.
fn blend(given: &str, card: &ModelCard) -> Option<String> {
    let mut parts = given.split([',', '+']).map(|part| {
        let part = part.trim();
        let Some((name, weight)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) else {
            return known(part, card).map(str::to_owned);
        };
        let weight = weight.trim();
        weight.parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight > 0.0)?;
        known(name.trim(), card).map(|voice| format!("{voice}({weight})"))
    });
    let first = parts.next()??;
    parts.try_fold(first, |all, part| Some(all + "+" + &part?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use syrinx_plugin_api::Voice;

    fn card() -> ModelCard {
        let voices = ["af_bella", "af_sky"].map(|id| Voice { id: id.to_owned(), ..Voice::default() });
        let aliases = [("alloy".to_owned(), "af_sky".to_owned())].into();
        ModelCard { voices: voices.into(), voice_aliases: aliases, ..ModelCard::default() }
    }

    #[test]
    fn names_aliases_and_blends() {
        for (given, voice) in [
            ("af_bella", "af_bella"),
            (" alloy ", "af_sky"),
            ("af_bella+alloy", "af_bella+af_sky"),
            ("af_bella(2), af_sky(0.5)", "af_bella(2)+af_sky(0.5)"),
            ("af_bella(2)", "af_bella(2)"),
        ] {
            assert_eq!(resolve(given, &card()).unwrap(), voice, "{given}");
        }
        assert_eq!(resolve("anything", &ModelCard::default()).unwrap(), "anything");
    }

    #[test]
    fn unknown_ones_are_refused_with_a_list() {
        for given in [
            "bella",
            "../af_bella",
            "af_bella.pt",
            "af_bella+",
            "af_bella(0)",
            "af_bella(x)+af_sky",
            "af_bella+bob",
            "+",
        ] {
            let error = resolve(given, &card()).unwrap_err();
            assert!(serde_json::to_string(&error.body()).unwrap().contains("af_bella, af_sky"), "{given}");
        }
    }

    #[test]
    fn objects_with_an_id() {
        assert_eq!(from_json(&json!({"id": "x"})).unwrap().as_deref(), Some("x"));
        assert_eq!(from_json(&json!("")).unwrap(), None);
        assert_eq!(from_json(&json!(null)).unwrap(), None);
        for bad in [json!({}), json!({"id": 3}), json!(3), json!(["x"])] {
            assert!(from_json(&bad).is_err(), "{bad}");
        }
    }
}
