//! `/v1/cache/models`: what is on disk, and removing it.

use super::{AUDIO, blocking};
use crate::{
    http::error::{ApiError, clip},
    models::State as ModelState,
    server::App,
};
use axum::{
    Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use syrinx_registry::{CachedItem, CancelToken, Kind, ModelVersion};
use utoipa::{IntoParams, ToSchema};

/// Which models.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only this model.
    model_name: Option<String>,
}

/// Which files.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// As `GET /v1/cache/models` lists it.
    model_version: Option<String>,
}

/// What is on disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct CacheList {
    list: Vec<CachedModel>,
}

/// The files of a model on the server.
#[derive(Serialize, ToSchema)]
pub(crate) struct CachedModel {
    model_name: String,
    model_type: &'static str,
    model_engine: Option<String>,
    /// Xinference's; audio models have none.
    model_size_in_billions: Option<f64>,
    model_format: Option<String>,
    quantization: Option<String>,
    model_version: String,
    path: String,
    real_path: String,
    actor_ip_address: String,
    size_bytes: u64,
}

/// The files of a version.
#[derive(Serialize, ToSchema)]
pub(crate) struct CacheFiles {
    model_version: String,
    worker_ip: String,
    /// None when it isn't on disk.
    paths: Vec<String>,
}

/// Whether anything was removed.
#[derive(Serialize, ToSchema)]
pub(crate) struct Removed {
    result: bool,
}

/// Lists the models whose files are in the server's own store. Shared files, and directories that the catalogue or a client
/// names, are not listed.
#[utoipa::path(
    get,
    path = "/v1/cache/models",
    operation_id = "list_cached_models",
    tag = "models",
    params(Filter),
    responses((status = 200, body = CacheList))
)]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(filter): Query<Filter>,
) -> Result<Json<CacheList>, ApiError> {
    blocking(move || {
        let catalogue = app.models.provision().catalogue();
        // A retired name means the model that has it.
        let wanted = filter.model_name.filter(|name| !name.is_empty());
        let wanted = wanted.map(|name| catalogue.model(&name).map_or(name, |entry| entry.name.clone()));
        let items = stored(&app).filter(|item| wanted.as_ref().is_none_or(|name| *name == item.name));
        let model = |item: CachedItem| CachedModel {
            model_type: AUDIO,
            model_engine: catalogue.model(&item.name).ok().map(|entry| entry.plugin.clone()),
            model_size_in_billions: None,
            model_version: version(&item),
            real_path: real_path(&item),
            path: item.dir.display().to_string(),
            actor_ip_address: app.address(),
            size_bytes: item.bytes,
            model_format: item.format,
            quantization: item.quantization,
            model_name: item.name,
        };
        Ok(Json(CacheList { list: items.map(model).collect() }))
    })
    .await
}

/// Lists the files that removing a version would remove.
#[utoipa::path(
    get,
    path = "/v1/cache/models/files",
    operation_id = "list_cached_files",
    tag = "models",
    params(Which),
    responses((status = 200, body = CacheFiles))
)]
pub(crate) async fn files(
    State(app): State<Arc<App>>,
    Query(which): Query<Which>,
) -> Result<Json<CacheFiles>, ApiError> {
    let model_version = which.required()?;
    blocking(move || {
        let item = stored(&app).find(|item| version(item) == model_version);
        let paths = item.map_or_else(Vec::new, |item| {
            item.files.iter().map(|file| item.dir.join(file).display().to_string()).collect()
        });
        Ok(Json(CacheFiles { model_version, worker_ip: app.address(), paths }))
    })
    .await
}

/// Removes the files of a version from the server's store. Files that a model uses stay.
#[utoipa::path(
    delete,
    path = "/v1/cache/models",
    operation_id = "remove_cached_model",
    tag = "models",
    params(Which),
    responses((status = 200, body = Removed, description = "`result` is false when there is no such version on disk"))
)]
pub(crate) async fn remove(State(app): State<Arc<App>>, Query(which): Query<Which>) -> Result<Json<Removed>, ApiError> {
    /// How long another process that fetches the same model is waited for.
    const PATIENCE: Duration = Duration::from_secs(20);
    let wanted = which.required()?;
    let Some(ModelVersion { name, fingerprint }) = ModelVersion::parse(&wanted) else {
        return Ok(Json(Removed { result: false }));
    };
    refuse_if_used(&app, &wanted, &name)?;
    let cancel = CancelToken::new();
    let removal = {
        let (app, cancel) = (app.clone(), cancel.clone());
        blocking(move || {
            let store = app.models.provision().store();
            store.delete_unless(Kind::Model, &name, &fingerprint, &cancel).map_err(ApiError::internal)
        })
    };
    let mut removal = std::pin::pin!(removal);
    let result = match tokio::time::timeout(PATIENCE, &mut removal).await {
        Ok(result) => result?,
        Err(_) => {
            cancel.cancel();
            // It may have begun in the last moment.
            if !removal.await? {
                return Err(ApiError::unavailable("the model is being fetched by another process", None));
            }
            true
        }
    };
    if result {
        tracing::info!(version = wanted, "files removed");
    }
    Ok(Json(Removed { result }))
}

/// # Errors
/// 400 when a model that runs or is being launched has these files, or may get them.
fn refuse_if_used(app: &App, version: &str, name: &str) -> Result<(), ApiError> {
    let user = app.models.live().into_iter().find(|status| match (&status.provenance.version, &status.state) {
        (Some(used), _) => used == version,
        (None, ModelState::Creating | ModelState::Loading) => status.entry.name == name,
        (None, _) => false,
    });
    match user {
        None => Ok(()),
        Some(status) => {
            let message = format!("the model `{}` uses these files; terminate it first", status.uid);
            Err(ApiError::invalid("model_version", message).with_code("in_use"))
        }
    }
}

impl Which {
    /// # Errors
    /// 400 when it isn't given.
    fn required(self) -> Result<String, ApiError> {
        let given = self.model_version.filter(|version| !version.trim().is_empty());
        let given = given.ok_or_else(|| {
            ApiError::invalid("model_version", "`model_version` is required; GET /v1/cache/models lists what there is")
        })?;
        // Nothing this long is a version, and it would be sent back.
        if given.len() > 1000 { Ok(clip(&given)) } else { Ok(given) }
    }
}

/// Complete models of the store. Blocks.
fn stored(app: &App) -> impl Iterator<Item = CachedItem> + use<> {
    app.models.provision().store().list().into_iter().filter(|item| item.kind == Kind::Model)
}

fn version(item: &CachedItem) -> String {
    ModelVersion { name: item.name.clone(), fingerprint: item.fingerprint.clone() }.to_string()
}

fn real_path(item: &CachedItem) -> String {
    std::fs::canonicalize(&item.dir).as_deref().unwrap_or(&item.dir).display().to_string()
}
