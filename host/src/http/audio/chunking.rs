//! `chunking_strategy`: how the caller wants long audio to be cut where nobody speaks.

use super::parameters::property;
use crate::http::{
    body::Fields,
    error::{ApiError, clip},
};
use serde_json::{Map, Value};
use syrinx_plugin_api::{ModelCard, Object};

const FIELD: &str = "chunking_strategy";

/// The members of OpenAI's `server_vad`, what is accepted, and the parameter of models that can be tuned so. A model that
/// has a parameter `chunking_strategy` itself gets the object as it is.
const MEMBERS: [(&str, Accepted, &str); 3] = [
    ("threshold", Accepted::Share, "vad_threshold"),
    ("prefix_padding_ms", Accepted::Milliseconds, "vad_prefix_padding_ms"),
    ("silence_duration_ms", Accepted::Milliseconds, "vad_silence_duration_ms"),
];

/// What a member can be.
#[derive(Clone, Copy)]
enum Accepted {
    /// 0…1.
    Share,
    /// A whole number from 0.
    Milliseconds,
}

/// Checks the field and hands it on where the model has parameters for it. `auto`, and nothing at all, are the model's own way.
///
/// # Errors
/// 400 when it is neither `auto` nor a valid object.
pub(crate) fn collect(fields: &Fields, card: &ModelCard, parameters: &mut Object) -> Result<(), ApiError> {
    let Some(given) = fields.object_or_word(FIELD, "auto")? else { return Ok(()) };
    let checked = check(&given)?;
    if property(card, FIELD).is_some() {
        parameters.insert(FIELD.to_owned(), Value::Object(checked));
        return Ok(());
    }
    for (member, _, parameter) in MEMBERS {
        if let Some(value) = checked.get(member)
            && property(card, parameter).is_some()
            && !parameters.contains_key(parameter)
        {
            parameters.insert(parameter.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// The members that are known, as numbers.
fn check(given: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let kind = given.get("type").unwrap_or(&Value::Null);
    if !matches!(kind.as_str(), Some("server_vad")) {
        let message = format!(
            "`{FIELD}` must be \"auto\" or an object with the type \"server_vad\", not {}",
            clip(&kind.to_string())
        );
        return Err(ApiError::invalid(FIELD, message));
    }
    let mut checked = Map::new();
    checked.insert("type".to_owned(), kind.clone());
    for (member, accepted, _) in MEMBERS {
        let Some(value) = given.get(member).filter(|value| !is_empty(value)) else { continue };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            // Members of forms are text.
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| match accepted {
            Accepted::Share => (0.0..=1.0).contains(number),
            Accepted::Milliseconds => number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(number),
        });
        let (number, wanted) = match (number, accepted) {
            (Some(share), Accepted::Share) => (Some(Value::from(share)), ""),
            (Some(milliseconds), Accepted::Milliseconds) => (Some(Value::from(milliseconds as u64)), ""),
            (None, Accepted::Share) => (None, "a number between 0 and 1"),
            (None, Accepted::Milliseconds) => (None, "a whole number of milliseconds"),
        };
        let Some(number) = number else {
            let message = format!("`{FIELD}[{member}]` is {}, but must be {wanted}", clip(&value.to_string()));
            return Err(ApiError::invalid(FIELD, message));
        };
        checked.insert(member.to_owned(), number);
    }
    Ok(checked)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn collected(given: Value, properties: Value) -> Result<Value, ApiError> {
        let fields = Fields::from_json(json!({FIELD: given}).to_string().as_bytes())?;
        let parameters = json!({"properties": properties}).as_object().cloned().unwrap();
        let card = ModelCard { parameters, ..ModelCard::default() };
        let mut parameters = Object::new();
        collect(&fields, &card, &mut parameters).map(|()| Value::Object(parameters))
    }

    #[test]
    fn reaches_models_that_can_be_tuned() {
        let given =
            json!({"type": "server_vad", "threshold": "0.5", "silence_duration_ms": 200, "prefix_padding_ms": null});
        let tuned = collected(given.clone(), json!({"vad_threshold": {}, "vad_silence_duration_ms": {}})).unwrap();
        assert_eq!(tuned, json!({"vad_threshold": 0.5, "vad_silence_duration_ms": 200}));
        let whole = collected(given.clone(), json!({FIELD: {}})).unwrap();
        assert_eq!(whole, json!({FIELD: {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}}));
        assert_eq!(collected(given, json!({})).unwrap(), json!({}));
        assert_eq!(collected(json!("auto"), json!({"vad_threshold": {}})).unwrap(), json!({}));
        assert_eq!(collected(json!(null), json!({})).unwrap(), json!({}));
    }

    #[test]
    fn nonsense_is_refused() {
        for given in [
            json!("often"),
            json!({}),
            json!({"type": "manual"}),
            json!({"type": "server_vad", "threshold": 1.5}),
            json!({"type": "server_vad", "threshold": "nan"}),
            json!({"type": "server_vad", "silence_duration_ms": -1}),
            json!({"type": "server_vad", "silence_duration_ms": 1.5}),
            json!({"type": "server_vad", "prefix_padding_ms": [1]}),
            json!([1]),
            json!(3),
        ] {
            assert!(collected(given.clone(), json!({})).is_err(), "{given}");
        }
    }
}
