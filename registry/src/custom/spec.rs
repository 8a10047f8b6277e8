//! One model that somebody registered: the specification that Xinference's clients send, read and checked field by field.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::catalogue::{Ability, Catalogue, HubId, JsonMap, ModelEntry, Origin, Source, check_name, nearest};

/// Longest name. It becomes a directory and, with a few characters more, a file; file systems take 255. [bytes]
const NAME_LIMIT: usize = 200;
/// Largest specification as JSON; those of the catalogue have less than a thousand. [bytes]
const SPEC_LIMIT: usize = 64 << 10;
/// Longest id, revision, language code and the like. [bytes]
const WORD_LIMIT: usize = 500;

/// A specification that can't be used: which field, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    /// The field at fault.
    pub field: &'static str,
    /// What was wrong and what would be right.
    pub message: String,
}

fn wrong(field: &'static str, message: impl Into<String>) -> SpecError {
    SpecError { field, message: message.into() }
}

/// A model that somebody registered.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomModel {
    name: String,
    family: String,
    multilingual: bool,
    languages: Vec<String>,
    /// None: those of the family.
    abilities: Option<Vec<Ability>>,
    directory: Option<PathBuf>,
    huggingface: Option<HubId>,
    modelscope: Option<HubId>,
    default_model_config: Option<JsonMap>,
    default_transcription_config: Option<JsonMap>,
    description: Option<String>,
    /// As it was given, for keeping.
    spec: JsonMap,
}

