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
