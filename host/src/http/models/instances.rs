//! `GET /v1/models/instances`: every launch, also those that failed, because command lines poll this.

use super::timestamp;
use crate::{
    http::error::{ApiError, INTERNAL},
    models::{LaunchError, ModelError, ModelStatus, State as ModelState},
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
pub(crate) struct Filter {
    model_name: Option<String>,
    model_uid: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Instance {
    model_name: String,
    model_uid: String,
    model_version: Option<String>,
    model_ability: Vec<&'static str>,
    replica: usize,
    n_worker: usize,
    status: &'static str,
    instance_created_ts: u64,
    error_message: Option<String>,
    replica_statuses: Vec<Replica>,
}

#[derive(Serialize)]
pub(crate) struct Replica {
    replica_id: usize,
    replica_model_uid: String,
    worker_address: String,
    model_address: String,
    accelerators: Vec<String>,
    status: &'static str,
    model_state: &'static str,
    created_ts: u64,
    error_message: Option<String>,
    replica_uid: String,
    gpu_idx: Option<Vec<u32>>,
}

pub(crate) async fn list(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Json<Vec<Instance>> {
    let wanted =
        |asked: &Option<String>, value: &str| asked.as_deref().is_none_or(|asked| asked.is_empty() || asked == value);
    let statuses = app.models.statuses().into_iter();
    let statuses = statuses
        .filter(|status| wanted(&filter.model_uid, &status.uid) && wanted(&filter.model_name, &status.entry.name));
    Json(statuses.map(|status| instance(&app, &status)).collect())
}

pub(crate) async fn replicas(
    State(app): State<Arc<App>>,
    Path(uid): Path<String>,
) -> Result<Json<Vec<Replica>>, ApiError> {
    let status = app.models.status(&uid).ok_or(ModelError::NotFound { uid })?;
    Ok(Json(replicas_of(&app, &status)))
}

fn instance(app: &App, status: &ModelStatus) -> Instance {
    Instance {
        model_name: status.entry.name.clone(),
        model_uid: status.uid.clone(),
        model_version: status.entry.sources.first().and_then(syrinx_registry::Source::revision),
        model_ability: status.entry.abilities.iter().map(|ability| ability.as_str()).collect(),
        replica: status.spec.replica.max(1),
        n_worker: 1,
        status: status.state.name(),
        instance_created_ts: timestamp(status.created),
        error_message: error_message(status),
        replica_statuses: replicas_of(app, status),
    }
}

fn replicas_of(app: &App, status: &ModelStatus) -> Vec<Replica> {
    let device = status.card.as_ref().map(|card| card.device.clone()).filter(|device| device != "cpu");
    let replica = |number| Replica {
        replica_id: number,
        replica_model_uid: format!("{}-rep{number}", status.uid),
        worker_address: app.address(),
        model_address: app.address(),
        accelerators: device.iter().cloned().collect(),
        status: status.state.name(),
        model_state: status.state.name(),
        created_ts: timestamp(status.created),
        error_message: error_message(status),
        replica_uid: format!("{}-rep{number}", status.uid),
        gpu_idx: None,
    };
    (0..status.spec.replica.max(1)).map(replica).collect()
}

/// What a failed launch tells its caller.
fn error_message(status: &ModelStatus) -> Option<String> {
    match &status.state {
        ModelState::Failed(LaunchError::Internal(_)) => Some(INTERNAL.to_owned()),
        ModelState::Failed(error) => Some(error.to_string()),
        _ => None,
    }
}