impl CustomModel {
    /// Reads a specification. What only the machine at hand can tell (does the directory exist, is the family known) is
    /// left to [`check_directory`](Self::check_directory) and [`entry`](Self::entry).
    ///
    /// # Errors
    /// [`SpecError`] names the first field that can't be used.
    pub fn from_spec(spec: JsonMap) -> Result<Self, SpecError> {
        let size = serde_json::to_vec(&spec).map_or(usize::MAX, |text| text.len());
        if size > SPEC_LIMIT {
            return Err(wrong("model", format!("the specification has {size} bytes, the limit is {SPEC_LIMIT}")));
        }
        let name = text(&spec, "model_name")?.ok_or_else(|| missing("model_name"))?;
        check_model_name(&name)?;
        let family = text(&spec, "model_family")?.ok_or_else(|| missing("model_family"))?;
        match spec.get("version") {
            None | Some(Value::Null) => {}
            Some(version) if version.as_u64() == Some(2) => {}
            Some(other) => return Err(wrong("version", format!("`version` is {other}, but must be 2"))),
        }
        let multilingual = match spec.get("multilingual") {
            Some(Value::Bool(multilingual)) => *multilingual,
            None | Some(Value::Null) => return Err(missing("multilingual")),
            Some(_) => return Err(wrong("multilingual", "`multilingual` must be true or false")),
        };
        let mut languages = texts(&spec, "model_lang")?.unwrap_or_default();
        if languages.is_empty() {
            languages.extend(text(&spec, "language")?);
        }
        let directory = text(&spec, "model_uri")?.map(|uri| directory_of(&uri)).transpose()?;
        let (huggingface, modelscope) = hub(&spec, directory.is_some())?;
        Ok(Self {
            name,
            family,
            multilingual,
            languages,
            abilities: abilities(&spec)?,
            directory,
            huggingface,
            modelscope,
            default_model_config: object(&spec, "default_model_config")?,
            default_transcription_config: object(&spec, "default_transcription_config")?,
            description: text(&spec, "model_description")?.or(text(&spec, "description")?),
            spec,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its family.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// The specification as it was given.
    pub fn spec(&self) -> &JsonMap {
        &self.spec
    }

    /// # Errors
    /// `model_uri` names no directory of this machine.
    pub fn check_directory(&self) -> Result<(), SpecError> {
        match &self.directory {
            Some(directory) if !directory.is_dir() => {
                Err(wrong("model_uri", format!("`model_uri`: there is no directory {}", directory.display())))
            }
            _ => Ok(()),
        }
    }

    /// The catalogue entry that it stands for. Plugin, shared files and libraries are those of its family: of the
    /// catalogue's entries that have it, or of the plugin of that name among `plugins`, which are installed.
    ///
    /// # Errors
    /// Nobody knows the family.
    pub fn entry(&self, catalogue: &Catalogue, plugins: &[String]) -> Result<ModelEntry, SpecError> {
        let of_family = |entry: &&Arc<ModelEntry>| entry.family == self.family;
        let relatives: Vec<&Arc<ModelEntry>> = catalogue.models().filter(of_family).collect();
        let alike = relatives.iter().find(|entry| entry.multilingual == self.multilingual);
        let relative = alike.or(relatives.first()).copied();
        if !plugins.contains(&self.family) && !relatives.iter().any(|entry| is_implemented(entry, plugins)) {
            return Err(self.unknown_family(catalogue, plugins));
        }
        let abilities = self.abilities.clone().or_else(|| Some(relative?.abilities.clone()));
        let abilities = abilities.ok_or_else(|| {
            wrong("model_ability", "`model_ability` is required: the catalogue has no other model of this family")
        })?;
        let languages = if self.languages.is_empty() {
            relative.map(|relative| relative.languages.clone()).unwrap_or_default()
        } else {
            self.languages.clone()
        };
        Ok(ModelEntry {
            name: self.name.clone(),
            aliases: Vec::new(),
            family: self.family.clone(),
            plugin: relative.map_or_else(|| self.family.clone(), |relative| relative.plugin.clone()),
            description: self.description.clone(),
            license: None,
            abilities,
            multilingual: self.multilingual,
            languages,
            huggingface: self.huggingface.clone(),
            modelscope: self.modelscope.clone(),
            default_model_config: self.default_model_config.clone(),
            default_transcription_config: self.default_transcription_config.clone(),
            launch_defaults: relative.map(|relative| relative.launch_defaults.clone()).unwrap_or_default(),
            request_defaults: relative.map(|relative| relative.request_defaults.clone()).unwrap_or_default(),
            assets: relative.map(|relative| relative.assets.clone()).unwrap_or_default(),
            runtimes: relative.map(|relative| relative.runtimes.clone()).unwrap_or_default(),
            sources: self.sources(),
            builtin: false,
        })
    }

    /// The directory first, then the hub.
    fn sources(&self) -> Vec<Source> {
        let directory = self.directory.clone().map(Source::local_directory);
        // An id without an owner only names; it is nowhere to be fetched.
        let fetchable = |hub: &Option<HubId>| hub.clone().filter(|hub| hub.id.contains('/'));
        let huggingface = fetchable(&self.huggingface).map(|hub| Source::whole_repository(Origin::Hf(hub)));
        let modelscope = fetchable(&self.modelscope).map(|hub| Source::whole_repository(Origin::Modelscope(hub)));
        directory.into_iter().chain(huggingface).chain(modelscope).collect()
    }

    fn unknown_family(&self, catalogue: &Catalogue, plugins: &[String]) -> SpecError {
        let implemented = catalogue.models().filter(|entry| is_implemented(entry, plugins));
        let mut known: Vec<&str> = implemented.map(|entry| entry.family.as_str()).collect();
        known.extend(plugins.iter().map(String::as_str));
        known.sort_unstable();
        known.dedup();
        let hint = match nearest(&self.family, known.iter().copied()) {
            Some(best) => format!("did you mean `{best}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        wrong("model_family", format!("`model_family`: no family `{}` is implemented; {hint}", self.family))
    }
}

/// Whether something can run an entry. One without sources whose plugin isn't installed either is only listed.
fn is_implemented(entry: &ModelEntry, plugins: &[String]) -> bool {
    !entry.sources.is_empty() || plugins.contains(&entry.plugin)
}

fn check_model_name(name: &str) -> Result<(), SpecError> {
    if name.len() > NAME_LIMIT {
        let message = format!("`model_name` has {} bytes, but a file name may have {NAME_LIMIT}", name.len());
        return Err(wrong("model_name", message));
    }
    check_name(name).map_err(|why| wrong("model_name", format!("`model_name`: {why}")))
}

fn missing(field: &'static str) -> SpecError {
    wrong(field, format!("`{field}` is required"))
}

/// A short text; null and empty count as not given.
fn text(spec: &JsonMap, field: &'static str) -> Result<Option<String>, SpecError> {
    match spec.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() > WORD_LIMIT && !field.ends_with("description") => {
            Err(wrong(field, format!("`{field}` has {} bytes, the limit is {WORD_LIMIT}", text.len())))
        }
        Some(Value::String(text)) if text.chars().any(|c| c == '\0') => {
            Err(wrong(field, format!("`{field}` must not contain a NUL character")))
        }
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(_) => Err(wrong(field, format!("`{field}` must be text"))),
    }
}

fn texts(spec: &JsonMap, field: &'static str) -> Result<Option<Vec<String>>, SpecError> {
    let values = match spec.get(field) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) => values,
        Some(_) => return Err(wrong(field, format!("`{field}` must be a list of texts"))),
    };
    let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    texts.map(Some).ok_or_else(|| wrong(field, format!("`{field}` must be a list of texts")))
}

fn object(spec: &JsonMap, field: &'static str) -> Result<Option<JsonMap>, SpecError> {
    match spec.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object.clone())),
        Some(_) => Err(wrong(field, format!("`{field}` must be an object"))),
    }
}

