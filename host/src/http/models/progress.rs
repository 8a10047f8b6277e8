//! `GET /v1/models/{uid}/progress`: how far a launch is.

use super::{detail::DownloadFile, timestamp};
use crate::server::App;
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// How far a launch is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProgressBody {
    /// 0…1
    progress: f64,
    /// `pending`, `downloading`, `launching`, `loading`, `completed` or `cancelled`; one that failed stays where it was.
    stage: &'static str,
    /// Ours: what is being done or what went wrong, for a person.
    info: String,
    /// Files that were or are being fetched.
    download_files: Vec<DownloadFile>,
    replicas: Vec<ReplicaProgress>,
}

/// The same for each replica; they share the files, so all tell the same.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReplicaProgress {
    replica_id: usize,
    replica_model_uid: String,
    progress: f64,
    stage: &'static str,
    info: String,
    /// Seconds since 1970.
    updated_at: u64,
    download_files: Vec<DownloadFile>,
}

/// Tells how far a launch is. A uid that was never heard of is pending: clients poll from before their launch has reached
/// the server.
#[utoipa::path(
    get,
    path = "/v1/models/{uid}/progress",
    operation_id = "get_launch_progress",
    tag = "models",
    params(("uid" = String, Path, description = "Uid of a launch")),
    responses((status = 200, body = ProgressBody))
)]
pub(crate) async fn progress(State(app): State<Arc<App>>, Path(uid): Path<String>) -> Json<ProgressBody> {
    let status = app.models.status(&uid);
    let (progress, replicas) =
        status.map_or_else(Default::default, |status| (status.progress, status.spec.replica.max(1)));
    let files: Vec<DownloadFile> = progress.files.into_iter().map(DownloadFile::from).collect();
    let replicas = (0..replicas).map(|number| ReplicaProgress {
        replica_id: number,
        replica_model_uid: format!("{uid}-rep{number}"),
        progress: progress.progress,
        stage: progress.stage,
        info: progress.info.clone(),
        updated_at: timestamp(progress.updated),
        download_files: files.clone(),
    });
    Json(ProgressBody {
        replicas: replicas.collect(),
        progress: progress.progress,
        stage: progress.stage,
        info: progress.info,
        download_files: files,
    })
}
