//! ModelScope's HTTP interface: `/api/v1/models/<id>/repo/files` lists, `/api/v1/models/<id>/repo` downloads.
//! See modelscope `hub/api.py:get_model_files` and `hub/file_download.py:get_file_download_url`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::context::Context;
use super::digest::Expected;
use super::hf::from_http;
use super::http::Request;
use super::repository::{self, Listed, Repository};
use super::url;
use crate::catalogue::{HubId, Item, Sha256Digest};
use crate::error::SourceError;
use crate::progress::Stage;
use crate::store::HubConfig;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: Option<i64>,
    message: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    #[serde(default)]
    files: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    path: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    size: Option<u64>,
    sha256: Option<String>,
    revision: Option<String>,
}

struct ModelScopeRepository<'a> {
    hub: &'a HubConfig,
    id: &'a str,
    revision: &'a str,
    /// Commit of each file, for the name of its content.
    commits: std::collections::BTreeMap<String, String>,
}

impl Repository for ModelScopeRepository<'_> {
    fn request(&self, path: &str) -> Request {
        let url = format!(
            "{}/api/v1/models/{}/repo?Revision={}&FilePath={}",
            self.hub.modelscope_endpoint,
            url::encode(self.id, true),
            url::encode(self.revision, false),
            url::encode(path, false)
        );
        Request { url, token: self.hub.modelscope_token.clone(), headers: Vec::new() }
    }

    fn identity(&self, path: &str) -> String {
        let commit = self.commits.get(path).map_or(self.revision, String::as_str);
        format!("modelscope:{}@{commit}/{path}", self.id)
    }

    fn local_copy(&self, _path: &str) -> Option<PathBuf> {
        None
    }
}

/// Downloads the files of `item`.
pub(super) fn fetch(context: &mut Context<'_>, hub_id: &HubId, item: &Item, staging: &Path) -> Result<(), SourceError> {
    let hub = &context.config.hub;
    context.stage(Stage::Resolving, &hub_id.id);
    let url = format!(
        "{}/api/v1/models/{}/repo/files?Revision={}&Recursive=true",
        hub.modelscope_endpoint,
        url::encode(&hub_id.id, true),
        url::encode(&hub_id.revision, false)
    );
    let request = Request { url, token: hub.modelscope_token.clone(), headers: Vec::new() };
    let answer: Answer = context.http.get_json(&request, context.cancel).map_err(from_http)?;
    let Some(data) = answer.data else {
        let message = answer.message.unwrap_or_else(|| "no list of files".to_owned());
        return Err(SourceError::failed(format!(
            "ModelScope says for {}: {message} (code {})",
            hub_id.id,
            answer.code.unwrap_or_default()
        )));
    };
    let files: Vec<Entry> = data.files.into_iter().filter(|entry| entry.kind.as_deref() != Some("tree")).collect();
    let commits = files.iter().filter_map(|entry| Some((entry.path.clone(), entry.revision.clone()?))).collect();
    let listing: Vec<Listed> = files
        .into_iter()
        .map(|entry| {
            let sha256 = entry.sha256.as_deref().and_then(Sha256Digest::parse);
            Listed { path: entry.path, expected: Expected { sha256, git_blob: None, size: entry.size } }
        })
        .collect();
    let repository = ModelScopeRepository { hub, id: &hub_id.id, revision: &hub_id.revision, commits };
    repository::fetch(context, &repository, &listing, item, staging)
}
