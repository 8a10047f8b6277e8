//! `GET /openapi.json`, the description of this API that is generated from the handlers, and `/docs`, a page to read and
//! try it.

use crate::server::App;
use axum::Router;
use std::sync::Arc;
use utoipa::{
    OpenApi,
    openapi::{InfoBuilder, LicenseBuilder, OpenApi as Description},
};
use utoipa_swagger_ui::SwaggerUi;

/// What isn't said at a handler.
#[derive(OpenApi)]
#[openapi()]
struct Base;

/// The description without its routes.
pub(super) fn base() -> Description {
    let mut description = Base::openapi();
    description.info = InfoBuilder::new()
        .title("Syrinx")
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    description
}

/// The description and the page.
pub(super) fn routes(description: Description) -> Router<Arc<App>> {
    SwaggerUi::new("/docs").url("/openapi.json", description).into()
}
