//! The `voice` of a request, checked against what the model says it has.

use crate::{
    http::error::{ApiError, clip},
    voices::{OPENAI_VOICES, SavedVoice, Timbre, Voices, looks_saved},
};
use serde_json::Value;
use std::sync::Arc;
use syrinx_plugin_api::{Ability, ModelCard, Voice};

/// Voices that a message lists at most.
const LISTED: usize = 24;

/// The text of a `voice` field: a name, or `{"id": name}`, also as the text of such an object. Empty means the default.
///
/// # Errors
/// 400 when it is something else.
pub(crate) fn from_json(value: &Value) -> Result<Option<String>, ApiError> {
    let name = match value {
        Value::Null => None,
        Value::String(text) if text.trim_start().starts_with('{') => {
            return match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => from_json(&object),
                _ => Err(ApiError::invalid("voice", "`voice` begins like a JSON object but is none")),
            };
        }
        Value::String(name) => Some(name),
        Value::Object(object) => match object.get("id") {
            Some(Value::String(id)) => Some(id),
            _ => return Err(ApiError::invalid("voice", "`voice` as an object must have a text `id`")),
        },
        _ => return Err(ApiError::invalid("voice", "`voice` must be a name, or an object with an `id`")),
    };
    Ok(name.filter(|name| !name.trim().is_empty()).cloned())
}

/// What a `voice` field turns out to mean.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// The model's default voice.
    Default,
    /// A voice of the model, or a blend of them, in the model's own spelling.
    Own(String),
    /// A saved voice, to be cloned.
    Saved(Arc<SavedVoice>),
}

/// The voice that a caller names: one of the model's, by its id or another name of it, or a blend such as
/// `af_bella(2)+af_sky(1)`; a saved voice by id or name; one of OpenAI's. A model that lists no voices takes any other name.
///
/// # Errors
/// 400 that lists voices when there is no such one, or when it would have to be cloned and the model can't.
pub(crate) fn resolve(given: &str, card: &ModelCard, saved: &Voices) -> Result<Choice, ApiError> {
    let name = given.trim();
    if let Some(known) = known(name, card) {
        return Ok(Choice::Own(known.to_owned()));
    }
    if let Some(voice) = saved.find(name) {
        if !card.abilities.contains(&Ability::Clone) {
            let message = format!(
                "\"{}\" is a saved voice, which needs a model that can clone voices; this one can't{}",
                clip(name),
                listed(card, saved)
            );
            return Err(ApiError::invalid("voice", message).with_code("unsupported_by_model"));
        }
        return Ok(Choice::Saved(voice));
    }
    if let Some((_, timbre)) = OPENAI_VOICES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Ok(stand_in(&name.to_ascii_lowercase(), *timbre, card).map_or(Choice::Default, Choice::Own));
    }
    if card.voices.is_empty() && !looks_saved(name) {
        return Ok(Choice::Own(given.to_owned()));
    }
    // What Dify sends for models of Xinference's whose voices it doesn't know.
    if name.eq_ignore_ascii_case("default") {
        return Ok(Choice::Default);
    }
    blend(name, card).map(Choice::Own).ok_or_else(|| {
        let message = format!("unknown voice \"{}\"{}", clip(given), listed(card, saved));
        ApiError::invalid("voice", message).with_code("unknown_voice")
    })
}

/// The model's voice for a name of OpenAI's that its card has no alias for: always the same one. Of the voices of the default
/// one's language, and of those the ones of the name's timbre, where the card says such things.
fn stand_in(name: &str, timbre: Timbre, card: &ModelCard) -> Option<String> {
    let default = card.voices.iter().find(|voice| Some(&voice.id) == card.default_voice.as_ref());
    let language = default.and_then(|voice| voice.language.as_deref());
    let of_language = |voice: &&Voice| language.is_none() || voice.language.as_deref() == language;
    let mut candidates: Vec<&Voice> = card.voices.iter().filter(of_language).collect();
    let mut place = OPENAI_VOICES.iter().position(|(known, _)| *known == name)?;
    let wanted = match timbre {
        Timbre::Female => "female",
        Timbre::Male => "male",
    };
    let of_timbre = |voice: &&Voice| voice.gender.as_deref().is_some_and(|gender| gender.eq_ignore_ascii_case(wanted));
    if candidates.iter().any(of_timbre) {
        candidates.retain(of_timbre);
        place = OPENAI_VOICES.iter().filter(|(_, of)| *of == timbre).position(|(known, _)| *known == name)?;
    }
    let count = candidates.len();
    (count > 0).then(|| candidates[place % count].id.clone())
}

