//! Parameters of a model family: whatever the running model's schema names.

use crate::{
    http::{body::Fields, error::ApiError},
    models::Running,
    schema,
};
use serde_json::Value;
use syrinx_plugin_api::{ModelCard, Object};

/// The schema of the model's parameter `name`, if it has one.
pub(crate) fn property<'a>(card: &'a ModelCard, name: &str) -> Option<&'a Value> {
    card.parameters.get("properties")?.as_object()?.get(name)
}

/// Key of a model's parameter schema under which it says of abilities that it lacks ([`SPEAKERS`], [`WORDS`]) which models have them.
const ELSEWHERE: &str = "x-elsewhere";

/// Telling speakers apart, in [`elsewhere`].
pub(crate) const SPEAKERS: &str = "speakers";

/// Times of words, in [`elsewhere`].
pub(crate) const WORDS: &str = "words";

/// The end of a refusal: what the model says of who has the `ability` that it lacks, if it knows any.
pub(crate) fn elsewhere(card: &ModelCard, ability: &str) -> String {
    let told = card.parameters.get(ELSEWHERE).and_then(|told| told.get(ability)?.as_str());
    told.map_or_else(String::new, |told| format!(": {told}"))
}

/// The parameters of a request, over the catalogue's defaults, checked with the model's schema. Fields that neither the
/// route (`own`) nor the model knows are ignored.
///
/// # Errors
/// 400 that names field, given and accepted.
pub(crate) fn collect(fields: &Fields, own: &[&str], running: &Running, card: &ModelCard) -> Result<Object, ApiError> {
    let mut values = running.request_defaults().clone();
    for name in fields.names().filter(|name| !own.contains(name)) {
        match fields.parameter(name) {
            Some(value) if property(card, name).is_some() => {
                values.insert(name.to_owned(), value);
            }
            _ => tracing::debug!(name, "field ignored: the model has no such parameter"),
        }
    }
    schema::check(&card.parameters, &values)
        .map_err(|mismatch| ApiError::invalid(mismatch.field.clone(), mismatch.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_says_who_has_what_it_lacks() {
        let card = |parameters: Value| ModelCard {
            parameters: parameters.as_object().cloned().unwrap(),
            ..ModelCard::default()
        };
        let told = card(json!({"x-elsewhere": {"speakers": "others can"}}));
        assert_eq!((elsewhere(&told, SPEAKERS).as_str(), elsewhere(&told, WORDS).as_str()), (": others can", ""));
        for silent in [json!({}), json!({"x-elsewhere": "all"}), json!({"x-elsewhere": {"speakers": 1}})] {
            assert_eq!(elsewhere(&card(silent), SPEAKERS), "");
        }
    }
}
