//! `POST /v1/model_registrations/audio` and `DELETE …/audio/{name}`: models of the clients' own.

use super::{AUDIO, blocking, is_audio};
use crate::{
    http::{
        body::{JsonObject, name_of_type, truth},
        error::{ApiError, clip},
    },
    server::App,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::Value;
use std::sync::Arc;
use syrinx_plugin_api::Object;
use syrinx_registry::{CustomModel, RegistrationError, SpecError};
use utoipa::ToSchema;

/// The body of a registration, for the description of the API.
#[derive(ToSchema)]
#[schema(as = RegisterModel)]
#[expect(dead_code, reason = "describes what is read")]
pub(crate) struct RegisterBody {
    /// The specification, as the text of a JSON object. Required in it are `model_name`, `model_family` (one that a plugin
    /// or the catalogue knows) and `multilingual`; further `version` (2), `model_id`, `model_revision`, `model_hub`,
    /// `model_uri` (an absolute path or a file:// URL of a directory of the server), `model_ability`, `language`,
    /// `model_lang`, `default_model_config`, `default_transcription_config`.
    model: String,
    /// Whether it is there again after a restart of the server.
    #[schema(value_type = Option<bool>, default = false)]
    persist: bool,
    /// Xinference's; means nothing here.
    worker_ip: Option<String>,
}

/// Registers a model of the caller's own. Its name must be free.
#[utoipa::path(
    post,
    path = "/v1/model_registrations/{model_type}",
    operation_id = "register_model",
    tag = "models",
    params(("model_type" = String, Path, description = "`audio`")),
    request_body = RegisterBody,
    responses((status = 200, body = (), description = "null"))
)]
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    Path(kind): Path<String>,
    JsonObject(mut body): JsonObject,
) -> Result<Json<()>, ApiError> {
    if !is_audio(&kind)? {
        let message = format!("this server runs {AUDIO} models only, not {}", clip(&kind));
        return Err(ApiError::invalid("model_type", message));
    }
    let persist = persist(body.remove("persist"))?;
    let model = CustomModel::from_spec(specification(body.remove("model"))?).map_err(wrong)?;
    blocking(move || {
        let name = model.name().to_owned();
        let plugins = app.models.plugins().names();
        app.models.provision().register(model, persist, &plugins).map_err(refused)?;
        tracing::info!(model = name, persist, "model registered");
        Ok(Json(()))
    })
    .await
}

/// Forgets a model that a client has registered. Models that run go on; those that came with the program, or are in a
/// catalogue file of the operator's, stay. Nothing to forget is fine as well.
#[utoipa::path(
    delete,
    path = "/v1/model_registrations/{model_type}/{model_name}",
    operation_id = "unregister_model",
    tag = "models",
    params(
        ("model_type" = String, Path, description = "`audio`"),
        ("model_name" = String, Path, description = "Name of a registered model")
    ),
    responses((status = 200, body = (), description = "null"))
)]
pub(crate) async fn unregister(
    State(app): State<Arc<App>>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<()>, ApiError> {
    if !is_audio(&kind)? {
        return Ok(Json(()));
    }
    blocking(move || {
        if app.models.provision().unregister(&name).map_err(ApiError::internal)? {
            tracing::info!(model = name, "model unregistered");
        }
        Ok(Json(()))
    })
    .await
}

fn persist(given: Option<Value>) -> Result<bool, ApiError> {
    let wrong = |given: &Value| {
        ApiError::invalid("persist", format!("`persist` must be true or false, not {}", name_of_type(given)))
    };
    match given {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(persist)) => Ok(persist),
        Some(Value::String(word)) => truth(&word).ok_or_else(|| wrong(&Value::String(word))),
        Some(other) => Err(wrong(&other)),
    }
}

/// The specification: text of a JSON object, or the object itself.
fn specification(given: Option<Value>) -> Result<Object, ApiError> {
    let text = match given {
        Some(Value::Object(object)) => return Ok(object),
        Some(Value::String(text)) => text,
        _ => {
            return Err(ApiError::invalid(
                "model",
                "`model` is required: the specification as the text of a JSON object",
            ));
        }
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => {
            let message = format!("`model` must be the text of a JSON object, not of {}", name_of_type(&other));
            Err(ApiError::invalid("model", message))
        }
        Err(error) => Err(ApiError::invalid("model", format!("`model` is not the text of a JSON object: {error}"))),
    }
}

fn wrong(error: SpecError) -> ApiError {
    ApiError::invalid(error.field, error.message)
}

fn refused(error: RegistrationError) -> ApiError {
    match error {
        RegistrationError::Spec(error) => wrong(error),
        RegistrationError::Taken(_) => ApiError::invalid("model_name", error.to_string()),
        RegistrationError::Full => ApiError::bad_request(error.to_string()),
        // Names files of the server, which are nothing to a client.
        error => ApiError::internal(error),
    }
}
