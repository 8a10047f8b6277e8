//! Adding an entry to the text of a catalogue file; everything else in it stays as it is, comments included.

use std::path::Path;

use serde_json::Value as Json;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::document::SCHEMA;
use super::{Catalogue, HubId, JsonMap, ModelEntry, Origin, Problem, Source};

/// Why an entry can't be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file isn't TOML as it is.
    #[error("{0}")]
    Malformed(Box<Problem>),
    /// `model` is something else in that file.
    #[error("{0}: `model` is not a list of tables there; write entries as [[model]]")]
    NotTables(String),
    /// The entry has a value that TOML lacks.
    #[error("`{0}` can't be written as TOML: it holds a null")]
    Null(&'static str),
    /// Sources of this kind hold more than is written here.
    #[error("a source of the kind `{0}` can't be written; give a directory or a repository")]
    Source(&'static str),
}

impl Catalogue {
    /// `text`, the content of the catalogue file `path` (empty for a new one), with `entry` at the end of its models. The
    /// entry's sources are directories or repositories.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub fn add_to(&self, path: &Path, text: &str, entry: &ModelEntry) -> Result<String, WriteError> {
        let file = path.display().to_string();
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            let span = error.span().unwrap_or_default();
            WriteError::Malformed(Box::new(Problem::at(&file, text, span, error.message())))
        })?;
        if !document.contains_key("schema") {
            document["schema"] = value(i64::from(SCHEMA));
        }
        let models = document.entry("model").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
        let models = models.as_array_of_tables_mut().ok_or(WriteError::NotTables(file))?;
        models.push(self.table(entry)?);
        Ok(document.to_string())
    }

    fn table(&self, entry: &ModelEntry) -> Result<Table, WriteError> {
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n");
        let mut put = |key: &str, item: Value| drop(table.insert(key, value(item)));
        put("name", entry.name.as_str().into());
        if !entry.aliases.is_empty() {
            put("aliases", texts(&entry.aliases));
        }
        put("family", entry.family.as_str().into());
        put("plugin", entry.plugin.as_str().into());
        for (key, text) in [("description", &entry.description), ("license", &entry.license)] {
            if let Some(text) = text {
                put(key, text.as_str().into());
            }
        }
        put("abilities", texts(entry.abilities.iter().map(|ability| ability.as_str())));
        put("multilingual", entry.multilingual.into());
        let (set, languages) = self.in_language_sets(&entry.languages);
        if let Some(set) = set {
            put("language_set", set.into());
        }
        if !languages.is_empty() {
            put("languages", texts(languages));
        }
        for (key, hub) in [("huggingface", &entry.huggingface), ("modelscope", &entry.modelscope)] {
            if let Some(HubId { id, revision }) = hub {
                let members = [("id", id.as_str()), ("revision", revision.as_str())];
                put(key, Value::InlineTable(members.into_iter().collect()));
            }
        }
        let assets: Vec<&str> = entry.assets.iter().map(|asset| asset.name.as_str()).collect();
        for (key, names) in [("assets", texts(assets)), ("runtimes", texts(&entry.runtimes))] {
            if names.as_array().is_some_and(|names| !names.is_empty()) {
                put(key, names);
            }
        }
        let shown = JsonMap::default();
        for (key, options) in [
            ("default_model_config", entry.default_model_config.as_ref().unwrap_or(&shown)),
            ("launch_defaults", &entry.launch_defaults),
            ("default_transcription_config", entry.default_transcription_config.as_ref().unwrap_or(&shown)),
            ("request_defaults", &entry.request_defaults),
        ] {
            if !options.is_empty() {
                put(key, of_json(&Json::Object(options.clone())).ok_or(WriteError::Null(key))?);
            }
        }
        let mut sources = ArrayOfTables::new();
        for source in &entry.sources {
            sources.push(table_of_source(source)?);
        }
        if !sources.is_empty() {
            table.insert("source", Item::ArrayOfTables(sources));
        }
        Ok(table)
    }

    /// Languages as the name of a set and what comes after it.
    fn in_language_sets<'a>(&'a self, languages: &'a [String]) -> (Option<&'a str>, &'a [String]) {
        let fitting = self.language_sets.iter().filter(|(_, codes)| codes.len() > 1 && languages.starts_with(codes));
        match fitting.max_by_key(|(_, codes)| codes.len()) {
            Some((name, codes)) => (Some(name), &languages[codes.len()..]),
            None => (None, languages),
        }
    }
}

fn table_of_source(source: &Source) -> Result<Table, WriteError> {
    let mut items = ArrayOfTables::new();
    for item in &source.items {
        let mut table = Table::new();
        match &item.origin {
            Origin::Hf(hub) | Origin::Modelscope(hub) => {
                table.insert(item.origin.kind(), value(&hub.id));
                table.insert("revision", value(&hub.revision));
            }
            Origin::Path(directory) => drop(table.insert("path", value(directory.display().to_string()))),
            other => return Err(WriteError::Source(other.kind())),
        }
        for (key, optional) in [("files", false), ("optional", true)] {
            let files = item.files.iter().filter(|rule| rule.optional == optional);
            let files = texts(files.map(|rule| &rule.to));
            if files.as_array().is_some_and(|files| !files.is_empty()) {
                table.insert(key, value(files));
            }
        }
        items.push(table);
    }
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table.insert("id", value(&source.id));
    if let Some(format) = source.format {
        table.insert("format", value(format.as_str()));
    }
    if let Some(quantization) = &source.quantization {
        table.insert("quantization", value(quantization));
    }
    table.insert("item", Item::ArrayOfTables(items));
    Ok(table)
}

fn texts(all: impl IntoIterator<Item = impl AsRef<str>>) -> Value {
    Value::Array(all.into_iter().map(|text| text.as_ref().to_owned()).collect::<Array>())
}

/// None where there is a null.
fn of_json(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(all) => Value::Array(all.iter().map(of_json).collect::<Option<Array>>()?),
        Json::Object(members) => {
            let mut table = toml_edit::InlineTable::new();
            for (key, member) in members {
                table.insert(key, of_json(member)?);
            }
            Value::InlineTable(table)
        }
    })
}
