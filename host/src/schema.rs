//! Checks values against the JSON Schemas that plugins declare, and says what is wrong in terms of one field.

use serde_json::Value;
use syrinx_plugin_api::Object;

/// A value that its schema doesn't allow.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{field}` is {given}, but must be {accepted}")]
pub struct Mismatch {
    /// Name of the field.
    pub field: String,
    /// The value, as JSON, cut to a readable length.
    pub given: String,
    /// What would be accepted, in words.
    pub accepted: String,
}

/// Picks the members of `values` that `schema` (an object schema) knows and checks them. Unknown members are left out,
/// null members too, and empty text for what isn't text: they mean "not given".
///
/// # Errors
/// The first member that doesn't fit.
pub fn check(schema: &Object, values: &Object) -> Result<Object, Mismatch> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Ok(Object::new());
    };
    let mut known = Object::new();
    for (name, property) in properties {
        let Some(value) = values.get(name).filter(|value| !value.is_null()) else { continue };
        let Some(value) = read(property, value) else { continue };
        check_one(schema, name, property, &value)?;
        known.insert(name.clone(), value);
    }
    Ok(known)
}

/// The value as the type that its schema wants; none when it is empty text for something else.
///
/// Forms and command lines carry numbers and booleans as text, some languages have one kind of number, and others say 1 and 0
/// for yes and no.
fn read(property: &Value, value: &Value) -> Option<Value> {
    /// Every whole number up to here is exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    let types = types_of(property);
    match value {
        Value::String(text) if !types.is_empty() && !types.contains(&"string") => from_text(&types, text),
        Value::Number(number) if types.contains(&"integer") && !types.contains(&"number") && number.is_f64() => {
            let whole = number.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT);
            Some(whole.map_or_else(|| value.clone(), |whole| Value::from(whole as i64)))
        }
        Value::Number(number)
            if types.contains(&"boolean") && !types.iter().any(|name| ["integer", "number"].contains(name)) =>
        {
            match number.as_u64() {
                Some(bit @ (0 | 1)) => Some(Value::Bool(bit == 1)),
                _ => Some(value.clone()),
            }
        }
        value => Some(value.clone()),
    }
}

/// Reads a text as one of `types`, which has no text; none when it is empty.
fn from_text(types: &[&str], text: &str) -> Option<Value> {
    let parsed = match text.trim().to_lowercase().as_str() {
        "" => return None,
        "true" | "1" | "yes" if types.contains(&"boolean") => Some(Value::Bool(true)),
        "false" | "0" | "no" if types.contains(&"boolean") => Some(Value::Bool(false)),
        _ => serde_json::from_str(text.trim()).ok(),
    };
    Some(parsed.unwrap_or_else(|| Value::from(text)))
}

/// The JSON types that a property takes, as far as it says so directly.
fn types_of(property: &Value) -> Vec<&str> {
    let direct = match property.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| property.get(key)?.as_array()).flatten();
    direct.into_iter().chain(alternatives.flat_map(types_of)).collect()
}

fn check_one(schema: &Object, name: &str, property: &Value, value: &Value) -> Result<(), Mismatch> {
    // References into `$defs` have to resolve, so they come along.
    let mut standalone = property.clone();
    if let (Value::Object(object), Some(definitions)) = (&mut standalone, schema.get("$defs")) {
        object.insert("$defs".to_owned(), definitions.clone());
    }
    let validator = jsonschema::validator_for(&standalone).map_err(|error| Mismatch {
        field: name.to_owned(),
        given: shorten(value),
        accepted: format!("something else: the plugin's schema for it is broken ({error})"),
    })?;
    if validator.is_valid(value) {
        return Ok(());
    }
    Err(Mismatch { field: name.to_owned(), given: shorten(value), accepted: accepted(schema, property) })
}

