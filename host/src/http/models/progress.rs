//! `GET /v1/models/{uid}/progress`: how far a launch is.

use super::timestamp;
use crate::{models::LaunchProgress, server::App};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::{sync::Arc, time::SystemTime};

#[derive(Serialize)]
pub(crate) struct ProgressBody {
    /// 0…1
    progress: f64,
    stage: String,
    /// What is being done, for a person.
    info: String,
    download_files: [(); 0],
    replicas: Vec<ReplicaProgress>,
}

#[derive(Serialize)]
struct ReplicaProgress {
    replica_id: usize,
    replica_model_uid: String,
    progress: f64,
    stage: String,
    info: String,
    /// Seconds since 1970.
    updated_at: u64,
}

pub(crate) async fn progress(State(app): State<Arc<App>>, Path(uid): Path<String>) -> Json<ProgressBody> {
    // Clients poll from before the launch has reached the server.
    let pending = LaunchProgress { stage: "pending".to_owned(), progress: 0.0, info: String::new() };
    let (progress, replicas) =
        app.models.status(&uid).map_or((pending, 0), |status| (status.progress, status.spec.replica.max(1)));
    let replicas = (0..replicas).map(|number| ReplicaProgress {
        replica_id: number,
        replica_model_uid: format!("{uid}-rep{number}"),
        progress: progress.progress,
        stage: progress.stage.clone(),
        info: progress.info.clone(),
        updated_at: timestamp(SystemTime::now()),
    });
    Json(ProgressBody {
        replicas: replicas.collect(),
        progress: progress.progress,
        stage: progress.stage,
        info: progress.info,
        download_files: [],
    })
}
