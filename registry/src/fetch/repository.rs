//! What the two hubs have in common: a listing of files, a choice among them, shards by index, and the download of each.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::context::Context;
use super::digest::Expected;
use super::download::{Download, download};
use super::http::Request;
use super::{copy_checked, place};
use crate::catalogue::{FileRule, Item, is_safe_relative};
use crate::error::{SourceError, StoreError};
use crate::progress::Stage;
use crate::store::ensure_space;

/// A file as a hub lists it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    pub(super) path: String,
    pub(super) expected: Expected,
}

/// How to get at the files of one repository.
pub(super) trait Repository {
    /// The request that downloads a file.
    fn request(&self, path: &str) -> Request;
    /// Names a file's content: hub, repository, commit and path.
    fn identity(&self, path: &str) -> String;
    /// A copy of the file that is on this machine already.
    fn local_copy(&self, path: &str) -> Option<PathBuf>;
}

/// `model.safetensors` → `model.safetensors.index.json`.
pub(crate) fn index_name(weights: &str) -> String {
    format!("{weights}.index.json")
}

/// The shards that an index names, each once, in order.
pub(crate) fn shards(index: &[u8], name: &str) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: std::collections::BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index).map_err(|error| format!("{name} is no index of shards: {error}"))?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_safe_relative(shard)) {
        Some(bad) => Err(format!("{name} names a shard `{bad}` outside of the model's directory")),
        None if shards.is_empty() => Err(format!("{name} names no shard")),
        None => Ok(shards.into_iter().collect()),
    }
}

/// `*` matches any number of characters.
pub(crate) fn part_matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    while let Some((middle, after)) = rest.split_once('*') {
        let Some(at) = name.find(middle) else { return false };
        name = &name[at + middle.len()..];
        rest = after;
    }
    name.ends_with(rest)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern.split('/').zip(path.split('/')).all(|(pattern, part)| part_matches(pattern, part))
}

/// Downloads the files of `item` from a repository with this listing.
pub(super) fn fetch(
    context: &mut Context<'_>,
    repository: &dyn Repository,
    listing: &[Listed],
    item: &Item,
    staging: &Path,
) -> Result<(), SourceError> {
    let mut chosen = choose(listing, item)?;
    if let Some(weights) = &item.weights
        && !chosen.iter().any(|(_, rule)| rule.from == *weights)
    {
        // The index is small and tells which shards there are; it belongs to the model as well.
        let index = index_name(weights);
        let listed = find(listing, &index).ok_or_else(|| missing(std::slice::from_ref(weights), listing))?;
        get(context, repository, &listed, &plain(&index), staging)?;
        let bytes = fs::read(staging.join(&index)).map_err(StoreError::io("read", staging.join(&index)))?;
        let shards = shards(&bytes, &index).map_err(SourceError::Failed)?;
        let absent: Vec<String> = shards.iter().filter(|shard| find(listing, shard).is_none()).cloned().collect();
        if !absent.is_empty() {
            return Err(missing(&absent, listing));
        }
        chosen.extend(shards.iter().filter_map(|shard| Some((find(listing, shard)?, plain(shard)))));
    }
    let total: u64 = chosen.iter().filter_map(|(listed, rule)| rule.size.or(listed.expected.size)).sum();
    context.add_total(total);
    ensure_space(context.layout.root(), total).map_err(SourceError::Failed)?;
    chosen.iter().try_for_each(|(listed, rule)| get(context, repository, listed, rule, staging))
}

fn plain(name: &str) -> FileRule {
    FileRule { from: name.to_owned(), to: name.to_owned(), sha256: None, size: None, optional: false }
}

fn find(listing: &[Listed], path: &str) -> Option<Listed> {
    listing.iter().find(|listed| listed.path == path).cloned()
}

fn choose(listing: &[Listed], item: &Item) -> Result<Vec<(Listed, FileRule)>, SourceError> {
    let mut chosen = Vec::new();
    let mut absent = Vec::new();
    for rule in &item.files {
        let before = chosen.len();
        if rule.is_pattern() {
            let matches = listing.iter().filter(|listed| path_matches(&rule.from, &listed.path));
            chosen.extend(
                matches.map(|listed| (listed.clone(), FileRule { optional: rule.optional, ..plain(&listed.path) })),
            );
        } else {
            chosen.extend(find(listing, &rule.from).map(|listed| (listed, rule.clone())));
        }
        if chosen.len() == before && !rule.optional {
            absent.push(rule.from.clone());
        }
    }
    if let Some(weights) = &item.weights {
        chosen.extend(find(listing, weights).map(|listed| (listed, plain(weights))));
    }
    if absent.is_empty() { Ok(chosen) } else { Err(missing(&absent, listing)) }
}

fn missing(absent: &[String], listing: &[Listed]) -> SourceError {
    const SHOWN: usize = 20;
    let have: Vec<&str> = listing.iter().take(SHOWN).map(|listed| listed.path.as_str()).collect();
    let more = if listing.len() > SHOWN { ", …" } else { "" };
    SourceError::failed(format!("the repository lacks {} (it has {}{more})", absent.join(", "), have.join(", ")))
}

fn get(
    context: &mut Context<'_>,
    repository: &dyn Repository,
    listed: &Listed,
    rule: &FileRule,
    staging: &Path,
) -> Result<(), SourceError> {
    context.check_cancelled()?;
    let target = place(staging, &rule.to)?;
    // What the catalogue pins goes before what the hub says.
    let expected = Expected {
        sha256: rule.sha256.or(listed.expected.sha256),
        git_blob: listed.expected.git_blob.clone(),
        size: rule.size.or(listed.expected.size),
    };
    if let Some(copy) = repository.local_copy(&listed.path) {
        match copy_checked(context, &copy, &target, &rule.to, &expected) {
            Err(SourceError::Failed(reason)) => context.note(&format!("not using a cached file: {reason}")),
            other => return other,
        }
        let _ = fs::remove_file(&target);
    }
    context.stage(Stage::Downloading, &rule.to);
    let job = Download {
        request: repository.request(&listed.path),
        identity: repository.identity(&listed.path),
        label: &rule.to,
        expected,
    };
    download(context, &job, &target)?;
    let size = fs::metadata(&target).map_err(StoreError::io("look at", &target))?.len();
    context.file_done(size);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, matches) in [
            ("*.bin", "a.bin", true),
            ("*.bin", "a.bin.x", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("a", "a", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(part_matches(pattern, name), matches, "{pattern} {name}");
        }
        assert!(path_matches("voices/*.pt", "voices/af.pt"));
        assert!(!path_matches("voices/*.pt", "voices/x/af.pt"));
        assert!(!path_matches("*.pt", "voices/af.pt"));
    }

    #[test]
    fn shards_stay_inside() {
        assert_eq!(
            shards(br#"{"weight_map":{"a":"2.bin","b":"1.bin","c":"2.bin"}}"#, "i"),
            Ok(vec!["1.bin".to_owned(), "2.bin".to_owned()])
        );
        assert!(shards(br#"{"weight_map":{"a":"../2.bin"}}"#, "i").is_err());
        assert!(shards(br#"{"weight_map":{}}"#, "i").is_err());
        assert!(shards(b"[]", "i").is_err());
    }
}
