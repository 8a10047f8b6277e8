//! `GET /v1/models/instances`: every launch, also those that failed, because command lines poll this.

use super::timestamp;
use crate::{
    http::error::ApiError,
    models::{ModelError, ModelStatus, State as ModelState},
    server::App,
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// Which launches.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only launches of this model.
    model_name: Option<String>,
    /// Only the launch under this uid.
    model_uid: Option<String>,
}

/// A launch and what became of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Instance {
    model_name: String,
    model_uid: String,
    /// Which files it was loaded from; null for a directory of the caller's, and until that is known.
    model_version: Option<String>,
    model_ability: Vec<&'static str>,
    replica: usize,
    n_worker: usize,
    /// `CREATING`, `LOADING`, `READY`, `UNLOADED` (a request loads it), `ERROR` or `TERMINATING`.
    status: &'static str,
    /// Seconds since 1970.
    instance_created_ts: u64,
    /// Why it failed.
    error_message: Option<String>,
    replica_statuses: Vec<Replica>,
}

/// A copy of a model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Replica {
    replica_id: usize,
    replica_model_uid: String,
    worker_address: String,
    model_address: String,
    /// The device, unless it is the CPU.
    accelerators: Vec<String>,
    status: &'static str,
    model_state: &'static str,
    /// Seconds since 1970.
    created_ts: u64,
    error_message: Option<String>,
    replica_uid: String,
    /// GPUs that the launch named for this copy.
    gpu_idx: Option<Vec<u32>>,
}

/// Lists launches, also those under way and those that failed. A failed one stays until its uid is used again.
#[utoipa::path(
    get,
    path = "/v1/models/instances",
    operation_id = "list_instances",
    tag = "models",
    params(Filter),
    responses((status = 200, body = Vec<Instance>))
)]
pub(crate) async fn list(State(app): State<Arc<App>>, Query(filter): Query<Filter>) -> Json<Vec<Instance>> {
    let is = |asked: &Option<String>, values: [&str; 2]| {
        asked.as_deref().is_none_or(|asked| asked.is_empty() || values.contains(&asked))
    };
    let statuses = app.models.statuses().into_iter().filter(|status| {
        // Whoever launched by a retired name asks for it.
        is(&filter.model_name, [&status.entry.name, &status.spec.model_name])
            && is(&filter.model_uid, [&status.uid, &status.uid])
    });
    Json(statuses.map(|status| instance(&app, &status)).collect())
}

/// Lists the copies of a model.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}/replicas",
    operation_id = "list_replicas",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a launch")),
    responses((status = 200, body = Vec<Replica>))
)]
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
        model_version: status.provenance.version.clone(),
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
    let replicas = status.spec.replica.max(1);
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
        gpu_idx: status.spec.gpu_idx.as_ref().map(|all| share(all, number, replicas)),
    };
    (0..replicas).map(replica).collect()
}

/// Replica `number` of `count` gets an equal share; a single GPU is everybody's.
fn share(all: &[u32], number: usize, count: usize) -> Vec<u32> {
    let each = all.len() / count;
    if each == 0 { all.to_vec() } else { all[number * each..(number + 1) * each].to_vec() }
}

/// What a failed launch tells its caller, and a failed load for a request.
fn error_message(status: &ModelStatus) -> Option<String> {
    match &status.state {
        ModelState::Failed(error) => Some(error.told()),
        ModelState::Unloaded(failure) => failure.as_ref().map(|failure| failure.error.told()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_shared_out() {
        assert_eq!(share(&[0, 1, 2, 3], 1, 2), [2, 3]);
        assert_eq!(share(&[5], 1, 2), [5]);
    }
}
