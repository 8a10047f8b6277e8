//! `POST /v1/audio/translations`: transcriptions in English.

use super::transcriptions::transcribe;
use crate::{
    http::{body::Fields, error::ApiError},
    server::App,
};
use axum::{extract::State, response::Response};
use std::sync::Arc;
use syrinx_plugin_api::Task;

pub(crate) async fn translations(State(app): State<Arc<App>>, fields: Fields) -> Result<Response, ApiError> {
    transcribe(&app, fields, Task::Translate).await
}
