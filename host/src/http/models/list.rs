//! `GET /v1/models` and `GET /v1/models/{uid}`.

use super::{AUDIO, timestamp};
use crate::{
    http::error::ApiError,
    models::{Drift, ModelError, ModelStatus, State as ModelState},
    server::App,
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;
use syrinx_plugin_api::Object;
use syrinx_registry::Needs;
use utoipa::ToSchema;

/// A running model, for OpenAI's clients and for Xinference's.
#[derive(Serialize, ToSchema)]
#[schema(as = Model)]
pub(crate) struct ModelBody {
    /// The uid.
    id: String,
    /// `model`
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    owned_by: &'static str,
    model_type: &'static str,
    address: String,
    accelerators: Vec<String>,
    model_name: String,
    model_lang: Vec<String>,
    model_family: String,
    model_revision: Option<String>,
    model_ability: Vec<&'static str>,
    model_engine: String,
    /// Of the weights that were loaded; `none` for full precision or when it isn't known.
    quantization: String,
    replica: usize,
    /// Ours: what the model says of itself.
    sample_rate: Option<u32>,
    device: String,
    dtype: String,
    multilingual: bool,
    /// JSON Schema of the family's request parameters.
    #[schema(value_type = Object)]
    parameters: Object,
    /// Generation of the plugin that serves it.
    plugin_generation: Option<u64>,
    /// `READY`; `UNLOADED` or `LOADING` for a model that requests load.
    state: &'static str,
    /// Whether it stays loaded whatever happens.
    pinned: bool,
    /// Bytes that it takes: measured where it has a process of its own, estimated from its files otherwise; null when unloaded.
    memory_bytes: Option<u64>,
    /// Seconds since 1970; null before it was loaded for the first time.
    last_used: Option<u64>,
    /// Seconds since 1970: when it is unloaded if nobody uses it until then.
    idle_unload_at: Option<u64>,
    /// How its catalogue entry differs from the one that it was launched from.
    catalogue: CatalogueBody,
}

/// What has become of the catalogue entry of a running model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelCatalogue)]
pub(crate) struct CatalogueBody {
    /// `current`, `changed` or `removed`.
    state: &'static str,
    /// What applies a change: `relaunch` (terminate the model and launch it again), or `nothing` has to be done.
    needs: &'static str,
    /// Keys of the entry that have changed.
    changed: Vec<&'static str>,
}

impl From<Drift> for CatalogueBody {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::None => Self { state: "current", needs: "nothing", changed: Vec::new() },
            Drift::Removed => Self { state: "removed", needs: "nothing", changed: Vec::new() },
            Drift::Changed(change) => Self {
                state: "changed",
                needs: match change.needs {
                    Needs::Nothing => "nothing",
                    Needs::Relaunch => "relaunch",
                },
                changed: change.keys,
            },
        }
    }
}

/// Xinference has one member more when asked for a single model.
#[derive(Serialize, ToSchema)]
#[schema(as = SingleModel)]
pub(crate) struct SingleModelBody {
    #[serde(flatten)]
    model: ModelBody,
    n_worker: usize,
}

/// The models that serve, or will when they are asked to.
#[derive(Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`
    object: &'static str,
    data: Vec<ModelBody>,
}

/// Lists the models that serve, or will when a request loads them.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "list_models",
    tag = "models",
    responses((status = 200, body = ModelList))
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<ModelList> {
    let serving = app.models.live().into_iter().filter(serves);
    Json(ModelList { object: "list", data: serving.map(|status| body(&app, &status)).collect() })
}

/// Whether a request may name the model.
fn serves(status: &ModelStatus) -> bool {
    match status.state {
        ModelState::Ready(_) | ModelState::Unloaded(_) => true,
        ModelState::Creating | ModelState::Loading => status.is_on_demand,
        ModelState::Failed(_) | ModelState::Terminating => false,
    }
}

/// Describes a model that serves, or will when a request loads it.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}",
    operation_id = "get_model",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a model")),
    responses((status = 200, body = SingleModelBody))
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
) -> Result<Json<SingleModelBody>, ApiError> {
    let status = app.models.status(&uid).ok_or_else(|| ModelError::NotFound { uid: uid.clone() })?;
    if !serves(&status) {
        app.models.running(&uid)?;
    }
    Ok(Json(SingleModelBody { model: body(&app, &status), n_worker: 1 }))
}

fn body(app: &App, status: &ModelStatus) -> ModelBody {
    let (entry, card) = (&status.entry, status.card.as_deref());
    let device = card.map_or_else(String::new, |card| card.device.clone());
    ModelBody {
        id: status.uid.clone(),
        object: "model",
        created: timestamp(status.created),
        owned_by: "xinference",
        model_type: AUDIO,
        address: app.address(),
        accelerators: if device == "cpu" || device.is_empty() { Vec::new() } else { vec![device.clone()] },
        model_name: entry.name.clone(),
        model_lang: entry.languages.clone(),
        model_family: entry.family.clone(),
        model_revision: status.provenance.revision.clone(),
        model_ability: entry.abilities.iter().map(|ability| ability.as_str()).collect(),
        model_engine: entry.plugin.clone(),
        quantization: status.provenance.quantization.clone().unwrap_or_else(|| "none".to_owned()),
        replica: status.spec.replica.max(1),
        sample_rate: card.and_then(|card| card.output_sample_rate.or(card.input_sample_rate)),
        dtype: card.map_or_else(String::new, |card| card.dtype.clone()),
        multilingual: entry.multilingual,
        parameters: card.map_or_else(Object::new, |card| card.parameters.clone()),
        plugin_generation: status.generation,
        catalogue: app.models.drift(status).into(),
        device,
        state: status.state.name(),
        pinned: status.spec.pinned,
        memory_bytes: status.memory,
        last_used: status.last_used.map(timestamp),
        idle_unload_at: status.idle_unload_at.map(timestamp),
    }
}