fn shorten(value: &Value) -> String {
    const LIMIT: usize = 80; // characters that still read well in one line
    let text = value.to_string();
    if text.chars().count() <= LIMIT {
        return text;
    }
    text.chars().take(LIMIT).chain("…".chars()).collect()
}

/// Puts a property's schema into words.
pub fn accepted(schema: &Object, property: &Value) -> String {
    if let Some(reference) = property.get("$ref").and_then(Value::as_str) {
        let target = reference.strip_prefix("#/$defs/").and_then(|name| schema.get("$defs")?.get(name));
        return target.map_or_else(|| "valid".to_owned(), |target| accepted(schema, target));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(alternatives) = property.get(key).and_then(Value::as_array) {
            let words: Vec<String> = alternatives
                .iter()
                .filter(|alternative| alternative.get("type").and_then(Value::as_str) != Some("null"))
                .map(|alternative| accepted(schema, alternative))
                .collect();
            return words.join(" or ");
        }
    }
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().filter(|value| !value.is_null()).map(Value::to_string).collect();
        return format!("one of {}", values.join(", "));
    }
    if let Some(value) = property.get("const") {
        return value.to_string();
    }
    let mut words: String =
        types_of(property).into_iter().filter(|name| *name != "null").collect::<Vec<_>>().join(" or ");
    if words.is_empty() {
        words.push_str("valid");
    }
    for (key, text) in [
        ("minimum", "at least"),
        ("exclusiveMinimum", "more than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
        ("minLength", "characters: at least"),
        ("maxLength", "characters: at most"),
        ("minItems", "items: at least"),
        ("maxItems", "items: at most"),
        ("pattern", "matching"),
    ] {
        if let Some(bound) = property.get(key) {
            words.push_str(&format!(", {text} {bound}"));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Object {
        json!({
            "type": "object",
            "properties": {
                "beam_size": {"type": ["integer", "null"], "minimum": 1, "maximum": 16},
                "vad": {"type": "boolean"},
                "mode": {"$ref": "#/$defs/Mode"},
                "scale": {"anyOf": [{"type": "number", "minimum": 0.0}, {"type": "null"}]},
            },
            "$defs": {"Mode": {"type": "string", "enum": ["fast", "good"]}},
        })
        .as_object()
        .cloned()
        .unwrap()
    }

    fn object(value: Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn keeps_what_is_known_and_reads_texts() {
        let given = object(json!({"beam_size": "5", "vad": "True", "mode": "good", "other": 1, "scale": null}));
        let known = check(&schema(), &given).unwrap();
        assert_eq!(Value::Object(known), json!({"beam_size": 5, "vad": true, "mode": "good"}));
    }

    #[test]
    fn spellings_of_other_languages() {
        for (given, read) in [
            (json!({"beam_size": 5.0, "vad": 1, "scale": 1}), json!({"beam_size": 5, "vad": true, "scale": 1})),
            (json!({"beam_size": "", "vad": " ", "scale": ""}), json!({})),
            (json!({"vad": 0}), json!({"vad": false})),
        ] {
            assert_eq!(Value::Object(check(&schema(), &object(given)).unwrap()), read);
        }
        for given in [json!({"beam_size": 5.5}), json!({"vad": 2}), json!({"vad": 1.5}), json!({"mode": ""})] {
            assert!(check(&schema(), &object(given.clone())).is_err(), "{given}");
        }
    }

    #[test]
    fn names_field_given_and_accepted() {
        for (given, text) in [
            (json!({"beam_size": 0}), "`beam_size` is 0, but must be integer, at least 1, at most 16"),
            (json!({"beam_size": "many"}), "`beam_size` is \"many\", but must be integer, at least 1, at most 16"),
            (json!({"mode": "bad"}), "`mode` is \"bad\", but must be one of \"fast\", \"good\""),
            (json!({"scale": -1}), "`scale` is -1, but must be number, at least 0.0"),
        ] {
            assert_eq!(check(&schema(), &object(given)).unwrap_err().to_string(), text);
        }
    }
}
