//! What a launch tells of its files, in Xinference's words.

use crate::models::FileProgress;
use serde::Serialize;
use utoipa::ToSchema;

/// A file of a download.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct DownloadFile {
    /// Path in the model's directory, or the name of the package that it is in.
    name: String,
    downloaded_bytes: u64,
    total_bytes: Option<u64>,
    /// 0…1
    progress: Option<f64>,
    /// `downloading` or `completed`
    status: &'static str,
}

impl From<FileProgress> for DownloadFile {
    fn from(file: FileProgress) -> Self {
        let total = file.total.filter(|total| *total > 0);
        Self {
            progress: total.map(|total| (file.done as f64 / total as f64).min(1.0)),
            status: if total.is_some_and(|total| file.done >= total) { "completed" } else { "downloading" },
            downloaded_bytes: file.done,
            total_bytes: file.total,
            name: file.name,
        }
    }
}