/// Some of the voices that would work, as the end of a sentence.
fn listed(card: &ModelCard, saved: &Voices) -> String {
    let own = card.voices.iter().map(|voice| voice.id.clone());
    let clones = card.abilities.contains(&Ability::Clone);
    let saved = saved.list().into_iter().filter(|_| clones).map(|voice| format!("{} ({})", voice.id, voice.name));
    let names: Vec<String> = own.chain(saved).collect();
    if names.is_empty() {
        return "; this model has no named voices, only a default one".to_owned();
    }
    let more = names.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more (GET /v1/audio/voices lists all)") } else { String::new() };
    format!("; this model has {}{more}", names[..names.len().min(LISTED)].join(", "))
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

    fn card() -> ModelCard {
        let voices = ["af_bella", "af_sky"].map(|id| Voice { id: id.to_owned(), ..Voice::default() });
        let aliases = [("alloy".to_owned(), "af_sky".to_owned())].into();
        ModelCard { voices: voices.into(), voice_aliases: aliases, ..ModelCard::default() }
    }

    #[test]
    fn names_aliases_and_blends() {
        let saved = Voices::none();
        for (given, voice) in [
            ("af_bella", "af_bella"),
            (" alloy ", "af_sky"),
            ("af_bella+alloy", "af_bella+af_sky"),
            ("af_bella(2), af_sky(0.5)", "af_bella(2)+af_sky(0.5)"),
            ("af_bella(2)", "af_bella(2)"),
        ] {
            assert_eq!(resolve(given, &card(), &saved).unwrap(), Choice::Own(voice.to_owned()), "{given}");
        }
        assert_eq!(resolve("Default", &card(), &saved).unwrap(), Choice::Default);
        let anything = resolve("anything", &ModelCard::default(), &saved).unwrap();
        assert_eq!(anything, Choice::Own("anything".to_owned()));
    }

    #[test]
    fn unknown_ones_are_refused_with_a_list() {
        let saved = Voices::none();
        for given in [
            "bella",
            "../af_bella",
            "af_bella.pt",
            "af_bella+",
            "af_bella(0)",
            "af_bella(x)+af_sky",
            "af_bella+bob",
            "voice_0123456789abcdef01234567",
            "+",
        ] {
            let error = resolve(given, &card(), &saved).unwrap_err();
            assert!(serde_json::to_string(&error.body()).unwrap().contains("af_bella, af_sky"), "{given}");
        }
        // Not even a model that takes any name takes the id of a voice that isn't there.
        assert!(resolve("voice_0123456789abcdef01234567", &ModelCard::default(), &saved).is_err());
    }

    #[test]
    fn openais_names_always_work() {
        let saved = Voices::none();
        let voice = |id: &str, gender: &str, language: &str| Voice {
            id: id.to_owned(),
            gender: Some(gender.to_owned()),
            language: Some(language.to_owned()),
            ..Voice::default()
        };
        let rich = ModelCard {
            voices: vec![
                voice("f1", "female", "en"),
                voice("m1", "male", "en"),
                voice("f2", "female", "en"),
                voice("x", "male", "zh"),
            ],
            default_voice: Some("f1".to_owned()),
            ..ModelCard::default()
        };
        for (name, _) in OPENAI_VOICES {
            let choice = resolve(name, &rich, &saved).unwrap();
            assert_eq!(choice, resolve(name, &rich, &saved).unwrap());
            assert!(matches!(resolve(name, &card(), &saved).unwrap(), Choice::Own(_)), "{name}");
            assert_eq!(resolve(name, &ModelCard::default(), &saved).unwrap(), Choice::Default, "{name}");
        }
        let of = |name: &str| resolve(name, &rich, &saved).unwrap();
        assert_eq!(
            [of("alloy"), of("coral"), of("echo"), of("Onyx")],
            ["f1", "f2", "m1", "m1"].map(|id| Choice::Own(id.to_owned()))
        );
    }

    #[test]
    fn objects_with_an_id() {
        assert_eq!(from_json(&json!({"id": "x"})).unwrap().as_deref(), Some("x"));
        assert_eq!(from_json(&json!("{\"id\": \"x\"}")).unwrap().as_deref(), Some("x"));
        assert_eq!(from_json(&json!("")).unwrap(), None);
        assert_eq!(from_json(&json!(null)).unwrap(), None);
        assert_eq!(from_json(&json!({"id": ""})).unwrap(), None);
        for bad in [json!({}), json!({"id": 3}), json!(3), json!(["x"]), json!("{id: x}")] {
            assert!(from_json(&bad).is_err(), "{bad}");
        }
    }
}
