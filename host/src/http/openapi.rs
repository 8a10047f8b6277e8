//! `GET /openapi.json`, the description of this API that is generated from the handlers, and `/docs`, a page to read and
//! try it. The page's files are in the program: it works without a network.
//!
//! Handlers describe what is theirs. What holds for all of them is added here: how errors look, and how a key is sent.

use super::{auth, error::ApiError};
use crate::server::App;
use axum::Router;
use std::{collections::BTreeMap, sync::Arc};
use utoipa::{
    IntoResponses, OpenApi,
    openapi::{
        ContentBuilder, Header, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi as Description, Ref, RefOr,
        Response, ResponseBuilder, Type,
        path::{Operation, PathItem},
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

/// The component that describes every error.
const ERROR: &str = "Error";

/// The schemes of [`auth`], as they are called in the description.
const BEARER: &str = "bearer";
const API_KEY_HEADER: &str = "x-api-key";

/// What isn't said at a handler.
#[derive(OpenApi)]
#[openapi(
    components(schemas(super::error::ErrorBody<'static>)),
    tags(
        (name = "audio", description = "Speech to text, text to speech, voices: OpenAI's routes and fields, and more fields"),
        (name = "models", description = "What runs, what could run, what is on disk; launching and ending"),
        (name = "cluster", description = "What Xinference's clients ask about a cluster, which is one process here"),
        (name = "server", description = "Health, status, measurements, authentication"),
    ),
)]
struct Base;

/// The description without its routes.
pub(super) fn base() -> Description {
    let mut description = Base::openapi();
    description.info = InfoBuilder::new()
        .title("Syrinx")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Speech server behind the audio API of OpenAI and Xinference. Unknown fields are ignored. Every response has an \
             `x-request-id`; every error has the body `Error`.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    if let Some(components) = &mut description.components {
        components.responses.insert(ERROR.to_owned(), error_response().into());
        components.add_security_scheme(
            BEARER,
            SecurityScheme::Http(
                Http::builder()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some("An API key of this server. Any value is accepted while authentication is off."))
                    .build(),
            ),
        );
        components.add_security_scheme(
            API_KEY_HEADER,
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                API_KEY_HEADER,
                "The same key in another header.",
            ))),
        );
    }
    description
}

/// The description and the page. `auth` says whether keys are checked.
pub(super) fn routes(mut description: Description, auth: bool) -> Router<Arc<App>> {
    complete(&mut description, auth);
    SwaggerUi::new("/docs").url("/openapi.json", description).into()
}

/// Adds to every operation what holds for all.
fn complete(description: &mut Description, auth: bool) {
    let mut schemes = vec![no_scopes(BEARER), no_scopes(API_KEY_HEADER)];
    if !auth {
        schemes.push(SecurityRequirement::default());
    }
    description.security = Some(schemes);
    for (path, item) in &mut description.paths.paths {
        let open = auth::is_open(path);
        for (method, operation) in operations(item) {
            operation.operation_id = Some(operation_id(method, path));
            for (status, response) in ApiError::responses() {
                operation.responses.responses.entry(status).or_insert(response);
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    // It has to be there.
                    response.description = "Done".to_owned();
                }
            }
            if open {
                operation.security = Some(Vec::new());
            }
        }
    }
}

fn no_scopes(scheme: &str) -> SecurityRequirement {
    SecurityRequirement::new(scheme, <[&str; 0]>::default())
}

/// The methods of a path that are described.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = item;
    let operations = [
        ("get", get),
        ("put", put),
        ("post", post),
        ("delete", delete),
        ("options", options),
        ("head", head),
        ("patch", patch),
        ("trace", trace),
    ];
    operations.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// An id that no other operation has, since handlers' names repeat: `get_v1_models_uid`.
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| format!("{id}_{word}"))
}

/// Any handler's errors: `responses((status = 200, …), ApiError)`. Handlers that don't say so have them all the same.
impl IntoResponses for ApiError {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        ["4XX", "5XX"].map(|status| (status.to_owned(), Ref::from_response_name(ERROR).into())).into()
    }
}

fn error_response() -> Response {
    let header = |kind: Type, description: &str| {
        let mut header = Header::new(ObjectBuilder::new().schema_type(kind).build());
        header.description = Some(description.to_owned());
        header
    };
    ResponseBuilder::new()
        .description("What went wrong, for OpenAI's clients in `error`, for Xinference's in `detail`.")
        .header("x-request-id", header(Type::String, "Names this request in the server's log"))
        .header("retry-after", header(Type::Integer, "Seconds until another try makes sense (429, 503)"))
        .content("application/json", ContentBuilder::new().schema(Some(Ref::from_schema_name(ERROR))).build())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_routes_need_no_key_and_all_have_errors() {
        let mut description = base();
        for path in ["/health", "/v1/models"] {
            let operation = Operation::builder().build();
            description.paths.add_path_operation(path, vec![utoipa::openapi::HttpMethod::Get], operation);
        }
        complete(&mut description, true);
        let json = serde_json::to_value(&description).unwrap();
        assert_eq!(json["paths"]["/health"]["get"]["security"], serde_json::json!([]));
        assert!(json["paths"]["/v1/models"]["get"].get("security").is_none());
        assert_eq!(json["paths"]["/health"]["get"]["responses"]["4XX"]["$ref"], "#/components/responses/Error");
        assert_eq!(json["paths"]["/v1/models"]["get"]["operationId"], "get_v1_models");
        assert_eq!(json["security"], serde_json::json!([{"bearer": []}, {"x-api-key": []}]));
        let error = &json["components"]["schemas"]["Error"];
        assert_eq!(error["required"], serde_json::json!(["error", "detail"]));
        assert_eq!(error["properties"]["error"]["required"], serde_json::json!(["message", "type", "param", "code"]));
    }
}
