//! Hugging Face: the cache that other programs fill, and the hub's HTTP protocol.
//!
//! The hf-hub crate knows the layout of the cache and is used for that. Its clients are not used: version 0.5 neither verifies digests nor
//! limits connect times, version 1.0 downloads whole files again after an interruption, verifies nothing and brings tokio, reqwest, xet and
//! aws-lc (227 crates). The protocol that is left is one listing (`/api/models/<id>/revision/<rev>?blobs=true`) and one address per file
//! (`/<id>/resolve/<commit>/<file>`), see huggingface_hub `hf_api.py:model_info` and `file_download.py:hf_hub_url`.

use std::fs;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;

use super::context::Context;
use super::digest::Expected;
use super::http::{HttpError, Request};
use super::repository::{self, Listed, Repository};
use super::{files_of_directory, url};
use crate::catalogue::{HubId, Item, Origin, Sha256Digest, Source};
use crate::error::SourceError;
use crate::progress::Stage;
use crate::store::{HubConfig, StoreConfig};

/// Length of a git commit id. [hexadecimal digits]
const COMMIT_LENGTH: usize = 40;

#[derive(Deserialize)]
struct ModelInfo {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl From<Sibling> for Listed {
    fn from(sibling: Sibling) -> Self {
        let expected = match sibling.lfs {
            // The blob of a large file is a pointer: its id says nothing about the content.
            Some(lfs) => Expected {
                sha256: lfs.sha256.as_deref().and_then(Sha256Digest::parse),
                git_blob: None,
                size: lfs.size.or(sibling.size),
            },
            None => Expected { sha256: None, git_blob: sibling.blob_id.filter(|id| is_commit(id)), size: sibling.size },
        };
        Self { path: sibling.rfilename, expected }
    }
}

struct HfRepository<'a> {
    hub: &'a HubConfig,
    id: &'a str,
    commit: String,
    snapshot: PathBuf,
}

impl Repository for HfRepository<'_> {
    fn request(&self, path: &str) -> Request {
        let url = format!(
            "{}/{}/resolve/{}/{}",
            self.hub.hf_endpoint,
            url::encode(self.id, true),
            url::encode(&self.commit, false),
            url::encode(path, true)
        );
        Request { url, token: self.hub.hf_token.clone(), headers: Vec::new() }
    }

    fn identity(&self, path: &str) -> String {
        format!("hf:{}@{}/{path}", self.id, self.commit)
    }

    fn local_copy(&self, path: &str) -> Option<PathBuf> {
        Some(self.snapshot.join(path)).filter(|path| path.is_file())
    }
}

/// Downloads the files of `item`.
pub(super) fn fetch(context: &mut Context<'_>, hub_id: &HubId, item: &Item, staging: &Path) -> Result<(), SourceError> {
    let hub = &context.config.hub;
    if hub.hf_offline {
        let reason = "HF_HUB_OFFLINE is set, and the files are not all in the Hugging Face cache";
        return Err(SourceError::Unreachable(reason.to_owned()));
    }
    context.stage(Stage::Resolving, &hub_id.id);
    let url = format!(
        "{}/api/models/{}/revision/{}?blobs=true",
        hub.hf_endpoint,
        url::encode(&hub_id.id, true),
        url::encode(&hub_id.revision, false)
    );
    let request = Request { url, token: hub.hf_token.clone(), headers: Vec::new() };
    let info: ModelInfo = context.http.get_json(&request, context.cancel).map_err(from_http)?;
    let commit = info.sha.filter(|sha| is_commit(sha)).unwrap_or_else(|| hub_id.revision.clone());
    let listing: Vec<Listed> = info.siblings.into_iter().map(Listed::from).collect();
    let snapshot = snapshot_directory(context.config, &hub_id.id, &commit);
    let repository = HfRepository { hub, id: &hub_id.id, commit, snapshot };
    repository::fetch(context, &repository, &listing, item, staging)
}

pub(super) fn from_http(error: HttpError) -> SourceError {
    match error {
        HttpError::Cancelled => SourceError::Cancelled,
        HttpError::Unreachable { .. } => SourceError::Unreachable(error.to_string()),
        _ => SourceError::failed(error),
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == COMMIT_LENGTH && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn cache_repo(config: &StoreConfig, id: &str, revision: &str) -> hf_hub::CacheRepo {
    Cache::new(config.hub.hf_cache.clone()).repo(Repo::with_revision(
        id.to_owned(),
        RepoType::Model,
        revision.to_owned(),
    ))
}

fn snapshot_directory(config: &StoreConfig, id: &str, commit: &str) -> PathBuf {
    cache_repo(config, id, commit).pointer_path(commit)
}

/// The directory in the Hugging Face cache that has all files of this source, if there is one. Only for sources that are a repository as it is.
///
/// At the revision that is asked for; `any_revision` (offline: better than nothing) also takes another one.
pub(crate) fn cached(config: &StoreConfig, source: &Source, any_revision: bool) -> Option<PathBuf> {
    let [item] = source.items.as_slice() else { return None };
    let Origin::Hf(hub) = &item.origin else { return None };
    let as_it_is = source.joins.is_empty() && item.files.iter().all(|rule| rule.from == rule.to);
    if !as_it_is {
        return None;
    }
    let snapshots = snapshot_directory(config, &hub.id, "x").parent()?.to_owned();
    let mut candidates = Vec::new();
    if is_commit(&hub.revision) {
        candidates.push(snapshots.join(&hub.revision));
    } else if let Ok(commit) = fs::read_to_string(snapshots.parent()?.join("refs").join(&hub.revision)) {
        candidates.push(snapshots.join(commit.trim()));
    }
    if any_revision {
        candidates.extend(fs::read_dir(&snapshots).into_iter().flatten().flatten().map(|entry| entry.path()));
    }
    candidates.into_iter().find(|directory| files_of_directory(directory, item).is_ok_and(|files| sizes_agree(&files)))
}

fn sizes_agree(files: &[(PathBuf, crate::catalogue::FileRule)]) -> bool {
    files.iter().all(|(path, rule)| {
        rule.size.is_none_or(|size| fs::metadata(path).is_ok_and(|metadata| metadata.len() == size))
    })
}
