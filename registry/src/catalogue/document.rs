//! The shape of a catalogue file, as serde reads it. Unknown keys are errors; meaning is checked in [`super::check`].

use serde::Deserialize;
use toml::Spanned;

use super::entry::{Ability, Format, HubId, JsonMap};

/// The version of the format that this program reads.
pub(super) const SCHEMA: u32 = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Compared before, by way of [`SchemaOnly`].
    #[serde(rename = "schema")]
    _schema: u32,
    #[serde(default)]
    pub(super) language_set: Vec<LanguageSet>,
    #[serde(default)]
    pub(super) file_set: Vec<FileSet>,
    #[serde(default)]
    pub(super) asset: Vec<Asset>,
    #[serde(default)]
    pub(super) model: Vec<Model>,
    #[serde(default)]
    pub(super) runtime: Vec<Runtime>,
}

/// Just enough of a file to see whether it is one for us at all.
#[derive(Debug, Deserialize)]
pub(super) struct SchemaOnly {
    pub(super) schema: Option<Spanned<i64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LanguageSet {
    pub(super) name: Spanned<String>,
    pub(super) codes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSet {
    pub(super) name: Spanned<String>,
    pub(super) files: Vec<Take>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asset {
    pub(super) name: Spanned<String>,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    pub(super) source: Vec<Source>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) aliases: Vec<Spanned<String>>,
    pub(super) family: Spanned<String>,
    pub(super) plugin: Spanned<String>,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    pub(super) abilities: Vec<Ability>,
    pub(super) multilingual: bool,
    #[serde(default)]
    pub(super) languages: Vec<String>,
    pub(super) language_set: Option<Spanned<String>>,
    pub(super) huggingface: Option<HubId>,
    pub(super) modelscope: Option<HubId>,
    #[serde(default, deserialize_with = "table_or_json")]
    pub(super) default_model_config: Option<JsonMap>,
    #[serde(default, deserialize_with = "table_or_json")]
    pub(super) default_transcription_config: Option<JsonMap>,
    #[serde(default)]
    pub(super) launch_defaults: JsonMap,
    #[serde(default)]
    pub(super) request_defaults: JsonMap,
    #[serde(default)]
    pub(super) assets: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) runtimes: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) source: Vec<Source>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    pub(super) name: Spanned<String>,
    pub(super) version: String,
    pub(super) description: Option<String>,
    pub(super) license: Option<String>,
    #[serde(default)]
    pub(super) env: Vec<String>,
    pub(super) build: Vec<Build>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    pub(super) os: Spanned<String>,
    pub(super) arch: Spanned<String>,
    pub(super) library: Spanned<String>,
    pub(super) source: Vec<Source>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) id: Option<Spanned<String>>,
    pub(super) format: Option<Format>,
    pub(super) quantization: Option<String>,
    pub(super) item: Spanned<Vec<Item>>,
    #[serde(default)]
    pub(super) join: Vec<Join>,
}

/// One key of `hf`, `modelscope`, `wheel`, `sdist`, `npm`, `url`, `path` says what it is. A flat table keeps errors on their line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    pub(super) hf: Option<Spanned<String>>,
    pub(super) modelscope: Option<Spanned<String>>,
    pub(super) wheel: Option<Spanned<String>>,
    pub(super) sdist: Option<Spanned<String>>,
    pub(super) npm: Option<Spanned<String>>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) revision: Option<Spanned<String>>,
    pub(super) version: Option<Spanned<String>>,
    pub(super) sha256: Option<Spanned<String>>,
    pub(super) size: Option<u64>,
    pub(super) python: Option<Spanned<String>>,
    pub(super) abi: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) platforms: Vec<String>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) under: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) files: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) optional: Vec<Spanned<String>>,
    pub(super) weights: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) take: Vec<Take>,
    pub(super) set: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    pub(super) file: Spanned<String>,
    pub(super) to: Option<Spanned<String>>,
    pub(super) sha256: Option<Spanned<String>>,
    pub(super) size: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    pub(super) to: Spanned<String>,
    pub(super) parts: Vec<Spanned<String>>,
    pub(super) sha256: Spanned<String>,
    pub(super) size: Option<u64>,
}

/// A table, or the text of a JSON object, for what TOML can't say: null.
fn table_or_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<JsonMap>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TableOrJson {
        Table(JsonMap),
        Json(String),
    }
    match TableOrJson::deserialize(deserializer)? {
        TableOrJson::Table(table) => Ok(Some(table)),
        TableOrJson::Json(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| serde::de::Error::custom(format!("not the text of a JSON object: {error}"))),
    }
}
