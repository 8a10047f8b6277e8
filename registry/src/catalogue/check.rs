//! From what a file says to what it means: every rule that TOML and serde can't express, each with its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnose::{Problem, nearest};
use super::document::{self, ARCHITECTURES, OPERATING_SYSTEMS, Spanned, Take};
use super::entry::{FileRule, HubId, Item, Join, Origin, Package, RuntimeBuild, Sha256Digest, Source, WheelTags};
use crate::fetch::url;

/// Longest name of a model, asset or runtime; they become directory names. [characters]
const MAX_NAME: usize = 100;

/// A file's text and where to complain about it.
pub(super) struct Context<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    /// The directory that relative `path` sources start from; `None` for built-in files.
    pub(super) base: Option<&'a Path>,
    pub(super) problems: &'a mut Vec<Problem>,
}

/// Lists of files that items refer to by `set`.
pub(super) type FileSets = BTreeMap<String, Vec<FileRule>>;

impl Context<'_> {
    pub(super) fn complain(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, self.text, span, message));
    }

    /// Complains about a name that means nothing, with a suggestion or with all that is known.
    pub(super) fn unknown<'a>(
        &mut self,
        what: &str,
        given: &Spanned<String>,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let (span, given) = (given.span(), given.get_ref());
        let known: Vec<&str> = known.into_iter().collect();
        let message = match nearest(given, known.iter().copied()) {
            Some(best) => format!("unknown {what} `{given}`; did you mean `{best}`?"),
            None if known.is_empty() => format!("unknown {what} `{given}`; there is none"),
            None => format!("unknown {what} `{given}`"),
        };
        let accepted = known.into_iter().map(str::to_owned).collect();
        self.problems.push(Problem { accepted, ..Problem::at(self.file, self.text, span, message) });
    }

    /// Checks a name that becomes a directory and part of URLs.
    pub(super) fn name(&mut self, name: &Spanned<String>) -> String {
        if let Err(why) = check_name(name.get_ref()) {
            self.complain(name.span(), why);
        }
        name.get_ref().clone()
    }

    /// Checks a path inside a model directory or an origin.
    fn relative(&mut self, path: &Spanned<String>) -> String {
        if !is_safe_relative(path.get_ref()) {
            self.complain(
                path.span(),
                format!(
                    "`{}` must be a relative path with `/` between its parts and without `.` or `..`",
                    path.get_ref()
                ),
            );
        }
        path.get_ref().clone()
    }

    fn digest(&mut self, text: &Spanned<String>) -> Sha256Digest {
        Sha256Digest::parse(text.get_ref()).unwrap_or_else(|| {
            self.complain(text.span(), "not a SHA-256 digest (64 hexadecimal digits)");
            Sha256Digest::from_bytes([0; 32])
        })
    }

    fn take(&mut self, take: &Take, under: &str) -> FileRule {
        let file = self.relative(&take.file);
        let to = match &take.to {
            Some(to) => self.relative(to),
            None => file.clone(),
        };
        let sha256 = take.sha256.as_ref().map(|digest| self.digest(digest));
        if file.contains('*') {
            self.complain(take.file.span(), "a pattern can't have a digest or a new name; list it under `files`");
        }
        FileRule { from: format!("{under}{file}"), to, sha256, size: take.size, optional: false }
    }

    pub(super) fn file_set(&mut self, set: &document::FileSet) -> Vec<FileRule> {
        set.files.iter().map(|take| self.take(take, "")).collect()
    }

    pub(super) fn sources(&mut self, sources: &[document::Source], sets: &FileSets) -> Vec<Source> {
        let mut result: Vec<Source> = Vec::new();
        for source in sources {
            let items: Vec<Item> =
                source.item.get_ref().iter().filter_map(|item| self.item(item, &source.item.span(), sets)).collect();
            if source.item.get_ref().is_empty() {
                self.complain(source.item.span(), "a source needs at least one item");
            }
            let joins: Vec<Join> = source.join.iter().map(|join| self.join(join, &items)).collect();
            let id = match &source.id {
                Some(id) => self.name(id),
                None => items.first().map_or_else(|| "source".to_owned(), |item| item.origin.kind().to_owned()),
            };
            if result.iter().any(|other| other.id == id) {
                let span = source.id.as_ref().map_or_else(|| source.item.span(), Spanned::span);
                self.complain(span, format!("two sources of this entry are named `{id}`; give each its own `id`"));
            }
            self.unique_targets(source, &items, &joins);
            result.push(Source { id, format: source.format, quantization: source.quantization.clone(), items, joins });
        }
        result
    }

    fn unique_targets(&mut self, source: &document::Source, items: &[Item], joins: &[Join]) {
        let taken =
            items.iter().flat_map(|item| item.files.iter().map(|rule| rule.to.as_str()).chain(item.weights.as_deref()));
        let mut all: Vec<&str> = taken.chain(joins.iter().map(|join| join.to.as_str())).collect();
        all.sort_unstable();
        if let Some(twice) = all.windows(2).find(|pair| pair[0] == pair[1]) {
            self.complain(source.item.span(), format!("two files of this source would be written to `{}`", twice[0]));
        }
    }

    fn join(&mut self, join: &document::Join, items: &[Item]) -> Join {
        let to = self.relative(&join.to);
        for part in &join.parts {
            let known = items.iter().flat_map(|item| &item.files).any(|rule| rule.to == *part.get_ref());
            if !known {
                self.complain(part.span(), format!("no item of this source brings `{}`", part.get_ref()));
            }
        }
        if join.parts.is_empty() {
            self.complain(join.to.span(), "nothing to join: `parts` is empty");
        }
        let parts = join.parts.iter().map(|part| part.get_ref().clone()).collect();
        Join { to, parts, sha256: self.digest(&join.sha256), size: join.size }
    }

    fn item(&mut self, item: &document::Item, around: &Range<usize>, sets: &FileSets) -> Option<Item> {
        let kinds = [
            ("hf", &item.hf),
            ("modelscope", &item.modelscope),
            ("wheel", &item.wheel),
            ("sdist", &item.sdist),
            ("npm", &item.npm),
            ("url", &item.url),
            ("path", &item.path),
        ];
        let mut given = kinds.iter().filter_map(|(kind, value)| value.as_ref().map(|value| (*kind, value)));
        let Some((kind, place)) = given.next() else {
            self.complain(
                around.clone(),
                "an item needs one of `hf`, `modelscope`, `wheel`, `sdist`, `npm`, `url` or `path`",
            );
            return None;
        };
        if let Some((second, other)) = given.next() {
            self.complain(other.span(), format!("an item has one origin, but this one has `{kind}` and `{second}`"));
            return None;
        }
        self.no_foreign_keys(item, kind);
        let origin = match kind {
            "hf" => Origin::Hf(self.hub(item, place, "main")),
            "modelscope" => Origin::Modelscope(self.hub(item, place, "master")),
            "wheel" => Origin::Wheel(self.package(item, place)?),
            "sdist" => Origin::Sdist(self.package(item, place)?),
            "npm" => Origin::Npm(self.package(item, place)?),
            "url" => Origin::Url(self.url(place)),
            _ => Origin::Path(self.directory(place)),
        };
        let files = match &origin {
            Origin::Url(address) => self.url_file(item, place, address),
            _ => self.files(item, kind, place, sets),
        };
        let weights = item.weights.as_ref().map(|weights| self.relative(weights));
        if files.is_empty() && weights.is_none() {
            self.complain(place.span(), "this item takes no file; give `files`, `take`, `set` or `weights`");
        }
        Some(Item { origin, files, weights })
    }

    fn no_foreign_keys(&mut self, item: &document::Item, kind: &str) {
        let hub = matches!(kind, "hf" | "modelscope");
        let package = matches!(kind, "wheel" | "sdist" | "npm");
        let spans = [
            ("revision", item.revision.as_ref().map(Spanned::span), hub),
            ("version", item.version.as_ref().map(Spanned::span), package),
            ("sha256", item.sha256.as_ref().map(Spanned::span), package || kind == "url"),
            ("python", item.python.as_ref().map(Spanned::span), kind == "wheel"),
            ("abi", item.abi.as_ref().map(Spanned::span), kind == "wheel"),
            ("to", item.to.as_ref().map(Spanned::span), kind == "url"),
            ("under", item.under.as_ref().map(Spanned::span), kind != "url"),
            ("weights", item.weights.as_ref().map(Spanned::span), hub || kind == "path"),
            ("files", item.files.first().map(Spanned::span), kind != "url"),
            ("optional", item.optional.first().map(Spanned::span), hub || kind == "path"),
            ("take", item.take.first().map(|take| take.file.span()), kind != "url"),
            ("set", item.set.as_ref().map(Spanned::span), kind != "url"),
        ];
        for (key, span, allowed) in spans {
            if let (Some(span), false) = (span, allowed) {
                self.complain(span, format!("`{key}` means nothing for `{kind}`"));
            }
        }
    }

    fn hub(&mut self, item: &document::Item, place: &Spanned<String>, default_revision: &str) -> HubId {
        let id = place.get_ref();
        let well_formed = id.split('/').count() == 2 && id.split('/').all(|part| check_name(part).is_ok());
        if !well_formed {
            self.complain(place.span(), format!("`{id}` is not a repository; write it as `owner/name`"));
        }
        let revision = item.revision.as_ref().map_or(default_revision, |revision| revision.get_ref().as_str());
        if revision.is_empty()
            || revision.chars().any(|c| c.is_whitespace() || c.is_control() || "?#\\".contains(c))
            || revision.contains("..")
        {
            let span = item.revision.as_ref().map_or_else(|| place.span(), Spanned::span);
            self.complain(span, "not a revision (a commit, tag or branch)");
        }
        HubId { id: id.clone(), revision: revision.to_owned() }
    }

    fn package(&mut self, item: &document::Item, place: &Spanned<String>) -> Option<Package> {
        // Names and versions end up on a command line: what starts with a dash would be read as an option there.
        let name = place.get_ref();
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '@')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@/+!".contains(c))
        };
        if !plain(name) {
            self.complain(place.span(), format!("`{name}` is not the name of a package"));
        }
        let (Some(version), Some(sha256)) = (&item.version, &item.sha256) else {
            self.complain(place.span(), "a package is pinned: give its `version` and the `sha256` of the package file");
            return None;
        };
        if !plain(version.get_ref()) || version.get_ref().starts_with('@') {
            self.complain(version.span(), "give the exact version, e.g. \"1.2.0\"");
        }
        let tags = match (&item.python, &item.abi) {
            (None, None) if item.platforms.is_empty() => None,
            (Some(python), Some(abi)) if !item.platforms.is_empty() => {
                let all_plain = plain(python.get_ref())
                    && plain(abi.get_ref())
                    && item.platforms.iter().all(|platform| plain(platform));
                if !all_plain {
                    self.complain(
                        python.span(),
                        "`python`, `abi` and `platforms` are tags like \"3.12\", \"cp312\", \"win_amd64\"",
                    );
                }
                Some(WheelTags {
                    python: python.get_ref().clone(),
                    abi: abi.get_ref().clone(),
                    platforms: item.platforms.clone(),
                })
            }
            _ => {
                self.complain(place.span(), "to choose a build give all of `python`, `abi` and `platforms`");
                None
            }
        };
        Some(Package {
            name: name.clone(),
            version: version.get_ref().clone(),
            sha256: self.digest(sha256),
            size: item.size,
            tags,
        })
    }

    fn url(&mut self, place: &Spanned<String>) -> String {
        if url::origin(place.get_ref()).is_none() {
            self.complain(place.span(), "not a web address; it starts with https:// or http://");
        }
        place.get_ref().clone()
    }

    fn directory(&mut self, place: &Spanned<String>) -> PathBuf {
        let text = place.get_ref();
        let path = match text.strip_prefix("~/") {
            Some(rest) => std::env::home_dir().unwrap_or_default().join(rest),
            None => PathBuf::from(text),
        };
        match self.base {
            _ if path.is_absolute() => path,
            Some(base) => base.join(path),
            None => {
                self.complain(place.span(), "a built-in entry can't refer to a relative directory");
                path
            }
        }
    }

    fn url_file(&mut self, item: &document::Item, place: &Spanned<String>, address: &str) -> Vec<FileRule> {
        let sha256 = item.sha256.as_ref().map(|digest| self.digest(digest));
        let to = match &item.to {
            Some(to) => self.relative(to),
            None => url::file_name(address).unwrap_or_default().to_owned(),
        };
        if !is_safe_relative(&to) {
            self.complain(place.span(), "this address has no file name; give `to`");
        }
        vec![FileRule { from: to.clone(), to, sha256, size: item.size, optional: false }]
    }

    fn files(&mut self, item: &document::Item, kind: &str, place: &Spanned<String>, sets: &FileSets) -> Vec<FileRule> {
        let under = match (&item.under, kind) {
            (Some(under), _) => format!("{}/", self.relative(under)),
            // What npm and Python's build tools pack everything into.
            (None, "npm") => "package/".to_owned(),
            (None, "sdist") => {
                let version = item.version.as_ref().map(|version| version.get_ref().as_str()).unwrap_or_default();
                format!("{}-{version}/", place.get_ref())
            }
            (None, _) => String::new(),
        };
        let patterns_work = matches!(kind, "hf" | "modelscope" | "path");
        let mut rules = Vec::new();
        for (list, optional) in [(&item.files, false), (&item.optional, true)] {
            for file in list {
                let name = self.relative(file);
                if name.contains('*') && !(patterns_work && under.is_empty()) {
                    self.complain(
                        file.span(),
                        format!(
                            "patterns work for `hf`, `modelscope` and `path` without `under`, not for this `{kind}`"
                        ),
                    );
                }
                rules.push(FileRule { from: format!("{under}{name}"), to: name, sha256: None, size: None, optional });
            }
        }
        rules.extend(item.take.iter().map(|take| self.take(take, &under)));
        if let Some(set) = &item.set {
            match sets.get(set.get_ref()) {
                Some(files) => rules.extend(
                    files.iter().map(|rule| FileRule { from: format!("{under}{}", rule.from), ..rule.clone() }),
                ),
                None => self.unknown("file set", set, sets.keys().map(String::as_str)),
            }
        }
        if kind == "hf" && rules.is_empty() && item.weights.is_none() {
            self.complain(place.span(), "say which files of the repository are needed (`files`, `weights`)");
        }
        rules
    }

    pub(super) fn builds(&mut self, builds: &[document::Build], sets: &FileSets) -> Vec<RuntimeBuild> {
        let mut result = Vec::new();
        for build in builds {
            for (what, given, known) in [
                ("operating system", &build.os, OPERATING_SYSTEMS.as_slice()),
                ("architecture", &build.arch, &ARCHITECTURES),
            ] {
                if !known.contains(&given.get_ref().as_str()) {
                    self.unknown(what, given, known.iter().copied());
                }
            }
            let library = self.relative(&build.library);
            let sources = self.sources(&build.source, sets);
            if let Some(source) = sources.iter().find(|source| !source.file_names().contains(&library)) {
                self.complain(build.library.span(), format!("source `{}` doesn't bring `{library}`", source.id));
            }
            result.push(RuntimeBuild {
                os: build.os.get_ref().clone(),
                arch: build.arch.get_ref().clone(),
                library,
                sources,
            });
        }
        result
    }
}

/// A name that is safe as a directory and in a URL.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        return Err(format!("a name has 1 to {MAX_NAME} characters, this one has {length}"));
    }
    if name.starts_with(['.', '-']) {
        return Err(format!("the name `{name}` may not start with `.` or `-`"));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_alphanumeric() || "-_.+".contains(*c))) {
        return Err(format!("the name `{name}` may not contain {bad:?}; letters, digits and - _ . + are fine"));
    }
    Ok(())
}

/// True for a path that stays inside the directory it is joined to, on every platform.
pub(crate) fn is_safe_relative(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_directory_are_refused() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "C:\\x", "a\\b", "a/\0"] {
            assert!(!is_safe_relative(bad), "{bad:?}");
        }
        for good in ["a", "a/b.bin", "voices/af_heart.bin", "..a"] {
            assert!(is_safe_relative(good), "{good:?}");
        }
    }

    #[test]
    fn names_are_directories_and_url_parts() {
        for bad in ["", ".hidden", "-x", "a/b", "a b", "a\\b", "a?", &"x".repeat(101)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["whisper-large-v3-turbo", "Kokoro-82M-v1.1-zh", "模型"] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
