//! `/v1/audio/…`: speech to text, text to speech, voices.

mod chunking;
mod clips;
mod description;
mod formats;
mod known_speakers;
mod language;
mod parameters;
mod saved_voices;
mod speakers;
mod speaking;
mod speech;
mod speech_request;
mod transcript;
mod transcription_request;
mod transcriptions;
mod translations;
pub(crate) mod voice;
mod voices;

use super::{body::Fields, error::ApiError};
use crate::{models::Leased, server::App};
use std::{sync::Arc, time::Instant};
use syrinx_plugin_api::{Ability, ModelCard};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(transcriptions::transcriptions))
        .routes(routes!(translations::translations))
        .routes(routes!(speech::speech))
        .routes(routes!(voices::list, saved_voices::create))
        .routes(routes!(saved_voices::delete))
}

/// The running model that a request names, if it can do what the route is for. A model that is loaded when it is needed is
/// waited for, until `start_by`.
///
/// # Errors
/// 400 without a model or the ability, 404 when nothing runs under that uid, 503 while it loads or when it can't be loaded.
async fn find_model(
    app: &App,
    fields: &Fields,
    ability: Ability,
    start_by: Instant,
) -> Result<(Leased, Arc<ModelCard>), ApiError> {
    let uid = fields.required_text("model")?;
    let running = app.models.acquire(uid.trim(), start_by).await?;
    let card = running.card();
    if !card.abilities.contains(&ability) {
        let what = match ability {
            Ability::Transcribe => "transcriptions",
            Ability::Translate => "translations",
            _ => "speech",
        };
        let message = format!("the model `{}` does not support {what}", running.uid());
        return Err(ApiError::invalid("model", message).with_code("unsupported_by_model"));
    }
    Ok((running, card))
}