fn abilities(spec: &JsonMap) -> Result<Option<Vec<Ability>>, SpecError> {
    let Some(names) = texts(spec, "model_ability")? else { return Ok(None) };
    let mut abilities = Vec::new();
    for name in names {
        let ability = serde_json::from_value::<Ability>(Value::from(name.as_str())).map_err(|_| {
            let known: Vec<&str> = Ability::ALL.iter().map(|ability| ability.as_str()).collect();
            wrong("model_ability", format!("`model_ability`: there is no `{name}`; there are {}", known.join(", ")))
        })?;
        if !abilities.contains(&ability) {
            abilities.push(ability);
        }
    }
    Ok(Some(abilities).filter(|abilities| !abilities.is_empty()))
}

/// The repositories on Hugging Face and on ModelScope; at most one of the two.
fn hub(spec: &JsonMap, has_directory: bool) -> Result<(Option<HubId>, Option<HubId>), SpecError> {
    let Some(id) = text(spec, "model_id")? else { return Ok((None, None)) };
    let well_formed = id.split('/').count() == 2 && id.split('/').all(|part| check_name(part).is_ok());
    let placeholder = has_directory && check_name(&id).is_ok();
    if !(well_formed || placeholder) {
        return Err(wrong("model_id", format!("`model_id`: `{id}` is not a repository; write it as `owner/name`")));
    }
    let revision = text(spec, "model_revision")?;
    if revision.as_ref().is_some_and(|revision| !is_revision(revision)) {
        return Err(wrong("model_revision", "`model_revision` must be a commit, tag or branch"));
    }
    let or = |default: &str| revision.clone().unwrap_or_else(|| default.to_owned());
    match text(spec, "model_hub")?.as_deref() {
        Some("modelscope") => Ok((None, Some(HubId { id, revision: or("master") }))),
        None | Some("huggingface" | "openmind_hub" | "csghub") => Ok((Some(HubId { id, revision: or("main") }), None)),
        Some(other) => {
            let message =
                format!("`model_hub` is `{other}`, but must be huggingface, modelscope, openmind_hub or csghub");
            Err(wrong("model_hub", message))
        }
    }
}

fn is_revision(text: &str) -> bool {
    !text.contains("..") && !text.chars().any(|c| c.is_whitespace() || c.is_control() || "?#\\".contains(c))
}

/// `/models/x` or `file:///models/x` → the directory.
fn directory_of(uri: &str) -> Result<PathBuf, SpecError> {
    let path = match uri.split_once("://") {
        None => uri.to_owned(),
        Some(("file", rest)) => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            percent_decoded(path).ok_or_else(|| {
                wrong("model_uri", "`model_uri` has a `%` that doesn't begin an escaped byte of UTF-8")
            })?
        }
        Some((scheme, _)) => {
            let message =
                format!("`model_uri`: `{scheme}` addresses are not supported; give a directory of the server");
            return Err(wrong("model_uri", message));
        }
    };
    if !Path::new(&path).is_absolute() || path.contains('\0') {
        let message = format!("`model_uri` is `{uri}`, but must be an absolute path or a file:// URL of one");
        return Err(wrong("model_uri", message));
    }
    Ok(PathBuf::from(path))
}

fn percent_decoded(text: &str) -> Option<String> {
    let is_escape = |after: &str| after.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    text.split('%').skip(1).all(is_escape).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(more: Value) -> Result<CustomModel, SpecError> {
        let mut spec = json!({"model_name": "mine", "model_family": "whisper", "multilingual": true});
        spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        CustomModel::from_spec(spec.as_object().cloned().unwrap())
    }

    #[test]
    fn plugin_and_abilities_come_from_the_family() {
        let catalogue = Catalogue::builtin();
        let entry = read(json!({"model_id": "me/mine", "version": 2})).unwrap().entry(&catalogue, &[]).unwrap();
        assert_eq!((entry.plugin.as_str(), entry.builtin), ("whisper", false));
        assert_eq!(entry.abilities, [Ability::AudioToText]);
        assert_eq!(entry.languages.len(), 99);
        assert_eq!(entry.sources[0].describe(), "Hugging Face me/mine@main");
        let spec = json!({"model_family": "Kokoro", "language": "en", "model_id": "a/b", "model_hub": "modelscope"});
        let entry = read(spec).unwrap().entry(&catalogue, &[]).unwrap();
        assert_eq!((entry.assets.len(), entry.runtimes.len()), (5, 1));
        assert_eq!(entry.languages, ["en"]);
        assert_eq!(entry.sources[0].describe(), "ModelScope a/b@master");
        let own = read(json!({"model_family": "parrot", "model_ability": ["text2audio"]})).unwrap();
        assert_eq!(own.entry(&catalogue, &["parrot".to_owned()]).unwrap().plugin, "parrot");
        assert!(own.entry(&catalogue, &[]).unwrap_err().message.contains("no family `parrot`"));
        // Listed, but nothing runs it unless its plugin is there.
        let melo = read(json!({"model_family": "MeloTTS", "model_id": "me/melo"})).unwrap();
        assert_eq!(melo.entry(&catalogue, &[]).unwrap_err().field, "model_family");
        assert_eq!(melo.entry(&catalogue, &["melotts".to_owned()]).unwrap().plugin, "melotts");
    }

    #[test]
    fn directories_as_paths_and_urls() {
        for (uri, directory) in [
            ("/models/x y", "/models/x y"),
            ("file:///models/x%20y", "/models/x y"),
            ("file://localhost/models/%E6%A8%A1", "/models/模"),
        ] {
            assert_eq!(directory_of(uri).unwrap(), Path::new(directory), "{uri}");
        }
        for bad in [
            "x",
            "./x",
            "file://x",
            "file:///%zz",
            "file:///%+f",
            "file:///%ff",
            "http://x/y",
            "oci://x",
            "file:///%00",
        ] {
            assert_eq!(directory_of(bad).unwrap_err().field, "model_uri", "{bad}");
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (more, field) in [
            (json!({"model_name": null}), "model_name"),
            (json!({"model_name": 3}), "model_name"),
            (json!({"model_name": "../x"}), "model_name"),
            (json!({"model_name": "a/b"}), "model_name"),
            (json!({"model_name": "a\0b"}), "model_name"),
            (json!({"model_name": "x".repeat(300)}), "model_name"),
            (json!({"model_name": "模".repeat(90)}), "model_name"),
            (json!({"model_family": ""}), "model_family"),
            (json!({"multilingual": null}), "multilingual"),
            (json!({"multilingual": "yes"}), "multilingual"),
            (json!({"version": 1}), "version"),
            (json!({"version": "2"}), "version"),
            (json!({"model_id": "../../etc"}), "model_id"),
            (json!({"model_id": "solo"}), "model_id"),
            (json!({"model_id": "a/b", "model_revision": "a b"}), "model_revision"),
            (json!({"model_id": "a/b", "model_hub": "nowhere"}), "model_hub"),
            (json!({"model_ability": ["fly"]}), "model_ability"),
            (json!({"model_ability": "audio2text"}), "model_ability"),
            (json!({"model_lang": [1]}), "model_lang"),
            (json!({"default_model_config": []}), "default_model_config"),
            (json!({"default_transcription_config": "x"}), "default_transcription_config"),
            (json!({"anything": "x".repeat(SPEC_LIMIT)}), "model"),
        ] {
            assert_eq!(read(more.clone()).unwrap_err().field, field, "{more}");
        }
    }
}
